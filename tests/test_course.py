"""The course: the commands of each lesson are run in order at tiny size, and the changes that it proposes are made.

A lesson begins with what `python scripts/quickstart.py` leaves: sample data, a tokenizer, and of its networks the two
that lessons need. Its blocks are `bash` (commands), `diff` (a change of a file, which all later commands of the lesson
see) and `python`.
"""

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from dataset.sample.files import write_sample
from model.config import preset
from model.files.checkpoint import save_weights
from model.text.learn_bpe import learn
from model.transformer import Transformer
from tests.test_documentation import THIN, TINY

ROOT = Path(__file__).parent.parent
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("course.md", "course_zh.md")}
LINES = 40  # of each file of the sample data
FEW_ANSWERS = "--prompts_per_step 2 --table_rows 1"


def lessons(page: str) -> dict[str, list[tuple[str, str]]]:
    """The blocks of each lesson by its number, as (language, content)."""
    _, *parts = re.split(r"^## (\d+)\b.*$", PAGES[page], flags=re.MULTILINE)
    blocks = re.compile(r"^```(bash|diff|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return {number: blocks.findall(text) for number, text in zip(parts[::2], parts[1::2], strict=True)}


def commands(block: str) -> list[list[str]]:
    lines = block.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def changes(block: str) -> tuple[str, list[tuple[str, str]]]:
    """The file that a `diff` block names, and what is replaced in it: old and new lines."""
    head, *hunks = re.split(r"^(?:--- |@@$)", block, flags=re.MULTILINE)[1:]
    name, _, first = head.partition("\n")
    found = []
    for hunk in (first, *hunks):
        lines = [line for line in hunk.splitlines() if line]
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] != sign) for sign in "+-")
        found.append((old, new))
    return name, found


def changed(text: str, block: str) -> str:
    for old, new in changes(block)[1]:
        assert text.count(old) == 1, f"these lines are to be found once:\n{old}"
        text = text.replace(old, new)
    return text


def test_both_pages_show_the_same_commands_and_changes():
    english, chinese = (
        {
            number: [(kind, commands(text) if kind == "bash" else text) for kind, text in blocks]
            for number, blocks in each
        }
        for each in (lessons(page).items() for page in PAGES)
    )
    assert list(english) == [str(number) for number in range(1, 9)]
    assert english == chinese


def paths_in(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Path:
    """A checkout in which the quickstart has been run, on few lines and with networks that have learnt nothing."""
    folder = tmp_path_factory.mktemp("checkout") / "sprout"
    for name in ("dataset", "inference", "model", "scripts", "training"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("*.py"):
        shutil.copy2(script, folder)
    out = folder / "out" / "quickstart"
    write_sample(out)
    for path in (out / "sample").glob("*.jsonl"):
        text = "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:LINES])
        path.write_text(text, encoding="utf-8")
    tokenizer = learn(
        [(out / "sample" / f"{name}.jsonl").read_text(encoding="utf-8") for name in ("pretrain", "sft")], 400
    )
    tokenizer.save(out / "tokenizer")
    config = preset("tiny").replace(
        vocab_size=tokenizer.vocab_size, num_hidden_layers=3, intermediate_size=64
    )  # 2 are frozen
    for stage in ("pretrain", "full_sft"):
        save_weights(out / f"{stage}_{config.hidden_size}.pth", Transformer(config), tokenizer, stage=stage)
    return folder


@pytest.fixture
def checkout(quickstart, tmp_path, monkeypatch) -> Path:
    """A copy of it to work in; its files are only ever replaced, so links will do."""
    folder = tmp_path / "sprout"
    shutil.copytree(quickstart, folder, copy_function=os.link)
    monkeypatch.chdir(folder)
    return folder


def made_small(script: str, words: list[str]) -> list[str]:
    """The flags of a command and those that make it small; of a flag given twice, the last counts."""
    name = script.removesuffix(".py").replace("/", ".")
    small = TINY.get(name, "")
    if "--preset" in words:
        small += f" {THIN}"
    if name in ("train_grpo", "train_ppo"):
        small += f" {FEW_ANSWERS}"
    return [*words, *small.split()]


def run(words: list[str], checkout: Path, edited: set[str]) -> None:
    program, script, *flags = words
    if program == "tail":
        assert Path(flags[-1]).read_text(encoding="utf-8").strip()
        return
    assert program == "python", f"{words} is not run by this test"
    if script == "-m":
        importlib.import_module(flags[0]).main(flags[1:])
        return
    flags = made_small(script, flags)
    if any("/" in path for path in edited):  # a module, which this process has imported as it was
        process = [sys.executable, script, *flags]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
        result = subprocess.run(process, env=environment, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
    elif script in edited:
        spec = importlib.util.spec_from_file_location(f"edited_{Path(script).stem}", checkout / script)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main(flags)
    else:
        importlib.import_module(script.removesuffix(".py").replace("/", ".")).main(flags)


@pytest.mark.parametrize("number", lessons("course.md"))
def test_the_lesson_works(number, checkout):
    edited = set()
    before, house = paths_in(checkout), paths_in(ROOT / "out")
    with mock.patch("training.report.loss_curve.draw_loss_curve"):
        for kind, block in lessons("course.md")[number]:
            if kind == "diff":
                name, _ = changes(block)
                text = changed((checkout / name).read_text(encoding="utf-8"), block)
                (checkout / name).unlink()  # the link
                (checkout / name).write_text(text, encoding="utf-8")
                edited.add(name)
            elif kind == "python":
                exec(compile(block, f"lesson {number}", "exec"), {})
            else:
                for words in commands(block):
                    run(words, checkout, edited)
    touched = {path for path, when in paths_in(checkout).items() if before.get(path) != when}
    course, cached = checkout / "out" / "course", "__pycache__"
    outside = [path for path in touched if not Path(path).is_relative_to(course) and cached not in path]
    assert sorted(outside) == sorted(str(checkout / name) for name in edited)
    assert paths_in(ROOT / "out") == house
