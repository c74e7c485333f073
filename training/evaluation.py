"""How well a network predicts text: loss, perplexity, and bits per byte.

    loss = nats / targets        perplexity = exp(loss)        bits per byte = nats / ln 2 / UTF-8 bytes of the text

Special tokens count as targets but stand for no bytes. Bits per byte does not depend on how a tokenizer cuts the text, so
networks with different tokenizers can be compared by it; loss and perplexity cannot.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from dataset.rows import IGNORE, Batch
from dataset.tokenising import Documents
from model.errors import SproutError, UsageError
from training.device import Device
from training.losses import next_token_loss


@dataclass(frozen=True)
class Evaluation:
    """Sums over a text, and the means made of them."""

    nats: float  # sum of -log p(target)
    targets: int
    bytes: int  # UTF-8 bytes of the text that the targets stand for

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


def evaluate(
    model,
    batches: Iterable[Batch],
    total_bytes: int,
    *,
    device: Device,
    poll: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Scores every target of `batches`, which stand for `total_bytes` of text.

    The model is on `device`, computes in its precision, and is back in its mode (train, eval) afterwards. `poll` is called
    before each batch. Raises `SproutError` if there is nothing to score.
    """
    nats, targets = 0.0, 0
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), device.autocast():
            for batch in batches:
                poll()
                batch = device.move(batch)
                features = model.features(batch.tokens, batch.positions)
                # Batches are added up in Python's float64: float32 would lose digits over millions of targets.
                nats += next_token_loss(features, model.lm_head.weight, batch.targets).item()
                targets += batch.trained
    finally:
        model.train(was_training)
    if targets == 0 or total_bytes == 0:
        raise SproutError("there is no text to evaluate on: it holds no document")
    return Evaluation(nats, targets, total_bytes)


@dataclass(frozen=True)
class FileEvaluation(Evaluation):
    """The evaluation of a file, each of its documents on its own."""

    documents: int


def evaluate_file(
    model, tokenizer, path: str | Path, *, max_seq_len: int, batch_size: int, device: Device
) -> FileEvaluation:
    """Scores each document of a text file as BOS + ids + EOS, unseen by the others.

    A document longer than `max_seq_len` is cut into windows, each led by BOS, so that every token is a target exactly once.
    Memory does not grow with the file. Raises `SproutError` for a file or line that cannot be used.
    """
    if max_seq_len > model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {max_seq_len} is longer than the {model.config.max_position_embeddings} positions of the"
            " network: give at most that"
        )
    size, documents = 0, 0

    def rows() -> Iterator[list[int]]:
        nonlocal size, documents
        for texts in _chunks(texts_of_file, 256):
            for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
                size += len(text.encode("utf-8"))
                documents += 1
                yield from windows(ids, tokenizer.bos_id, tokenizer.eos_id, max_seq_len)

    def batches() -> Iterator[Batch]:
        # Rows of about the same length go together, so that little is computed for padding.
        for chunk in _chunks(rows(), 32 * batch_size):
            chunk.sort(key=len)
            for few in _chunks(chunk, batch_size):
                yield right_padded(few, tokenizer.pad_id)

    # With "stop" no bad line is kept aside.
    with Documents(Path(path), "text", "stop", Path(os.devnull), progress=True) as texts_of_file:
        scored = list_once = None
        total = _evaluate_counting(model, batches(), device)
    if documents == 0:
        raise SproutError(f"{path} holds no document")
    return FileEvaluation(total.nats, total.targets, size, documents)
