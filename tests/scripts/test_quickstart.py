"""scripts/quickstart.py: goes on where it was, ends cleanly, and says what it measured."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dataset.sample.files import write_sample
from eval_model import WEIGHT_NAMES
from model.errors import SproutError
from scripts import interpolate
from scripts.quickstart import (
    CHAT_EXAMINATIONS,
    FIRST_CHAT_DATA,
    ROOT,
    after_the_first_chat,
    comparison,
    farewell,
    main,
    parse_arguments,
    stages,
)
from scripts.quickstart_full import stages_after, table_after
from scripts.quickstart_way import Done, Place, Stage, ending, perform
from training.report.going_on import GO_ON


def python(code: str) -> tuple[str, ...]:
    return ("-c", code)


def writes(path: Path, text: str) -> Stage:
    return Stage("first", python(f"open({str(path)!r}, 'a').write({text!r})"), path)


def test_a_stage_that_is_done_is_skipped_until_its_command_changes(tmp_path):
    result = tmp_path / "result"
    stage = writes(result, "x")
    done = Done(tmp_path / "done.json")
    assert not done.has(stage)
    perform(stage, done)
    again = Done(tmp_path / "done.json")
    assert again.has(stage) and not again.has(writes(result, "y"))
    result.unlink()
    assert not again.has(stage)


def test_what_comes_after_a_stage_done_anew_is_done_anew(tmp_path):
    done = Done(tmp_path / "done.json")
    (tmp_path / "a").touch()
    first, second = writes(tmp_path / "a", "x"), Stage("second", python(""), tmp_path / "a")
    done.begin(first)
    done.end(first)
    done.begin(second)
    done.end(second)
    assert done.has(second)
    done.begin(writes(tmp_path / "a", "other"))
    assert not Done(tmp_path / "done.json").has(second)


def test_an_interrupted_stage_is_resumed_and_one_of_another_command_is_not(tmp_path):
    result, resume = tmp_path / "weight.pth", tmp_path / "weight_resume.pth"
    says = "import sys; open({!r}, 'w').write(' '.join(sys.argv[1:]))"

    def stage(*words):
        return Stage("train", (*python(says.format(str(result))), *words), result, resume)

    done = Done(tmp_path / "done.json")
    done.begin(stage("--seed", "1"))
    resume.write_bytes(b"state")
    perform(stage("--seed", "1"), Done(tmp_path / "done.json"))
    assert result.read_text() == "--seed 1 --resume"
    perform(stage("--seed", "2"), Done(tmp_path / "done.json"))
    assert result.read_text() == "--seed 2"
    done = Done(tmp_path / "done.json")
    done.begin(stage("--seed", "2"))  # and stopped before its first save
    perform(stage("--seed", "2"), done)
    assert result.read_text() == "--seed 2"


def test_the_state_of_another_run_stays_until_the_stage_moves_it_and_is_not_gone_on_from(tmp_path):
    result, resume = tmp_path / "weight.pth", tmp_path / "weight_resume.pth"
    resume.write_bytes(b"state of the user's")
    says = f"import sys; open({str(result)!r}, 'w').write(' '.join(sys.argv[1:]))"
    stage = Stage("train", python(says), result, resume)
    for _ in range(2):  # the first ends before the stage has moved the file
        done = Done(tmp_path / "done.json")
        assert not done.was_begun(stage)
        done.begin(stage)
    perform(stage, Done(tmp_path / "done.json"))
    assert result.read_text() == "" and resume.read_bytes() == b"state of the user's"
    done.begin(stage)
    resume.rename(tmp_path / "moved")
    resume.write_bytes(b"its own")
    assert Done(tmp_path / "done.json").was_begun(stage)


def test_answers_that_were_there_are_moved_to_earlier(tmp_path):
    result, answers = tmp_path / "asked.json", tmp_path / "asked.jsonl"
    result.write_text("mine")
    answers.write_text("mine, too")
    perform(Stage("ask", python("print('new')"), result, capture=True, leaves=answers), Done(tmp_path / "done.json"))
    (folder,) = (tmp_path / "earlier").iterdir()
    assert [(folder / path.name).read_text() for path in (result, answers)] == ["mine", "mine, too"]
    assert result.read_text() == "new\n" and not answers.exists()


def test_answers_of_an_interrupted_examination_are_gone_on_with(tmp_path):
    stage = Place(tmp_path, 42).examination("ask", "asked", "--model_mode 1", keep=True)
    answers, progress = tmp_path / "asked.jsonl", tmp_path / "asked.jsonl.progress"
    assert (stage.leaves, stage.resume) == (answers, progress)
    says = f"import os, sys; print(sys.argv[1:], os.path.exists({str(answers)!r}))"
    stage, other = (replace(stage, command=python(says + comment)) for comment in ("", "  # another command"))
    Done(tmp_path / "done.json").begin(stage)
    for path in (answers, progress):
        path.write_text("half")
    perform(stage, Done(tmp_path / "done.json"))
    assert stage.result.read_text() == "['--resume'] True\n" and answers.read_text() == "half"
    perform(other, Done(tmp_path / "done.json"))
    assert stage.result.read_text() == "[] False\n" and not progress.exists()
    (folder,) = (tmp_path / "earlier").iterdir()
    assert {path.name for path in folder.iterdir()} == {"asked.json", answers.name, progress.name}


@pytest.mark.parametrize("damage", ['{"first": [', "[]", '{"first": 1}', '{"first": [1]}', "\0"])
def test_a_damaged_note_of_what_is_done_begins_anew(damage, tmp_path):
    (tmp_path / "done.json").write_text(damage)
    stage = replace(writes(tmp_path / "a", "x"), resume=tmp_path)
    assert not Done(tmp_path / "done.json").has(stage) and not Done(tmp_path / "done.json").was_begun(stage)


def test_a_damaged_examination_is_made_again(tmp_path):
    stage, path = (
        Stage("ask", python("print('{\"questions\": 9}')"), tmp_path / "a.json", capture=True),
        tmp_path / "done",
    )
    perform(stage, Done(path))
    assert Done(path).has(stage)
    stage.result.write_text('{"questi')
    assert not Done(path).has(stage)


def test_a_stage_that_fails_is_not_done_and_the_message_names_it(tmp_path):
    stage = Stage("first", python("raise SystemExit(3)"), tmp_path)
    with pytest.raises(SproutError, match="exit code 3"):
        perform(stage, Done(tmp_path / "done.json"))
    assert not Done(tmp_path / "done.json").has(stage)


def test_a_stage_that_was_killed_says_so_in_words(tmp_path):
    stage = Stage("first", python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), tmp_path)
    with pytest.raises(SproutError, match="was killed by the system, most likely because the memory was used up"):
        perform(stage, Done(tmp_path / "done.json"))
    assert ending(-signal.SIGSEGV) == "was ended by the signal SIGSEGV"


def share(right: float, count: int, **languages) -> dict:
    more = {name: {"accuracy": value, "questions": count // 2} for name, value in languages.items()}
    return {"accuracy": right, "questions": count} | ({"languages": more} if more else {})


def test_the_table_has_a_row_for_each_skill_and_a_column_for_each_language():
    before = share(0.0, 40, en=0.0, zh=0.0) | {"skills": {"sum": share(0.0, 40, en=0.0, zh=0.0)}}
    after = share(0.95, 40, en=1.0, zh=0.9) | {"skills": {"sum": share(0.95, 40, en=1.0, zh=0.9)}}
    head, row, total = (line.split("  ") for line in comparison(before, after))
    assert [cell.strip() for cell in head if cell.strip()] == ["skill", "questions", "en", "zh", "all"]
    assert [cell.strip() for cell in row if cell.strip()] == [
        *("sum", "40", "0.0% -> 100.0%", "0.0% -> 90.0%", "0.0% -> 95.0%"),
    ]
    assert total[0].strip() == "all"


def test_a_line_for_each_examination_of_the_first_chat():
    lines = after_the_first_chat([share(0.915, 892), share(0.8, 360), share(0.9, 200)])
    assert [line.split("  ")[-1].strip() for line in lines] == ["91.5% of 892", "80.0% of 360", "90.0% of 200"]
    assert [line.split("  ")[0] for line in lines] == [title for title, _ in CHAT_EXAMINATIONS.values()]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    """A folder with the sample data, in which nothing is written."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return Place(folder, seed=42)


def test_the_examined_questions_and_the_trained_chats_are_those_of_the_sample(place):
    way = stages(place)
    for stage in way:
        for word in stage.command:
            if word.endswith(".jsonl"):
                assert Path(word).is_file()
    assert [stage.command[0] for stage in way] == [
        *("-m", "train_tokenizer.py", "train_pretrain.py", "eval_model.py", "train_full_sft.py", "eval_model.py"),
        *("train_full_sft.py", "scripts/interpolate.py", "eval_model.py", "eval_model.py", "eval_model.py"),
    ]
    assert len({stage.result for stage in way}) == len({stage.title for stage in way}) == len(way)


def test_the_full_way_asks_scripts_for_what_they_have(place):
    """Every flag is known to its script, every file of data is there, every network is made before it is asked for."""
    way = [*stages(place), *stages_after(place)]
    assert len({stage.result for stage in way}) == len({stage.title for stage in way}) == len(way)
    made = set()
    for stage in way:
        script, *flags = stage.command
        if script == "scripts/interpolate.py":
            args = interpolate.parse_arguments(flags)
            assert {args.from_weight, args.to_weight} <= made
        if (script.startswith("train_") and script != "train_tokenizer.py") or script == "eval_model.py":
            args = importlib.import_module(script.removesuffix(".py")).parse_arguments(flags)
            data = [args.data_path] if isinstance(args.data_path, str) else args.data_path
            assert all(Path(re.sub(r":[\d.]+$", "", path)).is_file() for path in data)
            if script == "eval_model.py":
                asked = args.lora or args.weight or WEIGHT_NAMES[args.model_mode]
            else:
                asked = args.from_weight
            assert asked in {*made, None}
        made.add(stage.result.stem.rsplit("_", 1)[0])


def test_the_table_of_the_full_way_says_what_was_measured(tmp_path):
    place = Place(tmp_path, seed=42)
    exams = [stage for stage in [*stages(place), *stages_after(place)] if stage.capture]
    exams = [stage for stage in exams if "--weight chat" not in " ".join(stage.command)]  # which no later stage needs
    for number, stage in enumerate(exams):
        found = share(number / 100, 10) | {"skills": {"sum_of_three": share(0.5 + number / 100, 10)}}
        stage.result.write_text(json.dumps(found))
        if stage.leaves:
            answers = ["Leave me alone.", "Paris."] if stage.leaves.stem == "manners_before" else ["Paris."]
            stage.leaves.write_text("".join(json.dumps({"answer": each}) + "\n" for each in answers))
    for name, metric in (("dpo", "val_rewards/accuracies"), ("reward", "val_accuracy")):
        log = place.out / "logs" / f"{name}_256" / "metrics.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text("".join(json.dumps(line) + "\n" for line in ({metric: 0.1}, {metric: 0.97}, {"loss": 1})))
    head, *rows = table_after(place)
    assert head.split()[0] == "stage" and len({len(row) for row in rows}) == 1
    last = [row.split()[-2:] for row in rows]
    assert last[0] == ["0.0%", "1.0%"] and last[1] == ["2.0%", "3.0%"] and last[2] == ["1.0%", "4.0%"]
    assert last[3] == ["50.0%", "0.0%"] and last[4] == last[6] == ["-", "97.0%"] and last[5] == ["5.0%", "6.0%"]
    assert last[7] == ["50.0%", "0.0%"] and last[8] == ["5.0%", "7.0%"] and last[9] == ["58.0%", "59.0%"]
    assert last[10] == ["60.0%", "62.0%"] and last[11] == ["11.0%", "13.0%"] and last[12] == ["14.0%", "15.0%"]
    assert last[13] == ["16.0%", "17.0%"]


@pytest.mark.parametrize("steps", [None, 60])
def test_a_trial_says_at_its_end_that_it_was_one(steps):
    args = parse_arguments(["--out_dir", "out/quickstart", *(["--max_steps", f"{steps}"] if steps else [])])
    last = farewell(args, ("eval_model.py", "x"), ROOT, "9 s")
    assert ("trial" in last) == (steps is not None) and "\nThis took 9 s. What next?\n" in last


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """The flags of a trial, how many lines of each file are left, and the commands.

    In its folder is every sixteenth of the lines: all would take several times as long, and two steps learn nothing.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(GO_ON, "the command of a trial")
    monkeypatch.setattr("scripts.quickstart.TRY_EN", ("What is 27 + 35?",))  # these are written to their limit
    monkeypatch.setattr("scripts.quickstart.TRY_ZH", ("法国的首都是哪里？",))
    place = Place(tmp_path, seed=42, max_steps=2)
    way, asked = stages(place), {}
    perform(way[0], Done(tmp_path / "quickstart.json"))
    questions = [name for _, name in CHAT_EXAMINATIONS.values()]
    for name in (*questions, "pretrain", *FIRST_CHAT_DATA):
        path = Path(place.sample(name))
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[::16]
        path.write_text("".join(lines), encoding="utf-8")
        asked[name] = len(lines)
    return ["--out_dir", str(tmp_path), "--max_steps", "2"], asked, way


@pytest.mark.usefixtures("in_this_process")
def test_the_whole_way_in_two_steps_and_what_is_done_is_not_done_again(trial, tmp_path, capsys):
    words, asked, way = trial
    capsys.readouterr()
    main(words)
    said = capsys.readouterr().out
    assert said.count("done before") == 1 and "question" in said and "What next?" in said
    assert "\nThis was a trial: no training went beyond 2 steps, as --max_steps asks, so the answers are poor;" in said
    weights = (tmp_path / "full_sft_256.pth").stat().st_mtime_ns
    after = json.loads((tmp_path / "questions_after.json").read_text(encoding="utf-8"))
    assert after["questions"] == asked["questions"] > 50 and set(after["languages"]) == {"en", "zh"}
    for title, name in CHAT_EXAMINATIONS.values():
        assert re.search(rf"^{title} +[\d.]+% of {asked[name]}$", said, re.MULTILINE)

    command = [sys.executable, "scripts/quickstart.py", *words]  # by itself, as are the commands that it starts
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("done before") == len(way)
    assert (tmp_path / "full_sft_256.pth").stat().st_mtime_ns == weights
