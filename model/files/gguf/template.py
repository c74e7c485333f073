"""Whether llama.cpp writes chats as the template means them.

It runs the template of a file in a Jinja of its own, in which some expressions mean something else
(findings/llama_cpp_template_writes_other_values.sh). A few chats are rendered in both ways and compared.
"""

from collections.abc import Mapping

from model.errors import SproutError
from model.text.chat_template import template_of
from model.text.own_template import OwnTemplate
from model.text.tokenizer import Tokenizer

_TEXT = "Été 中文"  # letters beyond ASCII
_CALL = {"name": "weather", "arguments": {"city": _TEXT, "days": 2}}
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": _TEXT,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_USER = {"role": "user", "content": _TEXT}
_CHAT = [_USER, {"role": "assistant", "content": _TEXT}, _USER]
CHATS = {  # kind: messages, tools
    "of plain turns": [(_CHAT, []), ([{"role": "system", "content": _TEXT}, *_CHAT], [])],
    "with tools": [
        ([_USER], [_TOOL]),
        (
            [_USER, {"role": "assistant", "content": "", "tool_calls": [_CALL]}, {"role": "tool", "content": _TEXT}],
            [_TOOL],
        ),
    ],
}


class _InLlamaCpp(OwnTemplate):
    """The template as llama.cpp reads it, as far as it is known."""

    none = ()  # what a chat does not have is undefined there

    @staticmethod
    def environment():
        environment = OwnTemplate.environment()
        environment.finalize = _written
        length = environment.filters["length"]
        environment.filters["length"] = lambda value: length(value.encode() if isinstance(value, str) else value)
        for name in ("lower", "upper"):  # ASCII alone
            environment.filters[name] = lambda value, name=name: getattr(str(value).encode(), name)().decode()
        return environment


def _written(value) -> str:
    """A value in {{ }}."""
    if value is None or isinstance(value, Mapping):
        return ""
    return "".join(map(_written, value)) if isinstance(value, list | tuple) else value


def written_otherwise(tokenizer: Tokenizer) -> list[str]:
    """The kinds of chats, in words, of which llama.cpp is known to make another text."""
    if template_of(tokenizer) is None:
        return []
    try:
        ours, theirs = OwnTemplate(tokenizer), _InLlamaCpp(tokenizer)
    except SproutError:  # no template that anybody renders
        return []
    return [kind for kind, chats in CHATS.items() if any(_differ(ours, theirs, *chat) for chat in chats)]


def _differ(ours: OwnTemplate, theirs: OwnTemplate, messages: list[dict], tools: list[dict]) -> bool:
    try:
        text = ours.render(messages, tools, prompt=True)
    except SproutError:  # such a chat is not written
        return False
    try:
        return theirs.render(messages, tools, prompt=True) != text
    except SproutError:
        return True
