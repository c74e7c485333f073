"""What a model wrote is checked before it is kept: each function returns why a text is rejected, or None.

Rules of Self-Instruct (Wang et al. 2023), with counterparts in Chinese: nothing about images or files, no instruction
that is too short or too long, none that begins with punctuation. Beyond them: no control tokens, no loops, no refusals,
the language that is asked for, and an answer that does not repeat its question.
"""

import re
import unicodedata

from dataset.prepare.judging.judging import without_code
from dataset.prepare.judging.language import script
from inference.instruct.rouge import rouge_l, tokens_of

LONGEST = 20_000  # characters of a reply; more is no answer to a short instruction
FEWEST_TOKENS, MOST_TOKENS = 3, 150  # of an instruction: words, or Chinese characters
SAME = 0.9  # ROUGE-L from which an answer is its question again

# A tokenizer may turn these into control tokens, and a template may act on them.
_MARKERS = re.compile(
    r"<\|[^|<>\n]{0,40}\|>|<｜[^<>\n]{0,40}｜>|</?(?:think|tool_call|tool_response|tools|s)>|\[/?INST\]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ufffd\ud800-\udfff]")
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_MEDIA = re.compile(
    r"\b(?:images?|pictures?|photos?|photographs?|graphs?|charts?|diagrams?|videos?|audios?|files?|maps?|draw|plot|"
    r"attachments?|attached|upload|website|url|link)\b|图片|图像|照片|图表|绘制|画一|视频|音频|文件|附件|上传|网址|链接",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\b(?:i['’]?m sorry|i am sorry|i apologi[sz]e|as an ai|as a language model|"
    r"i (?:can ?not|can['’]?t) (?:help|assist|provide|fulfil|do that|answer)|i(?:['’]?m| am) (?:unable|not able) to)\b|"
    r"抱歉|对不起|很遗憾|作为一[个款]?(?:人工智能|AI|语言模型)|作为一名(?:人工智能|AI)(?!\w)|"  # no 一名AI工程师
    r"作为(?:一名)?(?:人工智能|AI)(?:语言模型|模型|助手)|我(?:无法|不能)(?:回答|提供|帮助|满足|完成|协助)",
    re.IGNORECASE,
)


def language_of(text: str) -> str:
    """ "zh", "en" (any Latin letters), "other", or "none" for a text without letters, by the script of most words.

    Code between fences or backticks is in no language."""
    text = _prose(text)
    found = script(text)
    if found is None:
        return "other" if any(map(str.isalpha, text)) else "none"
    return {"han": "zh", "latin": "en"}.get(found, "other")


def _prose(text: str) -> str:
    return _INLINE_CODE.sub(" ", without_code(text))


def _malformed(text: str) -> str | None:
    if not text.strip():
        return "empty"
    if len(text) > LONGEST:
        return "too long"
    if _MARKERS.search(text):
        return "control tokens"
    return "control characters" if _CONTROL.search(text) else None


def _loops(text: str) -> bool:
    """Whether it says the same again and again: of at least 20 tokens, under a third of the 4-grams are different."""
    tokens = tokens_of(text)
    grams = [tuple(tokens[start : start + 4]) for start in range(len(tokens) - 3)]
    return len(tokens) >= 20 and len(set(grams)) < len(grams) / 3


def instruction_fault(text: str, languages: frozenset[str]) -> str | None:
    """Why an instruction cannot be kept. languages: those wanted, as `language_of` names them; empty: any."""
    if fault := _malformed(text):
        return fault
    count = len(tokens_of(text))
    if not FEWEST_TOKENS <= count <= MOST_TOKENS:
        return "too short" if count < FEWEST_TOKENS else "too long"
    if unicodedata.category(text[0])[0] == "P" and text[0] not in "\"'“‘「《（(":
        return "begins with punctuation"
    if _MEDIA.search(text):
        return "about images or files"
    if _loops(text):
        return "repeats itself"
    return "another language" if languages and language_of(text) not in languages else None


def answer_fault(question: str, answer: str, finish: str, languages: frozenset[str]) -> str | None:
    """Why an answer cannot be kept. finish: "stop" if the model ended it itself."""
    if finish != "stop":
        return "not ended"
    if fault := _malformed(answer):
        return fault
    if _REFUSAL.search(answer[:200]):
        return "refusal"
    if _loops(answer):
        return "repeats itself"
    said = tokens_of(answer[: 2 * len(question) + 100])
    if rouge_l(tokens_of(question), said) >= SAME:
        return "repeats the question"
    # Numbers, code and names are fine in any language: only an answer of some length has one.
    if languages and len(tokens_of(_prose(answer))) >= 8 and language_of(answer) not in languages | {"none"}:
        return "another language"
    return None
