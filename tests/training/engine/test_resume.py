"""A run resumes only as itself."""

import pytest

from model.disk import previous_path
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_checkpoint
from training.engine import resume

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
    with pytest.raises(UsageError, match="batch_size was 4, is 8; .* give --batch_size 4 --accumulation_steps 2"):
        resume.read(path, batch | {"batch_size": 8}, allow_changed=True)
    with pytest.raises(UsageError, match="at step 7 already, and is to end at 6"):
        resume.read(path, batch | {"steps": 6}, allow_changed=True)


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
