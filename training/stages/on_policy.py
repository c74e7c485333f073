"""Answers that the network which learns gives itself, in place of those of the data (on-policy).

A student that is only shown right beginnings never sees its own mistakes, and so does not learn how to go on after
them; GKD has it answer, and the teacher say what it would have said at every token (https://arxiv.org/abs/2306.13649,
algorithm 1). Which steps do so, and what is drawn, are functions of the seed and of the step: resuming needs no state.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import torch

from dataset.rows.packing import pack
from dataset.rows.rows import IGNORE, Batch
from model.generation import generate_batch, new_generator
from model.sampling import PLAIN
from training.engine import distributed

PROMPTS_AT_ONCE = 64


def is_on_policy(seed: int, step: int, share: float) -> bool:
    """Whether the answers of a step are sampled: of a `share` of all steps, drawn by seed and step alone."""
    return random.Random(f"on policy {seed} {step}").random() < share


def own_answers(
    run, model, batches: Iterable[Batch], step: int, end_ids: set[int], max_new_tokens: int
) -> Iterator[Batch]:
    """The micro-batches of a step, `answered`; step: its index, which decides with the seed what is drawn.

    None has more rows than the plan says: answers may be longer than those of the data, and take more of them.
    """
    rows = run.plan.batch_size
    for number, batch in enumerate(batches):
        key = f"answers {run.args.seed} {(step, number)} {distributed.rank()}"
        generator = new_generator(run.device, seed=random.Random(key).getrandbits(63))
        with run.inference():  # `poll` never says stop; it leaves when a signal came
            drawn = answered(model, batch, end_ids, max_new_tokens, generator=generator, stop=run.poll)
        for some in zip(*(each.split(rows) for each in (drawn.tokens, drawn.targets, drawn.positions)), strict=True):
            trained = int((some[1] != IGNORE).sum())
            if trained:
                yield run.device_choice.move(Batch(*some, trained))


def prompts_of(batch: Batch) -> list[list[int]]:
    """All of each conversation that comes before its last trained run of tokens, its last answer.

    batch: rows of conversations, of which position 0 begins one.
    """
    prompts = []
    arrays = (each.cpu().numpy() for each in (batch.tokens, batch.targets, batch.positions))
    for tokens, targets, positions in zip(*arrays, strict=True):
        trained = targets != IGNORE
        starts = np.flatnonzero(positions == 0)
        # Of runs of trained targets. None goes on into the next conversation, which begins with the header of a turn.
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
    """The conversations of a batch with the last answer of each as the network gives it now, drawn at temperature 1.

    Only the sampled tokens are trained: with the end of the turn, unless that is more than `max_new_tokens` or than the
    row has room for. Rows are as long as those of `batch`, on the CPU. A prompt that fills all positions of the network
    has no answer, and is left out.
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
    """Prompts that are answered together, and by how many tokens at most.

    prompts: shorter ones first. The first of a group has the most room in its row; where positions run out, they do so
    for all of a group, so a prompt that is too long for that begins a new one.
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
