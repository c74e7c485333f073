"""One turn of a chat in its normal form: who speaks, what is said and called.

Turns come as a list of JSON objects, as JSON text of one, or as one object of lists (as `datasets` stores them).
"""

import json
import re

from dataset.records.formats import BadRecord, clean_string, list_keys

# Deeper than any schema of a tool, and far from where Python itself gives up.
MAX_NESTING = 100

ROLES = ("system", "user", "assistant", "tool")
OTHER_ROLES = {"developer": "system", "function": "tool", "tool_response": "tool"}  # OpenAI's, and ms-swift's
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
RESULT = re.compile(r"<tool_response>\n?(.*?)\n?</tool_response>\s*", re.DOTALL)  # as Hermes's data have them
ROUNDS = (("human", "assistant"), ("input", "output"))  # of Firefly and earlier versions of ms-swift; of XTuner
REASONING = ("reasoning_content", "reasoning", "thinking")  # vLLM's names, and that of gpt-oss
# What columns of these names hold where they only say whether, or how much, was thought, as in Nemotron's data.
SWITCHES = frozenset("on off true false yes no none auto enabled disabled minimal low medium high detailed".split())


def as_turns(value) -> list | None:
    """The list of turns that `value` is or stands for; None if it is something else."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
        if not _are_turns(value if isinstance(value, list) else [value]):
            return None  # an answer in JSON, for example
    if isinstance(value, dict):
        columns = {key: column for key, column in value.items() if column is not None}
        if columns and all(isinstance(column, list) for column in columns.values()):
            if len(set(map(len, columns.values()))) > 1:
                raise BadRecord("the lists of a conversation differ in length", list_keys(value))
            return [dict(zip(columns, turn)) for turn in zip(*columns.values())]
        return [value] if _are_turns([value]) else None
    return value if isinstance(value, list) else None


def _are_turns(values: list) -> bool:
    """Whether these are turns and not any JSON: each says who speaks."""
    return all(isinstance(value, dict) and {"role", "from"} & lower(value).keys() for value in values)


def turns_under(fields: dict, key: str) -> list:
    """The turns under `key`. Raises BadRecord where there are none."""
    turns = as_turns(fields.get(key))
    if turns is None:
        raise BadRecord(f'"{key}" is not a list of turns', list_keys(fields))
    if not turns:
        raise BadRecord("the conversation is empty")
    return turns


def rounds_as_turns(fields: dict, key: str) -> list[dict]:
    """Turns of rounds, `{"human": ..., "assistant": ...}` and perhaps `system`, under `key`. Raises BadRecord.

    What else a round says is said of its answer, such as a mark by which it is not to be learned.
    """
    turns = []
    for number, value in enumerate(turns_under(fields, key), 1):
        one = lower(value) if isinstance(value, dict) else {}
        names = next((names for names in ROUNDS if names[0] in one), None)
        if names is None:
            raise BadRecord("a round has no question", f"round {number}, {list_keys(one)}")
        system, asked, answer = (one.pop(name, None) for name in ("system", *names))
        if other := next((name for name in sum(ROUNDS, ()) if name in one), None):
            raise BadRecord(f'a round has "{other}" beside "{names[0]}" and "{names[1]}"', f"round {number}")
        turns += [{"role": "system", "content": system}] if system else []
        turns += [{"role": "user", "content": asked}, {**one, "role": "assistant", "content": answer or ""}]
    return turns


def is_thought(value) -> bool:
    """Whether this says something, and is no switch."""
    return bool(value) and not (isinstance(value, str) and value.strip().lower() in SWITCHES)


def lower(turn: dict) -> dict:
    """The turn with keys in lower case, and without those that are null, which a parquet file fills in."""
    return {key.lower(): value for key, value in turn.items() if value is not None}


def normal_turn(turn: dict) -> dict:
    """The normal form (`conversations.Conversation.messages`) of a turn with `role` and `content`. Raises BadRecord."""
    if turn.get("role") == "tool_call":  # ms-swift's turn of the assistant, whose content is the call
        turn = turn | {"role": "assistant", "tool_calls": turn.get("content"), "content": ""}
    role = turn.get("role")
    role = OTHER_ROLES.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        found = " ".join(str(role).split())[:40] if role is not None else list_keys(turn)
        raise BadRecord("the role is unknown", f"{found}; known: {', '.join(ROLES)}")
    if isinstance(turn.get("content"), list):
        turn = turn | {"content": _text_of_parts(turn["content"])}
    # `function_call` is OpenAI's earlier name for a single call.
    calls = [_call(call) for key in ("tool_calls", "function_call") for call in json_objects(turn, key)]
    if role == "assistant":
        turn = turn | {"reasoning_content": next((turn[key] for key in REASONING if is_thought(turn.get(key))), "")}
    reasoning = clean_string({"reasoning_content": "", **turn}, "reasoning_content", may_be_blank=True)
    if role == "assistant":
        return _normal_answer(turn, reasoning, calls)
    if calls or reasoning.strip():
        raise BadRecord('"tool_calls" or "reasoning_content" stand on a turn that is not the assistant\'s')
    return {"role": role, "content": clean_string(turn, "content", may_be_blank=role != "user")}


def _normal_answer(turn: dict, reasoning: str, calls: list[dict]) -> dict:
    """The normal form of a turn of the assistant. Where it thinks or calls, its content may be missing or blank."""
    may_be_blank = bool(calls or reasoning.strip())
    content = clean_string({"content": "", **turn} if may_be_blank else turn, "content", may_be_blank)
    if reasoning.strip() and content.lstrip().startswith("<think>"):
        raise BadRecord('"content" has a <think> beside "reasoning_content"', "one of the two is enough")
    if calls and "</tool_call>" in content:
        raise BadRecord('"content" has a <tool_call> beside "tool_calls"', "one of the two is enough")
    message = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message


def normal_messages(turn: dict) -> list[dict]:
    """The messages of a turn, which are one but for a turn of several results, `<tool_response>...</tool_response>`.

    The template writes these tags, so the messages are without them. Raises BadRecord as `normal_turn` does.
    """
    message = normal_turn(turn)
    content = message["content"].lstrip()
    if message["role"] != "tool" or not content.startswith("<tool_response>") or RESULT.sub("", content):
        return [message]
    return [message | {"content": result} for result in RESULT.findall(content)]


def _text_of_parts(parts: list) -> str:
    """The text of a content given in OpenAI's parts, `{"type": "text", "text": ...}`. Raises BadRecord for others."""
    texts = []
    for part in parts:
        part = lower(part) if isinstance(part, dict) else {"type": type(part).__name__}
        if part.get("type") != "text":
            raise BadRecord('"content" has a part that is not text', f"found {str(part.get('type'))[:40]}")
        texts.append(clean_string(part, "text", may_be_blank=True))
    return "".join(texts)


def from_sharegpt_turn(turn: dict) -> dict:
    """The same turn with `role` and `content`, or with the tool call that its value holds."""
    if "from" not in turn:  # the system message that stands beside the turns, or an error to be named later
        return turn
    speaker = turn.get("from")
    value = clean_string(turn, "value", may_be_blank=True)
    if speaker == "function_call":
        return turn | {"role": "assistant", "tool_calls": value}
    known = isinstance(speaker, str) and speaker in SHAREGPT_ROLES
    return turn | {"role": SHAREGPT_ROLES[speaker] if known else speaker, "content": value}


def _call(call: dict) -> dict:
    """`{"name", "arguments"}` of a call, in OpenAI's form or in that one itself."""
    call = lower(call)
    function = call.get("function") or call
    function = lower(function) if isinstance(function, dict) else {}
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name.strip():
        raise BadRecord("a tool call has no name")
    if arguments is None and (others := [key for key, value in function.items() if _may_be_arguments(value)]):
        raise BadRecord('a tool call has no "arguments"', list_keys(others))
    if isinstance(arguments, str) and arguments.strip() in ("", "null"):
        arguments = None
    if isinstance(arguments, str):
        arguments = clean_string(function, "arguments")
    if not isinstance(arguments, dict | None) and not _is_object(arguments):
        raise BadRecord('the "arguments" of a tool call are not a JSON object')
    return {"name": name, "arguments": arguments or {}}


def _may_be_arguments(value) -> bool:
    return bool(value) and (isinstance(value, dict | list) or _is_object(value))


def _is_object(value) -> bool:
    """Whether a value is a text of one JSON object."""
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def json_objects(fields: dict, key: str) -> list[dict]:
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
