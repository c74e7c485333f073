"""Splits the text of a chat answer into thought, content and calls of tools, as the text comes.

    for piece in pieces: deltas += answer.push(piece)
    deltas += answer.finish()

A delta is the `delta` of OpenAI's chunks. All of them together are the message (`message_of`), streamed or not.
"""

import json
import uuid
from collections.abc import Sequence

from inference.thoughts import ThoughtStream
from inference.tools.calls import before_calls, parse_calls


class ChatAnswer:
    """One answer in a chat.

    calls_tools: whether calls are looked for. beginning: the text that the answer was made to begin with.
    """

    def __init__(self, calls_tools: bool, beginning: str = ""):
        self._parts, self._calls_tools = ThoughtStream(), calls_tools
        self._said, self._shown = beginning, 0
        self.called = False  # whether a tool was called; known at the end

    def push(self, piece: str) -> list[dict]:
        thought, words = self._parts.push(piece)
        return self._deltas(thought, words)

    def finish(self) -> list[dict]:
        deltas = self._deltas(*self._parts.finish())
        if not self._calls_tools:
            return deltas
        calls = [call for call in parse_calls(self._said) if call.error is None]
        self.called = bool(calls)
        rest = (before_calls(self._said) if calls else self._said)[self._shown :]
        deltas += [{"content": rest}] if rest else []
        for number, call in enumerate(calls):
            function = {"name": call.name, "arguments": ""}
            head = {"index": number, "id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
            written = json.dumps(call.arguments, ensure_ascii=False)
            deltas.append({"tool_calls": [head]})
            deltas.append({"tool_calls": [{"index": number, "function": {"arguments": written}}]})
        return deltas

    def _deltas(self, thought: str, words: str) -> list[dict]:
        # vLLM's clients read `reasoning`, DeepSeek's and SGLang's `reasoning_content`.
        deltas = [{"reasoning_content": thought, "reasoning": thought}] if thought else []
        if not self._calls_tools:
            return deltas + ([{"content": words}] if words else [])
        self._said += words
        visible = before_calls(self._said, whole=False)
        if len(visible) > self._shown:
            deltas.append({"content": visible[self._shown :]})
            self._shown = len(visible)
        return deltas


def message_of(deltas: Sequence[dict]) -> dict:
    """The message that the deltas add up to."""
    message: dict = {"role": "assistant", "content": "", "refusal": None}
    calls: list[dict] = []
    for delta in deltas:
        for key in ("content", "reasoning_content", "reasoning"):
            if key in delta:
                message[key] = message.get(key, "") + delta[key]
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append({"id": part["id"], "type": "function", "function": dict(part["function"])})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    if calls:
        message |= {"tool_calls": calls, "content": message["content"] or None}
    return message
