"""What the benchmark of a GPU is given: files, MiniMind and other checkouts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import UsageError
from scripts.benchmark.gpu import minimind
from scripts.benchmark.gpu.checkouts import commit_of
from scripts.benchmark.gpu.measurements import all_measurements, large_tokenizer
from scripts.benchmark.gpu.programs import Failed
from tests.scripts.benchmark_gpu.support import session


def test_files_are_told_apart_and_minimind_gets_them_in_its_form(tmp_path, monkeypatch):
    here = session(tmp_path)
    assert [path.name for path in (*here.texts, *here.chats)] == ["texts.jsonl", "chats.jsonl"]
    with pytest.raises(UsageError, match=r"are \.jsonl"):
        session(tmp_path, data_path=["x.parquet"])
    for name in [name for name in sys.modules if name.split(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)  # the real one, if another test has imported it
    monkeypatch.syspath_prepend(minimind.STAND_IN)
    import datasets

    assert Path(datasets.__file__).parent == minimind.STAND_IN
    files = minimind.its_data(here.chats, tmp_path, most=20)
    chats = datasets.load_dataset("json", data_files=files, split="train")
    del sys.modules["datasets"]
    assert len(chats) == 20  # copies, so that it does not end too soon
    assert set(chats[0]["conversations"][0]) == {"role", "content", "reasoning_content", "tools", "tool_calls"}


def test_minimind_gets_turns_without_content_and_no_empty_file(tmp_path):
    path = tmp_path / "calls.jsonl"
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "look"}]}
    turns = {"messages": [{"role": "user", "content": "a\u2028b"}, call]}  # a character that str.splitlines splits at
    path.write_text(json.dumps(turns, ensure_ascii=False) + "\n\n", encoding="utf-8")
    (line,) = minimind.its_data([path], tmp_path, most=1).read_text().split("\n")[:-1]
    assert [turn["content"] for turn in json.loads(line)["conversations"]] == ["a\u2028b", ""]
    path.write_text("\n")
    with pytest.raises(Failed, match="no line"):
        minimind.its_data([path], tmp_path)


FAKE_TRAINER = """
import sys, time
print("warning: falls back to eager", *sys.argv[1:])
for step in range(1, 100000):
    print(f"Epoch:[1/1]({step}/100000), loss: 5.0", flush=True)
    time.sleep(0.002)
"""


def test_minimind_is_measured_by_the_lines_of_its_trainer(tmp_path):
    trainer = tmp_path / "minimind" / "trainer"
    trainer.mkdir(parents=True)
    (trainer / "train_pretrain.py").write_text(FAKE_TRAINER)
    here = session(tmp_path, minimind=str(tmp_path / "minimind"))
    names = [each.name for each in all_measurements(here, False) if each.name.startswith("minimind")]
    assert names == ["minimind pretraining", "minimind fine-tuning"]
    here.begin("minimind pretraining", 30)
    (row,) = map(here.complete, minimind.minimind(here, "train_pretrain.py", 0))
    assert row.value > 0 and row.side == "MiniMind" and row.commit.startswith("files ")
    assert row.note.startswith("warning: falls back to eager --hidden_size 64")


def test_a_folder_that_is_no_checkout_is_named_at_once(tmp_path):
    for name in ("against", "minimind"):
        with pytest.raises(UsageError, match=f"--{name} .*nowhere: it is no such checkout"):
            session(tmp_path, **{name: str(tmp_path / "nowhere")})


def test_a_copy_within_a_checkout_is_not_taken_for_it(tmp_path):
    copy, git = tmp_path / "copy", ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (copy / "model").mkdir(parents=True)
    (copy / "model" / "a.py").write_text("1")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    assert len(commit_of(tmp_path)) == 10
    first = commit_of(copy)
    (copy / "model" / "a.py").write_text("2")
    assert first.startswith("files ") and commit_of(copy).startswith("files ") and commit_of(copy) != first


def test_a_large_vocabulary_tokenises_like_the_shipped_one(tmp_path):
    from model.text.tokenizer import Tokenizer

    large, shipped = Tokenizer.load(large_tokenizer(session(tmp_path), 7000)), Tokenizer.load()
    assert large.vocab_size == 7000
    assert large.encode("新芽 grows") == shipped.encode("新芽 grows")
