"""The Modelfile writes a chat for ollama as its network was trained with it."""

import re

import jinja2
import pytest

from model.errors import SproutError
from model.files.gguf.modelfile import CHAT, TEXT, modelfile, write_modelfile
from model.text.chat_template import with_chat_template
from model.text.own_template import OwnTemplate
from model.text.tokenizer import Tokenizer

CHATS = [
    [{"role": "user", "content": "你好"}],
    [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": " a "}],
    [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")],
]


def rendered(template: str, messages: list[dict]) -> str:
    """A template of Go with nothing but a range over messages and their fields; it means the same in Jinja."""
    template = re.sub(r"range \.Messages", "for message in messages", template)
    template = template.replace("{{- for message in messages }}", "{%- for message in messages %}")
    template = template.replace("{{ end }}", "{% endfor %}")
    template = re.sub(r"\{\{ \.(Role|Content) \}\}", lambda found: f"{{{{ message.{found[1].lower()} }}}}", template)
    return jinja2.Template(template, keep_trailing_newline=True).render(messages=messages)


@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_is_written_as_in_training(chat):
    tokenizer = Tokenizer.load()
    text = modelfile("m.gguf", tokenizer, 32768, chats=True)
    template = re.search(r'TEMPLATE """(.*?)"""\n', text, re.DOTALL)[1]
    assert template == CHAT and "range .Messages" in template
    assert rendered(template, chat) == OwnTemplate(tokenizer).render(chat, [], prompt=True)


def test_what_a_modelfile_says():
    tokenizer = Tokenizer.load()
    lines = modelfile("m.gguf", tokenizer, 1024, chats=True).splitlines()
    assert lines[1] == "FROM ./m.gguf" and 'PARAMETER stop "<|im_end|>"' in lines
    assert "PARAMETER num_ctx 1024" in lines and any(line.startswith("PARAMETER temperature ") for line in lines)
    assert "SYSTEM" not in "".join(lines)
    text = modelfile("m.gguf", tokenizer, 1024, chats=False)  # a base model goes on with what it is given
    assert f'TEMPLATE """{TEXT}"""' in text and "stop" not in text and "num_ctx" in text


def test_a_system_message_of_the_template_is_said():
    turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    start = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    own = "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Sprout.<|im_end|>\n{% endif %}"
    base = Tokenizer.load()
    text = modelfile("m.gguf", with_chat_template(base, own + turns + start), 1024, chats=True)
    assert 'SYSTEM """You are Sprout."""' in text and "TEMPLATE" in text
    # Other templates are not ChatML, or only as long as there is no system message.
    for other in ("[INST] {{ messages[-1].content }}", "{% set messages = messages[-3:] %}" + turns + start):
        text = modelfile("m.gguf", with_chat_template(base, other), 1024, chats=True)
        assert "\nTEMPLATE" not in text and "# The chats are not ChatML" in text


def test_only_a_modelfile_of_ours_is_replaced(tmp_path):
    path = tmp_path / "Modelfile"
    for _ in range(2):
        write_modelfile(path, modelfile("m.gguf", Tokenizer.load(), 1024, chats=True))
    path.write_text("FROM llama3")
    with pytest.raises(SproutError, match="is there already"):
        write_modelfile(path, modelfile("m.gguf", Tokenizer.load(), 1024, chats=True))
    assert path.read_text() == "FROM llama3"
    with pytest.raises(SproutError, match="is there already"):  # a folder
        write_modelfile(tmp_path, modelfile("m.gguf", Tokenizer.load(), 1024, chats=True))
