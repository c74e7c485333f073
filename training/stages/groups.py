"""Groups of answers to the same prompt: sampled, rated, and compared with each other."""

from collections.abc import Iterator

import torch
from torch import Tensor

from training.engine import distributed
from training.losses.advantages import group_advantages, weighted_sum
from training.losses.policy import Settings
from training.stages.answer_rows import Answer
from training.stages.checks import ValidationResult
from training.stages.given_weight import warn_of_its_run
from training.stages.rated_answers import REPLACED, columns_of, rewards_of
from training.stages.rollout_report import judged, measure, shown, table
from training.stages.rollouts import Rollouts, to_keep


class Groups:
    """The answers of GRPO: `--group_size` to each prompt.

    reference: the network that the KL is measured to, or None.
    """

    def __init__(self, run, policy, reference, renderer, rewards, toolbox=None):
        self.args = run.args
        self.plan = run.plan
        self.rewards = rewards
        self.reference = reference
        self.policy = policy
        self.tokenizer = renderer.tokenizer
        self.rollouts = Rollouts(run, policy, renderer, run.args.group_size, toolbox)
        for reward in rewards:
            if model := getattr(reward.function, "loaded", None):
                warn_of_its_run(model.source, REPLACED)
        self.names = [reward.name for reward in rewards]
        self.columns = None

    def sample(self, step, rows) -> dict:
        """The answers of this iteration and what is computed from them; made once, and saved with the run.

        `rewards` float64 [S, functions], NaN for an answer that a function has not rated; `advantages` float32 [S];
        `spread` bool [groups]; `old`, `reference` float32 [S, A], or None if not needed; and what `to_keep` returns.
        """
        self.columns = self.columns or columns_of(rows)
        return step.keep("answers", lambda: self._sample(step, rows))

    def _sample(self, step, rows) -> dict:
        prompts, answers, rewards = self._with_spread(step, rows)
        total = self._total(rewards)
        advantages, spread = self._advantages(total)
        kept = to_keep(prompts, answers, self.tokenizer) | {"rewards": rewards, "total": total}
        kept |= {"advantages": advantages.float(), "spread": spread, "old": None, "reference": None}
        if self.args.inner_epochs * self.args.mini_batches > 1:
            kept["old"] = self.rollouts.log_probabilities(self.policy, answers, kept)
        if self.reference is not None:
            kept["reference"] = self.rollouts.log_probabilities(self.reference, answers, kept)
        return kept

    def _with_spread(self, step, rows) -> tuple[list, list[Answer], Tensor]:
        """The prompt of each answer, the answers, group by group, and their rewards.

        A group of equal rewards teaches nothing: with --dynamic_sampling, another prompt takes its place (DAPO,
        https://arxiv.org/abs/2503.14476).
        """
        size = self.args.group_size
        prompts = self.rollouts.prompts_of(step, rows, step.epoch)
        answers, rewards = self._rated(prompts, (step.number, 0))
        for attempt in range(1, self.args.dynamic_sampling + 1):
            spread = group_advantages(self._total(rewards), torch.arange(len(answers)) // size)[1]
            equal = (~spread).nonzero().flatten().tolist()
            # The order of a later epoch: other prompts, and the same ones after an interruption.
            others = self.rollouts.prompts_of(step, rows, step.epoch + attempt * self.plan.epochs)
            others = [others[index] for index in equal]
            if not others:
                break
            new, rated = self._rated(others, (step.number, attempt))
            for place, index in enumerate(equal):
                taken, replaced = (slice(group * size, (group + 1) * size) for group in (place, index))
                prompts[index], answers[replaced], rewards[replaced] = others[place], new[taken], rated[taken]
        return [prompt for prompt in prompts for _ in range(size)], answers, rewards

    def _rated(self, prompts: list, key: tuple) -> tuple[list[Answer], Tensor]:
        prompts = [prompt for prompt in prompts for _ in range(self.args.group_size)]
        answers = self.rollouts.answers_to(prompts, key)
        return answers, rewards_of(self.rewards, prompts, answers, self.args, self.tokenizer, self.columns)

    def _total(self, rewards: Tensor) -> Tensor:
        """The weighted sum of each answer's rewards, float64 [S]."""
        return weighted_sum(rewards, [each.weight for each in self.rewards])

    def _advantages(self, total: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages of this process's answers, and which of its groups have a spread. The batch of --scale_rewards
        batch are the answers of all processes."""
        totals, size = distributed.gathered(total), self.args.group_size
        groups = torch.arange(sum(map(len, totals))) // size
        advantages, spread = group_advantages(torch.cat(totals), groups, self.args.scale_rewards)
        start = sum(map(len, totals[: distributed.rank()]))
        end = start + len(total)
        return advantages[start:end], spread[start // size : end // size]

    def batches(self, step, kept: dict, update: int) -> Iterator[tuple]:
        """The micro-batches of an update: rows, old [S, A] or None, advantages [S], reference [S, A] or None."""
        if update == 0:
            measure(step, kept, self.names)
        return self.rollouts.batches(step, kept, update, ("old", "advantages", "reference"))

    def validate(self, validation) -> ValidationResult:
        """The rewards of greedy answers to held-out prompts."""
        prompts = self.rollouts.with_tools(validation.batch(range(len(validation))).prompts)
        answers = self.rollouts.greedy(prompts)
        rewards = rewards_of(self.rewards, prompts, answers, self.args, self.tokenizer, self.columns)
        return judged(answers, self.names, rewards, self._total(rewards))

    def show(self, step, kept: dict) -> None:
        """Prints a few answers with their rewards, and writes them into samples.jsonl."""
        samples = table(kept, self.names, kept["total"], self.args.table_rows * self.args.group_size)
        step.show(samples, shown(samples))


def settings_of(args) -> Settings:
    """The settings of the loss that the flags give."""
    return Settings(
        clip_low=args.clip_low,
        clip_high=args.clip_high,
        dual_clip=args.dual_clip,
        cispo_cap=args.cispo_cap,
        longest=args.max_new_tokens * (args.max_turns if args.tools else 1),
        beta=args.kl_coef,
    )
