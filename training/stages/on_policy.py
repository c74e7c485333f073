"""On-policy data: the student's own answers in place of those of the data.

A student that sees only correct beginnings does not learn how to go on after its own mistakes. In GKD it answers
itself, and the teacher predicts every token of the answer (https://arxiv.org/abs/2306.13649, algorithm 1). Seed and
step decide which steps do so and what is drawn, so resuming needs no state.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import torch

from dataset.rows.packing import pack
from dataset.rows.rows import Batch
from model.generation import generate_batch, new_generator
from model.likelihood import IGNORE
from model.sampling import PLAIN
from training.engine import distributed

PROMPTS_AT_ONCE = 64


def is_on_policy(seed: int, step: int, share: float) -> bool:
    """Whether a step samples its answers: seed and step select a `share` of all steps."""
    return random.Random(f"on policy {seed} {step}").random() < share


def own_answers(
    model, batches: Iterable[Batch], machine, seed: int, step: int, rows: int, end_ids: set[int], max_new_tokens: int
) -> Iterator[Batch]:
    """The micro-batches of a step, `answered`; the seed and the index `step` determine the random numbers.

    rows: the most rows in a micro-batch; answers may be longer than those of the data, and so need more rows.
    """
    for number, batch in enumerate(batches):
        key = f"answers {seed} {(step, number)} {distributed.rank()}"
        generator = new_generator(machine.device, seed=random.Random(key).getrandbits(63))
        with machine.inference():  # `poll` never stops the sampling; it raises after a signal
            drawn = answered(model, batch, end_ids, max_new_tokens, generator=generator, stop=machine.poll)
        for some in zip(*(each.split(rows) for each in (drawn.tokens, drawn.targets, drawn.positions)), strict=True):
            trained = int((some[1] != IGNORE).sum())
            if trained:
                yield machine.move(Batch(*some, trained))


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
            here = begins[(begins >= start) & (begins < end)]
            if here.size:
                prompts.append(tokens[start : here[-1] + 1].tolist())
    return prompts


def answered(
    model,
    batch: Batch,
    end_ids: Collection[int],
    max_new_tokens: int,
    *,
    generator: torch.Generator,
    stop: Callable[[], bool] | None = None,
) -> Batch:
    """The conversations of a batch, each with a last answer that the network samples at temperature 1.

    Only the sampled tokens are trained. They include the end of the turn, unless `max_new_tokens` or the row ends
    before it. Rows are on the CPU and as long as those of `batch`. A prompt that fills all positions of the network is
    left out.
    """
    length, pad_id = batch.tokens.shape[1], model.config.pad_token_id
    positions_in_all = model.config.max_position_embeddings
    prompts = sorted((prompt for prompt in prompts_of(batch) if len(prompt) < positions_in_all), key=len)
    examples = []  # (ids, how many of them are the prompt)
    for few, most in _in_groups(prompts, max_new_tokens, length, positions_in_all):
        answers = generate_batch(
            model, few, max_new_tokens=most, sampling=PLAIN, eos_ids=end_ids, generator=generator, stop=stop
        )
        for prompt, answer in zip(few, answers, strict=True):
            examples.append((prompt + answer[: length + 1 - len(prompt)], len(prompt)))
    rows = pack(np.array([len(ids) - 1 for ids, _ in examples], np.int64), length)
    tokens = torch.full((len(rows), length), pad_id)
    targets, positions = torch.full_like(tokens, IGNORE), torch.zeros_like(tokens)
    for row, numbers in enumerate(rows):
        start = 0
        for ids, prompt in (examples[number] for number in numbers):
            n = len(ids) - 1
            tokens[row, start : start + n] = torch.tensor(ids[:-1])
            targets[row, start + prompt - 1 : start + n] = torch.tensor(ids[prompt:])
            positions[row, start : start + n] = torch.arange(n)
            start += n
    return Batch(tokens, targets, positions, sum(len(ids) - prompt for ids, prompt in examples))


def _in_groups(
    prompts: list[list[int]], max_new_tokens: int, length: int, positions: int
) -> Iterator[tuple[list[list[int]], int]]:
    """Yields prompts to answer together, and the most tokens of their answers.

    prompts: shorter ones first. The first of a group has the most room in its row. The longest limits the positions
    of the whole group, so a prompt that is too long for the others begins a new group.
    """
    few: list[list[int]] = []
    most = 0
    for prompt in prompts:
        if few and (len(few) == PROMPTS_AT_ONCE or len(prompt) + most > positions):
            yield few, most
            few = []
        if not few:
            most = min(max_new_tokens, length + 1 - len(prompt), positions - len(prompt))
        few.append(prompt)
    if few:
        yield few, most
