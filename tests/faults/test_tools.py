"""A tool that was killed while it wrote loses no whole result, and its next run ends as if nothing had happened.

Runs that take long keep what they have found, and go on: tests of make_pairs, self_instruct, score and prepare, and
the last one here.
"""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.faults.processes import Running, at_call, kill_itself, left_behind
from tests.stages.workshop import Workshop

ITEMS = [{"goal": "ab" * length, "sol1": "c", "sol2": "abc", "label": length % 2} for length in range(1, 5)]
ALWAYS = ("--device=cpu", "--dtype=float32")
SFT, REWARD = "--weight_path={0}/trained/full_sft_32.pth", "--weight_path={0}/reward.pth"
TOOLS = {  # its script, its flags ({0}: the workshop, {1}: where it writes), and those with which it goes on
    "answers": (
        "eval_model",
        (
            SFT,
            "--model_mode=1",
            "--data_path={0}/chat_a.jsonl",
            "--answers",
            "--batch_size=1",
            "--max_new_tokens=4",
            *ALWAYS,
        ),
        ("--save_answers={1}/answers.jsonl",),
        ("--resume",),
    ),
    "benchmark": (
        "scripts.benchmark_model",
        (SFT, "--data_path", "{0}/piqa.jsonl", "{0}/a.jsonl", *ALWAYS),
        ("--save_file={1}/result.json",),
        ("--resume",),
    ),
    "pairs": (
        "scripts.make_pairs",
        (SFT, "--data_path={0}/chat_a.jsonl", "--reward={0}/my_reward.py:letters", "--max_new_tokens=6", *ALWAYS),
        ("--save_file={1}/pairs.jsonl",),
        ("--resume",),
    ),
    "scores": (
        "scripts.score",
        (REWARD, "--data_path={0}/pairs_a.jsonl", *ALWAYS),
        ("--save_scores={1}/scores.jsonl",),
        ("--resume",),
    ),
    "merged": ("scripts.merge_lora", ("--lora={0}/lora/lora/lora_32.pth",), ("--out_dir={1}",), ()),
    "half": (
        "scripts.interpolate",
        ("--from_weight={0}/start.pth", "--to_weight={0}/trained/full_sft_32.pth", "--share=0.5", "--weight_name=half"),
        ("--out_dir={1}",),
        (),
    ),
    "page": ("scripts.report", ("{0}/trained/logs/full_sft_32",), ("--save_path={1}/page.html",), ()),
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    workshop = Workshop.create(tmp_path_factory.mktemp("tools"), "full_sft")
    (workshop.folder / "piqa.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    workshop.train("trained", "--max_steps=40", "--epochs=40", "--learning_rate=0.01", "--eval_interval=0")
    Workshop(workshop.folder, "lora").train("lora", "--max_steps=2", "--eval_interval=0")
    return workshop


def killed_at(replacement: int):
    """What kills a process before the file number `replacement` takes its place."""
    return partial(at_call, replacement, "os:replace", kill_itself)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(workshop: Workshop, name: str, out: Path, *more: str, before=None):
    script, flags, writes, _ = TOOLS[name]
    out.mkdir(exist_ok=True)
    words = [flag.format(workshop.folder, out) for flag in (*flags, *writes, *more)]
    return Running(script, words, before).end()


@pytest.mark.parametrize("name", TOOLS)
def test_killed_before_the_new_file_takes_its_place_it_leaves_nothing_that_stays(workshop, tmp_path, name):
    whole = run(workshop, name, tmp_path / "whole")
    assert whole.code == 0, whole.err
    assert run(workshop, name, tmp_path / "killed", before=killed_at(1)).code == -9
    assert left_behind(tmp_path / "killed")
    again = run(workshop, name, tmp_path / "killed", *TOOLS[name][-1])
    assert again.code == 0, again.err
    assert not left_behind(tmp_path / "killed")
    found, expected = (files_in(tmp_path / out) for out in ("killed", "whole"))
    assert found.keys() == expected.keys()
    assert name == "page" or found == expected  # a page tells when it was made


# What is noted, and so kept, before: 8 of 24 answers; the items of piqa, its result, those of the texts, all results.
@pytest.mark.parametrize(
    ("name", "moment", "kept"),
    [("answers", 3, 8), ("answers", 4, 16), *(("benchmark", moment, 4) for moment in (3, 4)), ("benchmark", 6, 28)],
)
def test_killed_later_it_goes_on_with_what_it_has_found(workshop, tmp_path, name, moment, kept):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = run(workshop, name, whole)
    assert expected.code == 0, expected.err
    assert run(workshop, name, killed, before=killed_at(moment)).code == -9
    (progress,) = (path for path in killed.iterdir() if path.suffix == ".progress")
    assert json.loads(progress.read_text())["done"] == kept
    again = run(workshop, name, killed, "--resume")
    assert (again.code, again.out) == (0, expected.out), again.err
    assert files_in(killed) == files_in(whole)


def test_what_an_interrupted_command_keeps_is_replaced_by_none_that_begins_anew(workshop, tmp_path):
    for name in ("answers", "benchmark"):
        assert run(workshop, name, tmp_path / name, before=killed_at(3)).code == -9
    again = run(workshop, "answers", tmp_path / "answers")
    assert again.code == 2 and "is of a run that did not end: go on with it by --resume" in again.sentence
    assert len(files_in(tmp_path / "answers")["answers.jsonl"].splitlines()) == 16  # 8 of them not noted
    other = run(workshop, "benchmark", tmp_path / "benchmark", "--resume", "--limit=1")
    assert other.code == 2 and "began with another --data_path, --limit, --shots_path or --shots:" in other.sentence
    again = run(workshop, "benchmark", tmp_path / "benchmark")
    assert again.code == 2 and "keeps 4 records of a run that did not end: go on with it by --resume" in again.sentence
    for name in ("result.unfinished.jsonl", "result.unfinished.jsonl.progress"):
        (tmp_path / "benchmark" / name).unlink()
    assert run(workshop, "benchmark", tmp_path / "benchmark").code == 0
    assert set(files_in(tmp_path / "benchmark")) == {"result.json"}
    other = run(workshop, "answers", tmp_path / "answers", "--resume", "--max_new_tokens=5")
    assert other.code == 2 and "began with another --max_new_tokens" in other.sentence
