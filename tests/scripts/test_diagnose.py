"""scripts/diagnose.py: a verdict at any time, from a folder or its metrics.jsonl; and the fit of the expected loss."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import UsageError
from scripts import diagnose
from scripts.benchmark import fit_expected_loss
from tests.faults.scripts import ROOT, python
from training.diagnosis.expected_loss import POINTS
from training.diagnosis.next_command import next_command
from training.report.description import Description, write_description


def write_log(folder, steps=40, facts=None, **more):
    """A run whose loss falls from 8 to 4, with a validation at its end."""
    folder.mkdir(parents=True)
    with open(folder / "metrics.jsonl", "w") as file:
        for step in range(1, steps + 1):
            line = {"step": step, "tokens": 5000 * step, "loss": 4 + 4 / step, "lr": 0.02, "grad_norm": 1.0}
            line |= {"val_loss": 4.1, "val_bits_per_byte": 2.2, **more} if step == steps else {}
            file.write(json.dumps(line) + "\n")
    if facts:
        write_description(folder, facts)
    return folder


FACTS = Description(
    stage="pretrain",
    begins_with="nothing",
    parameters=2_000_000,
    trained_parameters=2_000_000,
    vocab_size=6400,
    different_tokens=400_000,
    steps=80,
    learning_rate=0.02,
    default_learning_rate=0.02,
)


def test_a_run_under_way(tmp_path):
    folder = write_log(tmp_path / "新 芽" / "pretrain_64", facts=FACTS)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 41, "los')  # is being written just now
    for path in (folder, folder / "metrics.jsonl"):
        ended = python("scripts/diagnose.py", path)
        where, verdict, advice = ended.out.splitlines()
        assert (ended.code, where, ended.err) == (0, str(path), "")
        assert verdict.startswith("verdict   ") and "at step 40 of 80" in verdict and "is usual at the end" in verdict
        assert advice.startswith("try next  ")


def test_a_curve_alone_is_judged_and_says_what_is_not_seen(tmp_path):
    ended = python("scripts/diagnose.py", write_log(tmp_path / "logs"))
    assert "but       there is no run.json, so the default learning rate" in ended.out


def test_every_folder_is_judged_whatever_the_others_hold(tmp_path):
    write_log(tmp_path / "logs" / "a", facts=FACTS)
    write_log(tmp_path / "logs" / "b", facts=Description(stage="dpo", kind="preference", steps=40))
    write_log(tmp_path / "logs" / "c")
    (tmp_path / "logs" / "b2").mkdir()
    (tmp_path / "logs" / "b2" / "metrics.jsonl").touch()
    ended = python("scripts/diagnose.py", tmp_path / "logs")
    said = ended.out.splitlines()
    assert [line for line in said if line.startswith("/")] == [str(tmp_path / "logs" / name) for name in "abc"]
    assert sum(line.startswith("verdict   ") for line in said) == 3
    assert ended.code == 1 and f"{tmp_path / 'logs' / 'b2' / 'metrics.jsonl'} holds no step yet" in ended.sentence


def test_an_output_folder_and_the_name_of_adapters_lead_to_their_logs(tmp_path, monkeypatch):
    whole = write_log(tmp_path / "out" / "logs" / "full_sft_64", facts=FACTS)
    adapters = write_log(tmp_path / "out" / "lora" / "logs" / "medic_64", facts=FACTS)
    monkeypatch.chdir(tmp_path)
    assert list(map(Path, diagnose.logs_in("out"))) == [whole.relative_to(tmp_path), adapters.relative_to(tmp_path)]
    assert diagnose.metrics_in("medic").resolve() == adapters / "metrics.jsonl"
    assert list(map(Path, diagnose.logs_in("out/lora"))) == [adapters.relative_to(tmp_path)]


def test_a_run_that_is_named_twice_is_judged_once(tmp_path, monkeypatch, capsys):
    write_log(tmp_path / "out" / "logs" / "full_sft_64", facts=FACTS)
    monkeypatch.chdir(tmp_path)
    diagnose.main(["out", "out/logs", "full_sft", "out/logs/full_sft_64/metrics.jsonl"])
    assert capsys.readouterr().out.count("verdict   ") == 1


def test_what_comes_next_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    logs = tmp_path / "my runs" / "logs" / "base_64" / "metrics.jsonl"
    assert next_command("pretrain", logs) == "python train_full_sft.py"  # the logs alone
    (tmp_path / "my runs" / "lora").mkdir(parents=True)
    weight = tmp_path / "my runs" / "base_64.pth"
    weight.touch()
    flags = f"--from_weight '{weight}' --out_dir '{tmp_path / 'my runs'}'"
    assert next_command("pretrain", logs) == f"python train_full_sft.py {flags}"
    assert next_command("dpo", logs) == f"python eval_model.py --model_mode 2 --weight_path '{weight}'"
    assert next_command("reward", logs).startswith("python scripts/score.py ") and next_command("other", logs) is None
    adapters = tmp_path / "my runs" / "lora" / "medic_64.pth"
    adapters.touch()
    found = next_command("lora", adapters.parent / "logs" / "medic_64" / "metrics.jsonl")
    assert found == f"python eval_model.py --model_mode 1 --lora '{adapters}'"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pretrain_512.pth").touch()
    script = shlex.quote(str(ROOT / "train_full_sft.py"))
    assert next_command("pretrain", Path("out/logs/pretrain_512/metrics.jsonl")) == f"python {script}"


def test_several_as_json(tmp_path):
    folders = [write_log(tmp_path / "a", facts=FACTS), write_log(tmp_path / "b", steps=5)]
    ended = python("scripts/diagnose.py", *folders, "--json")
    first, second = map(json.loads, ended.out.splitlines())
    assert [first["logs"], second["logs"]] == list(map(str, folders))
    assert first["name"] == "still falling" and 2.0 < first["expected_bits_per_byte"] < 2.6
    assert second["name"] == "too early to tell" and second["since_step"] is None
    assert {"sentence", "advice", "unjudged"} < first.keys()


def test_nothing_is_written(tmp_path):
    folder = write_log(tmp_path / "logs", facts=FACTS)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    python("scripts/diagnose.py", folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# What the folder `logs` holds instead | part of the sentence | exit code
HOSTILE = [
    ({}, "logs holds no metrics.jsonl: give the log folder of a run", 2),
    ({"metrics.jsonl": b""}, "metrics.jsonl holds no step yet: look again when the run has begun", 1),
    ({"metrics.jsonl": b'{"step": 1'}, "metrics.jsonl holds no step yet", 1),
    ({"metrics.jsonl": b"\xff\xfe\n"}, "metrics.jsonl:1 is ", 1),
    ({"metrics.jsonl": b'{"step": 1, "loss": 1, "lr": 1}\n\n'}, "metrics.jsonl:2 is damaged", 1),
    ({"metrics.jsonl": b'{"text": "a corpus"}\n'}, "metrics.jsonl:1 is ", 1),
    ({"metrics.jsonl": b'{"step": 1, "reward": 2}\n'}, "metrics.jsonl:1 is no step of a training run", 1),
    ({"metrics.jsonl": b"[1, 2]\n"}, "metrics.jsonl:1 is ", 1),
    ({"metrics.jsonl": 2 * b'{"step": 3, "loss": 1, "lr": 1}\n'}, "metrics.jsonl:2 is of step 3, but comes after", 1),
    ({"metrics.jsonl": b'{"step": 1, "loss": 1, "lr": 1}\n', "run.json": b"{"}, "run.json is damaged", 1),
    (
        {"metrics.jsonl": b'{"step": 1, "loss": 1, "lr": 1}\n', "run.json": b"[" * 100_000},
        "run.json is damaged",
        1,
    ),
    ({"metrics.jsonl": b"[" * 100_000 + b"\n"}, "metrics.jsonl:1 is damaged", 1),
]


@pytest.mark.parametrize("files, sentence, code", HOSTILE)
def test_what_is_no_log_of_a_run_ends_with_one_sentence(tmp_path, files, sentence, code):
    (tmp_path / "logs").mkdir()
    for name, content in files.items():
        (tmp_path / "logs" / name).write_bytes(content)
    ended = python("scripts/diagnose.py", tmp_path / "logs")
    assert (ended.code, ended.out) == (code, "") and sentence in ended.sentence


@pytest.mark.parametrize(
    "path, sentence", [("gone", "gone is not there"), ("a.pth", "is no log folder"), ("a.jsonl", "is no log folder")]
)
def test_paths_that_lead_elsewhere(tmp_path, monkeypatch, path, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"PK")
    (tmp_path / "a.jsonl").write_text('{"text": "data, of which report.py made an empty page"}\n')
    with pytest.raises(UsageError, match=f"{sentence}.*give the log folder of a run, such as out/logs/pretrain_512"):
        diagnose.main([path])


def test_a_copy_of_a_log_has_any_name(tmp_path):
    folder = write_log(tmp_path / "logs", facts=FACTS)
    copy = tmp_path / "first_try.jsonl"
    copy.write_bytes((folder / "metrics.jsonl").read_bytes())
    assert diagnose.metrics_in(str(copy)) == copy


def test_wrong_flags():
    assert python("scripts/diagnose.py").code == 2
    assert "did you mean --json?" in python("scripts/diagnose.py", "x", "--jsn").sentence


def test_it_does_not_wait_for_torch(tmp_path):
    folder = write_log(tmp_path / "logs", facts=FACTS)
    code = f"""
import runpy, sys
sys.argv = ["scripts/diagnose.py", {str(folder)!r}]
runpy.run_path("scripts/diagnose.py", run_name="__main__")
assert not {{"torch", "matplotlib", "transformers"}} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_fit_is_printed_and_takes_further_runs(tmp_path, capsys):
    finished = Description(**vars(FACTS) | {"steps": 40})
    fit_expected_loss.main([str(write_log(tmp_path / "logs", facts=finished))])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(POINTS) + 1 + 1 and lines[-1].startswith("bits per byte = ")
    assert lines[-2].split()[:3] == ["2,000,000", "200,000", "2.2000"]
    unfinished = python("scripts/benchmark/fit_expected_loss.py", write_log(tmp_path / "half", facts=FACTS))
    assert "half holds no finished pretraining run" in unfinished.sentence
