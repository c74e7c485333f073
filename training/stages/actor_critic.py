"""The answers of PPO, scored by a reward model, and what a critic expected of them."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from inference.weights import find_weight
from model.errors import SproutError
from model.reward import RewardModel
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import same_ids
from training.engine import distributed
from training.engine.plan import Plan, rate_by_rule
from training.losses.advantages import gae, moments, whiten
from training.losses.kl import k1
from training.losses.ppo import explained_variance, next_kl_coef, shaped_rewards
from training.rewards.reward_model import ModelReward
from training.stages.advice import warn_of_limits
from training.stages.answer_rows import Answer, AnswerBatch, by_answer
from training.stages.checks import ValidationResult
from training.stages.given_weight import warn_of_its_run
from training.stages.rated_answers import REPLACED, columns_of, rewards_of
from training.stages.rl_arguments import CLIP
from training.stages.rollout_report import judged, measure, measure_policy, shown, table
from training.stages.rollouts import Rollouts, to_keep

CRITIC = "critic"
PARTS_BESIDE = 5  # the critic, its gradient and its two moments, and the reward model: each is as large as the critic
HORIZON = 10.0  # iterations, see `next_kl_coef`
MOST_SCORE = 10.0  # standard deviations: a reward model knows nothing of answers so far from those it has seen


def open_reward_model(args, policy, tokenizer: Tokenizer, device, say) -> ModelReward:
    """The reward model that `--reward_weight` names, frozen; device: a `model.device.Device`.

    Raises `SproutError` if the same ids are other tokens to it, or it reads fewer tokens than the policy may write.
    """
    path = find_weight(args.reward_weight, args.out_dir, chosen_by="a path")  # its size need not be the policy's
    warn_of_its_run(path, REPLACED)
    reward_model = ModelReward.open(str(path), tokenizer, device, say)
    if not same_ids(reward_model.loaded.tokenizer, tokenizer):
        raise SproutError(f"{path} has another tokenizer than the policy, so the critic cannot begin as this network")
    reads = reward_model.loaded.model.config.max_position_embeddings
    if reads < min(args.max_seq_len + 1, policy.config.max_position_embeddings):
        raise SproutError(f"{path} reads at most {reads} tokens: give --max_seq_len {reads - 1}, or less")
    reward_model.loaded.model.requires_grad_(False)
    return reward_model


def critic_of(reward_model: ModelReward) -> RewardModel:
    """The critic: a trainable copy of the reward model, which begins by predicting its normalised score. The head
    divides by the deviation; it has no bias to subtract the mean, which `ActorCritic.values` does."""
    critic = copy.deepcopy(reward_model.loaded.model).requires_grad_(True)
    if reward_model.spread:
        with torch.no_grad():
            critic.score.weight /= reward_model.spread.deviation
    return critic


def rate_of_critic(args, plan: Plan, base_rates: dict) -> float:
    """The learning rate of the critic: --critic_rate times that of the policy. Where the policy learns by adapters,
    whose rates are of another order, it is --critic_rate times the rate by `base_rates`, as in `plan_for`; unless these
    lack the optimizer.
    """
    rate = plan.learning_rate
    if args.lora:
        base = base_rates["imported" if plan.imported else "ours"]
        by_rule, _ = rate_by_rule(args.optimizer, plan.tokens_per_step, plan.begins_with, plan.imported, base, False)
        rate = by_rule or rate
    return args.critic_rate * rate


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

    def __init__(self, run, policy, critic, reference, reward_model: ModelReward, renderer, watched=()):
        self.args = run.args
        self.machine = run.machine
        self.state = run.state
        self.policy = policy
        self.critic = critic
        self.reference = reference
        self.reward_model = reward_model
        self.tokenizer = renderer.tokenizer
        self.watched = watched
        self.columns = None
        self.names = ["score", *(reward.name for reward in watched)]
        warn_of_limits(run, [f"--{name}" for name in ("clip", "clip_value") if getattr(run.args, name) != CLIP])
        self.rollouts = Rollouts(run, policy, renderer)
        self.mean = reward_model.spread.mean / reward_model.spread.deviation if reward_model.spread else 0.0

    def learns(self, step) -> bool:
        """Whether the policy learns in this step; in the first steps only the critic does."""
        return step.index >= self.args.critic_warmup

    def values(self, batch: AnswerBatch) -> Tensor:
        """The critic's value before each action, [S, A], with gradient: it has seen the tokens before the action."""
        return by_answer(self.critic(batch.tokens, batch.positions) - self.mean, batch)

    @property
    def kl_coef(self) -> float:
        """The weight of the KL: --kl_coef, which --kl_target makes follow the KL that is measured."""
        return self.state.remembered.setdefault("kl_coef", self.args.kl_coef)

    def sample(self, step, rows) -> dict:
        """The answers of this iteration and what is computed from them; made once, and saved with the run.

        `kl_coef`; `scores` float32 [S]; `rewards` float64 [S, names], the scores and what is watched; `names`; `old`,
        `kl`, `values`, `advantages`, `returns` float32 [S, A]; and what `to_keep` returns.
        """
        self.columns = self.columns or columns_of(rows)
        return step.keep("answers", lambda: self._sample(step, rows))

    def _sample(self, step, rows) -> dict:
        args = self.args
        prompts = self.rollouts.prompts_of(step, rows, step.epoch)
        answers = self.rollouts.answers_to(prompts, (step.number,))
        kept = to_keep(prompts, answers, self.tokenizer)
        old, ref_log_p = (self.rollouts.log_probabilities(net, answers, kept) for net in (self.policy, self.reference))
        values = self.rollouts.scored(self.critic, self.values, answers, kept)
        lengths = torch.tensor([sum(answer.actions) for answer in answers])
        mask = torch.arange(old.shape[1]) < lengths[:, None]
        scores = self._scores(answers)
        kl = k1(old, ref_log_p) * mask
        shaped = shaped_rewards(scores, kl, mask, self.kl_coef, kept["ended"], args.no_end_penalty)
        advantages, returns = gae(shaped, values, mask, args.gamma, args.gae_lambda)
        # An advantage is R - V, so both what whitens it and what the critic explains follow from these.
        of_all = sum(distributed.gathered(torch.stack([moments(each, mask) for each in (advantages, returns)])))
        return kept | {
            "kl_coef": self.kl_coef,
            "scores": scores,
            "rewards": self._with_watched(prompts, answers, scores),
            "names": self.names,  # a resumed run may watch others from the next iteration on
            "kl": kl,
            "old": old,
            "values": values,
            "advantages": whiten(advantages, mask, of_all[0]),
            "returns": returns,
            "explained": explained_variance(*of_all),
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
        # These are the same in every process.
        step.measure(1, **{"objective/kl_coef": kept["kl_coef"], "critic/explained_variance": kept["explained"]})

    def measure_update(self, step, update: int, batch: AnswerBatch, policy_loss, value_loss, log_p, old, entropy):
        """Notes the losses of a micro-batch, and what is known of them, by the names of trl's PPO."""
        measure_policy(step, update, batch, policy_loss, log_p, old, entropy)
        sums = {name: total for name, (total, _) in (policy_loss.measures | value_loss.measures).items()}
        measured = {
            "loss/policy": policy_loss.loss_sum,
            "loss/value": value_loss.loss_sum,
            "policy/entropy": entropy.sum(),
            "policy/approxkl": sums["approx_kl"],
            "policy/clipfrac": sums["clip_ratio/region_mean"],
            "val/ratio": torch.where(batch.mask, (log_p.detach() - old).exp(), 0).sum(),
            "val/clipfrac": sums["value/clip_ratio"],
            "critic/value": sums["value/mean"],
        }
        step.measure(batch.actions, **measured)

    def adapt_kl_coef(self, step, kept: dict) -> None:
        """Changes the weight of the KL after the updates of a step, so that the KL follows --kl_target. It starts from
        the weight that the answers were made with, so a step that is interrupted after this changes it only once."""
        kl, args = step.metrics.get("objective/kl"), self.args
        if args.kl_target and kl is not None:
            self.state.remembered["kl_coef"] = next_kl_coef(kept["kl_coef"], kl, args.kl_target, HORIZON)

    def validate(self, validation) -> ValidationResult:
        """The scores of greedy answers to held-out prompts."""
        prompts = validation.batch(range(len(validation))).prompts
        answers = self.rollouts.greedy(prompts)
        scores = self._scores(answers)
        return judged(answers, self.names, self._with_watched(prompts, answers, scores), scores.double())

    def show(self, step, kept: dict) -> None:
        """Prints a few answers with their scores, and writes them into samples.jsonl."""
        samples = table(kept, kept["names"], kept["scores"], self.args.table_rows)
        step.show(samples, shown(samples))

    def _with_watched(self, prompts, answers: list[Answer], scores: Tensor) -> Tensor:
        """The scores and the watched rewards: float64 [S, names], NaN where a reward has not rated an answer."""
        watched = rewards_of(self.watched, prompts, answers, self.args, self.tokenizer, self.columns)
        return torch.cat([scores[:, None].double(), watched], dim=1)

    def _scores(self, answers: list[Answer]) -> Tensor:
        """The normalised score of each answer, float32 [S]; no answer is too long for the reward model."""
        completions = [answer.completion for answer in answers]
        prompts = [answer.ids[: -len(answer.completion)] for answer in answers]
        scores = self.reward_model([], [], prompt_ids=prompts, completion_ids=completions)
        return torch.tensor(scores, dtype=torch.float32).clamp(-MOST_SCORE, MOST_SCORE)
