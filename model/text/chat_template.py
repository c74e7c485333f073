"""The chat template in the tokenizer_config.json of our tokenizers: ChatML, with tools and thinking.

    <|im_start|>user
    {content}<|im_end|>
    <|im_start|>assistant
    {content}<|im_end|>

Kept simple on purpose: contents are put in unchanged, nothing depends on later turns, and there is no hidden
system message, so a prefix of a conversation always renders to a prefix of its text. Tool calls look as in
Qwen2.5 and Qwen3, which is what servers parse ("hermes" format).
"""

import json

from model.errors import SproutError
from model.text.tokenizer import IM_END, IM_START, Tokenizer

# What the system message says of tools, before and after their signatures.
TOOLS_BEFORE = "# Tools\n\nYou may call functions. Their signatures, one JSON object a line:\n<tools>\n"
TOOLS_AFTER = '</tools>\n\nTo call one, write:\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>'


def _quoted(text: str) -> str:
    """As a string of Jinja."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


_TEMPLATE = r"""
{%- macro tools_block() -%}
{{- TOOLS_BEFORE }}
{%- for tool in tools %}
    {{- tool | tojson + '\n' }}
{%- endfor %}
{{- TOOLS_AFTER }}
{%- endmacro -%}

{%- if tools and (not messages or messages[0].role != 'system') %}
    {{- '<|im_start|>system\n' + tools_block() + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- set content = message.content or '' %}
    {%- if message.role == 'system' %}
        {{- '<|im_start|>system\n' + content }}
        {%- if tools and loop.first %}
            {{- ('\n\n' if content else '') + tools_block() }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == 'user' %}
        {{- '<|im_start|>user\n' + content + '<|im_end|>\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\n' }}BEGIN_GENERATION
        {%- if message.reasoning_content %}
            {{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
        {%- endif %}
        {{- content }}
        {%- for call in message.tool_calls or [] %}
            {%- set function = call.function or call %}
            {%- set arguments = function.arguments %}
            {{- '' if loop.first and not content else '\n' }}
            {{- '<tool_call>\n{"name": ' + function.name | tojson + ', "arguments": ' }}
            {{- arguments if arguments is string else arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>END_GENERATION\n' }}
    {%- elif message.role == 'tool' %}
        {#- The results of one turn's calls follow each other in one turn of the user. #}
        {{- '<|im_start|>user' if loop.first or loop.previtem.role != 'tool' else '' }}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {{- '<|im_end|>\n' if loop.last or loop.nextitem.role != 'tool' else '' }}
    {%- else %}
        {{- raise_exception('unknown role: ' ~ message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
_TEMPLATE = (
    _TEMPLATE.strip().replace("TOOLS_BEFORE", _quoted(TOOLS_BEFORE)).replace("TOOLS_AFTER", _quoted(TOOLS_AFTER))
)
# The marks change no text. By them trl (`assistant_only_loss`) and transformers (`return_assistant_tokens_mask`) find
# what the assistant says and the end of its turn, which is what is trained here.
_BEGIN, _END = "\n        {%- generation %}", "' }}\n        {%- endgeneration %}\n        {{- '"
CHAT_TEMPLATE = _TEMPLATE.replace("BEGIN_GENERATION", _BEGIN).replace("END_GENERATION", _END)


def unmarked(template: str) -> str:
    """The template without these marks: the same text of every chat."""
    return template.replace(_BEGIN, "").replace(_END, "")


def chat_template(start: str = IM_START, end: str = IM_END) -> str:
    """The template for a tokenizer whose turns begin and end with other tokens, as `ChatRenderer` frames them."""
    template = CHAT_TEMPLATE.replace(IM_START, _quoted(start)[1:-1])
    return template.replace(IM_END, _quoted(end)[1:-1])


def template_of(tokenizer: Tokenizer, name: str = "default") -> str | None:
    """The template that a tokenizer came with, Jinja source. Raises `SproutError` for one that is not a text.

    name: of several; transformers takes that called `tool_use`, where there is one, for chats with tools.
    """
    if "chat_template.jinja" in tokenizer.files:  # transformers, too, prefers the file
        return tokenizer.files["chat_template.jinja"] if name == "default" else None
    template = tokenizer.config.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = [item for item in template if isinstance(item, dict) and item.get("name") == name]
        template = named[-1].get("template") if named else None
    elif name != "default":
        return None
    if not isinstance(template, str | None):
        raise SproutError("the chat_template in the tokenizer's tokenizer_config.json is not a text")
    return template


def with_chat_template(tokenizer: Tokenizer, template: str) -> Tokenizer:
    """The same tokenizer with another template: what was trained with one must be asked with it."""
    if template == template_of(tokenizer):
        return tokenizer
    config = tokenizer.config
    if "tokenizer_config.json" not in tokenizer.files:  # without one, usual names are tried: they are these
        names = {token: name for name, token in tokenizer.vocab.items()}
        frame = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id, "pad_token": tokenizer.pad_id}
        config = {key: names[token] for key, token in frame.items()}
    content = json.dumps(config | {"chat_template": template}, ensure_ascii=False, indent=2)
    files = {name: text for name, text in tokenizer.files.items() if name != "chat_template.jinja"}
    return Tokenizer(files | {"tokenizer_config.json": content + "\n"})
