"""Answers in packed rows: where each stands, what it sees, and which of its tokens are learned from.

An ACTION is a token that the policy sampled; the token that ends its turn is one, too. Other tokens of an answer, such
as the result of a tool, come from outside and are only read.

The answers to one prompt can share it. Then a row holds the prompt once and the answers behind it; each sees the
prompt and itself, and its positions go on from the prompt:

    tokens      P P P P p a a a p b b p c c c c        P: the prompt but for its last token p
    positions   0 1 2 3 4 5 6 7 4 5 6 4 5 6 7 8
    branches    1 1 1 1 2 2 2 2 3 3 3 4 4 4 4 4
    trunks      1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1

Every answer has a p of its own, since its own first action follows there. All that is computed for an answer equals
that of a row of its own (https://arxiv.org/abs/2506.05433), with far fewer tokens where prompts are long.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dataset.rows.packing import pack
from model.likelihood import IGNORE
from model.log_probabilities import token_log_probabilities


@dataclass(frozen=True)
class Answer:
    """One rollout: the ids of the prompt and of all that follows it, and which of them are actions."""

    ids: list[int]
    actions: list[bool]
    ended: bool  # whether it ended by itself
    last: int  # where its last turn begins; without tools it has one
    calls: int = 0  # calls of tools
    failed: int = 0  # calls that were answered with an error
    between: Sequence[dict] = ()  # its turns with calls, and their results, as messages; known while it is rated

    @property
    def completion(self) -> list[int]:
        """The ids behind the prompt."""
        return self.ids[self.actions.index(True) :]


@dataclass(frozen=True)
class AnswerBatch:
    """Packed rows [B, T] of S answers with at most A actions."""

    tokens: Tensor  # [B, T] int64
    targets: Tensor  # [B, T] int64: the actions, IGNORE elsewhere
    positions: Tensor  # [B, T] int64, 0 where a prompt begins
    places: Tensor  # [S, A] int64, where in targets.flatten() each action of an answer is; any place if there is none
    mask: Tensor  # [S, A] bool, where there is one
    numbers: np.ndarray  # [S] int64, the number of each answer; on the host, as what was kept of the answers
    actions: int  # how many there are
    branches: Tensor | None = None  # [B, T] int64: the stretch that a token belongs to; None: nothing is shared
    trunks: Tensor | None = None  # [B, T] int64: the stretch before, which it sees as well

    @property
    def sight(self) -> Tensor | None:
        """The attention mask, bool [B, 1, T, T], for `Transformer.features`; None if the positions suffice."""
        if self.branches is None:
            return None
        keys, T = self.branches[:, None, :], self.branches.shape[1]
        causal = torch.ones(T, T, dtype=torch.bool, device=keys.device).tril()
        return (causal & ((keys == self.branches[:, :, None]) | (keys == self.trunks[:, :, None])))[:, None]


def answer_batches(
    answers: Sequence[Answer], numbers: Sequence[int], row_length: int, rows: int, pad_id: int, share: bool = False
) -> Iterator[AnswerBatch]:
    """The answers of these numbers in packed rows, at most `rows` at a time; a function of its arguments alone.

    share: whether answers to equal prompts share it.
    """
    clusters = _clusters(answers, numbers, row_length) if share else [_Cluster(0, [number]) for number in numbers]
    packing = pack(np.array([cluster.length(answers) for cluster in clusters], np.int64), row_length)
    for start in range(0, len(packing), rows):
        here = [[clusters[i] for i in packing[row]] for row in range(start, min(start + rows, len(packing)))]
        yield _batch(answers, here, row_length, pad_id)


@dataclass(frozen=True)
class _Cluster:
    """Answers in one row whose first `shared` tokens stand there once."""

    shared: int
    numbers: list[int]

    def length(self, answers: Sequence[Answer]) -> int:
        """The places that it takes. A row holds inputs, so the last token of an answer takes none."""
        return self.shared + sum(len(answers[number].ids) - 1 - self.shared for number in self.numbers)


def _clusters(answers: Sequence[Answer], numbers: Sequence[int], row_length: int) -> list[_Cluster]:
    """The answers to each prompt together, as many as fit into a row."""
    found, latest = [], {}
    for number in numbers:
        answer = answers[number]
        prompt = tuple(answer.ids[: answer.actions.index(True)])
        cluster = latest.get(prompt)
        if cluster is None or cluster.length(answers) + len(answer.ids) - len(prompt) > row_length:
            cluster = latest[prompt] = _Cluster(len(prompt) - 1, [])
            found.append(cluster)
        cluster.numbers.append(number)
    return found


def _batch(answers: Sequence[Answer], rows: list[list[_Cluster]], row_length: int, pad_id: int) -> AnswerBatch:
    shape = len(rows), row_length
    tokens, targets = np.full(shape, pad_id, np.int64), np.full(shape, IGNORE, np.int64)
    positions, branches, trunks = (np.zeros(shape, np.int64) for _ in range(3))
    places, numbers = [], []
    for row, clusters in enumerate(rows):
        start, branch = 0, 0
        for cluster in clusters:
            # The prompt that the answers share, which is their trunk
            shared, branch = cluster.shared, branch + 1
            trunk, span = branch, (row, slice(start, start + shared))
            tokens[span] = answers[cluster.numbers[0]].ids[:shared]
            positions[span] = np.arange(shared)
            branches[span] = trunks[span] = trunk
            start += shared
            for number in cluster.numbers:
                # An answer, and what of the prompt it does not share: inputs and targets one apart
                branch += 1
                ids, actions = np.array(answers[number].ids), np.array(answers[number].actions)
                inputs, outputs, learned = ids[shared:-1], ids[shared + 1 :], actions[shared + 1 :]
                span = row, slice(start, start + len(inputs))
                tokens[span] = inputs
                positions[span] = shared + np.arange(len(inputs))
                branches[span], trunks[span] = branch, trunk
                np.copyto(targets[span], outputs, where=learned)
                places.append(row * row_length + start + np.flatnonzero(learned))
                numbers.append(number)
                start += len(inputs)
    counts = np.array([len(of_answer) for of_answer in places])
    mask = np.arange(counts.max()) < counts[:, None]
    padded = np.zeros(mask.shape, np.int64)
    padded[mask] = np.concatenate(places)
    shares = any(cluster.shared for clusters in rows for cluster in clusters)
    seen = (branches, trunks) if shares else ()
    found = map(torch.from_numpy, (tokens, targets, positions, padded, mask))
    return AnswerBatch(*found, np.array(numbers), int(counts.sum()), *map(torch.from_numpy, seen))


def action_log_probabilities(model, batch: AnswerBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """log p of every action at this temperature, with gradient, and the entropy it was drawn with: each [S, A], 0
    where there is no action."""
    features = model.features(batch.tokens, batch.positions, mask=batch.sight)
    log_p, entropies = token_log_probabilities(features / temperature, model.lm_head.weight, batch.targets)
    return by_answer(log_p, batch), by_answer(entropies, batch)


def by_answer(values: Tensor, batch: AnswerBatch) -> Tensor:
    """Values [B, T] at the actions of each answer: [S, A], 0 where there is none."""
    return torch.where(batch.mask, values.flatten()[batch.places], 0)
