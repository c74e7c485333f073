"""A batch that texts join and leave between two steps, as the requests of a server do.

    batch = RunningBatch(model)
    row = Row(prompt, sampling, seed=1)
    while not batch.read(row): ...          # a part of the prompt at a time; then its first token is chosen
    batch.step()                            # one more token for every row
    batch.leave(row)                        # at any time

Each text has its own settings and random numbers, and its attention sees its own tokens alone: what it becomes does
not depend on which others run beside it, but for the rounding of products of another height.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.attention import KVCache
from model.generation import new_generator, product_type
from model.sampling import PLAIN, Sampling, draw, filtered, sample

READ_AT_ONCE = 512  # tokens of a prompt, so that a long one does not hold up the texts that are being written
LEAST_CAPACITY = 256  # tokens of a cache, which doubles where that is too few
MOST_LOGITS = 2**24  # numbers at once where a whole prompt is scored: 64 MB


class Scored(NamedTuple):
    """A token, and what the network thought of it: natural logarithms of its own probabilities (temperature 1)."""

    id: int
    logprob: float | None = None  # None: not asked for, or nothing stands before it
    top: tuple[tuple[int, float], ...] = ()  # the most probable tokens, the first first


class Row:
    """A text being written.

    prompt: at least one id. seed: of its own random numbers; None: new ones each time.
    presence, frequency: subtracted from the logit of a token that the answer has already, once and for each time.
    top: how many of the most probable tokens are told with each token; None: not even its own probability.
    scores_prompt: whether the tokens of the prompt are told of as well, in `prompt_scores`.

    Attributes:
        newest: the token chosen last; None before the first, and where the network computed no number.
        length: how many tokens of it the batch has read.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        sampling: Sampling = PLAIN,
        seed: int | None = None,
        *,
        presence: float = 0.0,
        frequency: float = 0.0,
        top: int | None = None,
        scores_prompt: bool = False,
    ):
        self.prompt, self.sampling, self.seed = tuple(prompt), sampling, seed
        self.presence, self.frequency = presence, frequency
        self.top, self.scores_prompt = top, scores_prompt
        self.prompt_scores: list[Scored] = [Scored(self.prompt[0])] if scores_prompt else []
        self.newest: Scored | None = None
        self.length = 0
        self.cache: KVCache | None = None  # of the prompt, until the text joins
        self.generator: torch.Generator | None = None
        self.seen: Tensor | None = None  # [V], for the repetition penalty
        self.counts: Tensor | None = None  # [V], of tokens of the answer, for the other penalties


class RunningBatch:
    """Rows in slots 0 to n - 1 of one cache, which grows with their number and length, and goes with the last.

    model: rearranged to generate (`inference.writer.ready_to_generate`). All methods are called by one thread, in the
    precision that belongs to the model.
    """

    def __init__(self, model):
        self.model = model
        self.rows: list[Row] = []
        self._device = model.model.embed_tokens.weight.device
        self._cache: KVCache | None = None
        self._latest: tuple[tuple[int, ...], KVCache, Tensor] | None = None  # n answers to a prompt read it once

    @torch.inference_mode()
    def read(self, row: Row, joins: bool = True) -> bool:
        """Reads the next part of the prompt; True once that was the last, and the row has joined with a first token.

        joins: False for a prompt that only is scored.
        """
        prompt = row.prompt
        if row.cache is None:
            if self._latest and self._latest[0] == prompt and not row.scores_prompt:
                _, row.cache, last = self._latest
                row.length = len(prompt)
                self._join(row, last)
                return True
            row.cache = self._new_cache(1, -(-len(prompt) // 8) * 8)
        end = min(row.length + READ_AT_ONCE, len(prompt))
        tokens = torch.tensor([prompt[row.length : end]], device=self._device)
        features = self.model.features(tokens, cache=row.cache)[0]
        if row.scores_prompt:
            self._score(row, features, prompt[row.length + 1 : end + 1])
        row.length = end
        if end < len(prompt):
            return False
        if joins:
            self._latest = (prompt, row.cache, features[-1:].clone())
            self._join(row, self._latest[2])
        return True

    @torch.inference_mode()
    def step(self) -> None:
        """One more token for every row."""
        count = len(self.rows)
        self._reserve(count, max(row.length for row in self.rows) + 1)
        cache = self._cache
        cache.rows, cache.longest = count, max(row.length for row in self.rows)
        tokens = torch.tensor([[row.newest.id] for row in self.rows], device=self._device)
        features = self.model.features(tokens, cache=cache)[:, -1]
        for row in self.rows:
            row.length += 1
        self._choose(self.rows, features)

    @torch.inference_mode()
    def leave(self, row: Row) -> None:
        """Takes a row out, whether it is being read or written; the last one takes its slot."""
        row.cache = None
        if row not in self.rows:
            return
        slot, last = self.rows.index(row), len(self.rows) - 1
        cache, moved = self._cache, self.rows[last]
        if slot < last:
            for store in (cache.keys, cache.values):
                store[:, slot, :, : moved.length] = store[:, last, :, : moved.length]
            cache.lengths[slot] = moved.length
            self.rows[slot] = moved
        self.rows.pop()
        if not self.rows:
            self._cache = self._latest = None

    def _new_cache(self, rows: int, capacity: int) -> KVCache:
        Cache = getattr(self.model, "Cache", KVCache)
        return Cache(self.model.config, rows, capacity, self._device, product_type(self.model))

    def _reserve(self, slots: int, length: int) -> None:
        """Makes room for so many rows of this length."""
        old = self._cache
        if old and slots <= len(old.lengths) and length <= old.capacity:
            return
        capacity = old.capacity if old else LEAST_CAPACITY
        while capacity < length:
            capacity *= 2
        has = len(old.lengths) if old else 0
        self._cache = self._new_cache(has if slots <= has else max(slots, 2 * has), capacity)
        if old:
            for new, before in ((self._cache.keys, old.keys), (self._cache.values, old.values)):
                new[:, :has, :, : old.capacity] = before
            self._cache.lengths[:has] = old.lengths

    def _join(self, row: Row, last: Tensor) -> None:
        """Copies what was read of a prompt into a free slot, and chooses the first token."""
        slot, length = len(self.rows), row.length
        self._reserve(slot + 1, length + 1)
        for store, read in ((self._cache.keys, row.cache.keys), (self._cache.values, row.cache.values)):
            store[:, slot, :, :length] = read[:, 0, :, :length]
        self._cache.lengths[slot] = length
        row.cache = None
        row.generator = new_generator(self._device, row.seed)
        if row.sampling.repetition_penalty != 1:
            row.seen = torch.zeros(self.model.config.vocab_size, dtype=torch.bool, device=self._device)
            row.seen[list(row.prompt)] = True
        if row.presence or row.frequency:
            row.counts = torch.zeros(self.model.config.vocab_size, device=self._device)
        self.rows.append(row)
        self._choose([row], last)

    def _choose(self, rows: list[Row], features: Tensor) -> None:
        """The next token of each of these rows. features: [n, D]."""
        logits = self.model.lm_head(features).float()  # [n, V]
        finite = logits.amax(-1).isfinite().tolist()  # the largest of any NaN is NaN
        penalised = _penalised(logits, rows)
        chosen = [0] * len(rows)
        alike: dict[Sampling, list[int]] = {}  # the places of rows that are sampled in the same way
        for place, row in enumerate(rows):
            if finite[place]:
                alike.setdefault(row.sampling, []).append(place)
        for how, places in alike.items():
            some = penalised if len(places) == len(rows) else penalised[places]
            ids = _drawn(some, how, [rows[place] for place in places])
            for place, token in zip(places, ids, strict=True):
                chosen[place] = token
        for place, row in enumerate(rows):
            row.newest = self._scored(logits[place], chosen[place], row.top) if finite[place] else None
            if row.newest is None:  # what is left in its slot must be numbers, since 0 x NaN is NaN
                slot = self.rows.index(row)
                for store in (self._cache.keys, self._cache.values):
                    store[:, slot].zero_()
            if row.seen is not None:
                row.seen[chosen[place]] = True
            if row.counts is not None:
                row.counts[chosen[place]] += 1

    def _scored(self, logits: Tensor, token: int, top: int | None) -> Scored:
        if top is None:
            return Scored(token)
        return _told(logits.log_softmax(-1)[None], [token], top)[0]

    def _score(self, row: Row, features: Tensor, following: Sequence[int]) -> None:
        """Tells of the tokens that follow each of these features [T, D]; the last may have none yet."""
        height = max(1, MOST_LOGITS // self.model.config.vocab_size)
        for start in range(0, len(following), height):
            part = following[start : start + height]
            logits = self.model.lm_head(features[start : start + len(part)]).float()
            row.prompt_scores += _told(logits.log_softmax(-1), part, row.top or 0)


def _penalised(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Logits [n, V], less what each of n rows subtracts for the tokens that it has written."""
    if all(row.counts is None for row in rows):
        return logits
    penalised = logits.clone()
    for each, row in zip(penalised, rows, strict=True):
        if row.counts is not None:
            each -= row.frequency * row.counts + row.presence * (row.counts > 0)
    return penalised


def _drawn(logits: Tensor, how: Sampling, rows: Sequence[Row]) -> list[int]:
    """A token for each of n rows that are sampled in one way, from logits [n, V], with the row's own random numbers."""
    seen = torch.stack([row.seen for row in rows]) if how.repetition_penalty != 1 else None
    if how.temperature == 0:
        return sample(logits, how, seen).tolist()
    if how.vocabulary:
        logits = logits[:, : how.vocabulary]
        seen = None if seen is None else seen[:, : how.vocabulary]
    probabilities = filtered(logits, how, seen).softmax(dim=-1)
    pairs = zip(probabilities.split(1), rows, strict=True)
    return torch.cat([draw(each, row.generator) for each, row in pairs]).tolist()


def _told(logprobs: Tensor, tokens: Sequence[int], top: int) -> list[Scored]:
    """What log-probabilities [T, V] say of T tokens."""
    own = logprobs.gather(1, torch.tensor(tokens, device=logprobs.device)[:, None])[:, 0].tolist()
    best, places = logprobs.topk(min(top, logprobs.shape[-1]), dim=-1)
    pairs = zip(places.tolist(), best.tolist(), strict=True)
    return [
        Scored(token, logprob, tuple(zip(ids, values, strict=True)))
        for token, logprob, (ids, values) in zip(tokens, own, pairs, strict=True)
    ]
