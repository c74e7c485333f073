"""What is drawn fits the window and does no harm, whatever a network has written."""

import json
import os
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.disk import exclusive
from model.errors import SproutError
from scripts import watch
from tests.support import examples
from training.report.description import Description, write_description
from training.watch.drawing import curve, cut, harmless, width_of, wrapped
from training.watch.frame import frame
from training.watch.locks import owner_of
from training.watch.runs import Runs, newest_place, other_places


def write_run(out, name: str, steps: int = 30, planned: int = 40, sample: str | None = None, **more):
    logs = out / "logs" / name
    logs.mkdir(parents=True)
    lines = [
        {"step": step, "loss": 4 + 4 / step, "lr": 1e-3, "time/seconds": 0.5, "time/tokens_per_second": 1234.5} | more
        for step in range(1, steps + 1)
    ]
    if lines:
        lines[-1] |= {"val_loss": 4.25, "val_bits_per_byte": 1.5}
    (logs / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_description(logs, Description(stage="pretrain", parameters=1_500_000, optimizer="muon", steps=planned))
    if sample is not None:
        (logs / "samples.jsonl").write_text(json.dumps({"step": 8, "prompt": "Why?", "answer": sample}) + "\n")
    return logs


def shown(out, width=80, height=24, names=()) -> str:
    lines = frame(Runs(out, names).look(), out, width, height)
    assert all(width_of(line) <= width for line in lines) and (height is None or len(lines) <= height)
    return "\n".join(lines)


def test_one_run_in_full(tmp_path):
    write_run(tmp_path, "pretrain_64", sample="Because.")
    text = shown(tmp_path)
    for said in (
        "pretrain_64: pretrain, 1.500 M parameters, muon",
        "step 30 of 40  last line 0 s ago",
        "learning rate 1.00e-03  1,234 tokens/s",
        "about 5 s left",
        "validation  loss 4.2500, bits per byte 1.5000 at step 30",
        "sample      step 8: Why? | Because.",
        "loss, smoothed; o: validation",
    ):
        assert said in text
    assert "verdict" not in text and any("\u2800" < sign <= "\u28ff" for sign in text)


def test_a_process_that_tokenises_data_is_told_before_its_run_is_there(tmp_path):
    (tmp_path / "cache").mkdir()
    runs = Runs(tmp_path)
    with exclusive(tmp_path / "cache" / "0a.lock", lambda: None):
        if owner_of(tmp_path / "cache" / "0a.lock") is None:
            pytest.skip("this system does not tell who holds a lock")
        found = runs.preparing()
    assert found == {os.getpid()} and runs.preparing() == set()
    said = f"process {os.getpid()} prepares data: its run begins after that"
    assert frame([], tmp_path, 80, 24, preparing=found) == [said]
    write_run(tmp_path, "pretrain_64")
    lines = frame(runs.look(), tmp_path, 80, 24, preparing=found)
    assert lines[0] == said and len(lines) <= 24 and "pretrain_64: pretrain" in "\n".join(lines)


def test_of_a_run_that_says_nothing_the_silence_is_told(tmp_path):
    logs = write_run(tmp_path, "pretrain_64")
    os.utime(logs / "metrics.jsonl", (time.time() - 4000,) * 2)
    assert "no line for 67 min" in shown(tmp_path)


def test_a_run_at_its_end_has_its_verdict(tmp_path):
    write_run(tmp_path, "pretrain_64", steps=40)
    text = shown(tmp_path)
    assert "step 40 of 40  ended" in text and "verdict     " in text and "try next    " in text
    assert " left" not in text


def test_a_long_prompt_leaves_room_for_the_answer(tmp_path):
    logs = write_run(tmp_path, "grpo_64")
    sample = {"step": 30, "prompt": "How many apples are left in the basket? " * 9, "answer": "Seven of them."}
    (logs / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    text = " ".join(shown(tmp_path).split())
    assert "sample step 30: How many apples" in text and "... | Seven of them." in text


def test_shares_are_so_many_percent_as_the_run_prints_them(tmp_path):
    write_run(tmp_path, "dpo_64", **{"val_rewards/accuracies": 0.1006, "val_rewards/margins": 0.25})
    assert "rewards/accuracies 10.1%, rewards/margins 0.2500" in " ".join(shown(tmp_path).split())


def test_a_run_that_a_rule_stopped_has_no_time_left(tmp_path):
    logs = write_run(tmp_path, "ppo_64", reward=0.5)
    write_description(logs, Description(stage="ppo", kind="prompt", steps=40, stopped="the KL is 16 nats"))
    text = shown(tmp_path)
    assert "step 30 of 40  stopped: the KL is 16 nats" in text and " left" not in text
    assert "verdict     stopped early: the KL is 16 nats at step 30 of 40" in text
    assert Runs(tmp_path).look()[0].standing(brief=True) == "stopped"


def test_where_the_newest_run_is_looked_for(tmp_path):
    assert newest_place(tmp_path) == tmp_path
    for age, name in enumerate(["course", "quickstart", "."]):
        logs = write_run(tmp_path / name, "pretrain_64")
        os.utime(logs / "metrics.jsonl", (time.time() - age * 100,) * 2)
    assert newest_place(tmp_path) == tmp_path / "course"
    write_run(tmp_path / "quickstart", "dpo_64")
    assert newest_place(tmp_path, ("pretrain",)) == tmp_path / "course"
    assert newest_place(tmp_path, ("dpo",)) == newest_place(tmp_path) == tmp_path / "quickstart"
    os.utime(logs / "metrics.jsonl", (time.time() + 1,) * 2)
    assert newest_place(tmp_path) == tmp_path


def test_where_no_run_goes_on_the_next_one_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "LOOKED_AROUND", 0.0)
    logs, drawn = write_run(Path("out"), "first_64"), []

    def draw(lines):
        drawn.append(lines)
        if len(drawn) == 1:
            write_run(Path("out/course"), "next_64")
        elif len(drawn) == 2:  # the last line of the first one
            with open(logs / "metrics.jsonl", "a") as file:
                file.write(json.dumps({"step": 40, "loss": 4.0}) + "\n")
            os.utime(logs / "metrics.jsonl", (time.time() - 5,) * 2)
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        watch.follow(Runs(Path("out")), 0.01, [], moves=True)
    for name, lines in zip(("first_64", "first_64", "next_64"), drawn, strict=True):
        assert f"{name}: pretrain, 1.500 M parameters, muon" in lines
    assert drawn[-1][0] == "more runs are in out: --out_dir shows them"


def test_runs_in_other_folders_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out, quickstart = Path("out"), Path("out/quickstart")
    logs = write_run(out, "pretrain_64")
    os.utime(logs / "metrics.jsonl", (1, 1))
    assert other_places(out, out) == []
    write_run(out / "lora", "medic_64")
    write_run(quickstart, "full_sft_64")
    assert (other_places(out, quickstart), other_places(out, out)) == ([out], [quickstart])
    assert other_places(out, quickstart, ("full_sft",)) == []
    watch.main(["--once"])
    assert capsys.readouterr().out.startswith("more runs are in out: --out_dir shows them\n---")
    watch.main(["--once", "--out_dir", "out"])
    assert "more runs" not in capsys.readouterr().out


def test_the_newest_comes_first_and_others_are_chosen_by_name(tmp_path):
    for age, name in enumerate(["dpo_64", "full_sft_64", "pretrain_64"]):
        logs = write_run(tmp_path, name)
        os.utime(logs / "metrics.jsonl", (time.time() - age * 100,) * 2)
    write_run(tmp_path / "lora", "medic_64")
    lines = shown(tmp_path).splitlines()
    assert lines[0].startswith("4 runs, newest first, in ") and lines[1].startswith("> lora/medic_64 ")
    assert [line.split()[0] for line in lines[2:5]] == ["dpo_64", "full_sft_64", "pretrain_64"]
    for name in ("full_sft", "full_sft_64"):
        assert shown(tmp_path, names=(name,)).startswith("full_sft_64: pretrain")
    assert shown(tmp_path, names=("lora/medic_64",)).startswith("lora/medic_64: ")
    assert "and 3 more" in shown(tmp_path, height=12) and "> lora/medic_64" in shown(tmp_path, height=12)


def test_runs_without_a_step_or_a_number_or_a_description(tmp_path):
    write_run(tmp_path, "empty_64", steps=0)
    assert "no step has ended yet" in shown(tmp_path)
    write_run(tmp_path, "lost_64", loss=float("nan"))
    text = shown(tmp_path, names=("lost",))
    assert "no loss that is a number" in text and "30 steps without a loss that is a number" in text
    logs = write_run(tmp_path, "odd_64")
    (logs / "run.json").write_text("{")
    # The path of the file decides where its line is broken.
    text = " ".join(shown(tmp_path, names=("odd",)).split())
    assert "run.json is damaged" in text and "step 30 last" in text


@pytest.mark.parametrize(
    "sample",
    [
        "\x1b[2J\x1b]0;title\x07",
        "a\r\nb\u2028c",
        "\u202eabc\u200b\U000e0001",
        "\udc80\ud83d",
        "新芽" * 60,
        "e\u0301" * 99,
    ],
)
def test_what_a_network_writes_neither_steers_the_terminal_nor_breaks_the_frame(tmp_path, sample):
    write_run(tmp_path, "gr\x1b[31mpo_64", sample=sample)
    text = shown(tmp_path)
    assert not {unicodedata.category(sign) for sign in text.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    text.encode()


@settings(max_examples=examples(40))
@given(st.integers(1, 200), st.integers(1, 60))
def test_it_fits_every_window(tmp_path_factory, width, height):
    out = tmp_path_factory.getbasetemp() / "windows"
    if not out.exists():
        write_run(out, "pretrain_64", steps=40, sample="新芽在春天长出来。" * 9)
        write_run(out, "full_sft_64", sample="x" * 300)
    shown(out, width, height)
    shown(out, width, height, ("pretrain",))


@given(st.text(max_size=60), st.integers(1, 30), st.integers(1, 4))
def test_texts_are_cut_and_wrapped_by_their_columns(text, width, most):
    text = harmless(text)
    assert width_of(cut(text, width)) <= width
    lines = wrapped(text, max(2, width), most)
    assert len(lines) <= most and all(width_of(line) <= max(2, width) for line in lines)
    if len(lines) < most:
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_curve_stands_where_its_values_are():
    falling = [(step, 10.0 - step) for step in range(1, 10)]
    lines = curve(falling, [(1, 9.0), (9, 1.0)], 21, 10, braille=False)
    assert lines[0].startswith("9 |o") and lines[8] == "1 |" + " " * 17 + "o"
    assert lines[9].split() == ["1", "step", "9"]
    columns = [line[3:].find("*") for line in lines[:8]]
    assert columns == sorted(columns) and columns[0] == 1
    flat = curve([(1, 2.0), (2, 2.0)], [], 40, 5)
    assert sum(any("\u2800" < sign <= "\u28ff" for sign in line) for line in flat) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    logs = write_run(tmp_path, "odd_32")
    for name in ("run.json", "samples.jsonl"):
        (logs / name).unlink(missing_ok=True)
        os.mkfifo(logs / name)
    assert "run.json is damaged (it is no file)" in "\n".join(frame(Runs(tmp_path).look(), tmp_path, 200, None))
    (logs / "metrics.jsonl").unlink()
    os.mkfifo(logs / "metrics.jsonl")
    with pytest.raises(SproutError, match="metrics.jsonl is no file, such as a run writes: move it away"):
        watch.main(["--out_dir", str(tmp_path)])
