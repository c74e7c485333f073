"""Preferences are learned as safely as texts: damaged pairs or references, another loss, a NaN are noticed."""

import math
import shutil

import pytest

from model.disk import previous_path
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from tests.faults.scripts import python
from tests.faults.test_damage import Trained, caches, flipped
from tests.faults.test_not_finite import finite, spoil
from tests.stages.workshop import Workshop, assert_same_run, same
from tests.support import random_network

SHORT = """--max_steps=6 --epochs=4 --save_interval=2 --eval_interval=6 --val_ratio=0.2 --learning_rate=0.003""".split()


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A run of six steps, with the save of step 4 before its last; another network lies beside its own."""
    workshop = Workshop.create(tmp_path_factory.mktemp("preferences"), "dpo")
    loaded = load_model(workshop.folder / "start.pth")
    other = random_network(loaded.model.config, seed=7)
    save_weights(workshop.folder / "other.pth", other, loaded.tokenizer, stage="full_sft")
    result = workshop.train("whole", *SHORT)
    return Trained(workshop, result, result)


def stopped(trained: Trained, out: str):
    """A copy of the run, as it was after step 4."""
    copy = trained.copy(out)
    for path in (copy.weight_file, copy.resume_file):
        previous_path(path).replace(path)
    return copy


def resumed(trained: Trained, out: str, *words: str):
    ended = python("train_dpo.py", *trained.workshop.command(out, *SHORT, *words, "--resume"))
    return ended, trained.workshop.result(out)


def damaged(content: bytes, kind: str) -> bytes:
    middle = len(content) // 2
    return {"emptied": b"", "cut": content[:-1], "longer": content + b"\0", "flipped": flipped(content, middle)}[kind]


KINDS = ("emptied", "cut", "longer", "flipped")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_reference_is_computed_again_on_resuming(trained, number, kind, record_property):
    """Of the pairs to train on, and of those held out."""
    copy = stopped(trained, "reference")
    path = sorted((copy.folder / "cache" / "reference").glob("*.bin"))[number]
    content = path.read_bytes()
    path.write_bytes(damaged(content, kind))
    ended, result = resumed(trained, "reference")
    assert ended.code == 0 and f"warning: {path} is damaged" in ended.out and "at step 4 of 6" in ended.out
    assert path.read_bytes() == content
    assert_same_run(result, trained.result)
    record_property("files", 1)


NAMES = ("train.bin", "train.trained.bin", "train.offsets.bin", "train.margins.bin", "validation.bin", "meta.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_damaged_pairs_are_tokenised_again_or_refused(trained, name, kind, record_property):
    copy = trained.copy("pairs")
    for path in copy.folder.glob("*.pth"):
        path.unlink()
    cache = caches(copy)[0]
    path = cache / name
    path.write_bytes(damaged(path.read_bytes(), kind))
    command = trained.workshop.command("pairs", *SHORT)
    ended = python("train_dpo.py", *command)
    if ended.code:
        assert str(cache) in ended.sentence and "delete this folder" in ended.sentence and kind == "flipped"
        shutil.rmtree(cache)
        ended = python("train_dpo.py", *command)
        assert ended.code == 0
    else:
        assert f"the token cache {cache} is damaged" in ended.err
    assert_same_run(trained.workshop.result("pairs"), trained.result)
    record_property("files", 1)


@pytest.mark.parametrize(
    "words, said",
    [
        (("--loss_type=hinge",), "loss_type was sigmoid, is hinge"),
        (("--beta=0.2",), "beta was 0.1, is 0.2"),
        (("--sft_weight=0.5",), "sft_weight was 0.0, is 0.5"),
        (("--no_precompute_ref",), "data.reference was"),
        (("--lora",), "--resume"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_another_loss_is_refused_by_name(trained, words, said, record_property):
    copy = stopped(trained, "changed")
    before = copy.resume_file.read_bytes()
    for more in ((), ("--allow_changed",)):
        ended, result = resumed(trained, "changed", *words, *more)
        assert ended.code == 2 and said in ended.sentence and ended.err.count("\n") == 1
    assert result.resume_file.read_bytes() == before
    record_property("changes", 1)


@pytest.mark.parametrize("words", [(), ("--no_precompute_ref",)], ids=["precomputed", "live"])
def test_another_network_is_another_reference(trained, words, record_property):
    if words:
        trained.workshop.train("network", *SHORT, "--max_steps=4", *words)
        words = (*words, "--max_steps=4", "--allow_changed")
    else:
        stopped(trained, "network")
    ended, _ = resumed(trained, "network", "--from_weight", str(trained.workshop.folder / "other.pth"), *words)
    assert ended.code == 2 and "data.reference was" in ended.sentence
    record_property("changes", 1)


@pytest.mark.parametrize("steps", [{1}, {2, 4}])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_skipped(trained, monkeypatch, where, steps, record_property):
    seen = spoil(monkeypatch, where, math.nan, steps)
    ended = python("train_dpo.py", *trained.workshop.command("skipped", *SHORT))
    result = trained.workshop.result("skipped")
    assert (ended.code, ended.err) == (0, "") and finite(result)
    for number, (state, line) in enumerate(zip(seen, result.metrics, strict=True), 1):
        assert (line.get("skipped") == "non-finite") == (number in steps) == same(state["before"], state["after"])
    record_property("values", len(steps))
