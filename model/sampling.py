"""From logits to the next token: what may be drawn, and the draw.

Pure functions on logits [B, V]; a token that may not be drawn gets -inf. The order is that of Hugging Face's
`generate`: repetition penalty, temperature, top-k, top-p, min-p, each on what the one before has left.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. The defaults draw from the network's own distribution; temperature 0 is greedy.

    Raises `UsageError` for a value that means nothing.
    """

    temperature: float = 1.0
    top_k: int = 0  # the k most probable; 0: all
    top_p: float = 1.0  # the smallest set of probability p; 1: all
    min_p: float = 0.0  # at least this share of the most probable token's probability; 0: all
    repetition_penalty: float = 1.0  # above 1: tokens that have occurred become less likely
    vocabulary: int = 0  # only the first so many tokens; 0: all

    def __post_init__(self):
        if not (self.temperature == 0 or 1e-5 <= self.temperature < math.inf):  # logits divided by less overflow
            raise UsageError(f"temperature is {self.temperature}: give 0 (greedy) or a number of at least 0.00001")
        if self.top_k < 0:
            raise UsageError(f"top_k is {self.top_k}: give a whole number, 0 for no limit")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: give a probability above 0 and at most 1 (no limit)")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"min_p is {self.min_p}: give a share from 0 (no limit) to 1")
        if not 0 < self.repetition_penalty < math.inf:
            raise UsageError(f"repetition_penalty is {self.repetition_penalty}: give a positive number, 1 for none")


PLAIN = Sampling()
GREEDY = Sampling(temperature=0.0)


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divides positive and multiplies negative logits of tokens in `seen` (boolean [B, V]) by `penalty`.

    CTRL, https://arxiv.org/abs/1909.05858, section 4.1, in the form of Hugging Face: a token counts once,
    however often it has occurred.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Leaves the k largest logits of each row, and those equal to the k-th."""
    return logits.masked_fill(logits < logits.topk(min(k, logits.shape[-1]), dim=-1).values[:, -1:], -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Leaves the smallest set of most probable tokens whose probability reaches p > 0, so at least one.

    Nucleus sampling, https://arxiv.org/abs/1904.09751, section 3.1.
    """
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    unneeded = probabilities.cumsum(dim=-1) - probabilities >= p  # all tokens before this one reach p already
    return logits.masked_fill(torch.zeros_like(unneeded).scatter(-1, order, unneeded), -math.inf)


def keep_min_p(logits: Tensor, share: float) -> Tensor:
    """Leaves tokens at least `share` times as probable as the first (min-p, https://arxiv.org/abs/2407.01082)."""
    return logits.masked_fill(logits < logits.amax(dim=-1, keepdim=True) + math.log(share), -math.inf)


def filtered(logits: Tensor, how: Sampling, seen: Tensor | None = None) -> Tensor:
    """The logits whose softmax is drawn from, float32 [B, V], at a temperature above 0.

    `seen` [B, V]: the tokens of prompt and answer, for the repetition penalty only.
    """
    logits = logits.float()
    if how.repetition_penalty != 1:
        logits = penalize_repetition(logits, seen, how.repetition_penalty)
    if how.temperature != 1:
        logits = logits / how.temperature
    if how.top_k:
        logits = keep_top_k(logits, how.top_k)
    if how.top_p < 1:
        logits = keep_top_p(logits, how.top_p)
    if how.min_p:
        logits = keep_min_p(logits, how.min_p)
    return logits


def sample(logits: Tensor, how: Sampling, seen: Tensor | None = None, generator=None, part=None) -> Tensor:
    """One token for each row of logits [B, V]: int64 [B]. `generator` lives on the device of the logits.

    part: (which rows these are of a batch, how many it has). Numbers are drawn for all, so that a row's are its own.
    """
    if how.vocabulary:
        logits, seen = logits[:, : how.vocabulary], None if seen is None else seen[:, : how.vocabulary]
    if how.temperature == 0:
        if how.repetition_penalty != 1:
            logits = penalize_repetition(logits.float(), seen, how.repetition_penalty)
        return logits.argmax(dim=-1)
    return draw(filtered(logits, how, seen).softmax(dim=-1), generator, part)


def draw(probabilities: Tensor, generator=None, part=None) -> Tensor:
    """One place in each row of probabilities [B, V], drawn by them: int64 [B]. `generator`, `part`: as in `sample`."""
    rows, count = part or (slice(None), len(probabilities))
    if probabilities.device.type == "cpu":  # one number a row, and where it falls: V numbers take ten times as long
        sums = probabilities.cumsum(dim=-1, dtype=torch.float64)
        numbers = torch.rand(count, 1, dtype=torch.float64, generator=generator)[rows]
        return torch.searchsorted(sums, numbers * sums[:, -1:], right=True)[:, 0]
    # The largest p / e is a draw from p if every e is exponential; a GPU has no fixed order for sums along a row.
    noise = probabilities.new_empty(count, probabilities.shape[-1]).exponential_(generator=generator)
    return (probabilities / noise[rows]).argmax(dim=-1)
