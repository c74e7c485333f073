"""How well a network predicts text: loss, perplexity, bits per byte, and token accuracy.

    loss = nats / targets      perplexity = exp(loss)      bits per byte = nats / ln 2 / UTF-8 bytes of text
    token accuracy = the share of targets that the network finds more probable than any other token

Special tokens count as targets but stand for no bytes. Bits per byte does not depend on how a tokenizer cuts
the text, so networks with different tokenizers can be compared by it; loss and perplexity cannot.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch

from dataset.cache.tokenising import Documents
from dataset.rows.rows import IGNORE, Batch
from model.errors import SproutError, UsageError
from model.text.batches import text_batches
from training.losses.next_token import next_token_scores

Item = TypeVar("Item")


@dataclass(frozen=True)
class Evaluation:
    """Sums over a text, and the means made of them."""

    nats: float  # sum of -log p(target)
    targets: int
    bytes: int  # UTF-8 bytes of the text that the targets stand for; 0 where only part of a text is scored
    correct: int  # targets that were the most probable token

    @property
    def loss(self) -> float:
        """Nats per target."""
        return self.nats / self.targets

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def token_accuracy(self) -> float:
        return self.correct / self.targets

    @property
    def measures(self) -> dict[str, float]:
        """What metrics.jsonl holds of a validation."""
        if self.bytes:
            return {"val_loss": self.loss, "val_bits_per_byte": self.bits_per_byte}
        return {"val_loss": self.loss, "val_token_accuracy": self.token_accuracy}

    def __str__(self) -> str:
        last = f"{self.bits_per_byte:.4f} bits per byte" if self.bytes else f"token accuracy {self.token_accuracy:.1%}"
        return f"validation loss {self.loss:.4f}, perplexity {self.perplexity:.2f}, {last}"


@dataclass(frozen=True)
class Scores:
    """What a stage of its own loss finds in its validation, and how it says so."""

    measures: dict[str, float]  # for metrics.jsonl
    words: str

    def __str__(self) -> str:
        return self.words


def validate(run, model, rows) -> Evaluation:
    """Scores the held-out rows of a run, in its precision; it ends there if a signal comes."""
    batches = rows.batches(run.plan.batch_size)
    return evaluate(model, batches, rows.bytes, device=run.device, autocast=run.inference, poll=run.poll)


def validation_means(run, model, rows, sums_of: Callable, count_of: Callable) -> dict[str, float]:
    """Means over the held-out records of a run, in its precision, by names that begin with `val_`.

    sums_of(batch) -> sums over the records of a batch, by name; count_of(batch) -> how many these are.
    """
    totals: dict[str, float] = {}
    count, was_training = 0, model.training
    model.eval()
    try:
        with torch.no_grad(), run.inference():
            for batch in rows.batches(run.plan.batch_size):
                run.poll()
                batch = run.device_choice.move(batch)
                for name, value in sums_of(batch).items():
                    totals[name] = totals.get(name, 0.0) + value.item()
                count += count_of(batch)
    finally:
        model.train(was_training)
    return {f"val_{name}": total / count for name, total in totals.items()}


def evaluate(
    model,
    batches: Iterable[Batch],
    total_bytes: int = 0,
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    poll: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Scores every target of `batches`, which stand for `total_bytes` of text (0: bits per byte has no meaning).

    The model is on `device`, computes under `autocast`, and is back in its mode (train, eval) afterwards.
    `poll` is called before each batch. Raises `SproutError` if there is nothing to score.
    """
    nats, targets, correct = _sums(model, batches, device, autocast, poll)
    if targets == 0:
        raise SproutError("there is no text to evaluate on")
    return Evaluation(nats, targets, total_bytes, correct)


def evaluate_file(
    model,
    tokenizer,
    path: str | Path,
    *,
    max_seq_len: int,
    batch_size: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> tuple[Evaluation, int]:
    """Scores each document of a text file on its own, as BOS + ids + EOS; also returns how many there are.

    A document longer than `max_seq_len` is cut into windows, each led by BOS, so that every token is a target
    exactly once. Memory does not grow with the file.

    Raises `SproutError` for a file or line that cannot be used.
    """
    if max_seq_len > model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {max_seq_len} is more than the {model.config.max_position_embeddings} positions"
            " of the network: give at most that"
        )
    size, count = 0, 0

    def rows(documents: Documents) -> Iterator[list[int]]:
        nonlocal size, count
        for texts in text_batches(documents):
            for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
                size += len(text.encode("utf-8"))
                count += 1
                yield from windows(ids, tokenizer.bos_id, tokenizer.eos_id, max_seq_len)

    def batches(documents: Documents) -> Iterator[Batch]:
        for chunk in _chunks(rows(documents), 32 * batch_size):
            chunk.sort(key=len)  # rows of about the same length go together: little is computed for padding
            for few in _chunks(chunk, batch_size):
                yield right_padded(few, tokenizer.pad_id)

    # With "stop" the first bad line raises, and no file of bad lines is written.
    with Documents(Path(path), "text", "stop", Path(os.devnull), progress=True) as documents:
        nats, targets, correct = _sums(model, batches(documents), device, autocast)
    if count == 0:
        raise SproutError(documents.why_empty())
    return Evaluation(nats, targets, size, correct), count


def windows(ids: Sequence[int], bos_id: int, eos_id: int, length: int) -> Iterator[list[int]]:
    """A document as rows of at most `length` + 1 tokens, inputs and targets one apart, each led by BOS.

    Together the rows have every token of `ids` and the EOS behind them as a target exactly once.
    """
    targets = [*ids, eos_id]
    for start in range(0, len(targets), length):
        yield [bos_id, *targets[start : start + length]]


def right_padded(rows: Sequence[Sequence[int]], pad_id: int) -> Batch:
    """Rows as inputs and targets one apart; what is padded is no target, and no token looks ahead at it."""
    longest = max(map(len, rows)) - 1
    tokens = torch.full((len(rows), longest), pad_id)
    targets = torch.full((len(rows), longest), IGNORE)
    for i, row in enumerate(rows):
        tokens[i, : len(row) - 1] = torch.tensor(row[:-1])
        targets[i, : len(row) - 1] = torch.tensor(row[1:])
    return Batch(tokens, targets, None, sum(map(len, rows)) - len(rows))


def _sums(model, batches: Iterable[Batch], device, autocast, poll=lambda: None) -> tuple[float, int, int]:
    """Nats, targets and correct targets of all batches."""
    nats, targets, correct = 0.0, 0, 0  # Python's float64: float32 would lose digits over millions of targets
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), autocast():
            for batch in batches:
                poll()
                positions = None if batch.positions is None else batch.positions.to(device)
                features = model.features(batch.tokens.to(device), positions)
                loss, hits = next_token_scores(features, model.lm_head.weight, batch.targets.to(device))
                nats += loss.item()
                correct += hits.item()
                targets += batch.trained
    finally:
        model.train(was_training)
    return nats, targets, correct


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
