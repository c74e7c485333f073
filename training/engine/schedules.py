"""Learning-rate schedules: pure functions of the step, so that resuming needs no state."""

import math


def learning_rate_factor(
    step: int, total_steps: int, warmup_steps: int, schedule: str, decay_fraction: float = 0.5
) -> float:
    """The factor on the peak learning rate at `step` (0-based) of `total_steps`.

    Both schedules begin with a linear warm-up to 1. `cosine` then falls to 10 % along half a cosine wave
    (https://arxiv.org/abs/1608.03983). `wsd` (warm-up, stable, decay: https://arxiv.org/abs/2404.06395) stays at 1,
    then falls linearly to 5 % over the last `decay_fraction` of the run.
    """
    if not 0 <= step < total_steps:
        raise ValueError(f"step {step} is not in a run of {total_steps} steps")
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "cosine":
        progress = (step - warmup_steps) / max(1, total_steps - 1 - warmup_steps)
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "wsd":
        decay_steps = min(round(total_steps * decay_fraction), total_steps - warmup_steps)
        left = (total_steps - step) / max(1, decay_steps)  # 1 at the first step of the decay
        return 0.05 + 0.95 * min(1.0, left)
    raise ValueError(f"unknown schedule {schedule}")
