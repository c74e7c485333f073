"""What is said when the GPU's memory is used up in a step; signals and divergence are in tests/faults."""

import pytest
import torch

from tests.stages.workshop import Workshop
from tests.training.support import flags
from training.engine.early_end import without_memory
from training.engine.plan import make_plan

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")


@pytest.mark.parametrize("place", ["training.engine.step.forward_backward", "training.engine.update.Updater.update"])
def test_out_of_memory_in_a_step_is_a_sentence_that_names_the_flags(tmp_path, monkeypatch, place):
    def fails(*arguments):
        raise ERROR

    monkeypatch.setattr(place, fails)
    code, said = Workshop.create(tmp_path).fails("out", "--max_steps=2")
    assert code == 1 and said == (
        "error: the GPU's memory is used up (CUDA out of memory. Tried to allocate 2.00 GiB.): give --fit GB, which"
        " chooses a micro-batch for so much memory, or --batch_size 1 --accumulation_steps 4 for the same steps in"
        " smaller parts, or --activation_checkpointing cheap, which takes a little longer, or"
        " --activation_checkpointing layers, which needs least and takes longer; the last checkpoint is intact\n"
    )


@pytest.mark.parametrize(
    "words, smaller",
    [
        (("--batch_size=6", "--accumulation_steps=1"), "--batch_size 3 --accumulation_steps 2"),
        (("--batch_size=9", "--accumulation_steps=2"), "--batch_size 3 --accumulation_steps 6"),
        (("--batch_size=7", "--accumulation_steps=1"), "--batch_size 1 --accumulation_steps 7"),
        (("--batch_size=1", "--accumulation_steps=4"), None),
    ],
)
def test_a_smaller_micro_batch_makes_the_same_step(words, smaller):
    said = without_memory(ERROR, make_plan(flags(*words), rows_per_epoch=1000, row_length=8, world_size=1))
    assert smaller in said if smaller else "--batch_size" not in said


def test_what_is_in_use_already_is_not_advised():
    plan = make_plan(flags("--activation_checkpointing"), rows_per_epoch=1000, row_length=8, world_size=1)
    assert "--activation_checkpointing" not in without_memory(ERROR, plan)
    plan = make_plan(flags("--activation_checkpointing=cheap"), rows_per_epoch=1000, row_length=8, world_size=1)
    said = without_memory(ERROR, plan)
    assert "--activation_checkpointing layers" in said and "--activation_checkpointing cheap" not in said
    assert "--fit GB" in without_memory(ERROR, None)


def test_what_processes_that_share_a_network_go_without_is_not_advised():
    plan = make_plan(flags(), rows_per_epoch=1000, row_length=8, world_size=1)
    said = without_memory(ERROR, plan, shards=True)
    assert "--fit" not in said and "cheap" not in said
    assert "give --batch_size" in said and "or --activation_checkpointing layers" in said
    words = "--activation_checkpointing", "--batch_size=1", "--accumulation_steps=1"
    plan = make_plan(flags(*words), rows_per_epoch=1000, row_length=8, world_size=1)
    assert "give a smaller --max_seq_len" in without_memory(ERROR, plan, shards=True)
