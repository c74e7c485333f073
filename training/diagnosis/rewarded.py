"""The verdict on a run that learns from rewards. Its loss says nothing: it is near zero however much is learned."""

from pathlib import Path

import numpy as np

from training.diagnosis.next_command import next_command
from training.diagnosis.rate_faults import lower_rate
from training.diagnosis.student import point_of
from training.diagnosis.verdict import DIVERGED, HEALTHY, LEARNED_LITTLE, STOPPED, Verdict
from training.report.description import Description
from training.report.lines import finite

# Up or down: chance alone, as each step has other prompts, rises so much in 1 of 40 runs, and falls in 1 of 200.
ROSE, FELL = 0.05, 0.01
EQUAL = 0.9  # share of the groups
MANY_DISTINCT, FEW_DISTINCT = 0.5, 0.1  # of an answer to each prompt of a step; from above the one to below the other


def judged_by_reward(lines: list, run: Description, source: Path) -> Verdict:
    """Compares the mean reward of the last eighth of the steps with those of the eighths before; at least five each."""
    rewards = np.array([(line["step"], value) for line in lines if (value := finite(line.get("reward"))) is not None])
    held_out = [value for line in lines if (value := finite(line.get("val_reward"))) is not None]
    of_held_out = f", that of held-out prompts from {held_out[0]:.3f} to {held_out[-1]:.3f}" if held_out[1:] else ""
    where = f" at step {lines[-1]['step']:,}" + (f" of {run.steps:,}" if run.steps else "")
    of_held_out += where
    if run.stopped:
        advice = "read the answers in samples.jsonl before you use it; docs/ppo.md says what helps"
        return Verdict(STOPPED, None, f"{run.stopped}{where}", advice)
    if not len(rewards):
        return Verdict(LEARNED_LITTLE, None, "no answer was rated", "look at the answers in samples.jsonl")
    part = max(5, len(rewards) // 8)
    parts = [rewards[at : at + part] for at in range(0, max(1, len(rewards) - 2 * part + 1), part)]
    last, freedom = rewards[-part:, 1], max(1, 2 * part - 2)
    best = max(parts, key=lambda each: each[:, 1].mean())
    begins, highest, ends = parts[0][:, 1].mean(), best[:, 1].mean(), last.mean()

    def error(before: np.ndarray) -> float:
        return np.sqrt((before[:, 1].var(ddof=1) + last.var(ddof=1)) / part) if len(rewards) > 1 else np.inf

    # Of several parts, chance makes the best one better; what was kept of half of a rise has not been lost.
    if highest - ends > point_of(FELL / len(parts), freedom) * error(best) and ends < (begins + highest) / 2:
        since, before = (None, "") if best is parts[0] else (int(best[-1, 0]), f"rose from {begins:.3f} and ")
        sentence = f"the reward {before}fell from {highest:.3f} to {ends:.3f}{of_held_out}"
        return Verdict(DIVERGED, since, sentence, lower_rate(run))
    alike = _alike(lines, part)
    if ends - begins > point_of(ROSE, freedom) * error(parts[0]):
        command = next_command(run.stage, source)
        advice = f"go on with: {command}" if command else "nothing: use it"
        if alike:
            advice = f"read the answers in samples.jsonl: if many prompts should get the same one, {advice}"
        return Verdict(HEALTHY, None, f"the reward rose from {begins:.3f} to {ends:.3f}{of_held_out}{alike}", advice)
    sentence = f"the reward was {begins:.3f} and is {ends:.3f}, no more than chance{of_held_out}{alike}"
    advice = "look at the answers in samples.jsonl; train longer, or with a larger --learning_rate"
    equal = [finite(line.get("frac_reward_zero_std")) or 0.0 for line in lines[-part:]]
    if (share := sum(equal) / len(equal)) > EQUAL:  # no step and no rate is large enough
        sentence += f"; in {share:.0%} of the last groups all answers have the same reward, which teaches nothing"
        advice = "take prompts that are answered well sometimes, not always, or a finer reward"
    return Verdict(LEARNED_LITTLE, None, sentence, advice)


def _alike(lines: list, part: int) -> str:
    """In words, how few of the last answers are distinct, where many once were: one phrase is said to many prompts."""
    shares = [value for line in lines if (value := finite(line.get("distinct"))) is not None]
    before, now = (np.mean(each) for each in (shares[:part] or [0], shares[-part:] or [0]))
    if not before > MANY_DISTINCT or not now < FEW_DISTINCT:
        return ""
    return f"; of an answer to each prompt, {now:.0%} are distinct, where {before:.0%} were at the beginning"
