"""Dialogues in one text, `\\n\\nHuman: ...\\n\\nAssistant: ...`, as hh-rlhf and what was made of it have their pairs.

A name begins a turn only behind an empty line. An answer that quotes such a turn cannot be told from two turns.
"""

import re

SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:^\s*|\n\n)(Human|Assistant):")
TWO = ("chosen", "rejected")
OPEN = re.compile(r"\n\nAssistant:\s*$")


def is_dialogue(value) -> bool:
    """Whether this is a text of turns, the first of which is the human's."""
    return isinstance(value, str) and re.match(r"\s*Human:", value) is not None and "\n\nAssistant:" in value


def turns_of_dialogue(text: str) -> list[dict]:
    """Its turns, with `role` and `content`; space around a turn is not part of it."""
    _, *parts = TURN.split(text)
    return [{"role": SPEAKERS[name], "content": said.strip()} for name, said in zip(parts[::2], parts[1::2])]


def with_turns(fields: dict) -> dict:
    """A record of two answers with lists of turns in place of its dialogues.

    They stand under `chosen` and `rejected` where there is no prompt, or where that is a dialogue, too, which ends with
    the name of who is to speak. Any other text that looks like one is an answer, such as a scene of a play.
    """
    prompt = fields.get("prompt")
    if is_dialogue(prompt) and OPEN.search(prompt):
        answers = {key: fields[key].strip() for key in TWO if isinstance(fields.get(key), str)}
        fields = fields | answers | {"prompt": turns_of_dialogue(prompt)[:-1]}
    elif prompt:
        return fields
    return fields | {key: turns_of_dialogue(fields[key]) for key in TWO if is_dialogue(fields.get(key))}
