"""Adapters are kept as safely as networks: damage, another network or rank, a NaN are noticed, and nothing is lost."""

import math
import random
import re
import shutil

import pytest

from model.disk import previous_path
from model.files.adapters import open_lora
from model.files.checkpoint import save_checkpoint, save_weights
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from tests.faults.scripts import python
from tests.faults.test_damage import DAMAGES, Trained, damages, edited
from tests.faults.test_not_finite import finite, spoil
from tests.stages.workshop import Workshop, assert_same_run, same
from tests.support import random_network

SHORT = """--max_steps=6 --epochs=4 --save_interval=2 --eval_interval=0 --val_ratio=0.2
--learning_rate=0.01 --lora_rank=4""".split()


SOME = range(0, len(DAMAGES), 3)  # all are tried on networks


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    monkeypatch.setattr("training.report.loss_curve.draw_loss_curve", lambda *drawn: None)


class TrainedAdapters(Trained):
    def copy(self, out: str):
        folder = self.workshop.folder / out
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.result.folder.parent, folder)
        return self.workshop.result(out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TrainedAdapters:
    """Adapters of rank 4 after six steps, with the save of step 4 before them; others have rank 3."""
    workshop = Workshop.create(tmp_path_factory.mktemp("adapters"), "lora")
    loaded = load_model(workshop.folder / "start.pth")
    other = random_network(loaded.model.config, seed=7)
    save_weights(workshop.folder / "other.pth", other, loaded.tokenizer, stage="full_sft")
    result = workshop.train("whole", *SHORT)
    return TrainedAdapters(workshop, result, workshop.train("rank_3", *SHORT, "--lora_rank=3"))


def resumed(trained: TrainedAdapters, out: str, *words: str):
    ended = python("train_lora.py", *trained.workshop.command(out, *SHORT, *words, "--resume"))
    return ended, trained.workshop.result(out)


# --- damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SOME)
def test_a_damaged_state_goes_back_to_the_save_before(trained, number, record_property):
    copy = trained.copy("state")
    content, other = copy.resume_file.read_bytes(), trained.other.resume_file.read_bytes()
    name, damaged = list(damages(content, other).items())[number]
    copy.resume_file.write_bytes(damaged)
    ended, result = resumed(trained, "state")
    record_property("files", 1)
    assert ended.code == 0, (name, ended.err)
    if f"{copy.resume_file} " in ended.err:
        assert re.search(
            rf"warning: {re.escape(str(copy.resume_file))} .*; going back to .*previous.pth \(step 4\)", ended.err
        ), name
    else:  # bits that mean nothing, or what follows the end of a small file
        assert name.startswith(("a bit", "longer")) and "at step 6 of 6" in ended.out
    assert_same_run(result, trained.result)


def users(trained: TrainedAdapters, lora) -> dict[str, list]:
    """The command line of every script that opens adapters."""
    merged = f"merged_{random.getrandbits(64):x}"  # an earlier one is never overwritten
    few = ["--device", "cpu", "--model_mode", "1", "--prompt", "a", "--max_new_tokens", "1"]
    return {
        "eval_model.py": ["--lora", lora, *few],
        "scripts/merge_lora.py": ["--lora", lora, "--out_dir", trained.workshop.folder, "--weight_name", merged],
    }


@pytest.mark.parametrize("number", SOME)
def test_damaged_adapters_give_way_to_those_before(trained, number, record_property):
    copy = trained.copy("weight")
    content = copy.weight_file.read_bytes()
    name, damaged = list(damages(content, trained.other.weight_file.read_bytes()).items())[number]
    copy.weight_file.write_bytes(damaged)
    for script, words in users(trained, copy.weight_file).items():
        ended = python(script, *words)
        assert ended.code == 0, (script, ended.err)
        if f"warning: {copy.weight_file} " in ended.err:
            assert re.search(
                rf"warning: {re.escape(str(copy.weight_file))} .*; going back to .*previous.pth \(step 4\)", ended.err
            )
        else:
            assert name.startswith(("a bit", "longer"))  # what follows the end is not read
        record_property("files", 1)


def test_where_no_generation_is_whole_one_sentence_says_so(trained, record_property):
    copy = trained.copy("both")
    for path in (copy.weight_file, previous_path(copy.weight_file)):
        path.write_bytes(path.read_bytes()[:-200])
    for script, words in users(trained, copy.weight_file).items():
        ended = python(script, *words)
        assert ended.code == 1 and str(copy.weight_file) in ended.sentence and "damaged" in ended.sentence
        record_property("files", 2)


def test_resuming_writes_lost_adapters_again(trained, record_property):
    copy = trained.copy("lost")
    copy.weight_file.unlink()
    ended, result = resumed(trained, "lost")
    assert ended.code == 0 and "is missing or damaged; it is written again from" in ended.out
    assert_same_run(result, trained.result)
    record_property("files", 1)


A = "model.layers.0.mlp.up_proj.lora_A.weight"
UNFIT = {
    "a smaller adapter": edited("networks", "model", A, to=lambda tensor: tensor[:-1]),
    "an adapter of half precision": edited("networks", "model", A, to=lambda tensor: tensor.half()),
    "without an adapter": edited("networks", "model", A, to=None),
    "with a weight of the network": edited("networks", "model", to=lambda own: own | {"model.norm.weight": own[A][0]}),
    "moments of another rank": edited(
        "updaters",
        "model",
        "optimizers",
        to=lambda each: [
            {**e, "state": {i: {k: v[..., :3] if v.ndim else v for k, v in s.items()} for i, s in e["state"].items()}}
            for e in each
        ],
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_whole_state_that_does_not_fit_changes_nothing(trained, name, record_property):
    copy = trained.copy("unfit")
    state = read_checkpoint(copy.resume_file)
    UNFIT[name](state)
    save_checkpoint(copy.resume_file, state)
    ended, result = resumed(trained, "unfit")
    assert ended.code == 1 and str(copy.resume_file) in ended.sentence and ended.err.count("\n") == 1
    assert result.metrics == trained.result.metrics and same(result.weights, trained.result.weights)
    record_property("files", 1)


# --- something else ---------------------------------------------------------------------------------


CHANGES = {
    "base": ("--from_weight", "{folder}/other.pth"),
    "rank": ("--lora_rank=8",),
    "alpha": ("--lora_alpha=8",),
    "targets": ("--lora_targets", "mlp"),
    "dropout": ("--lora_dropout=0.1",),
}


def test_the_table_has_every_part_of_what_adapters_are(trained):
    assert set(read_checkpoint(trained.result.resume_file)["identity"]["lora"]) == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("allowed", [(), ("--allow_changed",)], ids=["plain", "allow_changed"])
def test_other_adapters_or_another_network_are_refused_by_name(trained, name, allowed, record_property):
    copy = trained.copy("changed")
    before = copy.resume_file.read_bytes(), copy.weight_file.read_bytes()
    words = [word.format(folder=trained.workshop.folder) for word in CHANGES[name]]
    ended, result = resumed(trained, "changed", *words, "--max_steps=8", *allowed)
    assert ended.code == 2 and f"lora.{name} was " in ended.sentence and ended.err.count("\n") == 1
    assert (result.resume_file.read_bytes(), result.weight_file.read_bytes()) == before
    record_property("changes", 1)


def test_what_can_be_changed_goes_on(trained, record_property):
    trained.copy("longer")
    ended, result = resumed(trained, "longer", "--max_steps=8", "--learning_rate=0.003", "--allow_changed")
    assert ended.code == 0 and "changed: learning_rate was 0.01, is 0.003" in ended.out
    assert result.facts["step"] == 8 and len(result.metrics) == 8
    record_property("changes", 2)


def test_neither_fine_tuning_nor_another_network_takes_them_up(trained, record_property):
    copy = trained.copy("others")
    words = Workshop(trained.workshop.folder, "full_sft").command("others", *SHORT, "--lora", "--weight_name=lora")
    ended = python("train_full_sft.py", *words, "--resume")
    assert ended.code == 2 and "stage was lora, is full_sft" in ended.sentence
    for script, words in users(trained, copy.weight_file).items():
        flag = "--weight_path" if script == "eval_model.py" else "--from_weight"
        ended = python(script, *words, flag, trained.workshop.folder / "other.pth")
        assert ended.code == 1 and "was trained on another network" in ended.sentence
    record_property("changes", 3)


# --- numbers that are not finite --------------------------------------------------------------------


@pytest.mark.parametrize("where", ["loss", "gradient", "weight"])
def test_a_nan_never_reaches_adapters_that_are_saved(trained, monkeypatch, where, record_property):
    """In steps 3 to 5 of six, saved every second: three in a row end the run; one that is in a weight stays there."""
    workshop, out = trained.workshop, f"nan_{where}"
    with monkeypatch.context() as patch:
        spoil(patch, where, math.nan, {3} if where == "weight" else {3, 4, 5})
        ended = python("train_lora.py", *workshop.command(out, *SHORT))
    result = workshop.result(out)
    assert ended.code == 1 and ended.err.count("\n") == 1
    assert ("is not finite after step 4" if where == "weight" else "3 steps in a row") in ended.sentence
    assert "--from_weight" not in ended.out + ended.err  # adapters are no network to begin again from
    assert result.facts["step"] == (2 if where == "weight" else 4) and finite(result)
    assert open_lora(result.weight_file).lora.rank == 4
    record_property("values", 1)


def test_a_skipped_step_leaves_adapters_and_moments_as_they_were(trained, monkeypatch, record_property):
    with monkeypatch.context() as patch:
        seen = spoil(patch, "loss", math.inf, {2})
        ended = python("train_lora.py", *trained.workshop.command("skipped", *SHORT))
    assert ended.code == 0 and "warning: step 2 skipped, non-finite" in ended.out
    for number, state in enumerate(seen, 1):
        assert same(state["before"], state["after"]) == (number == 2)
    record_property("values", 1)
