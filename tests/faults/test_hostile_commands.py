"""Hostile command lines: each gives one sentence before any work is done; paths that are only unusual work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model.files.loading import load_model
from tests.faults.hostile_command_lines import CONFIGS, ROWS
from tests.faults.scripts import ROOT, python
from tests.stages.workshop import Workshop


@pytest.fixture(scope="module")
def place(folder) -> Path:
    """The folder of good files, with configurations that are none, and other things to trip over."""
    for name, content in CONFIGS.items():
        (folder / f"{name}.yaml").write_bytes(content)
    (folder / "file").write_text("a file")
    for name in ("a.jsonl", "chat_a.jsonl"):
        (folder / f"link_{name}").symlink_to(folder / name)
    return folder


def complete(script: str, folder: Path, words: list[str]) -> list[str]:
    """A command line that would work but for the words at its end."""
    if script.startswith("train_") and script != "train_tokenizer.py":
        stage = script.removeprefix("train_").removesuffix(".py")
        return Workshop(folder, stage).command("out", *words)
    before = {
        "train_tokenizer.py": ["--data_path", folder / "a.jsonl", "--out_dir", folder / "tokenizer_of_ours"],
        "eval_model.py": ["--weight_path", folder / "start.pth", "--device", "cpu", "--max_new_tokens", "2"],
    }
    given = [] if "--weight" in words else before.get(script, [])
    return [*map(str, given), *words]


def test_there_are_enough():
    assert len({row[:2] for row in ROWS}) == len(ROWS) >= 200


@pytest.mark.parametrize("script, words, expected, code", ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_one_sentence(place, script, words, expected, code):
    names = {"f": place, "long": "x" * 300, "data": "a.jsonl", "other": "b.jsonl"}
    if script == "train_full_sft.py":
        names |= {"data": "chat_a.jsonl", "other": "chat_b.jsonl"}
    words = [word.strip("'").format(**names) for word in words.split()]
    before = sorted(place.rglob("*"))
    ended = python(script, *complete(script, place, words))
    assert expected.format(**names) in ended.sentence
    assert ended.code == code
    if script != "eval_model.py":  # which says what it has opened
        assert ended.err.count("\n") == 1
    new = [path for path in sorted(place.rglob("*")) if path not in before and "cache" not in path.parts]
    assert [path for path in new if path.name != "out" and not path.name.endswith(".lock")] == []


def test_a_message_never_breaks_its_line_nor_steers_the_terminal(place):
    for word in ("--x\nerror: all is well", "--\x1b[2J", "\u202eabc", "\udcff"):
        assert python("train_pretrain.py", word).sentence


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["train_pretrain.py", "--epochs", "0"], 2, "--epochs: 0 is not a whole number"),
        (
            ["scripts/export_hf.py", "--weight_path", "gone.pth", "--save_dir", "x"],
            2,
            "gone.pth does not exist",
        ),
        (["-m", "dataset.sample", "--out_dir", "/dev/null"], 1, "choose another --out_dir"),
    ],
)
def test_as_a_process(words, code, expected):
    result = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert result.stderr.startswith("error: ") and expected in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("script, flag", [("train_pretrain.py", "--out_dir"), ("train_tokenizer.py", "--out_dir")])
def test_a_folder_that_may_not_be_written(place, tmp_path, script, flag):
    (tmp_path / "closed").mkdir(mode=0o500)
    ended = python(script, *complete(script, place, [flag, str(tmp_path / "closed")]))
    assert ended.code == 1 and str(tmp_path / "closed") in ended.sentence


def test_a_link_to_itself_is_named(place, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for flag in ("--save_dir", "--weight_path"):
        words = {"--weight_path": place / "start.pth", "--save_dir": tmp_path / "x"} | {flag: tmp_path / "loop"}
        ended = python("scripts/export_hf.py", *(each for pair in words.items() for each in pair))
        assert ended.code and str(tmp_path / "loop") in ended.sentence


def test_what_the_machine_refuses_is_a_sentence(place, monkeypatch):
    """More memory than there is, and a path that fails only when it is used."""
    refusals = {
        "memory is used up": [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), _OutOfMemory],
        "check the path and the rights": [PermissionError(13, "Permission denied", "out/x")],
        "since a file is in its place": [FileExistsError(17, "File exists", "out/x")],
        "network drive fails": [
            *(OSError(5, "Input/output error", *name) for name in ((), ("out/x",))),
            OSError(30, "Read-only file system"),
        ],
    }
    for expected, errors in refusals.items():
        for error in errors:
            monkeypatch.setattr("inference.weights.load_model", _raise(error))
            assert expected in python("eval_model.py", *complete("eval_model.py", place, ["--prompt", "a"])).sentence
    monkeypatch.setattr("inference.weights.load_model", _raise(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="mistake"):
        python("eval_model.py", *complete("eval_model.py", place, ["--prompt", "a"]))


_OutOfMemory = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")


def _raise(error: Exception):
    def fails(*arguments, **settings):
        raise error

    return fails


@pytest.mark.filterwarnings("error:Glyph")
def test_paths_with_spaces_and_chinese_characters_work(place, tmp_path):
    """The whole way, in a folder and with names as people have them."""
    home = tmp_path / "我的 模型 (1)"
    home.mkdir()
    for name, other in {"a.jsonl": "文 本.jsonl", "chat_a.jsonl": "对 话.jsonl", "b.jsonl": "50% [b].jsonl"}.items():
        shutil.copy(place / name, home / other)
    python_ok(
        "train_tokenizer.py", "--data_path", home / "文 本.jsonl", "--vocab_size", 280, "--out_dir", home / "词 表"
    )
    texts = [f"{home / '文 本.jsonl'}:0.7", f"{home / '50% [b].jsonl'}:0.3"]
    flags = [*Workshop(home).command("出 口", "--weight_name", "新 芽", "--max_steps", "2"), "--data_path", *texts]
    python_ok("train_pretrain.py", *flags, "--tokenizer_path", home / "词 表")
    weight = home / "出 口" / "新 芽_32.pth"
    assert load_model(weight).facts["step"] == 2
    python_ok("train_pretrain.py", *flags, "--tokenizer_path", home / "词 表", "--resume")
    chats = Workshop(home, "full_sft").command("出 口", "--from_weight", "新 芽", data=("对 话.jsonl",))
    python_ok("train_full_sft.py", *chats, "--max_steps", "2", "--max_seq_len", "64")
    python_ok("scripts/export_hf.py", "--weight_path", weight, "--save_dir", home / "导 出")
    cpu = ["--device", "cpu", "--max_new_tokens", "2"]
    python_ok("eval_model.py", "--out_dir", home / "出 口", "--weight", "新 芽", "--prompt", "从前 有", *cpu)
    score = python_ok(
        "eval_model.py", "--weight_path", home / "导 出", "--data_path", home / "文 本.jsonl", "--json", *cpu
    )
    assert json.loads(score.out)["file"] == str(home / "文 本.jsonl")
    python_ok("dataset.preview", home / "对 话.jsonl", "--tokenizer_path", home / "词 表")


@pytest.mark.skipif(sys.platform != "linux", reason="the file system has to take any bytes as a name")
def test_paths_that_are_not_utf_8_work(place, tmp_path):
    """As folders named on a Chinese Windows are where their disk is mounted elsewhere."""
    home = tmp_path / os.fsdecode("我的模型".encode("gbk"))
    home.mkdir()
    for name in ("a.jsonl", "chat_a.jsonl", "start.pth"):
        shutil.copy(place / name, home / name)
    shutil.copytree(place / "tokenizer", home / "tokenizer")
    flags = [*Workshop(place).command("out", "--max_steps", "2"), "--data_path", home / "a.jsonl"]
    flags += ["--tokenizer_path", home / "tokenizer", "--out_dir", home / "out"]
    python_ok("train_pretrain.py", *flags)
    python_ok("train_pretrain.py", *flags, "--max_steps", "4", "--resume", "--allow_changed")
    assert load_model(home / "out" / "pretrain_32.pth").facts["step"] == 4
    lora = Workshop(place, "lora").command("out", "--max_steps", "1", "--max_seq_len", "64", data=("chat_a.jsonl",))
    python_ok("train_lora.py", *lora, "--from_weight", home / "start.pth", "--out_dir", home / "out")
    adapters = home / "out" / "lora" / "lora_32.pth"
    python_ok("scripts/merge_lora.py", "--lora", adapters, "--peft", home / "peft", "--out_dir", home / "out")
    base = json.loads((home / "peft" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == str(home / "peft_base")
    python_ok("scripts/report.py", home / "out")
    texts = ("--data_path", home / "a.jsonl", "--out_dir", home / "compared")
    python_ok("scripts/compare_tokenizers.py", home / "tokenizer", home / "out" / "pretrain_32.pth", *texts)


def python_ok(*words):
    ended = python(*words)
    assert ended.code == 0, ended.err
    return ended
