"""From a chat record of any format to a `Conversation`: one normal form, with a function for each format.

Who speaks is read from the record, never guessed from the order of the turns. What cannot be used raises
BadRecord: no assistant turn, an unknown role, an empty turn, anything that is not text.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from dataset.records.beside import answer_of, history, refuse_media, system_of
from dataset.records.dialogues import opened
from dataset.records.formats import BadRecord, clean_string
from dataset.records.marks import is_excluded, is_trained
from dataset.records.nulls import stated, stated_schema, written_by_arrow
from dataset.records.turns import (
    ROLES,
    as_turns,
    from_sharegpt_turn,
    json_objects,
    lower,
    normal_messages,
    rounds_as_turns,
    turns_under,
)

# Role tags of the inline format: <|user|> anywhere, 用户： where a line begins.
ANGLE_TAG = re.compile(r"<\|(\w+)\|>")
CHINESE_TAG = re.compile(r"^[^\S\n]*(系统|用户|助手)[：:]", re.MULTILINE)
CHINESE_ROLES = {"系统": "system", "用户": "user", "助手": "assistant"}


@dataclass(frozen=True)
class Conversation:
    """The turns of a chat, and what the assistant may call.

    messages: {"role": one of `ROLES`, "content": str}; the assistant's may also have "reasoning_content": str and
        "tool_calls": [{"name": str, "arguments": dict or str of JSON}, ...].
    tools: JSON objects, as the chat template takes them.
    skill: what a question of a test set examines, if its record says so.
    trained_from, untrained: the messages before this one, and those of the assistant that the record excludes from
        training, are only read.
    """

    messages: tuple[dict, ...]
    tools: tuple[dict, ...] = ()
    skill: str | None = None
    trained_from: int = 0
    untrained: frozenset[int] = frozenset()

    def trains(self, index: int) -> bool:
        """Whether the message `index` is one to learn."""
        is_answer = self.messages[index]["role"] == "assistant"
        return is_answer and index >= self.trained_from and index not in self.untrained

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

    def prompt_to_json(self) -> str:
        """What its answer answers, as `to_json`: the messages before it up to the last of the user or the system."""
        read = self.messages[: self.trained_from or None]
        end = max((i + 1 for i, one in enumerate(read) if one["role"] in ("user", "system")), default=0)
        return Conversation(read[:end], self.tools).to_json()

    def to_json(self) -> str:
        """What is said, as JSON with sorted keys: equal conversations give equal text, whatever their format."""
        said = {"messages": self.messages, "tools": self.tools}
        said |= {"untrained": sorted(self.untrained)} if self.untrained else {}
        return json.dumps(said, ensure_ascii=False, sort_keys=True)


# One function for each format: the record's fields (keys in lower case) to a Conversation, or BadRecord.


def from_conversations(fields: dict, key: str = "conversations") -> Conversation:
    """`{"conversations": [{"role": ..., "content": ...}, ...]}`; `key` "messages" is the format of that name; a system
    message may stand beside them under `system`.
    """
    turns = turns_under(fields, key)
    return _conversation([*system_of(fields, turns), *turns], fields)


def from_sharegpt(fields: dict, key: str = "conversations") -> Conversation:
    """`{"conversations": [{"from": "human", "value": ...}, ...]}`; `system` and `tools` may stand beside it."""
    return from_turns(turns_under(fields, key), fields)


def from_turns(turns: list, fields: dict) -> Conversation:
    """Turns in either form, which were put together from what `fields`, the record, says. Raises BadRecord."""
    return _conversation([*system_of(fields, turns), *turns], fields, from_sharegpt_turn)


def from_rounds(fields: dict, key: str) -> Conversation:
    """Rounds of a question and its answer, as `rounds_as_turns` reads them; `system` and `tools` may stand beside."""
    return from_turns(rounds_as_turns(fields, key), fields)


def from_alpaca(fields: dict, answer: str = "output", below: str = "input", thinks: bool = False) -> Conversation:
    """`instruction`, `input` below it if there is one, `output`; optional `system` and `history` of pairs.

    thinks: whether the thought of the answer may stand beside it.
    """
    keys = ("instruction",) if fields.get(below) in (None, "") else ("instruction", below)
    request = [clean_string(fields, key, may_be_blank=True) for key in keys]
    turns = [*system_of(fields), *history(fields)]
    turns.append({"role": "user", "content": "\n".join(text for text in request if text.strip())})
    turns.append(answer_of(fields, answer, thinks))
    return _conversation(turns, fields)


def from_completion(
    fields: dict, answer: str = "completion", prompt: str = "prompt", thinks: bool = False
) -> Conversation:
    """A prompt and its answer, under these keys, each a text or a list of messages; optional `system`, `history`.

    A prompt may also be a dialogue in one text. thinks: whether the thought of an answer that is a text may stand
    beside it.
    """
    turns, fields = [], opened(fields, prompt, (answer,)) or fields
    for key in (prompt, answer):
        if as_turns(fields.get(key)) is not None:
            turns += turns_under(fields, key)
        elif key == prompt:
            turns.append({"role": "user", "content": clean_string(fields, key)})
        else:
            turns.append(answer_of(fields, key, thinks))
    return _conversation([*system_of(fields, turns), *history(fields), *turns], fields)


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
            raise BadRecord("the role is unknown", f"<|{tag[:40]}|>; known: {', '.join(roles)}; give turns by role")
        turns.append({"role": roles[tag], "content": content.strip()})
    return _conversation(turns, fields)


# From turns to a conversation.


def _conversation(turns: list, fields: dict, to_message: Callable[[dict], dict] = lambda turn: turn) -> Conversation:
    """The normal form of turns, each with `role` and `content` after `to_message`. Raises BadRecord."""
    messages, untrained = [], set()
    from_arrow = written_by_arrow(fields)
    functions = [{"type": "function", "function": function} for function in json_objects(fields, "functions")]
    tools = json_objects(fields, "tools") or functions
    if from_arrow and not isinstance(fields.get("tools"), str):
        tools = stated_schema(tools)
    for number, turn in enumerate(turns, 1):
        try:
            if not isinstance(turn, dict):
                raise BadRecord("a turn is not a JSON object", f"found {type(turn).__name__}")
            turn = to_message(lower(turn))
            message, *others = normal_messages(turn)
            of_turn = json_objects(turn, "tools")
            if of_turn and (tools or message["role"] != "system"):
                raise BadRecord('"tools" are given twice, or on a turn that is not the system\'s')
            tools = tools or of_turn
            if from_arrow and "tool_calls" in message and not isinstance(turn.get("tool_calls"), str):
                message["tool_calls"] = stated(message["tool_calls"], tools)
            if not is_trained(turn, message["role"]):
                untrained.add(len(messages))
        except BadRecord as error:
            raise BadRecord(error.reason, f"turn {number}" + (f", {error.detail}" if error.detail else "")) from error
        messages += [message, *others]
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers:
        raise BadRecord("no turn is the assistant's", f"roles: {', '.join(m['role'] for m in messages[:12])}")
    refuse_media(fields, messages)
    if is_excluded(fields, len(turns), len(answers)):
        untrained |= set(answers)
    skill = fields.get("skill")
    return Conversation(
        tuple(messages),
        tuple(tools),
        skill if isinstance(skill, str) else None,
        untrained=frozenset(untrained.intersection(answers)),
    )
