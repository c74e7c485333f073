"""scripts/export_gguf.py, as a user runs it."""

import builtins
import shlex
from pathlib import Path

import pytest
import torch

from dataset.rendering import ChatRenderer
from model.config import TransformerConfig
from model.files.adapters import save_lora
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.lora import Lora, add_lora, merge_lora
from model.text.chat_template import with_chat_template
from model.text.learn_bpe import learn
from scripts.export_gguf import main
from tests.support import random_network
from training.stages.arguments import run_main

pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")
SMALL = TransformerConfig(
    vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder with a base model and a chat model."""
    folder = tmp_path_factory.mktemp("out")
    tokenizer = learn(["a small text of small words", "and an even smaller one"], 300)
    for stage in ("pretrain", "full_sft"):
        save_weights(folder / f"{stage}_64.pth", random_network(SMALL), tokenizer, stage=stage)
    return folder


def test_several_types_in_one_table(weights, tmp_path, capsys):
    data = tmp_path / "texts.jsonl"
    data.write_text('{"text": "a small text of even smaller words"}\n{"text": "and an even smaller one"}\n')
    flags = ["--type", "f32", "q8_0", "q4_k_m", "--data_path", str(data)]
    main(["--weight_path", "pretrain", "--out_dir", str(weights), "--save_file", str(tmp_path / "m.gguf"), *flags])
    said = capsys.readouterr()
    table = [line.split() for line in said.out.splitlines()]
    rows = {row[0]: row[1:] for row in table if row and row[0] in ("f32", "q8_0", "q4_k_m")}
    (whole,) = [row for row in table if row[:2] == ["the", "weight"]]
    assert rows["f32"][1] == "32.00" and rows["f32"][2] == whole[2]  # bits a weight, loss
    assert 8.5 <= float(rows["q8_0"][1]) < 9 and 0 < abs(float(rows["q8_0"][2]) - float(whole[2])) < 0.05
    assert "Q5_1 for 12 tensors with rows of no whole number of Q4_K blocks" in said.err  # 64 numbers a row
    for kind, row in rows.items():
        assert row[-1] == str(tmp_path / f"m-{kind}.gguf")
        assert load_model(row[-1]).tokenizer.config["add_bos_token"]
    assert (tmp_path / "Modelfile").read_text().splitlines()[1] == "FROM ./m-f32.gguf"

    main(["--weight", str(tmp_path / "m-f32.gguf"), "--save_file", str(tmp_path / "again.gguf"), "--type", "f32"])
    again, source = load_model(tmp_path / "again.gguf"), load_model(weights / "pretrain_64.pth")
    assert again.model.config == source.model.config and again.tokenizer.fingerprint == source.tokenizer.fingerprint
    assert again.tokenizer.config["add_bos_token"]  # which is still a base model


def test_the_printed_command_can_be_pasted(weights, tmp_path, capsys):
    folder = tmp_path / "my models"
    folder.mkdir()
    main(["--weight_path", "pretrain", "--out_dir", str(weights), "--save_file", str(folder / "my m.gguf")])
    last = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(last[last.index("ollama") :])
    assert words == ["ollama", "create", "my m", "-f", str(folder / "Modelfile")]

    main(["--weight_path", "full_sft", "--out_dir", str(weights), "--save_file", str(folder / "chat.gguf")])
    assert f"{folder / 'Modelfile'} was for my m.gguf, and is for chat.gguf now" in capsys.readouterr().out


def test_adapters_are_merged_on_the_way(weights, tmp_path, capsys):
    network = load_model(weights / "full_sft_64.pth").model
    add_lora(network, Lora(rank=2, alpha=8.0, targets=("q_proj", "down_proj")))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".lora_" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    save_lora(tmp_path / "lora.pth", network, stage="lora")
    flags = ["--lora", str(tmp_path / "lora.pth"), "--save_file", str(tmp_path / "m.gguf"), "--type", "f32"]
    (tmp_path / "texts.txt").write_text("a small text of even smaller words")
    main(["--weight_path", str(weights / "full_sft_64.pth"), *flags, "--data_path", str(tmp_path / "texts.txt")])
    (measured,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("the weight ")]
    assert measured.endswith(f"full_sft_64.pth with {tmp_path / 'lora.pth'}")  # whose loss the line tells
    merge_lora(network)
    opened = load_model(tmp_path / "m.gguf").model.state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(opened[name], tensor, rtol=0, atol=1e-6)
    assert "range .Messages" in (tmp_path / "Modelfile").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--save_file", "x.gguf"], 2, "nothing to export"),
        (["--weight_path", "full_sft", "--save_file", "m.bin"], 2, "does not end in .gguf"),
        (["--weight_path", "full_sft", "--save_file", "x.gguf", "--lora_scale", "2"], 2, "--lora_scale is for --lora"),
        (["--weight_path", "full_sft", "--save_file", "taken.gguf"], 1, "taken.gguf is there already"),
        (["--weight_path", "full_sft", "--save_file", "mine/x.gguf"], 1, "mine/Modelfile is there already"),
        (["--weight_path", "m.gguf", "--save_file", "x.gguf"], 1, "m.gguf is damaged"),
        (["--weight_path", "no.gguf", "--save_file", "x.gguf"], 2, "no.gguf does not exist"),
    ],
)
def test_errors_are_one_sentence(weights, tmp_path, monkeypatch, arguments, code, words, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/Modelfile").write_text("FROM llama3")
    for name in ("taken.gguf", "m.gguf"):
        Path(name).write_bytes(b"GGUF somebody's")
    with pytest.raises(SystemExit) as exit:
        run_main(lambda: main([*arguments, "--out_dir", str(weights)]))
    assert exit.value.code == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and words in said.err and said.err.count("\n") == 1


def test_without_the_package_the_extra_is_named(weights, tmp_path, monkeypatch, capsys):
    found = builtins.__import__

    def without(name, *rest, **named):
        if name == "gguf":
            raise ImportError(name)
        return found(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit) as exit:
        run_main(
            lambda: main(["--weight_path", "pretrain", "--out_dir", str(weights), "--save_file", f"{tmp_path}/m.gguf"])
        )
    assert exit.value.code == 1 and 'pip install -e ".[gguf]"' in capsys.readouterr().err


def test_what_ends_an_answer_by_the_template_ends_it_in_llama_cpp(weights, tmp_path):
    """Which knows some names of such tokens, and this one by the file alone."""
    from gguf import GGUFReader

    turns = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|reserved_0|>\\n' }}{% endfor %}"
    template = turns + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    source = load_model(weights / "full_sft_64.pth")
    tokenizer = with_chat_template(source.tokenizer, template)
    assert ChatRenderer(tokenizer).end_id == tokenizer.vocab["<|reserved_0|>"]
    save_weights(tmp_path / "own_64.pth", source.model, tokenizer, stage="full_sft")
    main(["--weight_path", "own", "--out_dir", str(tmp_path), "--save_file", str(tmp_path / "own.gguf")])
    keys = GGUFReader(tmp_path / "own.gguf").fields
    assert keys["tokenizer.ggml.eot_token_id"].contents() == tokenizer.vocab["<|reserved_0|>"]
    assert keys["tokenizer.ggml.eos_token_id"].contents() == tokenizer.eos_id
