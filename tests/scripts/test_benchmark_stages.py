"""scripts/benchmark/scale/stages.py: every stage makes its real steps, and holds at least what cannot be given away."""

import pytest

from model.config import PRESETS
from scripts.benchmark.scale.stages import CASES, measured, planned

THIN = PRESETS["tiny"].replace(vocab_size=2000, num_hidden_layers=2, intermediate_size=64)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.stage} {case.optimizer} {case.micro_batches}")
def test_a_stage_is_measured(case):
    found, said = measured(THIN, case, length=64), planned(THIN, case, length=64)
    kept = 2 if case.lora else 6  # bytes a parameter: bfloat16 weights; learning, their lower halves and gradients
    assert kept * THIN.num_parameters() < found < 2 * said
