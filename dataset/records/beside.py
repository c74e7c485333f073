"""What stands beside the turns of a chat record: the system message, earlier turns, a thought, pictures."""

import json

from dataset.records.formats import BadRecord, clean_string
from dataset.records.turns import REASONING, is_thought, lower


def system_of(fields: dict, turns: list = ()) -> list[dict]:
    """The system message that stands beside the turns, under `system`; or `system_prompt`, if they have none."""
    first = lower(turns[0]) if turns and isinstance(turns[0], dict) else {}
    begins = "system" in (first.get("role"), first.get("from"))
    text = fields.get("system") or (None if begins else fields.get("system_prompt"))
    return [{"role": "system", "content": text}] if text else []


def history(fields: dict) -> list[dict]:
    """The turns before the question that a record holds as pairs under `history`. Raises BadRecord."""
    pairs = fields.get("history") or []
    if isinstance(pairs, str):
        try:
            pairs = json.loads(pairs)
        except (ValueError, RecursionError) as error:
            raise BadRecord('"history" is not a list of pairs') from error
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRecord('"history" is not a list of pairs')
    return [{"role": role, "content": text} for pair in pairs for role, text in zip(("user", "assistant"), pair)]


def refuse_media(fields: dict, messages: list[dict]) -> None:
    """Raises BadRecord for a conversation about pictures, films or sounds, of which nothing can be learned here."""
    for key in ("image", "video", "audio"):
        marked = any(f"<{key}>" in message["content"] for message in messages)
        if fields.get(f"{key}s") or (fields.get(key) and marked):
            raise BadRecord(f'the conversation is about "{key}s"', "only text can be learned")


def answer_of(fields: dict, key: str, thinks: bool) -> dict:
    """The turn of the text under `key`, with the thought that a record has by a name of `REASONING`, if it `thinks`.

    What is no text, or only a switch, is another column of that name. An answer with a `<think>` or `</think>` has its
    thought already: the prompt of some networks opens it, so that the answer only closes it.
    """
    said = clean_string(fields, key)
    texts = [each for name in REASONING if isinstance(each := fields.get(name), str) and each.strip()]
    thoughts = [text for text in texts if is_thought(text)]
    holds_one = said.lstrip().startswith("<think>") or "</think>" in said
    thought = {"reasoning_content": thoughts[0]} if thinks and thoughts and not holds_one else {}
    return {"role": "assistant", "content": said} | thought
