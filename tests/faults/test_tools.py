"""A tool that was killed while it wrote loses no whole result, and its next run ends as if nothing had happened.

Runs that take long keep what they have found, and go on: tests of make_pairs, self_instruct, score and prepare.
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
        (SFT, "--model_mode=1", "--data_path={0}/chat_a.jsonl", "--answers", "--max_new_tokens=4", *ALWAYS),
        ("--save_answers={1}/answers.jsonl",),
        (),
    ),
    "benchmark": (
        "scripts.benchmark_model",
        (SFT, "--data_path", "{0}/piqa.jsonl", "{0}/a.jsonl", *ALWAYS),
        ("--save_file={1}/result.json",),
        (),
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


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", TOOLS)
def test_killed_before_the_new_file_takes_its_place_it_leaves_nothing_that_stays(workshop, tmp_path, name):
    script, flags, writes, goes_on = TOOLS[name]

    def run(out: str, *more: str, before=None):
        (tmp_path / out).mkdir(exist_ok=True)
        words = [flag.format(workshop.folder, tmp_path / out) for flag in (*flags, *writes, *more)]
        return Running(script, words, before).end()

    whole = run("whole")
    assert whole.code == 0, whole.err
    assert run("killed", before=partial(at_call, 1, "os:replace", kill_itself)).code == -9
    assert left_behind(tmp_path / "killed")
    again = run("killed", *goes_on)
    assert again.code == 0, again.err
    assert not left_behind(tmp_path / "killed")
    found, expected = (files_in(tmp_path / out) for out in ("killed", "whole"))
    assert found.keys() == expected.keys()
    assert name == "page" or found == expected  # a page tells when it was made
