"""The files of a tokenizer in transformers: the same ids, the same template."""

import pytest

from model.text.chat_template import CHAT_TEMPLATE, template_of
from model.text.tokenizer import DEFAULT_FOLDER, SPECIAL_TOKENS, THINK_AND_TOOLS, Tokenizer
from tests.model.text.test_tokenizer import TEXTS


@pytest.fixture(scope="module")
def shipped():
    return Tokenizer.load()


@pytest.fixture(scope="module")
def auto():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEFAULT_FOLDER)


def test_transformers_reads_the_same_ids(shipped, auto):
    assert (auto.pad_token_id, auto.bos_token_id, auto.eos_token_id) == (0, 1, 2)
    assert len(auto) == shipped.vocab_size
    for text in TEXTS:
        assert auto(text)["input_ids"] == shipped.encode(text)
        assert auto.decode(auto(text)["input_ids"]) == text
    assert auto.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    ids = list(range(len(SPECIAL_TOKENS)))
    assert auto.decode(ids, skip_special_tokens=True) == shipped.decode(ids) == "".join(THINK_AND_TOOLS)


def test_a_folder_saved_by_transformers_is_the_same_tokenizer(shipped, auto, tmp_path):
    auto.save_pretrained(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == shipped.fingerprint
    assert template_of(again) == template_of(shipped)


def test_the_template_in_the_folder_is_the_one_in_the_code(shipped, auto):
    assert template_of(shipped) == CHAT_TEMPLATE == auto.chat_template


def test_a_template_file_goes_before_the_configuration(shipped, tmp_path):
    shipped.save(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("from a file", encoding="utf-8")
    assert template_of(Tokenizer.load(tmp_path)) == "from a file"


SYSTEM = {"role": "system", "content": "Be brief."}
HI = {"role": "user", "content": " hi\n"}
HELLO = {"role": "assistant", "content": "Hello <b>!"}
TOOLS = [{"name": "weather", "description": "天气", "parameters": {"type": "object"}}]
TOOLS_BLOCK = (
    "# Tools\n\nYou may call functions. Their signatures, one JSON object a line:\n<tools>\n"
    '{"name": "weather", "description": "天气", "parameters": {"type": "object"}}\n'
    '</tools>\n\nTo call one, write:\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>'
)
CALLS = {
    "role": "assistant",
    "content": "",
    "reasoning_content": "Where?",
    "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "北京"}}},
        {"name": "weather", "arguments": '{"city": "Bonn"}'},
    ],
}


@pytest.mark.parametrize(
    ("messages", "options", "expected"),
    [
        (
            [HI, HELLO],
            {},
            "<|im_start|>user\n hi\n<|im_end|>\n<|im_start|>assistant\nHello <b>!<|im_end|>\n",
        ),
        (
            [SYSTEM, HI],
            {"add_generation_prompt": True},
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n hi\n<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            [SYSTEM, HI],
            {"tools": TOOLS},
            f"<|im_start|>system\nBe brief.\n\n{TOOLS_BLOCK}<|im_end|>\n<|im_start|>user\n hi\n<|im_end|>\n",
        ),
        (
            [HI],
            {"tools": TOOLS},
            f"<|im_start|>system\n{TOOLS_BLOCK}<|im_end|>\n<|im_start|>user\n hi\n<|im_end|>\n",
        ),
        (
            [{**SYSTEM, "content": ""}, HI],
            {"tools": TOOLS},
            f"<|im_start|>system\n{TOOLS_BLOCK}<|im_end|>\n<|im_start|>user\n hi\n<|im_end|>\n",
        ),
        (
            [CALLS, {"role": "tool", "content": "sun"}, {"role": "tool", "content": "rain"}, HELLO],
            {},
            "<|im_start|>assistant\n<think>\nWhere?\n</think>\n\n"
            '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call><|im_end|>\n'
            "<|im_start|>user\n<tool_response>\nsun\n</tool_response>\n"
            "<tool_response>\nrain\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\nHello <b>!<|im_end|>\n",
        ),
        (
            [{**CALLS, "content": "Let me see.", "reasoning_content": None}],
            {},
            "<|im_start|>assistant\nLet me see.\n"
            '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>\n'
            '<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call><|im_end|>\n',
        ),
    ],
    ids=["turns", "prompt", "tools", "tools-only", "tools-empty-system", "calls", "calls-after-text"],
)
def test_the_chat_template_renders(auto, messages, options, expected):
    assert auto.apply_chat_template(messages, tokenize=False, **options) == expected


def test_an_unknown_role_is_refused(auto):
    with pytest.raises(Exception, match="unknown role: narrator"):
        auto.apply_chat_template([{"role": "narrator", "content": "Once"}], tokenize=False)
