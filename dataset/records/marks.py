"""Marks by which a record excludes turns, or itself, from training: followed, or refused by name, never ignored."""

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
# Texts under a label or a mark that mean one.
WORDS = {"true", "false", "0", "1", "yes", "no", "chosen", "rejected", "good", "bad", "desirable", "undesirable"}


def is_trained(turn: dict, role: str) -> bool:
    """Whether the marks on a turn, if it has any, want it learned. Raises BadRecord for what cannot be done."""
    for key in turn:
        if key not in MARKS and OTHER_MARK.search(key):
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

    turns, answers: how many the record has. A number or text of another kind under these keys is some other column,
    such as the loss that a filter computed or the class of a text. Raises BadRecord for a mark that is not supported.
    """
    found = {key: value for key, value in fields.items() if value is not None}
    for key, value in found.items():
        lined_up = isinstance(value, list) and len(value) in (turns, answers) and OTHER_MARK.search(key)
        if lined_up or (key in MARKS and isinstance(value, list)):
            raise BadRecord(f'"{key}" stands beside the turns', "give each turn its own, 0 or 1")
        if key in (*MARKS, *LABELS) and isinstance(value, str) and value.strip().lower() in WORDS:
            raise BadRecord(f'"{key}" is a text', f'found "{value.strip()}": write true or false')
        if key in MARKS and key != "loss" and isinstance(value, int | float) and value not in (0, 1):
            raise BadRecord(f'"{key}" beside the turns is neither 0 nor 1', f"found {value}: rename what is no mark")
    off = [found[key] for key in (*MARKS, *LABELS) if isinstance(found.get(key), bool | int | float)]
    return any(value == 0 for value in off)


def without_marks(fields: dict) -> dict:
    """The record without marks beside its turns, for what is not trained on."""
    return {key: value for key, value in fields.items() if key not in (*MARKS, *LABELS)}
