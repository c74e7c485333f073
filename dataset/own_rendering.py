"""Chats written by the template that an imported model came with, and which of their text is trained.

The template writes a conversation as `transformers` has it write one. What the assistant says is found by writing it
up to each of its turns: a turn's text begins where the prompt for it ends, and goes on to the control token that ends
it. A template that this cannot be done with is not used; `ChatRenderer` then writes chats its own way.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise

from model.errors import SproutError
from model.text.chat_template import TOOLS_AFTER, TOOLS_BEFORE
from model.text.own_template import OwnTemplate
from model.text.tokenizer import THINK_AND_TOOLS, Tokenizer

_TAGS = THINK_AND_TOOLS[:4]  # an assistant writes these itself
_THOUGHT = re.compile(r"\s*(</?think>\s*)*")  # nothing, or an empty thought, or the beginning of one
_FIRST_STAND_IN = 0x10F000  # private characters, for control tokens that a message spells while the template is at work

# Turns by which a template is tried out.
_SYSTEM = {"role": "system", "content": "s1"}
_ASKED, _ASKED_AGAIN = ({"role": "user", "content": text} for text in ("q1", "q2"))
_ANSWERED, _ANSWERED_AGAIN = ({"role": "assistant", "content": text} for text in ("a1", "a2"))
_TRIED_CALL = {"name": "f1", "arguments": {"x": "v1"}}
_CALLS = {"role": "assistant", "content": ""}  # with "tool_calls"
_RESULT = {"role": "tool", "content": "t1"}


class OwnRendering:
    """The template of one tokenizer. Raises `SproutError` that says why it cannot be used.

    Attributes:
        end_id: the control id that ends a turn of the assistant.
        source: the template, and what else decides what it writes.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._template = OwnTemplate(tokenizer)
        self.source = self._template.source
        names = {index: name for name, index in tokenizer.vocab.items() if index in tokenizer.special_ids}
        self._controls = {name: index for index, name in names.items()}
        longest_first = sorted(self._controls, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._stand_ins = {name: chr(_FIRST_STAND_IN + number) for number, name in enumerate(longest_first)}
        self._spelled = {ord(mark): name for name, mark in self._stand_ins.items()}
        self._lacks: set[str] = set()
        self._form_of_arguments: Callable | None = None  # the one that the template takes; None: any
        self._header = ""
        self.end_id = self._try_out()

    def pieces(
        self, messages: Sequence[dict], tools: Sequence[dict], trains: Callable[[int], bool]
    ) -> list[tuple[str | int, bool]]:
        """Texts and control ids in order, each with whether it is trained.

        Raises `SproutError` for a conversation that the template refuses.
        """
        count = len(messages)
        messages, tools = self._prepared(messages, tools)
        whole = self._template.render(messages, tools)
        places = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        before = len(messages) - count  # a system message may have been put in front, or have gone into a question
        regions = [self._said(messages, tools, i, whole) for i in places if trains(i - before)]
        return list(self._split(whole, regions))

    def prompt(self, messages: Sequence[dict], tools: Sequence[dict]) -> list[tuple[str | int, bool]]:
        """What stands before an answer to these messages."""
        if not messages:  # most templates ask what the first one is
            return list(self._split(self._header, []))
        return list(self._split(self._template.render(*self._prepared(messages, tools), prompt=True), []))

    def _said(self, messages: list[dict], tools: list[dict], place: int, whole: str) -> tuple[int, int]:
        """Where in `whole` the assistant's turn at `place` begins to be trained, and where its end id ends."""
        until = whole if place + 1 == len(messages) else self._template.render(messages[: place + 1], tools)
        if not whole.startswith(until):
            raise SproutError("what it writes of a turn depends on later ones")
        if place:
            header = self._template.render(messages[:place], tools, prompt=True)
            start = _common(header, until)
            # A prompt may end with an empty thought, where this turn has a thought.
            if not _THOUGHT.fullmatch(header[start:]):
                raise SproutError("its prompt for an answer is not how the answer's turn begins")
        else:
            start = self._behind_header(until)
        *_, end = [start, *(match.end() for match in self._names.finditer(until, start))]
        if end == start or until[end:].strip():
            raise SproutError("no control token ends a turn of the assistant")
        return start, end

    def _behind_header(self, first: str) -> int:
        """Where the text of a chat's first turn, the assistant's, begins to be trained: as that of any other turn."""
        for length in range(len(self._header), 0, -1):
            if _THOUGHT.fullmatch(self._header[length:]) and self._header[:length] in first:
                return first.find(self._header[:length]) + length
        raise SproutError("its prompt for an answer is not how a chat's first turn begins")

    def _split(self, text: str, trained: list[tuple[int, int]]) -> Iterator[tuple[str | int, bool]]:
        """The text with its control tokens as ids, cut where what is trained begins."""
        cuts = sorted({0, len(text), *(place for region in trained for place in region)})
        for start, end in pairwise(cuts):
            flag = any(first <= start and end <= last for first, last in trained)
            for match in self._names.finditer(text, start, end):
                if match.start() > start:
                    yield text[start : match.start()].translate(self._spelled), flag
                yield self._controls[match.group()], flag
                start = match.end()
            if end > start:
                yield text[start:end].translate(self._spelled), flag

    def _prepared(self, messages: Sequence[dict], tools: Sequence[dict]) -> tuple[list[dict], list[dict]]:
        """The conversation as the template gets it: control tokens in it are no more, and what it has no place for is
        a part of what it has."""
        chat, tools = [dict(message) for message in messages], list(tools)
        for message in chat:
            role = message["role"]
            if role == "assistant" and "reasoning_content" in self._lacks and message.get("reasoning_content"):
                thought = message.pop("reasoning_content")
                message["content"] = f"<think>\n{thought}\n</think>\n\n{message['content']}"
            if role == "assistant" and "tool_calls" in self._lacks and message.get("tool_calls"):
                calls = [_call(call) for call in message.pop("tool_calls")]
                message["content"] = "\n".join(filter(None, [message["content"], *calls]))
            if role == "assistant" and (form := self._form_of_arguments) and message.get("tool_calls"):
                message["tool_calls"] = [
                    call | {"arguments": form(call["arguments"])} for call in message["tool_calls"]
                ]
            if role == "tool" and "tool" in self._lacks:
                message |= {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
        if tools and "tools" in self._lacks:
            if not chat or chat[0]["role"] != "system":
                chat.insert(0, {"role": "system", "content": ""})
            signatures = "".join(json.dumps(tool, ensure_ascii=False) + "\n" for tool in tools)
            before = chat[0]["content"] + "\n\n" if chat[0]["content"] else ""
            chat[0]["content"] = before + TOOLS_BEFORE + signatures + TOOLS_AFTER
            tools = []
        if "system" in self._lacks and [message["role"] for message in chat[:2]] == ["system", "user"]:
            system = chat.pop(0)["content"]
            chat[0]["content"] = f"{system}\n\n{chat[0]['content']}" if system else chat[0]["content"]
        return [self._as_text(message, message["role"] == "assistant") for message in chat], self._as_text(tools)

    def _as_text(self, value, said: bool = False):
        """`value` with stand-ins for the control tokens that it spells, but for the tags of what is `said`."""
        if isinstance(value, str):
            return self._names.sub(
                lambda match: match[0] if said and match[0] in _TAGS else self._stand_ins[match[0]], value
            )
        if isinstance(value, dict):
            return {self._as_text(key, said): self._as_text(inner, said) for key, inner in value.items()}
        return [self._as_text(inner, said) for inner in value] if isinstance(value, list | tuple) else value

    def _try_out(self) -> int:
        """Writes conversations of every kind, notes what has no place in the template, returns the id that ends a turn.

        Raises `SproutError` where it loses a message, or where what is trained cannot be found.
        """
        begun, asked = (self._template.render([_ASKED], [], prompt) for prompt in (False, True))
        if not asked.startswith(begun):
            raise SproutError("its prompt does not begin with the messages before it")
        self._header = asked[len(begun) :]
        with_call = self._with_a_call()
        self._note_lacks(with_call)
        turns = [_ASKED, _ANSWERED, _ASKED_AGAIN, _ANSWERED_AGAIN]
        ends = set()
        for chat in (turns, [_SYSTEM, *turns], [*with_call, _ASKED_AGAIN, _ANSWERED], _with_thoughts(turns)):
            ends |= self._ends_of_turns(chat, is_plain=chat is turns)
        if len(ends) != 1:
            raise SproutError("its turns of the assistant end in several ways")
        return ends.pop()

    def _with_a_call(self) -> list[dict]:
        """A conversation with a call, whose arguments are in a form that the template takes, and the call's result."""
        as_object = _CALLS | {"tool_calls": [_TRIED_CALL]}
        as_text = _CALLS | {"tool_calls": [_TRIED_CALL | {"arguments": json.dumps(_TRIED_CALL["arguments"])}]}
        by_object, by_text = ([_ASKED, one, _RESULT, _ANSWERED_AGAIN] for one in (as_object, as_text))
        if self._writes(by_text, [], ["f1", "v1"]) and not self._writes(by_object, [], ["f1", "v1"]):
            self._form_of_arguments = _json  # as it joins them to the text before them
            return by_text
        return by_object

    def _note_lacks(self, with_call: list[dict]) -> None:
        """Notes what the template has no place for, and in which form it takes the arguments of calls."""
        tool = {"type": "function", "function": {"name": "g1"}}
        for lacked, chat, tools, words in (
            ("reasoning_content", [_ASKED, _ANSWERED | {"reasoning_content": "r1"}], [], ["r1"]),
            ("tool_calls", with_call, [], ["f1", "v1"]),
            ("tool", with_call, [], ["t1"]),
            ("tools", [_ASKED, _ANSWERED], [tool], ["g1"]),
        ):
            if not self._writes(chat, tools, words):
                self._lacks.add(lacked)
        if "tool_calls" not in self._lacks:
            form = self._form_of_arguments or self._form(with_call, _TRIED_CALL)
            self._form_of_arguments = form
            self.source += {None: "", _object: "arguments as objects", _json: "arguments as text"}[form]
        try:
            self._template.render([_SYSTEM, _ASKED, _ANSWERED, _ASKED_AGAIN, _ANSWERED_AGAIN], [])
        except SproutError:
            self._lacks.add("system")

    def _ends_of_turns(self, chat: list[dict], is_plain: bool) -> set[str | int]:
        """What the assistant's turns of a conversation end with. Raises `SproutError` where one is not found whole.

        is_plain: whether it has neither thoughts nor calls, so that its turns hold no control token but their ends.
        """
        said = self.pieces(chat, [], lambda index: True)
        text = "".join(part for part, trained in said if trained and isinstance(part, str))
        lost = [message["content"] for message in chat if message["content"] not in _text(said)]
        spoken = [message for message in chat if message["role"] == "assistant"]
        thoughts = [message for message in spoken if "reasoning_content" in message]
        if lost or not all(message["content"] in text for message in spoken) or text.count("r1") < len(thoughts):
            raise SproutError("it leaves out what a message says")
        controls = [part for part, trained in said if trained and isinstance(part, int)]
        tags = sum(self._controls.get(tag, -1) in controls for tag in _TAGS)  # of an empty thought
        if is_plain and len(controls) > len(spoken) + tags:
            raise SproutError("its prompt for an answer does not open the answer's turn")
        following = [*said[1:], ("", False)]
        return {part for (part, trained), (_, goes_on) in zip(said, following, strict=True) if trained and not goes_on}

    def _writes(self, chat: list[dict], tools: list[dict], words: list[str]) -> bool:
        """Whether the template writes a conversation with these words in it."""
        try:
            written = self._template.render(chat, tools)
        except SproutError:
            return False
        return all(word in written for word in words)

    def _form(self, chat: list[dict], call: dict) -> Callable | None:
        """What brings the arguments of `call`, in turn 1 of `chat`, into the form that the template takes: an object or
        a text of JSON, OpenAI's form; None where it takes both alike."""
        text = json.dumps(call["arguments"])
        by_object = self._template.render(chat, [])
        as_text = chat[1] | {"tool_calls": [call | {"arguments": text}]}
        try:
            by_text = self._template.render([chat[0], as_text, *chat[2:]], [])
        except SproutError:
            return _object
        if by_text == by_object:
            return None
        # A template that writes what it gets makes Python's notation of an object.
        return _json if text in by_text and str(call["arguments"]) in by_object else _object


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # comparing halves is much faster than comparing characters
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low


def _with_thoughts(turns: list[dict]) -> list[dict]:
    return [turn | ({"reasoning_content": "r1"} if turn["role"] == "assistant" else {}) for turn in turns]


def _text(pieces: list[tuple[str | int, bool]]) -> str:
    return "".join(part for part, _ in pieces if isinstance(part, str))


def _object(arguments: dict | str) -> dict | str:
    """Arguments as an object; as they are where they are none."""
    try:
        found = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def _json(arguments: dict | str) -> str:
    """Arguments as a text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _call(call: dict) -> str:
    name = json.dumps(call["name"], ensure_ascii=False)
    return f'<tool_call>\n{{"name": {name}, "arguments": {_json(call["arguments"])}}}\n</tool_call>'


@cache
def own_rendering(tokenizer: Tokenizer) -> OwnRendering | str:
    """The rendering of a tokenizer's own template, or why it cannot be used."""
    try:
        return OwnRendering(tokenizer)
    except SproutError as error:
        return str(error)
