"""The answers of PPO, scored by a reward model, and what a critic expected of them."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.weights import find_weight
from model.errors import SproutError
from model.files.reward import load_reward
from model.reward import RewardModel, rewards
from model.text.tokenizer import Tokenizer
from model.whole import fingerprint
from training.engine import distributed
from training.losses.advantages import gae, moments, whiten
from training.losses.ppo import explained_variance, next_kl_coef, shaped_rewards
from training.stages.checks import ValidationResult
from training.stages.rollout_report import MOST_HELD_OUT, SampleLog, judged, measure, table
from training.stages.rollouts import Answer, AnswerBatch, Rollouts, by_answer, to_keep

CRITIC = "critic"
HORIZON = 10.0  # iterations, see `next_kl_coef`
CLIP_SCORE = 10.0  # deviations; a reward model says nothing about answers so far from those it has seen


@dataclass(frozen=True)
class Judge:
    """A frozen reward model. Scores are in deviations from the mean of the answers that it was trained on."""

    model: RewardModel
    source: str
    mean: float
    deviation: float

    @property
    def name(self) -> str:
        return f"{fingerprint(self.model)}, mean {self.mean:g}, deviation {self.deviation:g}"

    @property
    def parameters(self) -> int:
        """Of the networks beside the policy: reward model, critic with its gradient and its two moments."""
        return 5 * sum(p.numel() for p in self.model.parameters())

    def as_critic(self) -> RewardModel:
        """A network that learns, with the same weights; it begins by expecting the score of what is written so far."""
        critic = copy.deepcopy(self.model).requires_grad_(True)
        with torch.no_grad():
            critic.score.weight /= self.deviation
        return critic

    def scores(self, answers: Sequence[Answer], rows: int, machine, pad_id: int) -> Tensor:
        """The normalised score of each answer, float32 [S] on the CPU; `rows` answers at a time."""
        found = torch.zeros(len(answers))
        order = sorted(range(len(answers)), key=lambda number: len(answers[number].ids))
        for start in range(0, len(order), rows):
            few = order[start : start + rows]
            width = len(answers[few[-1]].ids)
            # Padding is on the right, where no token sees it.
            tokens = torch.tensor([answers[n].ids + [pad_id] * (width - len(answers[n].ids)) for n in few])
            ends = torch.tensor([row * width + len(answers[n].ids) - 1 for row, n in enumerate(few)])
            with torch.no_grad(), machine.inference():
                values = rewards(self.model, tokens.to(machine.device), None, ends.to(machine.device))
            found[few] = values.float().cpu()
        return ((found - self.mean) / self.deviation).clamp(-CLIP_SCORE, CLIP_SCORE)


def open_judge(args, tokenizer: Tokenizer, say) -> Judge:
    """The reward model that `--reward_weight` names. Raises `SproutError` where its tokenizer is another one."""
    loaded = load_reward(find_weight(args.reward_weight, args.out_dir, args.hidden_size))
    if loaded.tokenizer.fingerprint != tokenizer.fingerprint:
        raise SproutError(f"{loaded.source} has another tokenizer than the policy: train it from the same weight")
    judge = Judge(loaded.model.requires_grad_(False).eval(), loaded.source, *loaded.facts.get("scores", (0.0, 1.0)))
    say(f"is judged by {judge.source}: scores of mean {judge.mean:.3f} and deviation {judge.deviation:.3f}")
    return judge


class ActorCritic:
    """The answers of PPO, one to each prompt, and what the losses need of them."""

    def __init__(self, run, policy, critic, reference, judge: Judge, renderer):
        self.args, self.machine, self.state = run.args, run.machine, run.state
        self.policy, self.critic, self.reference, self.judge = policy, critic, reference, judge
        self.tokenizer = renderer.tokenizer
        self.rollouts, self.log = Rollouts(run, policy, renderer), SampleLog(run)

    def learns(self, step) -> bool:
        """Whether the policy learns in this step: first, the critic learns what to expect of it."""
        return step.index >= self.args.critic_warmup

    def values(self, batch: AnswerBatch) -> Tensor:
        """What the critic expects before each action, with gradient, [S, A]: it has seen the tokens before it."""
        return by_answer(self.critic(batch.tokens, batch.positions), batch)

    @property
    def kl_coef(self) -> float:
        """The weight of the KL: --kl_coef, which --kl_target makes follow the KL that is measured."""
        return self.state.remembered.setdefault("kl_coef", self.args.kl_coef)

    def sample(self, step, rows) -> dict:
        """The answers of this iteration and what follows from them; made once, and saved with the run.

        `scores` float32 [S]; `old`, `kl`, `values`, `advantages`, `returns` float32 [S, A]; and what `to_keep` returns.
        """
        return step.keep("answers", lambda: self._sample(step, rows))

    def _sample(self, step, rows) -> dict:
        args, prompts = self.args, self.rollouts.prompts_of(step, rows, step.epoch)
        answers = self.rollouts.answers_to(prompts, (step.number,))
        kept = to_keep(prompts, answers, self.tokenizer)
        old, first = (self.rollouts.log_probabilities(net, answers, kept) for net in (self.policy, self.reference))
        values = self.rollouts.scored(self.critic, self.values, answers, kept)
        lengths = torch.tensor([sum(answer.actions) for answer in answers])
        mask = torch.arange(old.shape[1]) < lengths[:, None]
        scores = self._scores(answers)
        shaped = shaped_rewards(scores, old - first, mask, self.kl_coef, kept["ended"], args.no_end_penalty)
        advantages, returns = gae(shaped, values, mask, args.gamma, args.gae_lambda)
        return kept | {
            "scores": scores,
            "kl": (old - first) * mask,
            "old": old,
            "values": values,
            "advantages": whiten(advantages, mask, sum(distributed.gathered(moments(advantages, mask)))),
            "returns": returns,
            "explained": explained_variance(values, returns, mask),
        }

    def batches(self, step, kept: dict, update: int) -> Iterator[tuple]:
        """The micro-batches of an update: rows, then old, advantages, values, returns, each [S, A]."""
        if update == 0:
            self._measure_answers(step, kept)
        return self.rollouts.batches(step, kept, update, ("old", "advantages", "values", "returns"))

    def _measure_answers(self, step, kept: dict) -> None:
        count, scores = len(kept["scores"]), kept["scores"]
        measure(step, kept | {"rewards": scores[:, None].double(), "total": scores.double()}, ["score"])
        kl = kept["kl"].sum(dim=1)
        rlhf = scores - self.kl_coef * kl - self.args.no_end_penalty * (~kept["ended"])
        step.measure(count, **{"objective/kl": kl.sum(), "objective/scores": scores.sum()})
        step.measure(count, **{"objective/rlhf_reward": rlhf.sum(), "objective/kl_coef": self.kl_coef * count})
        step.measure(1, **{"critic/explained_variance": kept["explained"]})

    def follow(self, step) -> None:
        """Moves the weight of the KL towards --kl_target, after the updates of a step."""
        kl, args = step.metrics.get("objective/kl"), self.args
        if args.kl_target and kl is not None:
            self.state.remembered["kl_coef"] = next_kl_coef(self.kl_coef, kl, args.kl_target, HORIZON)

    def validate(self, validation) -> ValidationResult:
        """The scores of greedy answers to held-out prompts."""
        prompts = validation.batch(range(min(len(validation), MOST_HELD_OUT))).prompts
        answers = self.rollouts.greedy(prompts)
        return judged(answers, ["score"], self._scores(answers)[:, None].double())

    def show(self, step, kept: dict) -> None:
        """Prints a few answers with their scores, and writes them into samples.jsonl."""
        scores = kept | {"rewards": kept["scores"][:, None].double()}
        self.log.show(step, table(scores, ["score"], self.args.table_rows))

    def _scores(self, answers: list[Answer]) -> Tensor:
        return self.judge.scores(answers, self.rollouts.plan.batch_size, self.machine, self.tokenizer.pad_id)
