import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train_tokenizer
from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from model.text.chat_template import template_of
from model.text.quality import SAMPLES
from model.text.tokenizer import FILE_NAMES, SPECIAL_TOKENS, Tokenizer
from tests.support import make_tokenizer, random_network

ROOT = Path(__file__).parents[2]
ENGLISH = [
    "the weather is fine and the children walk in the park",
    "they're reading <|im_end|> 12 books\n\n",
] * 9
CHINESE = ["今天天气很好，我们去公园散步。", "公园里有很多人在散步。"] * 9


@pytest.fixture
def data(tmp_path):
    texts = [{"text": text} for text in ENGLISH]
    chats = [
        {"conversations": [{"role": "user", "content": text}, {"role": "assistant", "content": "好的"}]}
        for text in CHINESE
    ]
    for name, records in (("texts", texts), ("chats", chats)):
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return [str(tmp_path / "texts.jsonl"), str(tmp_path / "chats.jsonl")]


def run(*argv) -> None:
    train_tokenizer.main(list(map(str, argv)))


def test_it_learns_writes_compares_and_checks(data, tmp_path, capsys):
    run("--data_path", *data, "--vocab_size", 370, "--out_dir", tmp_path / "out")
    printed = capsys.readouterr().out
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert tokenizer.vocab_size == 370
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2)
    assert [tokenizer.vocab[token] for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))
    assert len(tokenizer.encode(" weather")) <= 2
    for word in ("18 documents", "Chinese", "English", "code", "digits", "shipped"):
        assert word in printed
    assert "all 54 texts come back exactly" in printed


def test_the_same_data_gives_the_same_bytes(data, tmp_path):
    for folder, threads in (("a", "1"), ("b", "4")):
        flags = ["--data_path", *data, "--vocab_size", "400", "--out_dir", tmp_path / folder]
        subprocess.run(
            [sys.executable, "train_tokenizer.py", *flags],
            cwd=ROOT,
            env={**os.environ, "RAYON_NUM_THREADS": threads},
            check=True,
            capture_output=True,
        )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_it_extends_a_tokenizer(data, tmp_path, capsys):
    run("--data_path", data[0], "--vocab_size", 320, "--out_dir", tmp_path / "english")
    run("--data_path", data[1], "--extend", tmp_path / "english", "--add", 25, "--out_dir", tmp_path / "both")
    old, new = Tokenizer.load(tmp_path / "english"), Tokenizer.load(tmp_path / "both")
    assert new.vocab_size == old.vocab_size + 25
    assert all(new.encode(text) == old.encode(text) for text in ENGLISH)
    assert len(new.encode(CHINESE[0])) < len(old.encode(CHINESE[0]))
    assert template_of(new) == template_of(old)
    assert "before" in capsys.readouterr().out


def test_it_extends_the_tokenizer_of_a_weight(data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=32, num_hidden_layers=1)
    old = make_tokenizer()
    save_weights(Path("out/pretrain_32.pth"), random_network(config), old, stage="pretrain")
    run("--data_path", data[1], "--extend", "pretrain", "--add", 9, "--out_dir", "out/tokenizer")
    said = capsys.readouterr().out
    assert "extending the 272 tokens of out/pretrain_32.pth" in said
    script = Path(train_tokenizer.__file__).with_name("train_pretrain.py")  # the user stands elsewhere
    assert f"next: python {script} --from_weight out/pretrain_32.pth --tokenizer_path out/tokenizer" in said
    tokens = len(old.encode(SAMPLES["English"]))
    assert f"English sample: {tokens} tokens before, {tokens} after, the same ids; no new token is ASCII" in said
    run("--data_path", data[0], "--extend", "out/tokenizer", "--add", 9, "--out_dir", "out/more")
    said = capsys.readouterr().out
    assert "ASCII text keeps its ids unless one of 9 new tokens is in it" in said and "--from_weight" not in said


def test_a_tokenizer_that_was_there_is_kept_aside(data, tmp_path, capsys):
    out = tmp_path / "out"
    run("--data_path", *data, "--vocab_size", 300, "--out_dir", out)
    first = (out / "tokenizer.json").read_bytes()
    run("--data_path", *data, "--vocab_size", 300, "--out_dir", out)
    assert sorted(path.name for path in out.iterdir()) == sorted(FILE_NAMES[:2])  # the same: nothing to keep
    run("--data_path", *data, "--vocab_size", 310, "--out_dir", out)
    assert "kept the tokenizer" in capsys.readouterr().out
    assert (out / "tokenizer.previous.json").read_bytes() == first
    assert Tokenizer.load(out).vocab_size == 310


@pytest.mark.parametrize("name", ["config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_the_tokenizer_of_a_network_is_not_replaced(data, tmp_path, name):
    make_tokenizer().save(tmp_path / "network")
    before = (tmp_path / "network" / "tokenizer.json").read_bytes()
    (tmp_path / "network" / name).write_text("{}")
    for flags in (["--vocab_size", 300], ["--extend", tmp_path / "network" / "tokenizer.json", "--add", 5]):
        with pytest.raises(SproutError, match=rf"network holds a network \({name}\), .*: choose another --out_dir"):
            run("--data_path", *data, *flags, "--out_dir", tmp_path / "network")
    assert (tmp_path / "network" / "tokenizer.json").read_bytes() == before


def test_the_tokenizer_beside_a_weight_is_not_replaced_by_its_extension(data, tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save(tmp_path)
    rows = {"tok_embeddings.weight": torch.zeros(tokenizer.vocab_size, 4)}
    torch.save(rows, tmp_path / "bare.pth")
    flags = ["--data_path", *data, "--extend", tmp_path / "bare.pth", "--add", 5, "--out_dir"]
    with pytest.raises(SproutError, match=r"holds a network \(bare.pth\)"):
        run(*flags, tmp_path)
    run(*flags, tmp_path / "out")
    assert Tokenizer.load(tmp_path / "out").vocab_size == tokenizer.vocab_size + 5


def test_a_kind_that_cannot_be_extended_is_refused_before_the_data_are_read(tmp_path):
    content = json.loads(make_tokenizer().files["tokenizer.json"])
    content["decoder"] = {"type": "Fuse"}  # as if it were no byte-level one
    files = make_tokenizer().files | {"tokenizer.json": json.dumps(content)}
    Tokenizer.from_files(files).save(tmp_path / "other")
    (tmp_path / "bad.jsonl").write_text("nothing that can be read\n")
    with pytest.raises(SproutError, match="can be extended, and this is another kind: .* without --extend"):
        flags = "--extend", tmp_path / "other", "--add", 5, "--out_dir", tmp_path / "out"
        run("--data_path", tmp_path / "bad.jsonl", *flags)


def test_less_text_than_tokens_is_said(data, tmp_path, capsys):
    run("--data_path", data[0], "--vocab_size", 5000, "--out_dir", tmp_path / "out")
    tokenizer = Tokenizer.load(tmp_path / "out")
    why = "the texts have no more pairs that occur twice and are short enough for a token"
    assert f"only {tokenizer.vocab_size:,} tokens, not 5,000: {why}" in capsys.readouterr().out


def test_one_text_is_one_in_words(tmp_path, capsys):
    (tmp_path / "one.txt").write_text("one text, one text")
    run("--data_path", tmp_path / "one.txt", "--vocab_size", 273, "--out_dir", tmp_path / "out")
    assert "the only text comes back exactly from its tokens" in capsys.readouterr().out


def test_bad_lines(data, tmp_path, capsys):
    with open(data[0], "a") as file:
        file.write("{broken\n")
    with pytest.raises(SproutError, match=r"texts\.jsonl:19"):
        run("--data_path", *data, "--vocab_size", 300, "--out_dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run("--data_path", *data, "--vocab_size", 300, "--out_dir", tmp_path / "out", "--on_bad_line", "skip")
    assert "left out 1 bad line," in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "bad_lines.jsonl").read_text())["line"] == 19


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vocab_size", "271"], "at least 272"),
        (["--vocab_size", "0"], "vocab_size"),
        (["--vocab", "300"], "did you mean --vocab_size"),
        (["--extend", "somewhere"], "belong together"),
        (["--add", "5"], "belong together"),
        (["--extend", "x", "--add", "3", "--vocab_size", "5000"], "--vocab_size is for a new tokenizer"),
        (["--sample_mb", "-1"], "sample_mb"),
    ],
)
def test_wrong_flags_are_explained_before_any_work(data, tmp_path, flags, message):
    with pytest.raises(UsageError, match=message):
        run("--data_path", *data, "--out_dir", tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_missing_files_are_explained(data, tmp_path):
    with pytest.raises(SproutError, match="no such file"):
        run("--data_path", tmp_path / "absent.jsonl", "--out_dir", tmp_path / "out")
    with pytest.raises(SproutError, match="absent does not exist"):
        run("--data_path", *data, "--extend", tmp_path / "absent", "--add", 5, "--out_dir", tmp_path / "out")


@pytest.mark.usefixtures("few_samples")
def test_without_data_it_learns_from_the_sample_data_and_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    run("--vocab_size", 280)
    said = capsys.readouterr().out
    assert "no --data_path is given: this run takes the sample data, out/sample/pretrain.jsonl and" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert Tokenizer.load(tmp_path / "out" / "tokenizer").vocab_size == 280
