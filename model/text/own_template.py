"""The chat template that a tokenizer came with, rendered as `transformers` renders it, without importing that.

A template is a small program from somebody else's file: it runs in Jinja's sandbox, which lets it see the chat alone.
"""

import json

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from model.errors import SproutError
from model.text.chat_template import template_of
from model.text.tokenizer import Tokenizer


class _Generation(Extension):
    """Lets `{% generation %} ... {% endgeneration %}` stand, which marks text and changes none."""

    tags = frozenset({"generation"})

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class OwnTemplate:
    """A compiled chat template, and its sibling for chats with tools, if it has one.

    Raises `SproutError` for a source that is none, or that no two days render alike.
    """

    none = ("tools", "documents")  # what transformers gives as None where a chat has none

    def __init__(self, tokenizer: Tokenizer):
        source, of_tools = template_of(tokenizer), template_of(tokenizer, "tool_use") or ""
        if "strftime_now" in source + of_tools:
            raise SproutError("it writes today's date")
        environment = self.environment()
        try:
            self._template = environment.from_string(source)
            self._with_tools = environment.from_string(of_tools) if of_tools else self._template
        except jinja2.TemplateError as error:
            raise SproutError(f"it is no template ({error})") from error
        self._roles = roles_of(tokenizer)
        elsewhere = {key: name for key, name in self._roles.items() if _name(tokenizer.config.get(key)) != name}
        self.source = source + of_tools + (json.dumps(elsewhere) if elsewhere else "")

    @staticmethod
    def environment() -> ImmutableSandboxedEnvironment:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        return environment

    def render(self, messages: list[dict], tools: list[dict], prompt: bool = False) -> str:
        """The text of messages, in the normal form of `Conversation`; `prompt`: and the header of an answer.

        Raises `SproutError` where the template refuses them.
        """
        chat = [_as_usual(message) for message in messages]
        template = self._with_tools if tools else self._template
        given = dict.fromkeys(self.none) | ({"tools": list(tools)} if tools else {})
        try:
            return template.render(messages=chat, add_generation_prompt=prompt, **given, **self._roles)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise SproutError(f"it refuses a conversation ({error})") from error


def roles_of(tokenizer: Tokenizer) -> dict[str, str]:
    """The tokens that a template knows by name: `bos_token` and so on, and those of the network's own."""
    declared = tokenizer.declared
    extra = declared.get("extra_special_tokens")
    named = {key: value for key, value in declared.items() if key.endswith("_token")}
    named |= extra if isinstance(extra, dict) else {}
    return {key: _name(value) for key, value in named.items() if isinstance(_name(value), str)}


def _name(token):
    return token.get("content") if isinstance(token, dict) else token


def _as_usual(message: dict) -> dict:
    """A message as templates expect it: calls as OpenAI has them."""
    message = dict(message)
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [{"type": "function", "function": dict(call)} for call in calls]
    if reasoning := message.get("reasoning_content"):
        message["thinking"] = reasoning  # transformers hands it on under both names
    return message


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str):
    raise jinja2.TemplateError(message)
