"""Layouts whose answers the network writes itself: GSM8K, MGSM in English and Chinese, questions with short answers.

What counts as right is what the tasks of lm-evaluation-harness 0.4.13 count: "strict" takes the number behind the words
that the examples end with, "flexible" the last number of the answer.
"""

import re
import string
from collections.abc import Callable

from dataset.passages import is_chinese
from dataset.records.formats import BadRecord
from inference.benchmark.fields import answer_of, text_of
from inference.benchmark.items import Form, Item, Layout, has

ANY_NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
ENDS = ("</s>", "<|im_end|>")
# Letters of Russian, Bengali, Telugu, Thai and Japanese, in which MGSM is asked in other words.
_OTHER_LETTERS = re.compile("[\u0400-\u04ff\u0980-\u09ff\u0c00-\u0c7f\u0e00-\u0e7f\u3040-\u30ff]")
# Words of every second sentence of the Latin languages of MGSM: English; German, French, Spanish, Swahili.
_ENGLISH = re.compile(r"\b(the|how|what|many|much)\b", re.IGNORECASE)
_OTHER_WORDS = re.compile(
    r"\b(und|der|das|ist|viele?|le|les|des|est|combien|el|los|las|que|cu[aá]nt[oa]s?|ya|na|wa|kwa|ni|ngapi)\b",
    re.IGNORECASE,
)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def first_after(words: str, written: str) -> str | None:
    """What the first match of an expression has in its group."""
    found = re.search(words, written)
    return found[1].strip() if found else None


def last_number(written: str) -> str | None:
    found = ANY_NUMBER.findall(written)
    return next(part for part in found[-1] if part).strip() if found else None


def same_amount(said: str, right: str) -> bool:
    """Equality in GSM8K: without commas, dollar signs, a full stop at the end, and the way to the answer."""
    return _amount(said) == _amount(right)


def _amount(text: str) -> str:
    text = text.replace(",", "").replace("$", "")
    return re.sub(r"\.$", "", re.sub("(?s).*#### ", "", text).strip())


def same_without_marks(said: str, right: str) -> bool:
    """Equality in MGSM: without any punctuation, and so without decimal points and signs."""
    return said.translate(_PUNCTUATION) == right.translate(_PUNCTUATION)


def _graded(extract: Callable[[str], str | None], same: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    def is_right(written: str, right: str) -> bool:
        said = extract(written)
        return said is not None and same(said, right)

    return is_right


def _gsm8k(fields: dict) -> Item:
    question, answer = text_of(fields, "question"), answer_of(fields)
    if not re.fullmatch(r"-?[0-9.]+", _amount(answer)):  # no answer would be right
        raise BadRecord('nothing but a number must stand behind the last "#### " of the answer')
    return Item(f"Question: {question}\nAnswer:", answer, f"{question} {answer}")


def _mgsm(mark: str, asks: str):
    """mark: what stands before a question. asks: what stands before its answer, and is not shown twice where the answer
    is written out."""

    def read(fields: dict) -> Item:
        question = text_of(fields, "question")
        way = text_of(fields, "answer") if fields.get("answer") else ""
        number = fields.get("answer_number", fields.get("final"))
        if isinstance(number, float) and number.is_integer():  # a column of a table with gaps
            number = int(number)
        number = re.sub(r"\.0+$", "", str(number).strip())
        if not re.fullmatch(r"[-+$]*[0-9][0-9.,]*%?", number):  # NaN, say, which stands in tables with gaps
            raise BadRecord("there is no number that is the answer")
        # The texts of the training split, which has the way to the answer, begin with these words already.
        led = question if way and question.startswith(mark[:-2]) else mark + question
        shown = re.sub(rf"^{asks[:-1]}[:：]\s*", "", way)
        return Item(f"{led}\n{asks}", number, question, shown=shown)

    return read


def _is_foreign(question: str) -> bool:
    """Whether a question is in a language of MGSM that is neither Chinese nor English."""
    return bool(_OTHER_LETTERS.search(question) or (_OTHER_WORDS.search(question) and not _ENGLISH.search(question)))


def _mgsm_layout(name: str, chinese: bool, read, stop: str, words: str) -> Layout:
    grades = {
        "strict": _graded(lambda written: first_after(words, written), same_without_marks),
        "flexible": _graded(last_number, same_without_marks),
    }
    return Layout(
        name,
        f"question in {'Chinese' if chinese else 'English'}, answer_number",
        lambda fields: (
            has("question")(fields)
            and ("answer_number" in fields or "final" in fields)
            and is_chinese(fields["question"]) == chinese
            and not _is_foreign(str(fields["question"]))
        ),
        (Form("", read, ("strict", "flexible"), (stop, *ENDS), grades),),
        shots=8,
    )


def _short(fields: dict) -> Item:
    question, answer = text_of(fields, "question"), answer_of(fields)
    asked = f"问题：{question}\n答案：" if is_chinese(question) else f"Question: {question}\nAnswer:"
    return Item(asked, answer, f"{question} {answer}", delimiter="" if is_chinese(question) else " ")


WRITTEN = (
    Layout(
        "gsm8k",
        "question, answer with #### before the number",
        lambda fields: has("question", "answer")(fields) and "####" in str(fields["answer"]),
        (
            Form(
                "",
                _gsm8k,
                ("strict", "flexible"),
                ("Question:", *ENDS),
                {
                    "strict": _graded(lambda written: first_after(r"#### (\-?[0-9\.\,]+)", written), same_amount),
                    "flexible": _graded(last_number, same_amount),
                },
            ),
        ),
    ),
    _mgsm_layout("mgsm_zh", True, _mgsm("问题： ", "逐步解答:"), "问题：", r"答案是 (\-?[0-9\.\,]+)。"),
    _mgsm_layout(
        "mgsm_en", False, _mgsm("Question: ", "Step-by-Step Answer:"), "Question:", r"The answer is (\-?[0-9\.\,]+)"
    ),
    Layout(
        "short_answers",
        "question, answer",
        has("question", "answer"),
        (
            Form(
                "",
                _short,
                ("exact_match",),
                ("\n", *ENDS),
                {"exact_match": lambda said, right: said.strip() == right.strip()},
            ),
        ),
    ),
)
