"""scripts/benchmark/scale/stages.py: every stage makes its real steps, and holds at least what cannot be given away."""

import pytest

from model.config import PRESETS
from scripts.benchmark import command
from scripts.benchmark.scale import recomputation
from scripts.benchmark.scale.stages import CASES, measured, planned

THIN = PRESETS["tiny"].replace(vocab_size=2000, num_hidden_layers=2, intermediate_size=64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.stage} {case.optimizer} {case.micro_batches}")
def test_a_stage_is_measured(case):
    found, said = measured(THIN, case, length=64), planned(THIN, case, length=64)
    kept = 2 if case.lora else 6  # bytes a parameter: bfloat16 weights; learning, their lower halves and gradients
    assert kept * THIN.num_parameters() < found < 2 * said


def test_grades_of_activation_checkpointing_are_counted_and_timed(capsys):
    command.main(["scale", "--only", "recomputation", "--rehearse", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert printed.count("| tiny | 1 x 64 |") == 3 and "time of a step, of one without: cheap" in printed


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("grade", ["cheap", "layers"])
def test_the_plan_knows_the_bytes_of_a_grade(grade, compact):
    config = THIN.replace(vocab_size=512, hidden_size=128, intermediate_size=384, num_hidden_layers=8)
    case = config, 4, 256, compact, grade
    assert recomputation.counted(*case) == pytest.approx(recomputation.planned(*case), rel=0.1)
