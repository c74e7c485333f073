"""Damage to any file of a run is noticed: the save before is used and named, or one sentence ends it."""

import json
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.disk import previous_path
from model.files.checkpoint import save_checkpoint
from model.files.reading import read_checkpoint
from tests.faults.scripts import python
from tests.stages.workshop import SIZE, Result, Workshop, assert_same_run

SHORT = ("--max_steps=6", "--save_interval=2", "--eval_interval=6")
POSITIONS = 24  # of a flipped bit, spread over a file


@dataclass(frozen=True)
class Trained:
    """A finished run, of which tests damage copies; there are saves of steps 6 and 4."""

    workshop: Workshop
    result: Result
    other: Result  # a run of a network of another shape

    def copy(self, out: str) -> Result:
        folder = self.workshop.folder / out
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.result.folder, folder)
        return self.workshop.result(out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    workshop = Workshop.create(tmp_path_factory.mktemp("damage"))
    other = workshop.train("other", *SHORT, "--intermediate_size=40")
    return Trained(workshop, workshop.train("whole", *SHORT), other)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


def flipped(content: bytes, position: int, bit: int = 0) -> bytes:
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def damages(content: bytes, other: bytes) -> dict[str, bytes]:
    """What may become of the content of a file; `other` is that of a file of another shape."""
    rng = random.Random(len(content))
    cut = {f"cut to {share:.1%}": content[: int(len(content) * share)] for share in (0.001, 0.3, 0.7, 0.999)}
    places = [
        len(content) * place // POSITIONS + rng.randrange(len(content) // POSITIONS) for place in range(POSITIONS)
    ]
    return {
        "emptied": b"",
        **cut,
        "cut by a byte": content[:-1],
        "longer by half of itself": content + content[: len(content) // 2],
        "zeros": bytes(len(content)),
        "of another shape": other,
        **{f"a bit flipped at {place}": flipped(content, place, rng.randrange(8)) for place in places},
    }


DAMAGES = tuple(damages(bytes(50_000), b""))


# --- the state of a run -----------------------------------------------------------------------------


def resumed(trained: Trained, out: str, *words: str):
    """How `--resume` of a copy ends, and what it left."""
    ended = python("train_pretrain.py", *trained.workshop.command(out, *SHORT, *words, "--resume"))
    return ended, trained.workshop.result(out)


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_a_damaged_state_goes_back_to_the_save_before(trained, number, record_property):
    copy = trained.copy("state")
    content, other = copy.resume_file.read_bytes(), trained.other.resume_file.read_bytes()
    name, damaged = list(damages(content, other).items())[number]
    copy.resume_file.write_bytes(damaged)
    ended, result = resumed(trained, "state")
    record_property("files", 1)
    if name == "of another shape":  # whole, but of another run
        assert ended.code == 2 and "network.intermediate_size was 40, is 48" in ended.sentence
        assert copy.resume_file.read_bytes() == damaged
        return
    assert ended.code == 0, (name, ended.err)
    if f"{copy.resume_file} " in ended.err:
        assert re.search(
            rf"warning: {re.escape(str(copy.resume_file))} .*; going back to .*previous.pth \(step 4\)", ended.err
        ), name
        assert "at step 4 of 6" in ended.out
    else:  # bits that mean nothing: a date, padding
        assert name.startswith("a bit") and "at step 6 of 6" in ended.out
    assert_same_run(result, trained.result)


@pytest.mark.parametrize("number", range(0, len(DAMAGES), 4))
def test_a_damaged_previous_state_does_no_harm(trained, number, record_property):
    copy = trained.copy("previous")
    path = previous_path(copy.resume_file)
    path.write_bytes(list(damages(path.read_bytes(), trained.other.resume_file.read_bytes()).values())[number])
    ended, result = resumed(trained, "previous")
    assert (ended.code, ended.err) == (0, "") and "at step 6 of 6" in ended.out
    assert_same_run(result, trained.result)
    record_property("files", 1)


@pytest.mark.parametrize("number", range(0, len(DAMAGES), 5))
def test_where_both_generations_are_damaged_one_sentence_says_so(trained, number, record_property):
    copy = trained.copy("both")
    damaged = list(damages(copy.resume_file.read_bytes(), b"PK").values())[number]
    copy.resume_file.write_bytes(damaged)
    previous_path(copy.resume_file).write_bytes(b"")
    before = copy.weight_file.read_bytes()
    ended, result = resumed(trained, "both")
    assert ended.code == 1 and "neither can be used" in ended.sentence and ended.err.count("\n") == 1
    assert result.weight_file.read_bytes() == before and result.metrics == trained.result.metrics
    record_property("files", 2)


def edited(*path: str, to):
    """Changes what stands at `path` of the state by the function `to`; where that is None, it is left out."""

    def edit(state: dict) -> None:
        inner = state
        for key in path[:-1]:
            inner = inner[key]
        if to is None:
            del inner[path[-1]]
        else:
            inner[path[-1]] = to(inner[path[-1]])

    return edit


WEIGHT = ("networks", "model", "model.layers.0.mlp.up_proj.weight")
UNFIT = {
    "a smaller weight": edited(*WEIGHT, to=lambda tensor: tensor[:-1]),
    "a weight of half precision": edited(*WEIGHT, to=lambda tensor: tensor.half()),
    "a weight that is a number": edited(*WEIGHT, to=lambda tensor: 3),
    "without a weight": edited(*WEIGHT, to=None),
    "without networks": edited("networks", to=lambda modules: {}),
    "without an optimizer": edited("updaters", "model", "optimizers", to=lambda each: each[:-1]),
    "without parameters": edited(
        "updaters", "model", "optimizers", to=lambda each: [{**e, "param_groups": []} for e in each]
    ),
    "moments of another shape": edited(
        "updaters",
        "model",
        "optimizers",
        to=lambda each: [
            {**e, "state": {i: {k: v.flatten()[:1].repeat(2) for k, v in s.items()} for i, s in e["state"].items()}}
            for e in each
        ],
    ),
    "without a loss scale": edited("updaters", "model", "scale", to=None),
    "without a step": edited("step", to=None),
    "a step in words": edited("step", to=str),
    "without an identity": edited("identity", to=None),
    "an identity that is a list": edited("identity", to=list),
    "of a newer version": edited("version", to=lambda version: version + 1),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_whole_state_that_does_not_fit_changes_nothing(trained, name, record_property):
    copy = trained.copy("unfit")
    state = read_checkpoint(copy.resume_file)
    UNFIT[name](state)
    save_checkpoint(copy.resume_file, state)
    ended, result = resumed(trained, "unfit")
    assert ended.code == 1 and str(copy.resume_file) in ended.sentence and ended.err.count("\n") == 1
    assert result.metrics == trained.result.metrics
    assert result.weight_file.read_bytes() == trained.result.weight_file.read_bytes()
    record_property("files", 1)


# --- weights ----------------------------------------------------------------------------------------


def users(folder: Path, weight: Path) -> dict[str, list]:
    """The command line of every script that opens a weight."""
    tuning = Workshop(folder, "full_sft").command("tuned", "--from_weight", weight, "--dry_run")
    return {
        "train_full_sft.py": tuning,
        "eval_model.py": ["--weight_path", weight, "--device", "cpu", "--prompt", "a", "--max_new_tokens", "1"],
        "scripts/export_hf.py": ["--weight_path", weight, "--save_dir", folder / "exported"],
    }


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_a_damaged_weight_is_replaced_by_the_one_before(trained, number, record_property):
    copy = trained.copy("weight")
    content = copy.weight_file.read_bytes()
    name, damaged = list(damages(content, trained.other.weight_file.read_bytes()).items())[number]
    copy.weight_file.write_bytes(damaged)
    scripts = list(users(trained.workshop.folder, copy.weight_file).items())
    for script, words in scripts if number < 8 else scripts[number % len(scripts) :][:1]:
        ended = python(script, *words)
        assert ended.code == 0, (script, ended.err)
        if name == "of another shape":  # a network as good as the other
            assert "warning" not in ended.err
        elif f"warning: {copy.weight_file} " in ended.err:
            assert re.search(
                rf"warning: {re.escape(str(copy.weight_file))} .*; going back to .*previous.pth \(step 4\)", ended.err
            )
        else:
            assert name.startswith(("a bit", "longer"))  # what follows the end is not read
        record_property("files", 1)


@pytest.mark.parametrize("name", ["emptied", "zeros", "cut to 70.0%", "gone"])
def test_resuming_mends_a_damaged_weight(trained, name, record_property):
    copy = trained.copy("mended")
    if name == "gone":
        copy.weight_file.unlink()
    else:
        copy.weight_file.write_bytes(damages(copy.weight_file.read_bytes(), b"")[name])
    ended, result = resumed(trained, "mended")
    assert f"warning: {copy.weight_file} is missing or damaged; it is written again from" in ended.out
    assert_same_run(result, trained.result)
    assert read_checkpoint(previous_path(copy.weight_file))["facts"]["step"] == 4  # not the damaged one
    record_property("files", 1)


def test_a_weight_of_another_shape_contradicts_the_sizes_asked_for(trained, record_property):
    copy = trained.copy("contradicted")
    copy.weight_file.write_bytes(trained.other.weight_file.read_bytes())
    words = trained.workshop.command("further", *SHORT, "--from_weight", copy.weight_file)
    ended = python("train_pretrain.py", *words)
    assert ended.code == 2 and "intermediate_size" in ended.sentence
    record_property("files", 1)


# --- the curve --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"[1]\n", b"3\n", b'{"stop": 2}\n', b'{"step": "two"}\n', b"\xff\xfe\n", b"{\n", b"\0\n", b"null\n"]
)
def test_a_damaged_curve_is_named_and_kept(trained, content, record_property):
    copy = trained.copy("curve")
    path = copy.logs / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:1], content, *lines[2:]]))
    before = path.read_bytes()
    ended, _ = resumed(trained, "curve")
    assert ended.code == 1 and ended.sentence.startswith(f"{path}:2 is damaged") and path.read_bytes() == before
    record_property("files", 1)


@pytest.mark.parametrize("kept", [0, 3, None])
def test_a_curve_that_lacks_steps_is_said(trained, kept, record_property):
    copy = trained.copy("shorter")
    path = copy.logs / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    if kept is None:
        path.unlink()
    ended, result = resumed(trained, "shorter")
    assert f"warning: {path} lacks {6 - (kept or 0)} of the 6 steps before this" in ended.out
    assert len(result.metrics) == (kept or 0)
    record_property("files", 1)


# --- what was tokenised -----------------------------------------------------------------------------


def caches(result: Result) -> list[Path]:
    return sorted(path.parent for path in result.folder.glob("cache/*/meta.json"))


CACHE_FILES = {
    "pretrain": ("train.bin", "validation.bin", "meta.json"),
    "full_sft": ("train.bin", "train.trained.bin", "train.offsets.bin", "validation.bin", "meta.json"),
}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Trained:
    workshop = Workshop.create(tmp_path_factory.mktemp("damage_of_chats"), "full_sft")
    result = workshop.train("whole", *SHORT, "--val_ratio=0.2")
    return Trained(workshop, result, result)


@pytest.mark.parametrize("kind", ["emptied", "cut", "longer", "flipped", "another", "gone"])
@pytest.mark.parametrize("stage, name", [(stage, name) for stage, names in CACHE_FILES.items() for name in names])
def test_a_damaged_cache_is_made_again_or_refused(trained, tuned, stage, name, kind, record_property):
    of_stage = trained if stage == "pretrain" else tuned
    copy = of_stage.copy("cache")
    shutil.rmtree(copy.folder / "logs")
    for path in copy.folder.glob("*.pth"):
        path.unlink()
    cache, other = caches(copy)
    path = cache / name
    content = path.read_bytes()
    damaged = {
        "emptied": b"",
        "cut": content[:-1],
        "longer": content + content[:2],
        "flipped": flipped(content, len(content) // 2),
        "another": (other / name).read_bytes(),
        "gone": None,
    }[kind]
    if damaged is None:
        path.unlink()
    else:
        path.write_bytes(damaged)
    record_property("files", 1)
    if content == damaged:
        pytest.skip("both are the same file")
    more = ("--val_ratio=0.2",) if stage == "full_sft" else ()
    ended = python(f"train_{stage}.py", *of_stage.workshop.command("cache", *SHORT, *more))
    if ended.code:
        assert str(cache) in ended.sentence and "delete this folder" in ended.sentence and kind == "flipped"
        shutil.rmtree(cache)
        ended = python(f"train_{stage}.py", *of_stage.workshop.command("cache", *SHORT, *more))
        assert ended.code == 0
    else:
        assert f"the token cache {cache} is damaged" in ended.err
    assert_same_run(of_stage.workshop.result("cache"), of_stage.result)


def test_a_note_on_the_content_of_a_file_that_is_damaged_is_made_again(trained, record_property):
    copy = trained.copy("notes")
    notes = list(copy.folder.glob("cache/content/*.json"))
    for content in (b"", b"[]", b'{"sha256": 3}', b"\xff", json.dumps({"stamp": {}, "sha256": "0" * 64}).encode()):
        for note in notes:
            note.write_bytes(content)
        ended, result = resumed(trained, "notes")
        assert (ended.code, ended.err) == (0, "")
        assert_same_run(result, trained.result)
        record_property("files", len(notes))
    assert result.weight_file.name == f"pretrain_{SIZE}.pth"
