"""Chats in the tokens of other families, and control tokens that take white space with them."""

import json
import warnings

import pytest

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from model.errors import SproutError
from model.text.chat_template import CHAT_TEMPLATE, TOOLS_AFTER, TOOLS_BEFORE, chat_template, template_of
from model.text.tokenizer import Tokenizer
from tests.dataset.rendering.test_rendering import (
    BY_HAND,
    FILES,
    assert_same,
    assistant,
    some_chats,
    system,
    tool,
    user,
)


def test_the_template_for_other_tokens():
    assert chat_template() == CHAT_TEMPLATE
    assert "<|im_end|>" not in chat_template(end="</s>") and "</s>\\n" in chat_template(end="</s>")
    assert TOOLS_BEFORE.encode("unicode_escape").decode() in CHAT_TEMPLATE
    assert TOOLS_AFTER.encode("unicode_escape").decode() in CHAT_TEMPLATE


@pytest.fixture(scope="module", params=["byte-level", "trimming", "sentencepiece", "sentencepiece, space only first"])
def llama(request):
    """A tokenizer of a Llama folder: no ChatML tokens, and not all of them spell texts the same way."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    if request.param.startswith("sentencepiece"):
        names = ["<s>", "</s>", "▁", "a", "▁a", "\n", *(f"<0x{i:02X}>" for i in range(256))]
        backend = Backend(models.BPE({name: i for i, name in enumerate(names)}, [("▁", "a")], byte_fallback=True))
        if request.param == "sentencepiece":
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        names = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĊĠ"]
        backend = Backend(models.BPE({name: i for i, name in enumerate(names)}, [("Ċ", "Ġ")]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        if request.param == "trimming":  # leaves spaces out of the offsets
            backend.post_processor = processors.ByteLevel(trim_offsets=True)
    backend.add_special_tokens(["<s>", "</s>"])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "chat_template": chat_template(end="</s>"),
    }
    return Tokenizer.from_files({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(config)})


def test_without_chatml_tokens_turns_begin_with_text_and_end_with_eos(llama, tmp_path):
    from transformers import PreTrainedTokenizerFast

    llama.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    renderer = ChatRenderer(llama)
    assert renderer.end_id == llama.eos_id
    chats = [(list(c.messages), list(c.tools)) for name, (c, _) in BY_HAND.items() if name != "special tokens as text"]
    assert_same(renderer, theirs, chats)

    (rendered,) = renderer.render([Conversation((user("a</s>"), assistant(" a</s>"), user("a"), assistant("b")))])
    text = llama.decode(rendered.ids[rendered.trained], skip_special_tokens=False)
    # A line break and a space are one token in the byte-level vocabulary, so that of the header is trained as well.
    assert text.lstrip(" ") == ("\n a</s></s>b</s>" if llama.byte_level else "a</s></s>b</s>")
    assert (rendered.ids == llama.eos_id).sum() == 4
    assert (rendered.trained & (rendered.ids == llama.eos_id)).sum() == 2


# Control tokens that take white space with them

CONTROLS_IN_TEXT = ("tools", "special tokens as text")
BLANKS = " \t\n\x1c\x85\u00a0\u2003\u200b\u3000"


def with_flags(tokenizer, flags: dict[str, dict]) -> dict[str, str]:
    """The files of a tokenizer whose added tokens have other flags."""
    content = json.loads(tokenizer.files["tokenizer.json"])
    for token in content["added_tokens"]:
        token |= flags.get(token["content"], {})
    return tokenizer.files | {"tokenizer.json": json.dumps(content)}


@pytest.mark.parametrize(
    "flags",
    [
        {"<|im_end|>": {"rstrip": True}},
        {"<|im_end|>": {"lstrip": True}},
        {
            "<|im_start|>": {"lstrip": True, "rstrip": True},
            "<think>": {"rstrip": True},
            "</tool_call>": {"lstrip": True},
        },
    ],
)
def test_white_space_goes_with_a_control_token_as_in_transformers(tokenizer, tmp_path, flags):
    from transformers import AutoTokenizer

    ours = Tokenizer.from_files(with_flags(tokenizer, flags))
    ours.save(tmp_path)
    renderer, auto = ChatRenderer(ours), AutoTokenizer.from_pretrained(tmp_path)
    chats = [(list(c.messages), list(c.tools)) for name, (c, _) in BY_HAND.items() if name not in CONTROLS_IN_TEXT]
    chats += [([system(text), user(text), assistant(text), tool(text), assistant("a" + text)], []) for text in BLANKS]
    chats += [chat for file in FILES if "ours" in file.id for chat in some_chats(*file.values)[:20]]
    assert_same(renderer, auto, chats)
    assert renderer.variant and not ChatRenderer(tokenizer).variant
    (rendered,) = renderer.render([Conversation((user(" a "), assistant(f" {BLANKS}b{BLANKS}b \n")))])
    said = ours.decode(rendered.ids[rendered.trained], skip_special_tokens=False)
    blank = "" if "lstrip" in flags.get("<|im_end|>", ()) else " \n"
    assert said == f" {BLANKS}b{BLANKS}b{blank}<|im_end|>"


@pytest.mark.parametrize("flag", ["single_word", "normalized"])
def test_control_tokens_that_are_not_one_everywhere_are_refused(tokenizer, flag):
    content = json.loads(tokenizer.files["tokenizer.json"])
    content["normalizer"] = {"type": "Prepend", "prepend": "_"}
    files = tokenizer.files | {"tokenizer.json": json.dumps(content)}
    files = with_flags(Tokenizer.from_files(files), {"<|im_end|>": {flag: True}})
    with pytest.raises(SproutError, match=rf"<\|im_end\|> is declared {flag}"):
        ChatRenderer(Tokenizer.from_files(files))


def test_the_tokenizer_of_a_renderer_brings_the_template_that_was_rendered(llama, tokenizer, tmp_path):
    from transformers import AutoTokenizer

    assert ChatRenderer(tokenizer).tokenizer is tokenizer  # ours has it already
    foreign = Tokenizer.from_files(llama.files | {"chat_template.jinja": "{{ 'another' }}"})
    for before in (foreign, Tokenizer.from_files({"tokenizer.json": llama.files["tokenizer.json"]})):
        renderer = ChatRenderer(before)
        ours = renderer.tokenizer
        assert template_of(ours) == chat_template(end="</s>") and "chat_template.jinja" not in ours.files
        assert (ours.fingerprint, ours.bos_id, ours.eos_id) == (before.fingerprint, before.bos_id, before.eos_id)
        ours.save(tmp_path)
        messages = [user("Hi"), assistant("Hello")]
        ids = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(messages)["input_ids"]
        (rendered,) = renderer.render([Conversation(tuple(messages))])
        assert rendered.ids.tolist() == ids
