"""How well a network predicts the tokens of long texts, by how far into the text they stand.

The loss falls from position to position, since the network knows more and more of the text. At positions past the
length it was trained on, a network that cannot read longer texts has a loss that rises steeply.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from dataset.cache.texts import TextEncoder
from dataset.records.measured import kind_of_file, parts_of
from model.device import Device
from model.errors import SproutError
from model.log_probabilities import token_log_probabilities
from model.text.tokenizer import Tokenizer

TOKENS_AT_ONCE = 8192


@dataclass(frozen=True)
class LongTexts:
    """The beginnings of the long documents of a file."""

    rows: list[list[int]]  # BOS and `length` tokens of each
    shorter: int  # documents before the last of these that were passed over


def long_texts(path: str | Path, tokenizer: Tokenizer, length: int, most: int) -> LongTexts:
    """The first `length` tokens of the first `most` documents that have so many; shorter ones are passed over, so that
    every position is measured on the same documents.

    Raises `SproutError` for a file that cannot be used, and if no document is long enough.
    """
    kind, _ = kind_of_file(path, ("text",))
    rows, shorter, longest = [], 0, 0
    encoder = TextEncoder(tokenizer)
    for few, _ in parts_of(path, kind, "reading"):
        for ids, _ in encoder.encode([document.content for document in few]):
            longest = max(longest, len(ids))
            if len(rows) < most:
                rows += [[tokenizer.bos_id, *ids[:length]]] if len(ids) >= length else []
                shorter += len(ids) < length
        if len(rows) == most:
            break
    if not rows:
        raise SproutError(
            f"no document of {path} has {length:,} tokens, the longest has {longest:,}: give a smaller --max_seq_len,"
            " or a file of longer documents"
        )
    return LongTexts(rows, shorter)


@torch.no_grad()
def loss_by_position(model, rows: list[list[int]], device: Device, batch_size: int | None = None) -> torch.Tensor:
    """The mean of -log p(token) in nats at each position, float64 [length], over rows of length + 1 tokens.

    The first is that of the first token after BOS. batch_size: rows at once (default: as many as have
    `TOKENS_AT_ONCE`). Raises `SproutError` where a value is not finite.
    """
    length = len(rows[0]) - 1
    size = batch_size or max(1, TOKENS_AT_ONCE // length)
    total = torch.zeros(length, dtype=torch.float64)
    model.eval()
    for start in range(0, len(rows), size):
        tokens = torch.tensor(rows[start : start + size], device=device.device)
        with device.autocast():
            features = model.features(tokens[:, :-1])
            log_p, _ = token_log_probabilities(features, model.lm_head.weight, tokens[:, 1:])
        total -= log_p.double().sum(dim=0).cpu()
    if not total.isfinite().all():
        raise SproutError("the network computes values that are not numbers: its weights are damaged or it diverged")
    return total / len(rows)


def buckets(length: int) -> list[tuple[int, int]]:
    """The positions 1 to `length` in ranges (first, last) that become longer with the position: two in each octave from
    16 on, since loss falls about as the logarithm of the position."""
    edges = [16]
    while edges[-1] < length:
        edges.append(round(16 * 2 ** (len(edges) / 2)))
    edges[-1] = length
    return list(zip([1, *(edge + 1 for edge in edges[:-1])], edges, strict=True))


def mean_by_bucket(losses: torch.Tensor) -> list[float]:
    """The mean of `losses` [length] in each of its `buckets`."""
    return [losses[first - 1 : last].mean().item() for first, last in buckets(len(losses))]
