"""`--resume` refuses what changed, by name; `--allow_changed` goes on where that makes sense, and says what it does.

Of pretraining, more differences are in tests/stages/test_train_pretrain_resume.py.
"""

import json
import shutil

import pytest

import train_full_sft
import train_pretrain
from model.files.reading import read_checkpoint
from tests.faults.processes import Running, no_curves, together
from tests.faults.scripts import python
from tests.stages.workshop import Result, Workshop, write_chats, write_texts
from tests.support import make_tokenizer
from training.engine.same_run import EFFECTS

RUN = ("--max_steps=6", "--save_interval=3", "--eval_interval=0", "--val_ratio=0.2")
TOKENIZER = "another tokenizer"

# Flags that change each part of what a run is (`resume.identity`), and what is said of it.
CHANGES = {
    "stage": ((), "stage was"),
    "network": (("--max_position_embeddings=640",), "network.max_position_embeddings was"),
    "tokenizer": ((TOKENIZER,), "tokenizer was"),
    "data": (("--val_ratio=0.3",), "is read otherwise: --val_ratio was 0.2, is 0.3"),
    "batch_size": (("--batch_size=4",), "batch_size was 2, is 4"),
    "accumulation_steps": (("--accumulation_steps=1",), "accumulation_steps was 2, is 1"),
    "processes": ((), "processes was 1, is 2"),
    "max_seq_len": (("--max_seq_len=31",), "max_seq_len was 32, is 31"),
    "epochs": (("--epochs=3",), "epochs was 1, is 3"),
    "steps": (("--max_steps=7",), "steps was 6, is 7"),
    "learning_rate": (("--learning_rate=0.0123",), "is 0.0123"),
    "warmup_steps": (("--warmup_steps=1",), "is 1"),
    "schedule": (("--schedule=cosine",), "schedule was wsd, is cosine"),
    "optimizer": (("--optimizer=adamw",), "optimizer was muon, is adamw"),
    "weight_decay": (("--weight_decay=0.3",), "is 0.3"),
    "adam_beta2": (("--adam_beta2=0.99",), "adam_beta2 was 0.95, is 0.99"),
    "grad_clip": (("--grad_clip=0.5",), "grad_clip was 1.0, is 0.5"),
    "freeze_layers": (("--freeze_layers=1",), "freeze_layers was 0, is 1"),
    "train_only": ((), "train_only was None, is embeddings"),
    "seed": (("--seed=1",), "seed was 42, is 1"),
    "device": ((), "device was cpu, is cuda"),
    "dtype": (("--dtype=bfloat16",), "dtype was float32, is bfloat16"),
    "compile": (("--compile=on",), "compile was False, is True"),
    "deterministic": (("--deterministic",), "deterministic was None, is True"),
    "optimizer_memory": (
        ("--optimizer_memory=compact", "--dtype=bfloat16"),
        "optimizer_memory was exact, is compact",
    ),
    "shard": ((), "shard was none, is full"),  # of several processes: tests/stages/test_many_cards.py
}
BY_FLAG = [name for name, (words, _) in CHANGES.items() if words]


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> dict[str, Result]:
    """A run of each stage, as it was saved after three of six steps."""
    results = {}
    for stage in ("pretrain", "full_sft"):
        workshop = Workshop.create(tmp_path_factory.mktemp(stage), stage)
        write_texts(workshop.folder / "other.jsonl", 24, seed=9)
        write_chats(workshop.folder / "chat_other.jsonl", 24, seed=9)
        make_tokenizer(("th",)).save(workshop.folder / TOKENIZER)
        result = workshop.train("whole", *RUN)
        for path in (result.weight_file, result.resume_file):
            path.with_name(f"{path.stem}.previous.pth").replace(path)
        results[stage] = result
    return results


def resume(stopped, stage: str, *words: str, **more):
    """How `--resume` of a copy of the stopped run ends; and that copy."""
    result = stopped[stage]
    folder = result.folder.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(result.folder, folder)
    workshop = Workshop(result.folder.parent, stage)
    if words and words[0] == TOKENIZER:
        words = ("--tokenizer_path", str(workshop.folder / TOKENIZER), *words[1:])
    ended = python(f"train_{stage}.py", *workshop.command("copy", *RUN, *words, "--resume", **more))
    return ended, workshop.result("copy")


def test_every_part_of_a_run_is_in_the_table(stopped):
    for result in stopped.values():
        named = set(read_checkpoint(result.resume_file)["identity"])
        # The first three are written only where they are on, the last only by pretraining.
        assert named | {"deterministic", "optimizer_memory", "shard", "train_only"} == set(CHANGES)
    # Of the data, these are of tests/stages/test_train_pretrain_resume.py and tests/training/engine/test_early_end.py.
    assert set(EFFECTS) < set(CHANGES) | {"data.scored_rows", "data.rewards", "data.tools"}


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
@pytest.mark.parametrize("name", BY_FLAG)
def test_it_is_refused_by_name_and_nothing_is_touched(stopped, stage, name, record_property):
    words, said = CHANGES[name]
    before = stopped[stage].resume_file.read_bytes(), stopped[stage].weight_file.read_bytes()
    ended, result = resume(stopped, stage, *words)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert ended.sentence.startswith("--resume would not continue the same run: ") and said in ended.sentence
    # Another batch makes other steps, another length of rows other data: these are named beside it.
    assert any(each in ended.sentence for each in (f"{name}.", f"{name} was ", "give the data as they were"))
    assert (result.resume_file.read_bytes(), result.weight_file.read_bytes()) == before
    assert [line["step"] for line in result.metrics] == list(range(1, 7))
    record_property("changes", 1)


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
@pytest.mark.parametrize("name", [name for name in BY_FLAG if name != "compile"])  # which takes a minute
def test_allow_changed_goes_on_where_that_makes_sense(stopped, stage, name, record_property):
    words, said = CHANGES[name]
    if name in ("batch_size", "accumulation_steps"):  # the same rows a step, otherwise cut
        words = {"batch_size": ("--batch_size=4", "--accumulation_steps=1"), "accumulation_steps": None}[name]
        said = "accumulation_steps was 2, is 1"
        if words is None:
            words = CHANGES[name][0]
    ended, result = resume(stopped, stage, *words, "--allow_changed")
    record_property("changes", 1)
    if name not in EFFECTS or name == "accumulation_steps":
        assert ended.code == 2 and "cannot go on with that changed, even by --allow_changed: " in ended.sentence
        assert "for steps as before give --batch_size 2 --accumulation_steps 2" in ended.sentence or name not in EFFECTS
        assert result.resume_file.read_bytes() == stopped[stage].resume_file.read_bytes()
        return
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith(f"changed: {name} was ")]
    assert (said in line or name == "batch_size") and line.endswith(EFFECTS[name]) and "at step 3 of" in ended.out
    last = 7 if name == "steps" else 6
    assert [line["step"] for line in result.metrics] == list(range(1, last + 1)) and result.facts["step"] == last


@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
def test_other_files_are_other_data(stopped, stage, record_property):
    begin = {"pretrain": "", "full_sft": "chat_"}[stage]
    for data, said in (
        ((f"{begin}a.jsonl:0.5", f"{begin}b.jsonl:0.5"), f"{begin}a.jsonl was 0.7, is 0.5"),
        ((f"{begin}b.jsonl:0.3", f"{begin}a.jsonl:0.7"), "the files are given in another order"),
        ((f"{begin}a.jsonl",), f"{begin}b.jsonl (16 records"),
        (
            (f"{begin}other.jsonl:0.7", f"{begin}b.jsonl:0.3"),
            f"{begin}other.jsonl, which has changed: it had 24 records",
        ),
    ):
        ended, _ = resume(stopped, stage, data=data)
        assert ended.code == 2 and said in ended.sentence
        assert "leave out --resume and begin with it, by --from_weight" in ended.sentence  # not a new network
        ended, _ = resume(stopped, stage, "--allow_changed", data=data)
        assert ended.code == 2 and "cannot go on with that changed" in ended.sentence
        record_property("changes", 1)


def test_code_that_was_edited_is_named(tmp_path, monkeypatch, record_property):
    """An edit is no flag, and may be meant: the run goes on, and says so, also when it is resumed a second time."""
    workshop, run_module = Workshop.create(tmp_path), "training.engine.run"
    code = {"train_pretrain.py": "a", "training/losses/next_token.py": "b"} | {f"{n}.py": "a" for n in range(6)}
    monkeypatch.setattr(f"{run_module}.loaded_code", lambda: code)
    workshop.train("edited", "--max_steps=2", "--eval_interval=0")
    resume = ("--max_steps=2", "--eval_interval=0", "--resume")
    same = workshop.train("edited", *resume)
    assert "changed after this run began" not in same.said
    edited = code | {"train_pretrain.py": "c", "training/engine/resume.py": "loaded to resume"}
    monkeypatch.setattr(f"{run_module}.loaded_code", lambda: edited)
    for steps in (4, 6):
        longer = workshop.train("edited", f"--max_steps={steps}", "--eval_interval=0", "--resume", "--allow_changed")
        assert (
            "warning: train_pretrain.py changed after this run began:"
            " the steps from here on are those of the code as it is"
        ) in longer.said
        left = json.loads((longer.logs / "run.json").read_text())
        assert left["code"] == code | {"train_pretrain.py": "a, then c"}
    monkeypatch.setattr(f"{run_module}.loaded_code", lambda: dict.fromkeys(code, "of another version"))
    newer = workshop.train("edited", "--max_steps=8", "--eval_interval=0", "--resume", "--allow_changed")
    files = "train_pretrain.py, training/losses/next_token.py, 0.py, 1.py, 2.py and 3 more files"
    assert f"warning: {files} changed after this run began" in newer.said
    record_property("changes", 3)


def test_the_state_of_another_stage(stopped, record_property):
    """Given the same name, fine-tuning does not go on with pretraining."""
    folder = stopped["pretrain"].folder.parent
    words = Workshop(folder, "full_sft").command("whole", *RUN, "--weight_name=pretrain", "--resume")
    ended = python("train_full_sft.py", *words)
    assert ended.code == 2 and "stage was pretrain, is full_sft" in ended.sentence
    record_property("changes", 1)


def test_another_number_of_processes(stopped, record_property):
    """Refused by both and said by one; with as many rows a step it may go on."""
    result = stopped["pretrain"]
    workshop = Workshop(result.folder.parent)
    shutil.copytree(result.folder, workshop.folder / "two")

    def by_two(*words: str):
        command = workshop.command("two", *RUN, "--accumulation_steps=1", "--resume", *words)
        running = [Running("train_pretrain", command, no_curves, each) for each in together(2)]
        return [each.end() for each in running]

    first, second = by_two()
    assert (first.code, second.code, second.err) == (2, 2, "")
    assert "accumulation_steps was 2, is 1; processes was 1, is 2" in first.sentence
    assert first.sentence.endswith("--allow_changed goes on all the same")
    first, second = by_two("--allow_changed")
    assert (first.code, second.code) == (0, 0)
    assert f"changed: processes was 1, is 2: {EFFECTS['processes']}" in first.out and second.out == ""
    record_property("changes", 2)


def test_the_table_has_flags_of_both_stages():
    for stage in (train_pretrain, train_full_sft):
        for name in BY_FLAG:
            words = [word for word in CHANGES[name][0] if word != TOKENIZER]
            stage.parse_arguments(words)
