"""The verdict on a run that learns from rewards. Its loss says nothing: it is near zero however much is learned."""

import math
from pathlib import Path

import numpy as np

from training.diagnosis.next_command import next_command
from training.diagnosis.rate_faults import lower_rate
from training.diagnosis.student import point_of
from training.diagnosis.verdict import DIVERGED, HEALTHY, LEARNED_LITTLE, Verdict
from training.report.description import Description
from training.report.lines import finite

# Up or down: chance alone, as each step has other prompts, rises so much in 1 of 40 runs, and falls in 1 of 200.
ROSE, FELL = 0.05, 0.01


def judged_by_reward(lines: list, run: Description, source: Path) -> Verdict:
    """Compares the mean reward of the first and of the last eighth of the steps; at least five each."""
    rewards = [value for line in lines if (value := finite(line.get("reward"))) is not None]
    held_out = [value for line in lines if (value := finite(line.get("val_reward"))) is not None]
    part = max(5, len(rewards) // 8)
    first, last = np.array(rewards[:part]), np.array(rewards[-part:])
    if not rewards:
        return Verdict(LEARNED_LITTLE, None, "no answer was rated", "look at the answers in samples.jsonl")
    begins, ends = float(first.mean()), float(last.mean())
    of_held_out = f", that of held-out prompts from {held_out[0]:.3f} to {held_out[-1]:.3f}" if held_out[1:] else ""
    of_held_out += f" at step {lines[-1]['step']:,}" + (f" of {run.steps:,}" if run.steps else "")
    error = float(np.sqrt((first.var(ddof=1) + last.var(ddof=1)) / len(first))) if rewards[1:] else math.inf
    freedom = max(1, 2 * len(first) - 2)
    if ends - begins > point_of(ROSE, freedom) * error:
        command = next_command(run.stage, source)
        advice = f"go on with: {command}" if command else "nothing: use it"
        return Verdict(HEALTHY, None, f"the reward rose from {begins:.3f} to {ends:.3f}{of_held_out}", advice)
    if begins - ends > point_of(FELL, freedom) * error:
        return Verdict(DIVERGED, None, f"the reward fell from {begins:.3f} to {ends:.3f}{of_held_out}", lower_rate(run))
    sentence = f"the reward was {begins:.3f} and is {ends:.3f}, no more than chance{of_held_out}"
    advice = "look at the answers in samples.jsonl; train longer, or with a larger --learning_rate"
    return Verdict(LEARNED_LITTLE, None, sentence, advice)
