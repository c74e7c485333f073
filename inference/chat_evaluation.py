"""How well a network predicts the answers in a file of conversations; what a file holds."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from pathlib import Path

import torch
from tqdm import tqdm

from dataset.records.conversations import Conversation
from dataset.records.documents import FormatReader, read_documents
from dataset.records.formats import FORMATS, BadRecord, Format, detect_format
from dataset.records.reading import BadLine, check_file, read_records
from dataset.rendering import ChatRenderer, Rendered
from dataset.rows.packing import cut_length
from dataset.rows.rows import IGNORE, Batch
from inference.evaluation import Evaluation, evaluate, right_padded
from model.errors import SproutError, UsageError
from model.text.batches import text_batches


def file_format(path: str | Path) -> Format:
    """The format of a file's first record: a text if it can be one, else a chat; of an empty file, text.

    Raises `SproutError` for a file, or a first line, that is neither.
    """
    for item in read_records(path):
        if isinstance(item, BadLine):
            raise SproutError(f"{item}: correct it, or remove the line")
        if FORMATS["text"][0].keys <= item.fields.keys():
            return FORMATS["text"][0]
        try:
            return detect_format(item.fields, "chat")
        except BadRecord as error:
            accepted = f"{error.detail} or {FORMATS['text'][0].shape}"
            raise SproutError(f"{BadLine(item.path, item.line, error.reason, accepted)}") from error
    return FORMATS["text"][0]


def read_chat(path: str | Path, doing: str) -> Iterator[tuple[dict, Conversation]]:
    """Every record of a chat file: its fields (with keys in lower case) and the conversation they stand for.

    Shows a progress bar that says what is being done. Raises `SproutError` for a file that cannot be read, and for
    the first line that is no conversation.
    """
    check_file(path)
    bar = tqdm(total=os.path.getsize(path), unit="B", unit_scale=True, desc=doing, leave=False, disable=None)
    with bar:
        for item in read_documents(path, FormatReader("chat"), lambda position: bar.update(position - bar.n)):
            if isinstance(item, BadLine):
                raise SproutError(f"{item}: correct it, or remove the line")
            yield item.fields, item.content


def evaluate_chat_file(
    model,
    renderer: ChatRenderer,
    path: str | Path,
    *,
    max_seq_len: int,
    batch_size: int,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> tuple[Evaluation, dict[str, int]]:
    """Scores the trained tokens of each conversation on its own: what the assistant says, and the ends of its turns.

    A conversation longer than `max_seq_len` is cut as it is for training, after a turn where possible, and left out
    if no trained token remains. Also returns how many "conversations" there are, how many of them were "cut" and how
    many "left_out". Memory does not grow with the file.

    Raises `SproutError` for a file or line that cannot be used, and if everything was left out.
    """
    if max_seq_len > model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {max_seq_len} is more than the {model.config.max_position_embeddings} positions"
            " of the network: give at most that"
        )
    counts = {"conversations": 0, "cut": 0, "left_out": 0}

    def batches() -> Iterator[Batch]:
        chats = (conversation for _, conversation in read_chat(path, f"scoring {Path(path).name}"))
        for few in text_batches(chats, attrgetter("characters")):
            counts["conversations"] += len(few)
            rows = []
            for rendered in renderer.render(few):
                length = cut_length(rendered.ids, rendered.trained, max_seq_len + 1, renderer.end_id)
                counts["left_out"] += length == 0
                counts["cut"] += length > 0 and bool(rendered.trained[length:].any())
                if length:
                    rows.append(Rendered(rendered.ids[:length], rendered.trained[:length]))
            rows.sort(key=lambda row: len(row.ids))  # rows of about the same length: little is computed for padding
            for start in range(0, len(rows), batch_size):
                yield answers_as_targets(rows[start : start + batch_size], model.config.pad_token_id)
        if counts["conversations"] == 0:
            raise SproutError(f"{path} holds no conversation")
        if counts["conversations"] == counts["left_out"]:
            raise SproutError(f"no answer in {path} begins within --max_seq_len {max_seq_len}: give a larger one")

    return evaluate(model, batches(), device=device, autocast=autocast), counts


def answers_as_targets(rows: list[Rendered], pad_id: int) -> Batch:
    """Conversations side by side, padded on the right; only trained tokens are targets."""
    batch = right_padded([row.ids.tolist() for row in rows], pad_id)
    for targets, row in zip(batch.targets, rows, strict=True):
        targets[: len(row.ids) - 1][torch.from_numpy(~row.trained[1:])] = IGNORE
    return Batch(batch.tokens, batch.targets, None, int((batch.targets != IGNORE).sum()))
