"""Which texts a run trains on and is validated on, from its flags."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import train_dpo
import train_full_sft
from dataset.cache import token_cache
from dataset.rows.chats import CHATS
from dataset.rows.pairs import PAIRS
from dataset.rows.texts import TEXTS
from model.errors import UsageError
from tests.stages.workshop import Workshop, write_texts
from train_pretrain import parse_arguments
from training.report.description import few_held_out
from training.stages.data import describe_rows, open_data

ROOT = Path(__file__).parents[3]


@pytest.fixture
def workshop(tmp_path):
    return Workshop.create(tmp_path)


def open_rows(workshop, tokenizer, *words, data):
    args = parse_arguments(workshop.command("out", *words, data=data))
    return open_data(TEXTS, args, tokenizer, say=lambda line: None)


def test_many_files_are_validated_on_to_a_limit_together(workshop, small_tokenizer, monkeypatch):
    names = [f"many{number}.jsonl" for number in range(8)]
    for number, name in enumerate(names):
        write_texts(workshop.folder / name, 200, seed=number)
    monkeypatch.setattr(token_cache, "MAX_VALIDATION_BYTES", 8000)
    _, validation = open_rows(workshop, small_tokenizer, "--val_ratio=0.5", data=names)
    assert 2000 < validation.bytes < 9000


def test_a_validation_file_takes_no_weight(workshop, small_tokenizer):
    with pytest.raises(UsageError, match="takes no weight"):
        open_rows(workshop, small_tokenizer, "--val_path", f"{workshop.folder}/b.jsonl:0.5", data=["a.jsonl"])
    assert not (workshop.folder / "out").exists()  # said before any work


@pytest.mark.parametrize("name", ["a.jsonl", "link.jsonl"])
def test_a_file_is_not_both_trained_and_validated_on(workshop, small_tokenizer, name):
    (workshop.folder / "link.jsonl").symlink_to("a.jsonl")
    with pytest.raises(UsageError, match="are the same file"):
        open_rows(workshop, small_tokenizer, "--val_path", f"{workshop.folder}/{name}", data=["b.jsonl", "a.jsonl"])
    assert not (workshop.folder / "out").exists()


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("stage, name", [("pretrain", "pretrain.jsonl"), ("full_sft", "sft.jsonl")])
def test_without_data_a_stage_takes_the_sample_data_and_says_so(tmp_path, stage, name):
    workshop = Workshop.create(tmp_path, stage)
    command = workshop.command("out", "--max_steps=1", "--eval_interval=0")
    del command[: command.index("--out_dir")]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        workshop.main(command)
    assert f"no --data_path is given: this run takes the sample data in {tmp_path / 'out' / 'sample' / name}" in (
        said.getvalue()
    )
    assert workshop.result("out").facts["step"] == 1


def test_held_out_conversations_that_no_row_can_hold_are_said(tmp_path, small_tokenizer):
    workshop = Workshop.create(tmp_path, "full_sft")
    long_question = {"conversations": [{"role": "user", "content": "x" * 99}, {"role": "assistant", "content": "y"}]}
    (tmp_path / "long.jsonl").write_text(json.dumps(long_question) + "\n")
    args = train_full_sft.parse_arguments(workshop.command("out", "--val_path", str(tmp_path / "long.jsonl")))
    said = []
    _, validation = open_data(CHATS, args, small_tokenizer, said.append)
    assert len(validation) == 0
    assert said[-2:] == [
        "validation leaves out 1 conversations, whose first answer begins beyond --max_seq_len",
        "nothing is held out, so this run has no validation (--val_path, --val_ratio)",
    ]


def said_of(workshop, tokenizer, *words, data=("a.jsonl",)) -> list[str]:
    """What is said of the held-out texts of `workshop`."""
    said = []
    open_data(TEXTS, parse_arguments(workshop.command("out", *words, data=list(data))), tokenizer, said.append)
    return [line for line in said if "held out" in line and "format text" not in line]


def test_that_nothing_held_out_is_ever_scored_is_said_and_the_data_stay_as_they_are(workshop, small_tokenizer):
    said = said_of(workshop, small_tokenizer, "--val_ratio=0.5", "--eval_interval=0")
    assert said == ["what is held out is never scored, as --eval_interval 0 asks; --val_ratio 0 would hold out nothing"]
    assert said_of(workshop, small_tokenizer, "--val_ratio=0.5", "--eval_interval=5") == []
    of_a_file = said_of(workshop, small_tokenizer, "--val_path", workshop.folder / "b.jsonl", "--eval_interval=0")
    assert of_a_file == ["what is held out is never scored, as --eval_interval 0 asks"]  # beside which no ratio goes
    never, later = (
        open_rows(workshop, small_tokenizer, "--val_ratio=0.5", f"--eval_interval={steps}", data=["a.jsonl"])
        for steps in (0, 5)
    )
    assert [rows.identity for rows in never] == [rows.identity for rows in later]  # --resume may score them after all


@pytest.mark.parametrize("letters, warns", [(198, True), (199, False)])
def test_too_few_held_out_tokens_to_judge_by_are_a_warning(workshop, small_tokenizer, letters, warns):
    (workshop.folder / "v.jsonl").write_text(json.dumps({"text": "a" * letters}) + "\n")
    said = said_of(workshop, small_tokenizer, "--val_path", workshop.folder / "v.jsonl")
    few = "warning: what is held out has 199 tokens, too few to judge by: give"
    assert said == [f"{few} more records in --val_path"] * warns  # a letter is a token, and so is the end
    (workshop.folder / "short.jsonl").write_text("".join(json.dumps({"text": f"a {i}"}) + "\n" for i in range(12)))
    said = said_of(workshop, small_tokenizer, data=["short.jsonl"])
    assert len(said) == 1 and said[0].endswith("give a larger --val_ratio, or files of its own by --val_path")


@pytest.mark.parametrize("pairs", [19, 20])
def test_pairs_are_counted_however_long_they_are(workshop, small_tokenizer, pairs):
    pair = {"prompt": "a", "chosen": "b" * 20, "rejected": "c" * 20}
    lines = "".join(json.dumps(pair | {"prompt": f"{i}?"}) + "\n" for i in range(pairs))
    (workshop.folder / "held.jsonl").write_text(lines)
    command = Workshop(workshop.folder, "dpo").command("out", f"--val_path={workshop.folder / 'held.jsonl'}")
    said = []
    rows, _ = open_data(PAIRS, train_dpo.parse_arguments(command), small_tokenizer, said.append)
    few = "warning: what is held out has 19 records, too few to judge by: give more records in --val_path"
    assert (few in said) == (pairs == 19) and describe_rows(rows)["held_out"] == pairs
    assert bool(few_held_out("preference", pairs)) == (pairs == 19)


PRETRAINS = """
import sys
from dataset.rows.texts import TEXTS
from training.stages.data import open_data
from train_pretrain import parse_arguments
from tests.support import make_tokenizer
open_data(TEXTS, parse_arguments(sys.argv[1:]), make_tokenizer(), say=lambda line: None)
print(*(name for name in sys.modules if name.startswith("dataset.")))
"""


def test_the_data_of_a_stage_load_nothing_of_other_kinds(workshop):
    command = [sys.executable, "-c", PRETRAINS, *workshop.command("out", data=["a.jsonl"])]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert "dataset.rows.texts" in loaded
    of_others = "conversations preferences scored kinds parquet rendering examples packed packing sample".split()
    assert not {name for name in loaded if name.split(".")[-1] in of_others}
