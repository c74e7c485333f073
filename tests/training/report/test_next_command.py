"""The commands that a run names at its end."""

from argparse import Namespace

import pytest

from training.report.next_command import TRY, next_commands


@pytest.mark.parametrize(
    "stage, name, flags, expected",
    [
        (
            "pretrain",
            "pretrain",
            {},
            "next: python eval_model.py --model_mode 0, or python train_full_sft.py --data_path FILE",
        ),
        (
            "pretrain",
            "mine",
            {"out_dir": "my out"},
            "next: python eval_model.py --model_mode 0 --weight mine --out_dir 'my out',"
            " or python train_full_sft.py --from_weight mine --out_dir 'my out' --data_path FILE",
        ),
        ("lora", "medic", {"lora": True}, "next: python eval_model.py --model_mode 1 --lora medic"),
        ("dpo", "dpo", {"lora": False}, "next: python eval_model.py --model_mode 2"),
        ("distill", "distill", {}, "next: python eval_model.py --model_mode 1 --weight distill"),
    ],
)
def test_they_name_the_weight_where_a_default_does_not(stage, name, flags, expected):
    assert next_commands(stage, Namespace(**{"out_dir": "out", "weight_name": name} | flags)) == [expected]


def test_each_stage_has_one_and_other_projects_none():
    for stage in TRY:
        (line,) = next_commands(stage, Namespace(out_dir="out", weight_name=stage))
        assert line.startswith("next: python ")
    assert next_commands("toy", Namespace()) == []
