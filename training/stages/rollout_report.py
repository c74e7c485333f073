"""What a user sees of rollouts: measures, a table of a few of them, and how answers to held-out prompts are rated."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model.errors import on_one_line
from training.engine import distributed
from training.losses.advantages import deviation
from training.losses.policy import PolicyLoss, extremes
from training.stages.answer_rows import Answer, AnswerBatch
from training.stages.checks import ValidationResult
from training.stages.rollouts import lengths_of

WIDTH = 100  # characters of a text in the table


def measure(step, kept: dict, names: Sequence[str]) -> None:
    """Notes rewards and lengths of the answers of all processes, by the names that trl gives them; `kept`: as
    `Groups.sample` returns it."""

    def every(values: Tensor) -> Tensor:
        return torch.cat(distributed.gathered(values))

    ended, lengths, calls, failed = map(every, (kept["ended"], lengths_of(kept), kept["calls"], kept["failed"]))
    found = {f"completions/{name}_length": getattr(lengths.double(), name)() for name in ("mean", "min", "max")}
    found["completions/clipped_ratio"] = (~ended).double().mean()
    texts = [text for each in distributed.gathered(kept["texts"]) for text in each]
    groups = len(every(kept["spread"])) if "spread" in kept else len(texts)
    found["distinct"] = distinct_share(texts[:: len(texts) // groups])  # an answer to each prompt
    if ended.any():
        found["completions/mean_terminated_length"] = lengths[ended].double().mean()
    if calls.any():
        found |= {"tools/calls": calls.double().mean(), "tools/failed": failed.sum() / calls.sum()}
    for name, values in zip(names, every(kept["rewards"]).T, strict=True):
        if (rated := values[~values.isnan()]).numel():
            found |= {f"rewards/{name}/mean": rated.mean(), f"rewards/{name}/std": deviation(rated)}
    total = every(kept["total"])
    if not total.isnan().all():
        found["reward"] = total.nanmean()
    if "spread" in kept:
        spread = every(kept["spread"])
        deviations = [deviation(group[~group.isnan()]) for group in total.view(len(spread), -1)]
        found |= {"reward_std": sum(deviations) / len(spread), "frac_reward_zero_std": (~spread).double().mean()}
    step.measure(1, **found)  # the same in every process


def distinct_share(texts: Sequence[str]) -> float:
    """How many different texts there are, as a share of all: 1 where no two are equal."""
    return len(set(texts)) / len(texts)


def measure_policy(step, update: int, batch: AnswerBatch, found: PolicyLoss, log_p, old, entropy: Tensor) -> None:
    """Notes the measures of a policy loss, and the entropies of the actions [S, A], in nats.

    `val/ratio_first`: the mean rho before the first update, which is 1 up to rounding; any other value is a bug.
    """
    measure_loss(step, found)
    step.measure(batch.actions, entropy=entropy.sum())
    if update == 0:
        ratio = (log_p.detach() - old).exp()
        step.measure(batch.actions, **{"val/ratio_first": torch.where(batch.mask, ratio, 0).sum()})
        step.measure_range(ratio_first=extremes(ratio, batch.mask))


def measure_loss(step, found: PolicyLoss) -> None:
    for name, (total, count) in found.measures.items():
        step.measure(count, **{name: total})
    step.measure_range(**found.ranges)


def table(kept: dict, names: Sequence[str], total: Tensor, count: int) -> list[dict]:
    """The first `count` answers with their rewards, as they go into samples.jsonl. total [S]: what is learned from."""
    found, lengths, totals = [], lengths_of(kept).tolist(), total.tolist()
    for index, values in enumerate(kept["rewards"][:count].tolist()):
        found.append(
            {
                "prompt": kept["prompts"][index],
                "answer": kept["texts"][index],
                "reward": _rounded(totals[index]),
                "rewards": {name: _rounded(value) for name, value in zip(names, values, strict=True)},
                "tokens": lengths[index],
                "ended": bool(kept["ended"][index]),
            }
        )
    return found


def _rounded(reward: float) -> float | None:
    """None for NaN, an answer that is not rated."""
    return None if math.isnan(reward) else float(f"{reward:.6g}")


def shown(samples: list[dict]) -> str:
    """Samples as text to print: each prompt, then the best and the worst of its answers."""
    lines, by_prompt = [], {}
    for sample in samples:
        by_prompt.setdefault(sample["prompt"], []).append(sample)
    for prompt, answers in by_prompt.items():
        lines.append(f"  {_cut(prompt)}")
        answers = [each for each in answers if each["reward"] is not None] or answers
        answers.sort(key=lambda each: -(each["reward"] or 0.0))
        best_and_worst = answers if len(answers) < 2 else [answers[0], answers[-1]]
        for each in best_and_worst:
            rewards = ", ".join(f"{name} {value:g}" for name, value in each["rewards"].items() if value is not None)
            lines.append(f"    [{rewards}] {_cut(each['answer'])}{'' if each['ended'] else ' (cut)'}")
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = on_one_line(text)
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def judged(answers: list[Answer], names: list[str], ratings: Tensor, total: Tensor) -> ValidationResult:
    """Means over answers to held-out prompts; ratings: float64 [S, functions], NaN where one has not rated an answer;
    total [S]: their weighted sum."""
    count = len(answers)
    means = {name: mean for name, mean in zip(names, ratings.nanmean(dim=0).tolist()) if not math.isnan(mean)}
    length = sum(len(answer.completion) for answer in answers) / count
    ended = sum(answer.ended for answer in answers) / count
    measures = {f"val_reward/{name}": mean for name, mean in means.items()}
    if means:
        measures["val_reward"] = total.nanmean().item()
    words = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    words = f"{count:,} held-out prompts: {words}; {length:.0f} tokens an answer, {ended:.0%} ended"
    return ValidationResult(measures | {"val_length": length, "val_ended": ended}, words)
