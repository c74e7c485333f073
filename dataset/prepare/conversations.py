"""Chats and preference pairs while they are prepared: as records of one shape, whatever format they came in.

A chat is `{"messages": [...], "tools": [...]}`, a pair `{"chosen": [...], "rejected": [...], "tools", "margin"}`. Each
message is cleaned for itself, its Markdown kept; a record is kept whole or dropped whole.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.kinds import KINDS, find_kind, in_english
from dataset.records.preferences import PREFERENCE, Pair

SAID = ("content", "reasoning_content")  # what of a message is text


def reader_of_conversations(fields: dict) -> Callable[[dict], list[tuple[str, str]]] | None:
    """The function from fields to (JSON of the record, kind) for a file whose first record has `fields`.

    None for a file of anything else. Labelled and scored answers are no pairs, and are not prepared.
    """
    kind, found = find_kind(fields, KINDS) or (None, None)
    if kind is CHAT:
        return lambda fields: [(_json(_record(found.read(fields))), "chat")]
    if kind is PREFERENCE:
        return lambda fields: [(_json(_record_of_pair(pair)), "preference") for pair in found.read(fields).pairs]
    return None


def other_kind(fields: dict) -> str:
    """What an error says first of records that are known, but not prepared."""
    kind, _ = find_kind(fields, KINDS) or (None, None)
    if kind is None:
        return f"{meant}; else " if (meant := in_english(fields)) else ""
    return f"this is {kind.what}, and only texts, chats and pairs are prepared; else "


def _record(conversation: Conversation) -> dict:
    messages = [dict(message) for message in conversation.messages]
    for index in conversation.untrained:
        messages[index]["weight"] = 0
    record = {"messages": messages}
    return record | {"tools": list(conversation.tools)} if conversation.tools else record


def _record_of_pair(pair: Pair) -> dict:
    record = {"chosen": list(pair.chosen.messages), "rejected": list(pair.rejected.messages)}
    if pair.chosen.tools:
        record["tools"] = list(pair.chosen.tools)
    return record | {"margin": pair.margin} if pair.margin else record


def _json(record: dict) -> str:
    return json.dumps(record, ensure_ascii=False)


def messages_of(record: dict) -> Iterator[dict]:
    for key in ("messages", "chosen", "rejected"):
        yield from record.get(key, ())


def clean_record(record: dict, clean: Callable) -> tuple[Counter, bool]:
    """Cleans every message in place. Returns the changes, and whether each message still says something.

    clean: as `cleaning.clean`, from a text to a text and the changes.
    """
    changes, whole = Counter(), True
    for message in messages_of(record):
        said = [key for key in SAID if message.get(key, "").strip()]
        for key in said:
            cleaned = clean(message[key])
            message[key] = cleaned.text
            changes += cleaned.changes
        whole = whole and (not said or any(message[key].strip() for key in said))
    return changes, whole


def answers_of(record: dict) -> Iterator[str]:
    """What the assistant says, message by message."""
    return (message["content"] for message in messages_of(record) if message["role"] == "assistant")


def said_in(record: dict, by: str = "all") -> str:
    """What is said in the prompt or in the answer of a record, or in all of it.

    The prompt of a chat is everything up to its last answer, that of a pair what both answers follow. System messages
    never count: they are the same everywhere, and would make all short chats alike.
    """
    lists = [record[key] for key in ("messages", "chosen", "rejected") if key in record]
    if len(lists) == 2:
        shared = next((i for i, (one, other) in enumerate(zip(*lists)) if one != other), min(map(len, lists)))
    else:
        shared = max(i for i, message in enumerate(lists[0]) if message["role"] == "assistant")
    prompt, answers = lists[0][:shared], [message for messages in lists for message in messages[shared:]]
    messages = {"prompt": prompt, "answer": answers, "all": [*prompt, *answers]}[by]
    return "\n".join(_said(message) for message in messages if message["role"] != "system")


def everything_said_in(record: dict) -> str:
    """What is said in all messages, those of the system included."""
    return "\n".join(map(_said, messages_of(record)))


def _said(message: dict) -> str:
    calls = [json.dumps(call, ensure_ascii=False, sort_keys=True) for call in message.get("tool_calls", ())]
    return "\n".join([message[key] for key in SAID if message.get(key)] + calls)
