"""Killed at random moments and resumed, a run of any stage ends as if it never had been: metrics, weights, state."""

import random

import pytest

from tests.faults.kills import OPTIMIZERS, RUN, survives
from tests.stages.workshop import Workshop

KILLS = 3  # of each stage and optimizer; many more by python -m tests.faults.kills --soak 200


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stage", RUN)
def test_killed_at_random_moments_a_run_ends_as_if_never_killed(tmp_path, stage, optimizer):
    workshop = Workshop.create(tmp_path, stage)
    words = (f"--optimizer={optimizer}", *RUN[stage])
    expected = workshop.train("whole", *words)
    seed = random.randrange(2**32)
    print(f"moments drawn with seed {seed}")  # shown if it fails
    assert survives(workshop, "killed", expected, words, KILLS, random.Random(seed)) >= 1
