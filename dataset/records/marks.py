"""Marks by which a record excludes turns, or itself, from training: followed, or refused by name, never ignored.

A column may have the name of a mark by chance: the weight of a product, the split of a text, the class of another. What
cannot mean the mark by its value is an ordinary column.
"""

import json
import re

from dataset.records.formats import BadRecord

# Whether a turn is learned: `weight` in OpenAI's files, `loss` in those of ms-swift, `train` or `training` of Axolotl.
MARKS = ("weight", "loss", "loss_mask", "train", "training", "trainable")
# What else sounds like a mark chooses parts of a turn, says the opposite, or scales its loss: it is not supported.
OTHER_MARK = re.compile(
    r"(^|_)(un)?(train(able|ed|ing)?|loss(es)?|mask(s|ed)?|weights?|learn(able|ed)?|ignored?|skip(ped)?|supervised"
    r"|excluded?)(_|$)"
)
LABELS = ("label", "kto_tag")  # whether an answer is good, in records for KTO; LLaMA-Factory has both names
# Texts that mean a mark or a label. Others, such as "good" or "no", are the names of classes.
WORDS = {"true", "false", "0", "1", "chosen", "rejected", "desirable", "undesirable"}


def is_trained(turn: dict, role: str) -> bool:
    """Whether the marks on a turn, if it has any, want it learned. Raises BadRecord for what cannot be done."""
    for key in turn:
        if key not in MARKS and OTHER_MARK.search(key) and (_may_mark(turn[key]) or _is_yes_or_no(turn[key])):
            raise BadRecord(f'"{key}" of a turn is not supported', '"train": false excludes a whole turn from training')
    marks = {key: turn[key] for key in MARKS if key in turn}
    for key, value in marks.items():
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise BadRecord(f'"{key}" of a turn is neither 0 nor 1', f"found {json.dumps(value, default=str)[:40]}")
        if value and role != "assistant":
            raise BadRecord(f'"{key}" wants a turn learned that is not the assistant\'s', f"role: {role}")
    return all(marks.values())


def is_excluded(fields: dict, turns: int, answers: int) -> bool:
    """Whether the record says that nothing of it is to be learned: by a mark as turns have, or as a bad answer of KTO.

    turns, answers: how many the record has. Raises BadRecord for a mark that is not supported.
    """
    found = {key: value for key, value in fields.items() if value is not None}
    for key, value in found.items():
        if isinstance(value, list):
            lined_up = len(value) in (turns, answers) and OTHER_MARK.search(key) and _may_mark(value)
            if lined_up or (key in MARKS and value and all(map(_is_share, value))):
                raise BadRecord(f'"{key}" stands beside the turns', "give each turn its own, 0 or 1")
        if key in (*MARKS, *LABELS) and _is_word(value):
            raise BadRecord(f'"{key}" is a text', f'found "{value.strip()}": write true or false')
        if key in MARKS and key != "loss" and _is_share(value) and value not in (0, 1):
            raise BadRecord(f'"{key}" beside the turns is neither 0 nor 1', f"found {value}: rename what is no mark")
    off = [found[key] for key in (*MARKS, *LABELS) if isinstance(found.get(key), bool | int | float)]
    return any(value == 0 for value in off)


def is_followed(key: str, value) -> bool:
    """Whether a key beside the turns is a mark or a label by its value, too, and not some column of that name."""
    return key in (*MARKS, *LABELS) and isinstance(value, bool | int | float) and value in (0, 1)


def _may_mark(value) -> bool:
    """Whether this may choose what is trained: anything but texts that mean no mark."""
    texts = value if isinstance(value, list) and value else [value]
    return not all(isinstance(text, str) and not _is_word(text) for text in texts)


def _is_yes_or_no(value) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("yes", "no")


def _is_word(value) -> bool:
    return isinstance(value, str) and value.strip().lower() in WORDS


def _is_share(value) -> bool:
    """Whether this is a weight of training: false, true, or a number from 0 to 1."""
    return isinstance(value, bool | int | float) and 0 <= value <= 1


def without_marks(fields: dict) -> dict:
    """The record without marks beside its turns, for what is not trained on."""
    return {key: value for key, value in fields.items() if key not in (*MARKS, *LABELS)}


def without_classes(fields: dict) -> dict:
    """A record with two answers, or a score, in which only false is a label: any other is a column, as of a class."""
    return {key: None if key in LABELS and value is not False else value for key, value in fields.items()}
