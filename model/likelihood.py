"""How well a network predicts given tokens: loss, perplexity, bits per byte, and token accuracy.

    loss = nats / targets      perplexity = exp(loss)      bits per byte = nats / ln 2 / UTF-8 bytes of text
    token accuracy = the share of targets that the network finds more probable than any other token

nats is the sum of -log p(target). Special tokens count as targets but stand for no bytes. Bits per byte do not depend
on how a tokenizer cuts the text, so they compare networks with different tokenizers; loss and perplexity cannot.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.errors import SproutError
from model.whole import in_mode

IGNORE = -100  # the target that stands for nothing; `torch.nn.functional.cross_entropy` ignores it by default
LOGITS_AT_ONCE = 2**24  # 64 MB in float32


@dataclass(frozen=True)
class Evaluation:
    """Sums over a text, and the means made of them."""

    nats: float  # sum of -log p(target)
    targets: int
    correct: int  # targets that were the most probable token

    @property
    def loss(self) -> float:
        """Nats per target."""
        return self.nats / self.targets

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def bits_per_byte(self, text_bytes: int) -> float:
        """text_bytes: UTF-8 bytes of the text that the targets stand for."""
        return self.nats / math.log(2) / text_bytes

    @property
    def token_accuracy(self) -> float:
        return self.correct / self.targets


def evaluate(
    model,
    batches: Iterable,
    *,
    move: Callable = lambda batch: batch,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    poll: Callable[[], None] = lambda: None,
    gathered: Callable[[list], list[list]] = lambda sums: [sums],
) -> Evaluation:
    """Scores every target of `batches`.

    batches: anything with `tokens`, `targets` and `positions` (all int64 [B, T]; positions may be None) and `trained`,
        the number of targets that are not IGNORE. move(batch): the same on the device of the network. poll: called
        before each of them. gathered: the sums of each process.

    The model is back in its mode (train, eval) afterwards. Raises `SproutError` if there is nothing to score.
    """
    with in_mode(model, training=False), torch.no_grad(), autocast():
        scores, targets = [torch.zeros(2, device=model.lm_head.weight.device)], 0
        for batch in batches:
            poll()
            targets, batch = targets + batch.trained, move(batch)
            features = model.features(batch.tokens, batch.positions)
            scores.append(torch.stack(next_token_scores(features, model.lm_head.weight, batch.targets)))
    # Read once, so that a GPU never waits. Python's float64: float32 would lose digits over millions of targets.
    nats, correct = map(sum, zip(*torch.stack(scores).tolist()))
    nats, targets, correct = map(sum, zip(*gathered([nats, targets, correct])))
    if targets == 0:
        raise SproutError("there is no text to evaluate on")
    return Evaluation(nats, targets, round(correct))


@torch.no_grad()
def next_token_scores(features: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of -log softmax(features @ head')[target], in nats, at least float32; and how many targets have the
    largest logit of all. Targets that are IGNORE do not count.

    features: [..., D], the last hidden states; head: [V, D], the output embedding; targets: [...] token ids.
    """
    features, targets = features.flatten(0, -2), targets.flatten()
    kind, chunk = compute_type(features, head), chunk_length(head)
    if features.device.type == "cpu":
        here = places_of_targets(targets)
        features, targets = features[here], targets[here]
    nats = torch.zeros((), dtype=torch.promote_types(kind, torch.float32), device=features.device)
    correct = torch.zeros((), dtype=torch.int64, device=features.device)
    features, head = features.to(kind), head.to(kind)
    for start in range(0, len(features), chunk):
        x, y = features[start : start + chunk], targets[start : start + chunk]
        counts = y != IGNORE
        y = torch.where(counts, y, 0)[:, None]
        log_probabilities = F.linear(x, head).to(nats.dtype).log_softmax(dim=-1)
        nats -= torch.where(counts[:, None], log_probabilities.gather(-1, y), 0).sum()
        correct += ((log_probabilities.argmax(dim=-1) == y[:, 0]) & counts).sum()
    return nats, correct


def places_of_targets(targets: Tensor) -> Tensor | slice:
    """The indices of `targets` [T] that are not IGNORE, and of others up to a multiple of 64: for oneDNN keeps 20 MB of
    programs for each number of rows. Only for a CPU: ignored targets need no logits, but counting waits for a GPU."""
    wanted = -(-int((targets != IGNORE).sum()) // 64) * 64
    return slice(None) if wanted >= len(targets) else (targets == IGNORE).byte().argsort(stable=True)[:wanted]


def chunk_length(head: Tensor) -> int:
    """For how many tokens logits are made at a time: those of 4096, by 151,936 entries, would take 2.5 GB at once."""
    return max(256, LOGITS_AT_ONCE // len(head))


def compute_type(features: Tensor, head: Tensor) -> torch.dtype:
    """The precision of the product of the two, as autocast would have it."""
    if torch.is_autocast_enabled(features.device.type):
        return torch.get_autocast_dtype(features.device.type)
    return torch.promote_types(features.dtype, head.dtype)
