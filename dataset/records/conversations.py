"""From a chat record of any format to a `Conversation`: one normal form, with a function for each format.

Who speaks is read from the record, never guessed from the order of the turns. What cannot be used raises
BadRecord: no assistant turn, an unknown role, an empty turn, anything that is not text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dataset.records.formats import BadRecord, Format, RecordKind, clean_string, list_keys

# Deeper than any schema of a tool, and far from where Python itself gives up.
MAX_NESTING = 100

ROLES = ("system", "user", "assistant", "tool")

SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "observation": "tool",
    "tool": "tool",
}

# Role tags of the inline format: <|user|> anywhere, 用户： where a line begins.
ANGLE_TAG = re.compile(r"<\|(\w+)\|>")
CHINESE_TAG = re.compile(r"^[^\S\n]*(系统|用户|助手)[：:]", re.MULTILINE)
CHINESE_ROLES = {"系统": "system", "用户": "user", "助手": "assistant"}


@dataclass(frozen=True)
class Conversation:
    """The turns of a chat, and what the assistant may call.

    messages: {"role": one of `ROLES`, "content": str}. A turn of the assistant may also have "reasoning_content":
        str and "tool_calls": [{"name": str, "arguments": dict or str of JSON}, ...].
    tools: JSON objects, as the chat template takes them.
    skill: what a question of a test set examines, if its record says so.
    trained_from: the messages before this one are only read, whoever speaks.
    """

    messages: tuple[dict, ...]
    tools: tuple[dict, ...] = ()
    skill: str | None = None
    trained_from: int = 0

    @property
    def conversations(self) -> tuple["Conversation"]:
        return (self,)

    @property
    def labels(self) -> tuple[()]:
        return ()

    @property
    def characters(self) -> int:
        """About how many there are to encode: without tools and calls, which are few."""
        return sum(len(message["content"]) for message in self.messages)

    def to_json(self) -> str:
        """What is said, as JSON with sorted keys: equal conversations give equal text, whatever their format."""
        said = {"messages": self.messages, "tools": self.tools}
        return json.dumps(said, ensure_ascii=False, sort_keys=True)


# One function for each format: the record's fields (keys in lower case) to a Conversation, or BadRecord.


def from_conversations(fields: dict, key: str = "conversations") -> Conversation:
    """`{"conversations": [{"role": ..., "content": ...}, ...]}`; `key` "messages" is the format of that name; a system
    message may stand beside them under `system`.
    """
    return _conversation([*_system(fields), *_turns(fields, key)], fields)


def from_sharegpt(fields: dict) -> Conversation:
    """`{"conversations": [{"from": "human", "value": ...}, ...]}`; `system` and `tools` may stand beside it."""
    turns = [*_system(fields), *_turns(fields, "conversations")]
    return _conversation(turns, fields, _from_sharegpt_turn)


def from_alpaca(fields: dict) -> Conversation:
    """`instruction`, `input` below it if there is one, `output`; optional `system` and `history` of pairs."""
    keys = ("instruction",) if fields.get("input") in (None, "") else ("instruction", "input")
    request = [clean_string(fields, key, may_be_blank=True) for key in keys]
    pairs = [] if fields.get("history") in (None, "") else fields["history"]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRecord('"history" is not a list of pairs')
    pairs = [*pairs, ["\n".join(text for text in request if text.strip()), clean_string(fields, "output")]]
    turns = _system(fields)
    for pair in pairs:
        turns += [{"role": role, "content": text} for role, text in zip(("user", "assistant"), pair)]
    return _conversation(turns, fields)


def from_completion(fields: dict, answer: str = "completion", prompt: str = "prompt") -> Conversation:
    """A prompt and its answer, under these keys, each a text or a list of messages."""
    turns = _system(fields)
    for key, role in ((prompt, "user"), (answer, "assistant")):
        if isinstance(fields.get(key), list):
            turns += _turns(fields, key)
        else:
            turns.append({"role": role, "content": clean_string(fields, key)})
    return _conversation(turns, fields)


def from_inline(fields: dict, key: str = "prompt") -> Conversation:
    """One text with a tag before each turn, `<|user|>` or `用户：`; space around a turn is not part of it."""
    text = clean_string(fields, key)
    roles = CHINESE_ROLES if CHINESE_TAG.match(text.lstrip()) else {role: role for role in ROLES}
    before, *parts = (CHINESE_TAG if roles is CHINESE_ROLES else ANGLE_TAG).split(text)
    if before.strip() or not parts:
        raise BadRecord("the text does not begin with a role tag", " ".join(before.split())[:40])
    turns = []
    for tag, content in zip(parts[::2], parts[1::2]):
        if tag not in roles:
            raise BadRecord("the role is unknown", f"<|{tag[:40]}|>; known: {', '.join(roles)}")
        turns.append({"role": roles[tag], "content": content.strip()})
    return _conversation(turns, fields)


# How the formats that share keys are told apart: by the first turn, or the first tag.


def has_roles(fields: dict, key: str = "conversations") -> bool:
    return "role" in _first_turn(fields, key)


def is_sharegpt(fields: dict) -> bool:
    return "from" in _first_turn(fields, "conversations")


def has_role_tags(fields: dict, key: str = "prompt") -> bool:
    text = fields.get(key)
    return isinstance(text, str) and bool(ANGLE_TAG.match(text.lstrip()) or CHINESE_TAG.match(text.lstrip()))


def _first_turn(fields: dict, key: str) -> dict:
    """The first turn with its keys in lower case; empty if there is none."""
    turns = fields.get(key)
    first = turns[0] if isinstance(turns, list) and turns else None
    return _lower(first) if isinstance(first, dict) else {}


# From turns as they stand in a record to the normal form.


def _turns(fields: dict, key: str) -> list:
    turns = fields.get(key)
    if not isinstance(turns, list):
        raise BadRecord(f'"{key}" is not a list of turns', list_keys(fields))
    if not turns:
        raise BadRecord("the conversation is empty")
    return turns


def _system(fields: dict) -> list[dict]:
    """The system message that stands beside the turns, if there is one."""
    return [{"role": "system", "content": fields["system"]}] if fields.get("system") else []


def _lower(turn: dict) -> dict:
    """The turn with keys in lower case, and without those that are null, which a parquet file fills in."""
    return {key.lower(): value for key, value in turn.items() if value is not None}


def _conversation(turns: list, fields: dict, to_message: Callable[[dict], dict] = lambda turn: turn) -> Conversation:
    """The normal form of turns, each with `role` and `content` after `to_message`. Raises BadRecord."""
    messages = []
    tools = _json_objects(fields, "tools")
    for number, turn in enumerate(turns, 1):
        try:
            if not isinstance(turn, dict):
                raise BadRecord("a turn is not a JSON object", f"found {type(turn).__name__}")
            turn = to_message(_lower(turn))
            message = _message(turn)
            of_turn = _json_objects(turn, "tools")
            if of_turn and (tools or message["role"] != "system"):
                raise BadRecord('"tools" are given twice, or on a turn that is not the system\'s')
            tools = tools or of_turn
        except BadRecord as error:
            raise BadRecord(error.reason, f"turn {number}" + (f", {error.detail}" if error.detail else "")) from error
        messages.append(message)
    if not any(message["role"] == "assistant" for message in messages):
        raise BadRecord("no turn is the assistant's", f"roles: {', '.join(m['role'] for m in messages[:12])}")
    skill = fields.get("skill")
    return Conversation(tuple(messages), tuple(tools), skill if isinstance(skill, str) else None)


def _message(turn: dict) -> dict:
    """A turn with `role` and `content` in the normal form. Raises BadRecord."""
    role = turn.get("role")
    if role not in ROLES:
        found = " ".join(str(role).split())[:40] if role is not None else list_keys(turn)
        raise BadRecord("the role is unknown", f"{found}; known: {', '.join(ROLES)}")
    calls = [_call(call) for call in _json_objects(turn, "tool_calls")]
    reasoning = clean_string({"reasoning_content": "", **turn}, "reasoning_content", may_be_blank=True)
    if role != "assistant":
        if calls or reasoning.strip():
            raise BadRecord('"tool_calls" or "reasoning_content" stand on a turn that is not the assistant\'s')
        return {"role": role, "content": clean_string(turn, "content", may_be_blank=role != "user")}
    acts = calls or reasoning.strip()
    if acts:
        turn = {"content": "", **turn}
    message = {"role": role, "content": clean_string(turn, "content", may_be_blank=bool(acts))}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message


def _call(call: dict) -> dict:
    """`{"name", "arguments"}` of a call, in OpenAI's form or in that one itself."""
    function = call.get("function") or call  # null where a parquet file has both forms
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise BadRecord("a tool call has no name")
    arguments = function.get("arguments")
    if not isinstance(arguments, dict | str | None):
        raise BadRecord('the "arguments" of a tool call are not a JSON object')
    if isinstance(arguments, str):
        clean_string(function, "arguments", may_be_blank=True)
    return {"name": name, "arguments": arguments or {}}


def _from_sharegpt_turn(turn: dict) -> dict:
    """The same turn with `role` and `content`, or with the tool call that its value holds."""
    if "from" not in turn:  # the system message that stands beside the turns, or an error to be named later
        return turn
    speaker = turn.get("from")
    value = clean_string(turn, "value", may_be_blank=True)
    if speaker == "function_call":
        return {"role": "assistant", "tool_calls": value}
    known = isinstance(speaker, str) and speaker in SHAREGPT_ROLES
    return turn | {"role": SHAREGPT_ROLES[speaker] if known else speaker, "content": value}


def _json_objects(fields: dict, key: str) -> list[dict]:
    """The JSON objects under `key`, given as a list, as one object, or as JSON text of either; none if absent.

    Raises BadRecord for anything else, and for what cannot be written as JSON in UTF-8 again.
    """
    value = fields.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    try:
        if isinstance(value, str):
            value = json.loads(value)
        if _nesting(value) > MAX_NESTING:
            raise RecursionError
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecord(f'"{key}" contains half a surrogate pair') from error
    except RecursionError as error:
        raise BadRecord(f'"{key}" is nested too deeply') from error
    except (ValueError, TypeError) as error:  # TypeError: a parquet cell may hold a date, say
        raise BadRecord(f'"{key}" is not valid JSON', str(error)) from error
    if value is None:
        return []
    objects = [value] if isinstance(value, dict) else value
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise BadRecord(f'"{key}" is not a list of JSON objects')
    return objects


def _nesting(value) -> int:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return 0
    return 1 + max(map(_nesting, value), default=0)


CHAT = RecordKind(
    "chat",
    "a conversation, for fine-tuning",
    (
        Format(
            "conversations",
            '{"conversations": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
            frozenset({"conversations"}),
            from_conversations,
            has_roles,
        ),
        Format(
            "sharegpt",
            '{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
            frozenset({"conversations"}),
            from_sharegpt,
            is_sharegpt,
        ),
        Format(
            "messages",
            '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
            frozenset({"messages"}),
            partial(from_conversations, key="messages"),
            partial(has_roles, key="messages"),
        ),
        Format(
            "alpaca",
            '{"instruction": "...", "input": "...", "output": "..."}',
            frozenset({"instruction", "output"}),
            from_alpaca,
        ),
        Format(
            "prompt/completion",
            '{"prompt": "...", "completion": "..."}',
            frozenset({"prompt", "completion"}),
            from_completion,
        ),
        Format(
            "prompt/response",
            '{"prompt": "...", "response": "..."}',
            frozenset({"prompt", "response"}),
            partial(from_completion, answer="response"),
        ),
        Format(
            "inline",
            '{"prompt": "<|user|> ... <|assistant|> ..."}',
            frozenset({"prompt"}),
            from_inline,
            has_role_tags,
        ),
        Format(
            "inline",
            '{"text": "用户：...\\n助手：..."}',
            frozenset({"text"}),
            partial(from_inline, key="text"),
            partial(has_role_tags, key="text"),
        ),
    ),
)
