"""A run resumes only as itself."""

from types import SimpleNamespace

import pytest

from model.disk import previous_path
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_checkpoint
from training.engine import resume
from training.engine.same_run import changes_since
from training.engine.state import RunState

IDENTITY = {"stage": "pretrain", "network": {"num_hidden_layers": 2, "vocab_size": 272}, "seed": 1, "epochs": 2}


@pytest.fixture
def state_file(tmp_path):
    path = tmp_path / "pretrain_32_resume.pth"
    save_checkpoint(path, {"format": "sprout-resume", "version": resume.VERSION, "identity": IDENTITY, "step": 7})
    return path


def test_the_same_run_is_continued(state_file):
    state, changes = resume.read(state_file, IDENTITY)
    assert state["step"] == 7 and changes == []


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"seed": 3}, "seed was 1, is 3"),
        ({"network": {"num_hidden_layers": 4, "vocab_size": 272}}, "network.num_hidden_layers was 2, is 4"),
        ({"network": {"vocab_size": 272}}, "network.num_hidden_layers was 2, is None"),
        ({"loss_type": "ipo"}, "loss_type was None, is ipo"),
    ],
)
def test_every_difference_is_named_and_nothing_else(state_file, changed, said):
    with pytest.raises(UsageError) as error:
        resume.read(state_file, IDENTITY | changed | {"epochs": 5})
    assert said in str(error.value) and "epochs was 2, is 5" in str(error.value)
    assert str(error.value).count(" was ") == 2


def test_what_would_train_something_else_is_refused_even_if_changes_are_allowed(state_file):
    with pytest.raises(UsageError, match="--allow_changed goes on all the same"):
        resume.read(state_file, IDENTITY | {"epochs": 5})
    _, changes = resume.read(state_file, IDENTITY | {"epochs": 5}, allow_changed=True)
    assert len(changes) == 1 and changes[0].startswith("epochs was 2, is 5: the schedule is that of the new length")
    with pytest.raises(UsageError, match="cannot go on with that changed.*: seed was 1, is 3") as error:
        resume.read(state_file, IDENTITY | {"epochs": 5, "seed": 3}, allow_changed=True)
    assert "epochs" not in str(error.value)


def test_a_batch_may_be_split_otherwise_but_not_be_another(tmp_path):
    path, batch = tmp_path / "a_resume.pth", {"batch_size": 4, "accumulation_steps": 2, "processes": 1, "steps": 9}
    save_checkpoint(path, {"format": "sprout-resume", "version": resume.VERSION, "identity": batch, "step": 7})
    _, changes = resume.read(path, batch | {"batch_size": 2, "accumulation_steps": 4}, allow_changed=True)
    assert len(changes) == 2 and all("rounded in another order" in change for change in changes)
    with pytest.raises(UsageError, match="batch_size was 4, is 8; for .* give --batch_size 4 --accumulation_steps 2"):
        resume.read(path, batch | {"batch_size": 8}, allow_changed=True)
    with pytest.raises(UsageError, match="at step 7 already, and is to end at 6"):
        resume.read(path, batch | {"steps": 6}, allow_changed=True)


def test_other_processes_are_told_which_flags_make_the_same_steps(tmp_path):
    path, batch = tmp_path / "a_resume.pth", {"batch_size": 4, "accumulation_steps": 1, "processes": 2, "steps": 9}
    save_checkpoint(path, {"format": "sprout-resume", "version": resume.VERSION, "identity": batch, "step": 7})
    for processes, words in (
        (1, "--batch_size 4 --accumulation_steps 2"),
        (4, "--batch_size 2 --accumulation_steps 1"),
    ):
        with pytest.raises(UsageError, match=f"for steps as before give {words} and --allow_changed$"):
            resume.read(path, batch | {"processes": processes})
        with pytest.raises(UsageError, match=f"for steps as before give {words}$"):
            resume.read(path, batch | {"processes": processes}, allow_changed=True)
    with pytest.raises(UsageError, match="even by --allow_changed: processes was 2, is 3$"):  # no flags share 8 rows
        resume.read(path, batch | {"processes": 3}, allow_changed=True)
    same = {"processes": 4, "batch_size": 2}
    assert len(resume.read(path, batch | same, allow_changed=True)[1]) == 2


def test_answers_that_several_processes_have_sampled_are_learned_from_by_as_many(monkeypatch):
    saved = {name: kind() for name, kind in resume._TYPES.items()} | {"kept": [{"answers": {}}, {"answers": {}}]}
    with pytest.raises(UsageError, match="sampled by 2 processes and .*: go on with 2, at least to the end of that"):
        resume.restore(saved, RunState(), {}, {}, "a_resume.pth")
    monkeypatch.setattr(resume.distributed, "world_size", lambda: 2)
    with pytest.raises(UsageError, match="sampled by 1 process and .*: go on with 1, "):
        resume.restore(saved | {"kept": saved["kept"][:1]}, RunState(), {}, {}, "a_resume.pth")


def test_answers_that_were_rated_are_learned_from_with_as_many_rewards(tmp_path):
    def changes(now: list[str], kept: list[dict]) -> list[str]:
        saved = {"identity": {"data": {"rewards": ["a 1"]}}, "step": 3, "kept": kept}
        return changes_since(saved, {"data": {"rewards": now}}, tmp_path, allow_changed=True)

    assert len(changes(["a 1", "b 1"], [{}, {}])) == len(changes(["a 2"], [{"answers": 1}])) == 1
    with pytest.raises(UsageError, match="cannot go on with that changed"):
        changes(["a 1", "b 1"], [{"answers": 1}])


def test_what_follows_from_other_data_is_not_named_and_long_values_are_cut(tmp_path):
    before, now = (
        {"data": {"training": x, "validation": x, "teacher": x, "scored_rows": n}}
        for x, n in (("a", 1), ("b" * 200, 2))
    )
    with pytest.raises(UsageError) as error:
        changes_since({"identity": before, "step": 3}, now, tmp_path, False)
    cut = "b" * 117 + "..."
    assert f": data.training was a, is {cut}; data.validation was a, is {cut}; give the data" in str(error.value)


@pytest.mark.parametrize("pending, updates", [(None, []), ({"loss": 1.5}, [{"loss": 1.5}])])
def test_a_state_of_version_1_is_read_as_one_of_today(tmp_path, pending, updates):
    path, network, updater = tmp_path / "a_resume.pth", {"model": {"w": 1}}, {"scale": 1.0}
    old = {"format": "sprout-resume", "version": 1, "identity": IDENTITY, "step": 7}
    save_checkpoint(path, old | {"modules": network, "updater": updater, "pending": pending})
    state, changes = resume.read(path, IDENTITY)
    assert changes == [] and state["step"] == 7
    assert (state["networks"], state["updaters"]) == (network, {"model": updater})
    assert (state["updates"], state["kept"]) == (updates, [])


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"there is no .*pretrain_32_resume.pth; start without --resume"):
        resume.read(tmp_path / "pretrain_32_resume.pth", IDENTITY)


def test_the_previous_generation_serves_when_the_last_is_gone(state_file):
    state_file.rename(previous_path(state_file))
    state, changes = resume.read(state_file, IDENTITY)
    assert state["step"] == 7 and changes == []


def test_weights_are_not_the_state_of_a_run(tmp_path):
    path = tmp_path / "pretrain_32.pth"
    save_checkpoint(path, {"format": "sprout", "version": 1})
    with pytest.raises(SproutError, match="not the state of a run"):
        resume.read(path, IDENTITY)


def run_of(folder, **flags):
    """The flags of a run that looks for its state, and its plan."""
    args = {"out_dir": str(folder), "weight_name": "pretrain", "epochs": 2, "max_steps": None}
    args |= {"batch_size": None, "accumulation_steps": None} | flags
    return SimpleNamespace(**args), SimpleNamespace(steps=12, steps_per_epoch=6, batch_size=4, accumulation_steps=2)


def test_where_there_is_no_state_what_lies_there_is_named(tmp_path, state_file):
    resume.check_there(run_of(tmp_path)[0], 32)
    with pytest.raises(UsageError, match=r"no pretrain_64_resume.pth in .*, which holds pretrain_32_resume.pth: give"):
        resume.check_there(run_of(tmp_path)[0], 64)
    with pytest.raises(UsageError, match=r"no pretrain_32_resume.pth in .*lora: give the flags"):
        resume.check_there(run_of(tmp_path, lora=True)[0], 32)


@pytest.mark.parametrize(
    "flags, said",
    [
        ({}, "add --epochs 3 --batch_size 4 --accumulation_steps 2 --allow_changed to train on"),
        ({"batch_size": 4, "accumulation_steps": 2}, "add --epochs 3 --allow_changed to train on"),
        ({"max_steps": 5, "epochs": 2}, "add --max_steps 10 --batch_size 4"),
        ({"max_steps": 12, "epochs": 2}, "add --max_steps 24 --epochs 4 --batch_size 4"),
    ],
)
def test_a_run_that_has_ended_says_so_and_how_to_train_on(tmp_path, flags, said):
    args, plan = run_of(tmp_path, **flags)
    words = resume.where_it_goes_on(args, RunState(step=12), plan, "a_resume.pth")
    assert (
        words.startswith("resumed a_resume.pth at step 12 of 12, which is its end: nothing is left") and said in words
    )
    assert resume.where_it_goes_on(args, RunState(step=3), plan, "a.pth") == "resumed a.pth at step 3 of 12"


def test_other_data_begin_with_what_adapters_have_taught(tmp_path):
    """Adapters are no network to begin with: they are merged first."""
    of_a = {"lora": {"rank": 8}, "data": {"training": "a", "validation": "a"}}
    of_b = {"lora": {"rank": 8}, "data": {"training": "b", "validation": "b"}}
    for allow_changed in (False, True):
        with pytest.raises(UsageError, match=r"merge the adapters .* and begin with the result, by --from_weight"):
            changes_since({"identity": of_a, "step": 3}, of_b, tmp_path, allow_changed)
