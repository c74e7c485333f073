"""A stage as reinforcement learning has them, at its smallest: two networks, rollouts, three updates on each of them.

    python -m tests.training.engine.toy_stage --data_path FILE ...         (with --at SIGNAL ITERATION UPDATE: it
    sends itself SIGTERM or SIGKILL there; of several processes the last one does)

The policy samples from its own, changing, distribution, and both losses draw random numbers: whatever is not restored
exactly shows in the weights.
"""

import os
import signal
from dataclasses import dataclass

import torch

from dataset.rows.texts import TEXTS
from model.generation import generate_batch, new_generator
from model.reward import RewardModel
from model.transformer import Transformer
from training.engine import distributed
from training.engine.iteration import Iteration
from training.engine.optimizers import optimizers_for
from training.engine.plan import plan_for
from training.engine.run import Run
from training.losses.next_token import next_token_loss
from training.stages.arguments import (
    NOTHING,
    StageParser,
    add_data_arguments,
    add_model_arguments,
    add_optimization_arguments,
    add_run_arguments,
    run_main,
)
from training.stages.data import identity_of, open_data
from training.stages.starting_point import starting_point

UPDATES = 3


@dataclass(frozen=True)
class Answers:
    """Sampled tokens [B, T] and a reward for each row [B]."""

    tokens: torch.Tensor
    rewards: torch.Tensor


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    add_data_arguments(parser, "texts", max_seq_len=12)
    add_model_arguments(parser, start_from=None)
    add_optimization_arguments(parser, optimizer="adamw", weight_decay=0.0)
    add_run_arguments(parser, weight_name="toy")
    parser.flags("test", NOTHING)("--at", nargs=3, metavar=("SIGNAL", "ITERATION", "UPDATE"))
    return parser.parse_args(argv)


def main(argv=None, at=lambda iteration, update: None):
    """at: called in every update, behind its first micro-batch; update -1: when the answers are there."""
    args = parse_arguments(argv)
    if args.at and distributed.rank() == distributed.world_size() - 1:

        def at(iteration, update):
            if [str(iteration), str(update)] == args.at[1:]:
                os.kill(os.getpid(), signal.Signals[args.at[0]])

    with Run(args, stage="toy") as run:
        machine = run.machine
        policy, tokenizer, origin = starting_point(args)
        critic = RewardModel.of(Transformer(policy.config))
        rows, validation = open_data(TEXTS, args, tokenizer, run.say)
        plan = plan_for(args, machine, policy, rows, origin)
        optimizers = optimizers_for(policy, args, plan.learning_rate, machine)
        others = {"critic": (critic, optimizers_for(critic, args, 3 * plan.learning_rate, machine))}
        run.begin(policy, tokenizer, plan, optimizers, data=identity_of(rows, validation), others=others)

        for step in run.steps(Iteration):

            def sample(step=step):
                chunks = distributed.own_chunks(step.places, plan.batch_size)
                own = [rows.batch(step.epoch, places).tokens for places in chunks]
                prompts = torch.cat(own)[:, :4].tolist()
                generator = new_generator(seed=1000 * args.seed + step.number)
                answers = generate_batch(policy, prompts, max_new_tokens=8, generator=generator)
                tokens = torch.tensor([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
                return {"tokens": tokens, "rewards": torch.rand(len(tokens))}

            kept = step.keep("answers", sample)
            at(step.number, -1)
            for update in step.updates(UPDATES):
                halves = zip(*(kept[name].split(plan.batch_size) for name in ("tokens", "rewards")), strict=True)
                for number, batch in enumerate(step.batches(Answers(*half) for half in halves)):
                    noise = torch.rand(batch.tokens.shape)
                    features = policy.features(batch.tokens[:, :-1])
                    loss = next_token_loss(features, policy.lm_head.weight, batch.tokens[:, 1:])
                    step.backward(loss * batch.rewards.mean() * noise.mean(), batch.tokens[:, 1:].numel())
                    values = critic(batch.tokens)[:, -1]
                    value_loss = (values - batch.rewards - noise[:, 0]).square()
                    step.backward(value_loss.sum(), len(values), network="critic")
                    step.measure(len(values), value=values.sum())
                    step.measure_range(value=values)
                    if number == 0:
                        at(step.number, update)
                step.update()


if __name__ == "__main__":
    run_main(main)
