"""llama.cpp computes with our files what Sprout computes: the same ids, the same logits, the same next tokens."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, pre_tokenizers

from model.config import TransformerConfig
from model.experts import ExpertsConfig
from model.files.gguf import writing
from model.files.gguf.template import CHATS, written_otherwise
from model.files.gguf.writing import write_gguf
from model.files.loading import load_model
from model.text.chat_template import template_of
from model.text.exported import beginning_texts
from model.text.own_template import OwnTemplate
from model.text.tokenizer import Tokenizer
from tests.llama_cpp import LlamaCpp
from tests.support import random_network

pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")
FIXTURES = Path(__file__).parents[3] / "fixtures"
LLAMA = TransformerConfig(
    vocab_size=6432,  # more rows than the tokenizer has tokens
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
QWEN2, QWEN3 = LLAMA.replace(attention_bias=True), LLAMA.replace(qk_norm=True)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "factor": 2.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 64}
NETWORKS = {
    "llama": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "qwen3moe": ExpertsConfig.of(LLAMA.replace(intermediate_size=128)).replace(num_experts=4),
    "untied": LLAMA.replace(tie_word_embeddings=False),
    "wide heads": QWEN3.replace(head_dim=32),
    "yarn": LLAMA.replace(rope_scaling=YARN),
    "yarn qwen3": QWEN3.replace(rope_scaling=YARN | {"attention_factor": 1.5}),
    "linear": QWEN2.replace(rope_scaling=LINEAR),
    "llama3": LLAMA.replace(rope_theta=10000.0, rope_scaling=LLAMA3),
}


KINDS = ("f16", "bf16", "q8_0", "q4_0", "q4_k_m")


def greedy(network, ids: list[int], count: int) -> tuple[list[int], torch.Tensor]:
    """As `LlamaCpp.greedy`, with the log-probabilities of all first tokens [V]."""
    with torch.no_grad():
        first = network(torch.tensor([ids]))[0, -1].log_softmax(-1)
        written = list(ids)
        for _ in range(count):
            written.append(int(network(torch.tensor([written]))[0, -1].argmax()))
    return written[len(ids) :], first


def worst(ours: torch.Tensor, theirs: dict[int, float]) -> float:
    return max(abs(ours[token].item() - logarithm) for token, logarithm in theirs.items())


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_next_tokens_are_the_same(name, tmp_path, tokenizer):
    network = random_network(NETWORKS[name]).eval()
    write_gguf(tmp_path / "m.gguf", network, tokenizer, "f32")
    ids = tokenizer.encode("The cat sat on the mat; 猫坐在垫子上。 12345 " * 4)[:80]
    ours, first = greedy(network, ids, 8)
    theirs, likeliest = LlamaCpp(tmp_path / "m.gguf").greedy(ids, 8)
    assert worst(first, likeliest) < 5e-5
    assert theirs == ours

    loaded = load_model(tmp_path / "m.gguf")
    assert loaded.model.config == network.config
    assert loaded.tokenizer.fingerprint == tokenizer.fingerprint
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], tensor)


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_in_the_wrong_order_of_rows_they_are_others(name, tmp_path, tokenizer, monkeypatch):
    """What the comparison above is able to see."""
    network = random_network(NETWORKS[name]).eval()
    if name == "llama":
        monkeypatch.setattr(writing, "in_their_order", lambda name, tensor, config: tensor)
    else:
        as_llama = writing.in_their_order
        monkeypatch.setattr(writing, "in_their_order", lambda name, tensor, config: as_llama(name, tensor, LLAMA))
    write_gguf(tmp_path / "m.gguf", network, tokenizer, "f32")
    ids = tokenizer.encode("The cat sat on the mat.")
    _, first = greedy(network, ids, 1)
    _, likeliest = LlamaCpp(tmp_path / "m.gguf").greedy(ids, 1)
    assert worst(first, likeliest) > 0.05


@pytest.mark.parametrize("kind, experts", [*((k, False) for k in KINDS), ("f16", True), ("q4_k_m", True)])
def test_a_smaller_type_is_read_as_llama_cpp_reads_it(kind, experts, tmp_path, tokenizer):
    """llama.cpp rounds what is multiplied, too, so the last digits differ."""
    config = QWEN3.replace(hidden_size=256, intermediate_size=512, num_hidden_layers=1)
    if experts:
        config = ExpertsConfig.of(config)
    write_gguf(tmp_path / "m.gguf", random_network(config, seed=2 * experts), tokenizer, kind)
    ids = tokenizer.encode("The cat sat on the mat.")
    _, first = greedy(load_model(tmp_path / "m.gguf").model.eval(), ids, 1)
    _, likeliest = LlamaCpp(tmp_path / "m.gguf").greedy(ids, 1)
    assert worst(first, likeliest) < (0.02 if kind.endswith("16") else 0.1)


# --- tokens -----------------------------------------------------------------------------------------


def split_otherwise(tokenizer: Tokenizer, steps, **of_model) -> Tokenizer:
    """The same tokens and merges, over words that are split in another way."""
    content = json.loads(tokenizer.files["tokenizer.json"])
    backend = type(tokenizer.backend).from_str(tokenizer.files["tokenizer.json"])
    backend.pre_tokenizer = steps
    content["pre_tokenizer"] = json.loads(backend.to_str())["pre_tokenizer"]
    content["model"] |= of_model
    return Tokenizer.from_files(tokenizer.files | {"tokenizer.json": json.dumps(content)})


def splits() -> dict:
    expression = json.loads(Tokenizer.load().files["tokenizer.json"])["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    three_digits = Regex(expression["Regex"].replace(r"|\p{N}|", r"|\p{N}{1,3}|"))
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    llama3 = pre_tokenizers.Sequence([pre_tokenizers.Split(three_digits, "isolated"), plain])
    return {
        "qwen2": lambda tokenizer: tokenizer,
        "llama-bpe": lambda tokenizer: split_otherwise(tokenizer, llama3, ignore_merges=True),
        "smaug-bpe": lambda tokenizer: split_otherwise(tokenizer, llama3),
        "gpt-2": lambda tokenizer: split_otherwise(tokenizer, gpt2),
        "smollm": lambda tokenizer: split_otherwise(
            tokenizer, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
        ),
    }


@pytest.mark.parametrize("pre", splits())
def test_token_ids_are_the_same(pre, tmp_path, tokenizer):
    tokenizer = splits()[pre](tokenizer)
    write_gguf(tmp_path / "m.gguf", random_network(LLAMA.replace(num_hidden_layers=1)), tokenizer, "f16")
    files = ("pretrain_zh.jsonl", "pretrain_en.jsonl", "sft_zh.jsonl")
    lines = [line for name in files for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines()[:12]]
    lines += [
        "It's 12345 or 3.14 a\n\n b\r\n\tc   d  ",
        "  两个  空格\u3000全角",
        "🦙👩‍👩‍👧 e\u0301 \u00a0x",
        "<|im_end|>a<|x|>",
    ]
    llama_cpp = LlamaCpp(tmp_path / "m.gguf")
    assert [llama_cpp.encode(line) for line in lines] == [tokenizer.encode(line) for line in lines]
    again = load_model(tmp_path / "m.gguf").tokenizer
    assert [again.encode(line) for line in lines] == [tokenizer.encode(line) for line in lines]
    assert again.fingerprint == tokenizer.fingerprint


def test_a_base_model_begins_with_bos_and_a_chat_has_no_second_one(tmp_path, tokenizer):
    network = random_network(LLAMA.replace(num_hidden_layers=1))
    for bos in (False, True):
        write_gguf(tmp_path / "m.gguf", network, beginning_texts(tokenizer) if bos else tokenizer, "f16")
        llama_cpp = LlamaCpp(tmp_path / "m.gguf")
        assert llama_cpp.encode("Once", bos=True) == [tokenizer.bos_id] * bos + tokenizer.encode("Once")
        chat = [{"role": "user", "content": "Hi"}]
        asked = llama_cpp.ask("/v1/chat/completions", messages=chat, max_tokens=1, temperature=0)
        start, end, line = tokenizer.bos_id, tokenizer.eos_id, tokenizer.encode("\n")
        prompt = [start, *tokenizer.encode("user\nHi"), end, *line, start, *tokenizer.encode("assistant\n")]
        assert asked["usage"]["prompt_tokens"] == len(prompt)
        assert load_model(tmp_path / "m.gguf").tokenizer.config["add_bos_token"] == bos


@pytest.mark.parametrize(
    ("before", "kinds"),
    [
        ("{{ tools | tojson if tools else '' }}{{ messages | length }}", []),
        ("{% if not tools is defined %}{% set tools = none %}{% endif %}{% if tools is not none %}T{% endif %}", []),
        ("{% if tools is not none %}T{% endif %}", ["of plain turns"]),
        ("{% for tool in tools or [] %}{{ tool.function.parameters }}{% endfor %}", ["with tools"]),
        ("{% for m in messages %}{{ m.tool_calls[0].function.arguments if m.tool_calls }}{% endfor %}", ["with tools"]),
        ("{{ messages[0].content | length }}", ["of plain turns", "with tools"]),
        ("{{ messages[0].content | upper }}", ["of plain turns", "with tools"]),
        ("{{ [messages[0].role, none] }}", ["of plain turns", "with tools"]),
    ],
)
def test_a_template_that_llama_cpp_reads_otherwise_is_told(before, kinds, tmp_path, tokenizer):
    """And nothing is told where what it writes is the same."""
    turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>"
    config = json.dumps(tokenizer.config | {"chat_template": before + turns})
    tokenizer = Tokenizer.from_files(tokenizer.files | {"tokenizer_config.json": config})
    written = write_gguf(tmp_path / "m.gguf", random_network(LLAMA.replace(num_hidden_layers=1)), tokenizer, "f16")
    assert written_otherwise(tokenizer) == kinds
    told = [warning for warning in written.warnings if "chat template" in warning]
    assert len(told) == bool(kinds) and all(kind in told[0] for kind in kinds)
    llama_cpp, template, differ = LlamaCpp(tmp_path / "m.gguf", 1024), OwnTemplate(tokenizer), set()
    for kind, chats in CHATS.items():
        for messages, tools in chats:
            theirs = [dict(message) for message in messages]
            for message in theirs:
                if calls := message.get("tool_calls"):
                    calls = [call | {"arguments": json.dumps(call["arguments"])} for call in calls]
                    message["tool_calls"] = [{"id": "1", "type": "function", "function": call} for call in calls]
            asked = {"messages": theirs} | ({"tools": tools} if tools else {})
            if llama_cpp.ask("/apply-template", **asked)["prompt"] != template.render(messages, tools, prompt=True):
                differ.add(kind)
    assert differ == set(kinds)


def test_chats_with_tools_have_their_own_template_there(tmp_path, tokenizer):
    turns = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    of_tools = "Call {{ tools[0].function.name }}.\n" + turns
    named = [{"name": "default", "template": turns}, {"name": "tool_use", "template": of_tools}]
    config = json.dumps(tokenizer.config | {"chat_template": named})
    tokenizer = Tokenizer.from_files(tokenizer.files | {"tokenizer_config.json": config})
    write_gguf(tmp_path / "m.gguf", random_network(LLAMA.replace(num_hidden_layers=1)), tokenizer, "f16")
    again = load_model(tmp_path / "m.gguf").tokenizer
    assert [template_of(again, name) for name in ("default", "tool_use")] == [turns, of_tools]
    llama_cpp, asked = LlamaCpp(tmp_path / "m.gguf"), [{"role": "user", "content": "Hi"}]
    tool = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {"type": "object"}}}
    prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert llama_cpp.ask("/apply-template", messages=asked)["prompt"] == prompt
    assert llama_cpp.ask("/apply-template", messages=asked, tools=[tool])["prompt"] == "Call weather.\n" + prompt
