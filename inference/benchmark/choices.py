"""Layouts of multiple choice whose answers are texts: BLiMP, HellaSwag, PIQA, ARC, XCOPA and COPA.

The prompts are those of the tasks of lm-evaluation-harness 0.4.13, so that scores can be compared with published ones.
"""

import re

from dataset.passages import is_chinese
from dataset.records.formats import BadRecord
from inference.benchmark.fields import NO_ANSWER, WITHHELD, place_of, text_of, texts_of
from inference.benchmark.items import Form, Item, Layout, has

BY_LIKELIHOOD = ("acc", "acc_norm", "acc_bytes")


def chosen(context: str, choices: tuple[str, ...], right: int, own: str | None = None, delimiter: str = " ") -> Item:
    """An item of multiple choice; its own text is the context and the right choice unless it is given."""
    if not all(choices):  # acc_norm divides by their lengths
        raise BadRecord("a choice is empty")
    answer = choices[right]
    return Item(context, answer, own or f"{context} {answer}", choices, right, delimiter)


def _blimp(fields: dict) -> Item:
    """Two sentences, of which the first is grammatical; nothing stands before them."""
    good, bad = ("sentence_good", "sentence_bad") if "sentence_good" in fields else ("good", "bad")
    return chosen("", (text_of(fields, good), text_of(fields, bad)), 0)


def _hellaswag(fields: dict) -> Item:
    second = text_of(fields, "ctx_b") if fields.get("ctx_b") else ""  # often there is none
    beginning = f"{text_of(fields, 'ctx_a')} {second.capitalize()}"
    context = _without_marks(f"{text_of(fields, 'activity_label')}: {beginning}")
    endings = tuple(map(_without_marks, texts_of(fields, "endings")))
    return chosen(context, endings, place_of(fields, "label", len(endings)))


def _without_marks(text: str) -> str:
    """Without the marks of WikiHow that HellaSwag's texts carry."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _piqa(fields: dict) -> Item:
    goal, choices = text_of(fields, "goal"), (text_of(fields, "sol1"), text_of(fields, "sol2"))
    right = place_of(fields, "label", 2)
    return chosen(f"Question: {goal}\nAnswer:", choices, right, f"{goal} {choices[right]}")


def _arc(fields: dict) -> Item:
    question, listed, key = text_of(fields, "question"), fields["choices"], fields["answerkey"]
    if isinstance(listed, list):  # a struct for each choice
        listed = {name: [each.get(name) for each in listed] for name in ("text", "label")}
    choices, labels = texts_of(listed, "text"), listed.get("label")
    if key in NO_ANSWER:
        raise BadRecord('the right choice under "answerKey" is withheld', WITHHELD)
    if not isinstance(labels, list) or labels[: len(choices)].count(key) != 1:
        raise BadRecord('"answerKey" is none of the labels, or several')
    right = labels.index(key)
    return chosen(f"Question: {question}\nAnswer:", choices, right, f"{question} {choices[right]}")


def _is_listed(choices) -> bool:
    """Whether texts and labels are two lists in a struct, as ARC is published, or a struct for each choice."""
    return isinstance(choices, dict) or (isinstance(choices, list) and all(isinstance(one, dict) for one in choices))


def _copa(cause: str, effect: str):
    """A premise without its full stop, then a connective; the choices go on in lower case."""

    def read(fields: dict) -> Item:
        premise, asked = text_of(fields, "premise").strip(), fields.get("question")
        if asked not in ("cause", "effect"):
            raise BadRecord('"question" is neither "cause" nor "effect"')
        key = "label" if "choice1" in fields else "answer"
        choices = (
            (text_of(fields, "choice1"), text_of(fields, "choice2"))
            if "choice1" in fields
            else texts_of(fields, "choices", 2)
        )
        right = place_of(fields, key, 2)
        lowered = tuple(choice[0].lower() + choice[1:] for choice in choices)
        context = f"{premise[:-1]} {cause if asked == 'cause' else effect}"
        return chosen(context, lowered, right, f"{premise} {choices[right]}")

    return read


def _is_copa(fields: dict) -> bool:
    return {"premise", "question"} <= fields.keys() and (
        {"choice1", "choice2", "label"} <= fields.keys() or {"choices", "answer"} <= fields.keys()
    )


CHOICES = (
    Layout(
        "blimp",
        "sentence_good, sentence_bad",
        lambda fields: has("sentence_good", "sentence_bad")(fields) or has("good", "bad")(fields),
        (Form("", _blimp, BY_LIKELIHOOD),),
        subject_key="uid",
    ),
    Layout(
        "hellaswag",
        "activity_label, ctx_a, ctx_b, endings, label",
        has("activity_label", "ctx_a", "endings"),
        (Form("", _hellaswag, BY_LIKELIHOOD),),
    ),
    Layout("piqa", "goal, sol1, sol2, label", has("goal", "sol1", "sol2"), (Form("", _piqa, BY_LIKELIHOOD),)),
    Layout(
        "arc",
        "question, choices {text, label}, answerKey",
        lambda fields: has("question", "choices", "answerkey")(fields) and _is_listed(fields["choices"]),
        (Form("", _arc, BY_LIKELIHOOD),),
    ),
    Layout(
        "xcopa_zh",
        "premise, question, choice1, choice2, label",
        lambda fields: _is_copa(fields) and is_chinese(fields["premise"]),
        (Form("", _copa("因为", "所以"), BY_LIKELIHOOD),),
    ),
    Layout(  # the other languages of XCOPA have the key "changed", and connectives of their own
        "copa",
        "premise, question, choice1, choice2, label",
        lambda fields: _is_copa(fields) and "changed" not in fields,
        (Form("", _copa("because", "therefore"), BY_LIKELIHOOD),),
    ),
)
