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
    """A compiled chat template. Raises `SproutError` for a source that is none, or that no two days render alike."""

    def __init__(self, tokenizer: Tokenizer):
        source = template_of(tokenizer)
        if "strftime_now" in source:
            raise SproutError("it writes today's date")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise SproutError(f"it is no template ({error})") from error
        roles = {key: value for key, value in tokenizer.config.items() if key.endswith("_token")}
        roles = {key: value.get("content") if isinstance(value, dict) else value for key, value in roles.items()}
        self._roles = {key: value for key, value in roles.items() if isinstance(value, str)}
        self.source = source

    def render(self, messages: list[dict], tools: list[dict], prompt: bool = False) -> str:
        """The text of messages, in the normal form of `Conversation`; `prompt`: and the header of an answer.

        Raises `SproutError` where the template refuses them.
        """
        chat = [_as_usual(message) for message in messages]
        try:
            return self._template.render(
                messages=chat, tools=list(tools) or None, documents=None, add_generation_prompt=prompt, **self._roles
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise SproutError(f"it refuses a conversation ({error})") from error


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
