"""The answers of PPO, scored by a reward model, and what a critic expected of them."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from inference.weights import find_weight
from model.errors import SproutError
from model.reward import RewardModel
from model.text.tokenizer import Tokenizer
from training.engine import distributed
from training.losses.advantages import gae, moments, whiten
from training.losses.kl import k1
from training.losses.ppo import explained_variance, next_kl_coef, shaped_rewards
from training.rewards.reward_model import ModelReward
from training.stages.answer_rows import Answer, AnswerBatch, by_answer
from training.stages.checks import ValidationResult
from training.stages.groups import rewards_of
from training.stages.rollout_report import MOST_HELD_OUT, SampleLog, judged, measure, measure_policy, table
from training.stages.rollouts import Rollouts, to_keep

CRITIC = "critic"
PARTS_BESIDE = 5  # the critic with its gradient and two moments, and the judge, each as large
HORIZON = 10.0  # iterations, see `next_kl_coef`
MOST_SCORE = 10.0  # deviations: of answers that far from those it has seen, a reward model knows nothing


def open_judge(args, policy, tokenizer: Tokenizer, device, say) -> ModelReward:
    """The reward model that `--reward_weight` names, frozen; device: a `model.device.Device`.

    Raises `SproutError` if it reads other tokens, or not as many as the policy may write.
    """
    path = find_weight(args.reward_weight, args.out_dir, args.hidden_size)
    judge = ModelReward.open(str(path), tokenizer, device, say)
    if judge.loaded.tokenizer.fingerprint != tokenizer.fingerprint:
        raise SproutError(f"{path} has another tokenizer than the policy, so the critic cannot begin as this network")
    reads = judge.loaded.model.config.max_position_embeddings
    if reads < min(args.max_seq_len + 1, policy.config.max_position_embeddings):
        raise SproutError(f"{path} reads at most {reads} tokens: give --max_seq_len {reads - 1}, or less")
    judge.loaded.model.requires_grad_(False)
    return judge


def critic_of(judge: ModelReward) -> RewardModel:
    """A network that learns, with the weights of the judge: it begins by expecting the score of what is written, but
    for the mean, which its head cannot hold (`ActorCritic.values`)."""
    critic = copy.deepcopy(judge.loaded.model).requires_grad_(True)
    if judge.spread:
        with torch.no_grad():
            critic.score.weight /= judge.spread.deviation
    return critic


def warn_of_warmup(warmup: int, steps: int, say) -> None:
    """Says so where the policy would not learn in any of the steps."""
    if warmup >= steps:
        fewer = f", or --critic_warmup {steps // 5}" if steps > 1 else ""
        say(
            f"warning: the first {warmup} steps teach the critic alone, so in {steps} the network itself learns"
            f" nothing: give --max_steps {5 * warmup} and enough --epochs{fewer}"
        )


class ActorCritic:
    """The answers of PPO, one to each prompt, and what the losses need of them.

    watched: rewards (`training.rewards.loading.Reward`) that are measured beside the score, and not learned from.
    """

    def __init__(self, run, policy, critic, reference, judge: ModelReward, renderer, watched=()):
        self.args, self.machine, self.state = run.args, run.machine, run.state
        self.policy, self.critic, self.reference, self.judge = policy, critic, reference, judge
        self.tokenizer, self.watched = renderer.tokenizer, watched
        self.names = ["score", *(reward.name for reward in watched)]
        self.rollouts, self.log = Rollouts(run, policy, renderer), SampleLog(run)
        self.mean = judge.spread.mean / judge.spread.deviation if judge.spread else 0.0

    def learns(self, step) -> bool:
        """Whether the policy learns in this step: first, the critic learns what to expect of it."""
        return step.index >= self.args.critic_warmup

    def values(self, batch: AnswerBatch) -> Tensor:
        """What the critic expects before each action, with gradient, [S, A]: it has seen the tokens before it."""
        return by_answer(self.critic(batch.tokens, batch.positions) - self.mean, batch)

    @property
    def kl_coef(self) -> float:
        """The weight of the KL: --kl_coef, which --kl_target makes follow the KL that is measured."""
        return self.state.remembered.setdefault("kl_coef", self.args.kl_coef)

    def sample(self, step, rows) -> dict:
        """The answers of this iteration and what follows from them; made once, and saved with the run.

        `kl_coef`; `scores` float32 [S]; `rewards` float64 [S, names], the scores and what is watched; `names`; `old`,
        `kl`, `values`, `advantages`, `returns` float32 [S, A]; and what `to_keep` returns.
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
        kl = k1(old, first) * mask
        shaped = shaped_rewards(scores, kl, mask, self.kl_coef, kept["ended"], args.no_end_penalty)
        advantages, returns = gae(shaped, values, mask, args.gamma, args.gae_lambda)
        return kept | {
            "kl_coef": self.kl_coef,
            "scores": scores,
            "rewards": self._beside(prompts, answers, scores),
            "names": self.names,  # a resumed run may watch others from the next iteration on
            "kl": kl,
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
        measure(step, kept | {"total": scores.double()}, kept["names"])
        kl = kept["kl"].sum(dim=1)
        beside = -kept["kl_coef"] * kl - self.args.no_end_penalty * (~kept["ended"])
        sums = {"kl": kl, "scores": scores, "non_score_reward": beside, "rlhf_reward": scores + beside}
        sums["entropy"] = -kept["old"].sum(dim=1)  # of whole answers, estimated from what was drawn
        step.measure(count, **{f"objective/{name}": values.sum() for name, values in sums.items()})
        step.measure(1, **{"objective/kl_coef": kept["kl_coef"], "critic/explained_variance": kept["explained"]})

    def measure_update(self, step, update: int, batch: AnswerBatch, policy_loss, value_loss, log_p, old, entropy):
        """Notes the losses of a micro-batch, and what is known of them, by the names of trl's PPO."""
        measure_policy(step, update, batch, policy_loss, log_p, old, entropy)
        sums = {name: found for name, (found, _) in (policy_loss.measures | value_loss.measures).items()}
        found = {
            "loss/policy": policy_loss.loss_sum,
            "loss/value": value_loss.loss_sum,
            "policy/entropy": entropy.sum(),
            "policy/approxkl": sums["approx_kl"],
            "policy/clipfrac": sums["clip_ratio/region_mean"],
            "val/ratio": (log_p.detach() - old).exp()[batch.mask].sum(),
            "val/clipfrac": sums["value/clip_ratio"],
            "critic/value": sums["value/mean"],
        }
        step.measure(batch.actions, **found)

    def follow(self, step, kept: dict) -> None:
        """Moves the weight of the KL towards --kl_target, after the updates of a step. It begins with the weight that
        the answers were made with, so a step that is interrupted behind this and ended later moves it only once."""
        kl, args = step.metrics.get("objective/kl"), self.args
        if args.kl_target and kl is not None:
            self.state.remembered["kl_coef"] = next_kl_coef(kept["kl_coef"], kl, args.kl_target, HORIZON)

    def validate(self, validation) -> ValidationResult:
        """The scores of greedy answers to held-out prompts."""
        prompts = validation.batch(range(min(len(validation), MOST_HELD_OUT))).prompts
        answers = self.rollouts.greedy(prompts)
        scores = self._scores(answers)
        return judged(answers, self.names, self._beside(prompts, answers, scores), scores.double())

    def show(self, step, kept: dict) -> None:
        """Prints a few answers with their scores, and writes them into samples.jsonl."""
        self.log.show(step, table(kept, kept["names"], self.args.table_rows))

    def _beside(self, prompts, answers: list[Answer], scores: Tensor) -> Tensor:
        """The scores, and what the watched rewards say: float64 [S, names], NaN where one says nothing."""
        watched = rewards_of(self.watched, prompts, answers, self.args, self.tokenizer)
        return torch.cat([scores[:, None].double(), watched], dim=1)

    def _scores(self, answers: list[Answer]) -> Tensor:
        """The normalised score of each answer, float32 [S]; the policy writes none that is too long for the judge."""
        completions = [answer.completion for answer in answers]
        prompts = [answer.ids[: -len(answer.completion)] for answer in answers]
        found = self.judge([], [], prompt_ids=prompts, completion_ids=completions)
        return torch.tensor(found, dtype=torch.float32).clamp(-MOST_SCORE, MOST_SCORE)
