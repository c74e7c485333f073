"""A teacher's predictions for all the data, computed once, so that training needs the memory of one network only.

Before the first step, the teacher's most probable tokens are written to the cache for every trained token:

    out/cache/teacher/<key>/ids.bin       the k most probable tokens for every trained one, two or four bytes each
                            logs.bin      their log-probabilities, and that of all other tokens together, float32 each
                            offsets.bin   the index of each row's first trained token, and the number of trained tokens
                            meta.json     what the files hold; written last, so a cache that has it is complete
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dataset.cache.arrays import SummedFile, check_seal, has_size, map_array, token_dtype
from dataset.cache.folder import open_or_build, read_meta
from dataset.records.reading import bar_over
from dataset.rows.rows import Batch, Rows
from model.errors import SproutError
from model.likelihood import IGNORE
from training.losses.distillation import Divergence, Top

VERSION = 1  # raise it with any change of the numbers or of the files
FLOAT, OFFSET = "<f4", "<i8"


@dataclass(frozen=True)
class TaughtBatch(Batch):
    """Rows, and the teacher's most probable tokens for the trained ones, as `losses.distillation.Top` has them."""

    ids: torch.Tensor  # [N, k] int64
    log_probabilities: torch.Tensor  # [N, k + 1] float32


class CachedLessons:
    """Training rows with the cached predictions of the teacher.

    Attribute: `name`, a digest of the teacher's weights, data, row length, precision, k and temperature.
    """

    def __init__(self, rows: Rows, folder: Path, meta: dict):
        self._rows = rows
        self._folder = folder
        self.name = folder.name
        self._k = meta["k"]
        self.tokens = meta["tokens"]
        self._ids = meta["ids"]
        self._first = np.concatenate([[0], np.cumsum(rows.packed.rows)])

    def batch(self, epoch: int, places) -> TaughtBatch:
        parts, numbers = self._rows.order(epoch, places)
        batch = self._rows.packed.gather(parts, numbers)
        ids = map_array(self._folder / "ids.bin", self._ids, self.tokens * self._k).reshape(-1, self._k)
        logs = map_array(self._folder / "logs.bin", FLOAT, self.tokens * (self._k + 1)).reshape(-1, self._k + 1)
        offsets = map_array(self._folder / "offsets.bin", OFFSET, int(self._first[-1]) + 1)
        pieces = [slice(*offsets[row : row + 2]) for row in self._first[parts] + numbers]
        return TaughtBatch(
            batch.tokens,
            batch.targets,
            batch.positions,
            batch.trained,
            torch.from_numpy(np.concatenate([ids[piece] for piece in pieces]).astype(np.int64)),
            torch.from_numpy(np.concatenate([logs[piece] for piece in pieces])),
        )

    def taught(self, batch: TaughtBatch) -> Top:
        return Top(batch.ids, batch.log_probabilities)


def cached_lessons(
    teacher, rows: Rows, k: int, divergence: Divergence, outcomes: int, machine, out_dir: str, batch_size: int
) -> CachedLessons:
    """`rows` with the teacher's k most probable tokens of each trained one, from the cache if they are there.

    outcomes: the first so many tokens of the vocabulary are compared; k is less. Raises `SproutError` if the cache
    cannot be written.
    """
    identity = {
        "version": VERSION,
        "teacher": teacher.name,
        "data": rows.identity,
        "row_length": rows.packed.row_length,
        "dtype": str(machine.choice.dtype),
        "k": k,
        "temperature": divergence.temperature,
        "outcomes": outcomes,
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    folder = Path(out_dir) / "cache" / "teacher" / name

    def build(building: Path) -> dict:
        return identity | _ask(machine, teacher, rows, k, divergence, outcomes, batch_size, building)

    try:  # One process computes; the others wait for its lock, which has no time limit, and read.
        found = open_or_build(
            folder,
            lambda path: _open(path, identity, rows),
            build,
            Path(teacher.source),
            what="teacher's cache",
            verb="asked",
        )
    except OSError as error:
        from model.unwritable import remedy

        advice = remedy(
            error,
            room="make room, take a smaller --teacher_top_k, or another --out_dir",
            rights="take another --out_dir, or allow writing there",
        )
        raise SproutError(f"{folder} cannot be written ({error.strerror or error}): {advice}") from error
    machine.say(f"the teacher's {k} most probable tokens of {found.tokens:,} each are in {folder}")
    return found


def _open(folder: Path, identity: dict, rows: Rows) -> CachedLessons | None:
    """The lessons in a folder, or None if they are missing or damaged."""
    meta = read_meta(folder)
    if meta is None or any(meta.get(name) != value for name, value in identity.items()):
        return None
    k, tokens = meta["k"], meta["tokens"]
    sizes = {
        "ids": (meta["ids"], tokens * k),
        "logs": (FLOAT, tokens * (k + 1)),
        "offsets": (OFFSET, int(rows.packed.rows.sum()) + 1),
    }
    try:
        for name, size in sizes.items():
            if not has_size(folder / f"{name}.bin", *size):
                return None
            check_seal(folder / f"{name}.bin", meta["seals"][name])
    except SproutError:  # damaged: it is built again
        return None
    return CachedLessons(rows, folder, meta)


def _ask(machine, teacher, rows, k, divergence, outcomes, batch_size, folder: Path) -> dict:
    """Writes the teacher's predictions for every row, in the order of parts; returns the description for meta.json."""
    packed, tokens, ids_type = rows.packed, 0, token_dtype(outcomes)
    files = {name: SummedFile(folder / f"{name}.bin") for name in ("ids", "logs", "offsets")}
    bar = bar_over(int(packed.rows.sum()), "teacher", " rows")
    try:
        files["offsets"].write(np.array([0], OFFSET).tobytes())
        with bar, torch.no_grad(), machine.autocast():
            for part, count in enumerate(packed.rows.tolist()):
                for start in range(0, count, batch_size):
                    numbers = np.arange(start, min(start + batch_size, count))
                    batch = packed.gather(np.full_like(numbers, part), numbers)
                    top = teacher.of(machine.move(batch), outcomes).top(k, divergence)
                    files["ids"].write(top.ids.cpu().numpy().astype(ids_type).tobytes())
                    files["logs"].write(top.log_probabilities.cpu().numpy().astype(FLOAT).tobytes())
                    ends = tokens + (batch.targets != IGNORE).sum(dim=1).cumsum(dim=0)
                    files["offsets"].write(ends.numpy().astype(OFFSET).tobytes())
                    tokens = int(ends[-1])
                    bar.update(len(numbers))
        return {"tokens": tokens, "ids": ids_type, "seals": {name: file.finish() for name, file in files.items()}}
    finally:
        for file in files.values():
            file.close()
