"""How well a network predicts a file: all of its texts, or the answers in its conversations.

model/likelihood.py defines loss, perplexity, bits per byte and token accuracy. Every text and every conversation is
scored on its own, and memory does not grow with the file. Rows of similar length share a batch, so that little of it is
padding: rows that are packed as for training need a mask, which takes a CPU a quarter longer.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from dataset.cache.texts import TextEncoder
from dataset.records.formats import RecordKind
from dataset.records.measured import at_line, parts_of
from dataset.rendering import ChatRenderer, Rendered, cut_length
from dataset.rows.rows import Batch
from inference.weights import positions_read
from model.device import Device, reuse_freed_memory
from model.errors import SproutError
from model.files.loading import Loaded
from model.likelihood import IGNORE, evaluate
from model.text.tokenizer import Tokenizer

ROW_LENGTHS = {"text": 512, "chat": 768}  # as --max_seq_len of pretraining and fine-tuning
TOKENS_AT_ONCE = 8192  # in a batch, padding included, where no number of rows is asked for


def evaluate_file(
    loaded: Loaded,
    path: str | Path,
    kind: RecordKind,
    device: Device,
    *,
    max_seq_len: int | None = None,
    batch_size: int | None = None,
) -> dict[str, float | int]:
    """Measures of a network on a file of `kind` texts or chats, by name, and the counts behind them.

    max_seq_len: tokens in a row (default: as in training, or all positions of the network). batch_size: rows in a batch
        (default: as many as have `TOKENS_AT_ONCE`). Shows a progress bar, or a line every ten seconds in a log file.

    Raises `SproutError` for a file or line that cannot be used, and for a loss that is not finite.
    """
    positions = positions_read(loaded.model.config, max_seq_len)
    length = max_seq_len or min(ROW_LENGTHS[kind.name], positions)
    if device.device.type == "cpu":
        reuse_freed_memory()
    if kind.name == "text":
        counts = {"bytes": 0, "documents": 0}
        batches = text_rows(path, kind, loaded.tokenizer, length, batch_size, counts)
    else:
        counts = {"conversations": 0, "cut": 0, "left_out": 0}
        batches = chat_rows(path, kind, ChatRenderer(loaded.tokenizer), length, batch_size, counts)
    found = evaluate(loaded.model, batches, move=device.move, autocast=device.autocast)
    if not math.isfinite(found.nats):
        raise SproutError(f"the loss on {path} is not a number: {loaded.source} is damaged or diverged")
    if kind.name == "text":
        measure = {"bits_per_byte": found.bits_per_byte(counts["bytes"])}
    else:
        measure = {"token_accuracy": found.token_accuracy}
    return {"loss": found.loss, "perplexity": found.perplexity} | measure | {"tokens": found.targets} | counts


def text_rows(
    path: str | Path,
    kind: RecordKind,
    tokenizer: Tokenizer,
    length: int,
    batch_size: int | None,
    counts: dict[str, int],
) -> Iterator[Batch]:
    """The documents of a file as BOS + ids + EOS, cut into `windows` where they are longer than `length`.

    counts: what is read is added to "bytes" (of UTF-8) and "documents".
    """
    for few, show in parts_of(path, kind, "scoring"):
        rows = []
        encoded = TextEncoder(tokenizer).encode([document.content for document in few])
        for ids, size in encoded:  # the bytes are those that the tokens spell
            counts["bytes"] += size
            counts["documents"] += 1
            rows += windows(ids, tokenizer.bos_id, tokenizer.eos_id, length)
        for some, share in shared_out(rows, len, batch_size):
            yield right_padded(some, tokenizer.pad_id)
            show(share)


def windows(ids: Sequence[int], bos_id: int, eos_id: int, length: int) -> Iterator[list[int]]:
    """A document as rows of at most `length` + 1 tokens, inputs and targets one apart, each led by BOS.

    Together the rows have every token of `ids` and the EOS behind them as a target exactly once.
    """
    targets = [*ids, eos_id]
    for start in range(0, len(targets), length):
        yield [bos_id, *targets[start : start + length]]


def chat_rows(
    path: str | Path,
    kind: RecordKind,
    renderer: ChatRenderer,
    length: int,
    batch_size: int | None,
    counts: dict[str, int],
) -> Iterator[Batch]:
    """The conversations of a file. The targets are only what the assistant says, with the ends of its turns.

    A conversation longer than `length` is cut as it is for training, after a turn where possible, and left out if no
    target remains.

    counts: what is read is added to "conversations", "cut" and "left_out". Raises `SproutError` if all are left out.
    """
    excluded = 0
    for few, show in parts_of(path, kind, "scoring"):
        counts["conversations"] += len(few)
        rows = []
        for rendered in renderer.encode([at_line(path, document, renderer.spans) for document in few]):
            kept = cut_length(rendered.ids, rendered.trained, length + 1, renderer.end_id)
            counts["left_out"] += kept == 0
            excluded += not rendered.trained.any()
            counts["cut"] += kept > 0 and bool(rendered.trained[kept:].any())
            if kept:
                rows.append(Rendered(rendered.ids[:kept], rendered.trained[:kept]))
        for some, share in shared_out(rows, lambda row: len(row.ids), batch_size):
            yield answers_as_targets(some, renderer.tokenizer.pad_id)
            show(share)
    if counts["conversations"] == excluded:
        raise SproutError(f"all conversations in {path} are excluded by their own marks: give other data")
    if counts["conversations"] == counts["left_out"]:
        raise SproutError(f"no answer in {path} begins within --max_seq_len {length}: give a larger one")


def answers_as_targets(rows: list[Rendered], pad_id: int) -> Batch:
    """Conversations side by side, padded on the right; only trained tokens are targets."""
    batch = right_padded([row.ids.tolist() for row in rows], pad_id)
    for targets, row in zip(batch.targets, rows, strict=True):
        targets[: len(row.ids) - 1][torch.from_numpy(~row.trained[1:])] = IGNORE
    return Batch(batch.tokens, batch.targets, None, int((batch.targets != IGNORE).sum()))


def right_padded(rows: Sequence[Sequence[int]], pad_id: int) -> Batch:
    """Rows as inputs, and targets shifted by one. Padding is never a target, and no token before it sees it."""
    longest = max(map(len, rows)) - 1
    tokens = torch.full((len(rows), longest), pad_id)
    targets = torch.full((len(rows), longest), IGNORE)
    for i, row in enumerate(rows):
        tokens[i, : len(row) - 1] = torch.tensor(row[:-1])
        targets[i, : len(row) - 1] = torch.tensor(row[1:])
    return Batch(tokens, targets, None, sum(map(len, rows)) - len(rows))


def shared_out(rows: list, length_of, batch_size: int | None) -> Iterator[tuple[list, float]]:
    """The rows in batches, shortest first, each with the share of all tokens that are dealt with after it."""
    rows = sorted(rows, key=length_of)
    total = sum(map(length_of, rows))
    start = tokens = 0
    while start < len(rows):
        if batch_size:
            end = min(start + batch_size, len(rows))
        else:
            end = start + 1
            while end < len(rows) and (end + 1 - start) * length_of(rows[end]) <= TOKENS_AT_ONCE:
                end += 1
        tokens += sum(map(length_of, rows[start:end]))
        yield rows[start:end], tokens / total
        start = end
