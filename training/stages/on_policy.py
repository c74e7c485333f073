"""On-policy data: the student's own answers in place of those of the data.

A student that sees only correct beginnings does not learn how to continue after its own mistakes. In GKD the student
samples the answer, and the teacher predicts every token of it (https://arxiv.org/abs/2306.13649, algorithm 1). Seed and
step decide which steps do so and what is drawn, so resuming needs no state.
"""

import random
from collections.abc import Iterable, Iterator

import numpy as np

from dataset.rows.rows import Batch
from model.likelihood import IGNORE
from training.engine import distributed
from training.stages.answer_rows import answer_batches
from training.stages.rollouts import generator_of, sample_answers


def is_on_policy(seed: int, step: int, share: float) -> bool:
    """Whether a step samples its answers: seed and step select a `share` of all steps."""
    return random.Random(f"on policy {seed} {step}").random() < share


def own_answers(model, batches: Iterable[Batch], renderer, machine, args, *, step: int, rows: int) -> Iterator[Batch]:
    """The micro-batches of a step, each conversation with a last answer that the network samples at temperature 1.

    Only the sampled tokens are trained. They include the end of the turn, unless --max_new_tokens or the row ends
    before it. A prompt that fills all positions of the network is left out. The seed and the index `step` determine the
    random numbers. rows: the most rows in a micro-batch; answers may be longer than those of the data, and so need
    more rows than these.
    """
    for number, batch in enumerate(batches):
        length, positions = batch.tokens.shape[1], model.config.max_position_embeddings
        answers = sample_answers(
            model,
            [prompt for prompt in prompts_of(batch) if len(prompt) < positions],
            renderer,
            machine,
            max_new_tokens=args.max_new_tokens,
            temperature=1.0,
            generator=generator_of(machine.device, args.seed, distributed.rank(), step, number),
            max_length=length + 1,  # a row holds inputs, so the last token takes no place
        )
        for sampled in answer_batches(answers, range(len(answers)), length, rows, model.config.pad_token_id):
            if sampled.actions:
                yield machine.move(Batch(sampled.tokens, sampled.targets, sampled.positions, sampled.actions))


def prompts_of(batch: Batch) -> list[list[int]]:
    """For each conversation, the tokens before its last answer, which is its last run of trained tokens.

    batch: rows of conversations, each of which begins at position 0.
    """
    prompts = []
    arrays = (each.cpu().numpy() for each in (batch.tokens, batch.targets, batch.positions))
    for tokens, targets, positions in zip(*arrays, strict=True):
        trained = targets != IGNORE
        starts = np.flatnonzero(positions == 0)
        # Beginnings of runs of trained targets. A run ends before the next conversation, which begins with a header.
        begins = np.flatnonzero(trained & ~np.concatenate([[False], trained[:-1]]))
        for start, end in zip(starts, [*starts[1:], len(tokens)]):
            answers = begins[(begins >= start) & (begins < end)]
            if answers.size:
                prompts.append(tokens[start : answers[-1] + 1].tolist())
    return prompts
