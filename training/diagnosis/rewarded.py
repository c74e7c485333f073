"""The verdict on a run that learns from rewards. Its loss says nothing: it is near zero however much is learned."""

from pathlib import Path

import numpy as np

from training.diagnosis.curve import finite
from training.diagnosis.next_command import next_command
from training.diagnosis.rate_faults import lower_rate
from training.diagnosis.verdict import DIVERGED, HEALTHY, LEARNED_LITTLE, Verdict
from training.report.description import Description

SURE = 2.0  # standard errors: a smaller difference may be chance, as each step has other prompts


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
    sure = SURE * float(np.sqrt((first.var() + last.var()) / part))
    if ends - begins > sure:
        command = next_command(run.stage, source)
        advice = f"go on with: {command}" if command else "nothing: use it"
        return Verdict(HEALTHY, None, f"the reward rose from {begins:.3f} to {ends:.3f}{of_held_out}", advice)
    if begins - ends > sure:
        return Verdict(DIVERGED, None, f"the reward fell from {begins:.3f} to {ends:.3f}{of_held_out}", lower_rate(run))
    sentence = f"the reward was {begins:.3f} and is {ends:.3f}, no more than chance{of_held_out}"
    advice = "look at the answers in samples.jsonl; train longer, or with a larger --learning_rate"
    return Verdict(LEARNED_LITTLE, None, sentence, advice)
