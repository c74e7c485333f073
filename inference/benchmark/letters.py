"""Layouts of multiple choice with lettered answers: C-Eval, CMMLU, MMLU, and GAOKAO-Bench.

They are asked in two forms. "letters" is how scores are published: the answers stand in the prompt, and the network
chooses among A, B, C and D. A small network cannot tell the letters apart and stays at chance. "texts" asks for the
likelihood of each answer behind the bare question, which shows much earlier what a network has learned.
"""

import re

from inference.benchmark.choices import BY_LIKELIHOOD, chosen
from inference.benchmark.fields import LETTERS, is_letter, letter_of, place_of, text_of, texts_of
from inference.benchmark.items import Form, Item, Layout, has
from inference.benchmark.subjects import C_EVAL, CMMLU


def _lettered(question: str, answers: tuple[str, ...], right: int, asks: str) -> Item:
    lines = [question, *(f"{letter}. {answer}" for letter, answer in zip(LETTERS, answers, strict=True)), asks]
    return chosen("\n".join(lines), tuple(LETTERS), right, f"{question} {answers[right]}")


def _by_text(context: str, answers: tuple[str, ...], right: int, question: str, delimiter: str) -> Item:
    return chosen(context, answers, right, f"{question} {answers[right]}", delimiter)


def _chinese(fields: dict) -> tuple[str, tuple[str, ...], int]:
    answers = tuple(text_of(fields, letter.lower()) for letter in LETTERS)
    return text_of(fields, "question").strip(), answers, letter_of(fields, "answer")


def _chinese_letters(fields: dict) -> Item:
    return _lettered(*_chinese(fields), "答案：")


def _chinese_texts(fields: dict) -> Item:
    question, answers, right = _chinese(fields)
    return _by_text(f"{question}\n答案：", answers, right, question, "")


def _mmlu(fields: dict) -> tuple[str, tuple[str, ...], int]:
    letter = is_letter(fields.get("answer"))  # a ClassLabel is a number in a table, and some write its name
    right = letter_of(fields, "answer") if letter else place_of(fields, "answer", 4)
    return text_of(fields, "question").strip(), texts_of(fields, "choices", 4), right


def _mmlu_letters(fields: dict) -> Item:
    return _lettered(*_mmlu(fields), "Answer:")


def _mmlu_texts(fields: dict) -> Item:
    question, answers, right = _mmlu(fields)
    return _by_text(f"Question: {question}\nAnswer:", answers, right, question, " ")


# An option may begin right behind the Chinese text of the one before it, where \b sees no boundary.
_MARKS = [rf"(?<![A-Za-zＡ-Ｚ])[{letter}{wide}]\s*[.．、]" for letter, wide in zip(LETTERS, "ＡＢＣＤ", strict=True)]
OPTIONS = re.compile(r"(.*?)".join(_MARKS) + "(.*)", re.DOTALL)


def _gaokao_letters(fields: dict) -> Item:
    """The question holds its answers already."""
    question = text_of(fields, "question").strip()
    return chosen(f"{question}\n答案：", tuple(LETTERS), letter_of(fields, "answer"), question)


def _gaokao_texts(fields: dict) -> Item | None:
    """None where the answers cannot be taken out of the question."""
    question, right = text_of(fields, "question").strip(), letter_of(fields, "answer")
    found = OPTIONS.search(question)
    answers = tuple(answer.strip() for answer in found.groups()) if found else ()
    stem = question[: found.start()].strip() if found else ""
    if not (stem and all(answers)):
        return None
    return _by_text(f"{stem}\n答案：", answers, right, question, "")


def _is_gaokao(fields: dict) -> bool:
    question, answer = fields.get("question"), fields.get("answer")
    return isinstance(question, str) and is_letter(answer) and re.search(r"[AＡ]\s*[.．、]", question) is not None


def _says(sentence: str, names: dict[str, str] | None = None):
    """What stands before all items of a subject; nothing where the subject is not known."""

    def describe(subject: str | None) -> str:
        name = names.get(subject or "") if names else (subject or "").replace("_", " ")
        return sentence.format(name) + "\n\n" if name else ""

    return describe


def _silent(subject: str | None) -> str:
    return ""


def _both(letters, texts, described=_silent, described_texts=_silent) -> tuple[Form, Form]:
    return (
        Form("letters", letters, ("acc",), describe=described),
        Form("texts", texts, BY_LIKELIHOOD, describe=described_texts),
    )


_IN_MMLU = _says("The following are multiple choice questions (with answers) about {}.")
_IN_MMLU_TEXTS = _says("The following are questions (with answers) about {}.")
_IN_C_EVAL = _says("以下是中国关于{}的单项选择题，请选出其中的正确答案。", C_EVAL)
_IN_CMMLU = _says("以下是关于{}的单项选择题，请直接给出正确答案的选项。", CMMLU)
_LETTERED = has("question", "a", "b", "c", "d", "answer")

LETTERED = (
    Layout(
        "mmlu",
        "question, subject, choices, answer",
        lambda fields: has("question", "choices", "answer")(fields) and "premise" not in fields,
        _both(_mmlu_letters, _mmlu_texts, _IN_MMLU, _IN_MMLU_TEXTS),
        subject_key="subject",
    ),
    Layout(
        "ceval",
        "id, question, A, B, C, D, answer",
        lambda fields: _LETTERED(fields) and "id" in fields,
        _both(_chinese_letters, _chinese_texts, _IN_C_EVAL),
        subjects=C_EVAL,
    ),
    Layout(
        "cmmlu",
        "Question, A, B, C, D, Answer",
        _LETTERED,
        _both(_chinese_letters, _chinese_texts, _IN_CMMLU),
        subjects=CMMLU,
    ),
    Layout(
        "gaokao",
        "question with its options A to D, answer",
        _is_gaokao,
        _both(_gaokao_letters, _gaokao_texts),
        subject_key="subject",
    ),
)
