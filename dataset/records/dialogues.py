"""Dialogues in one text, `\\n\\nHuman: ...\\n\\nAssistant: ...`, as hh-rlhf and what was made of it have them.

A name begins a turn only behind an empty line. An answer that quotes such a turn cannot be told from two turns.
"""

import re

SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:^\s*|\r?\n\r?\n)(Human|Assistant):")
ANSWERED = re.compile(r"\r?\n\r?\nAssistant:")
OPEN = re.compile(rf"{ANSWERED.pattern}\s*$")
TWO = ("chosen", "rejected")


def is_dialogue(value) -> bool:
    """Whether this is a text of turns, the first of which is the human's."""
    return isinstance(value, str) and bool(re.match(r"\s*Human:", value) and ANSWERED.search(value))


def turns_of_dialogue(text: str) -> list[dict]:
    """Its turns, with `role` and `content`; space around a turn is not part of it."""
    _, *parts = TURN.split(text)
    return [{"role": SPEAKERS[name], "content": said.strip()} for name, said in zip(parts[::2], parts[1::2])]


def opened(fields: dict, prompt: str, answers: tuple[str, ...]) -> dict | None:
    """A record with the list of turns in place of its prompt, if that is a dialogue that ends with the name of who is
    to speak; None if it is not. `answers`: the keys of what that one said, behind a space."""
    text = fields.get(prompt)
    if not (is_dialogue(text) and OPEN.search(text)):
        return None
    said = {key: fields[key].strip() for key in answers if isinstance(fields.get(key), str)}
    return fields | said | {prompt: turns_of_dialogue(text)[:-1]}


def with_turns(fields: dict) -> dict:
    """A record of two answers with lists of turns in place of its dialogues.

    They stand under `chosen` and `rejected` where there is no prompt, or where that is a dialogue, too, which ends with
    the name of who is to speak. Any other text that looks like one is an answer, such as a scene of a play.
    """
    with_prompt = opened(fields, "prompt", TWO)
    if with_prompt is None and fields.get("prompt"):
        return fields
    fields = with_prompt or fields
    return fields | {key: turns_of_dialogue(fields[key]) for key in TWO if is_dialogue(fields.get(key))}
