"""The teacher of a distillation: a network that is asked in every step, or once for all.

    teacher = open_teacher(args, tokenizer, run.device)
    taught = teacher.of(batch)                             # what it predicts for the trained tokens of a batch

It never changes, so with `--teacher_top_k` its most probable tokens for all the data are written to the cache before
the first step, and training needs the memory of one network:

    out/cache/teacher/<key>/ids.bin       the k most probable tokens of every trained one, two or four bytes each
                            logs.bin      their log-probabilities, and that of all others together, float32 each
                            offsets.bin   the place of each row's first trained token, and that behind the last
                            meta.json     what is in them; written last: with it the cache is whole
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dataset.cache.folder import open_or_build, read_meta
from dataset.cache.streams import SummedFile, check_seal, has_size, map_array, token_dtype
from dataset.rows.rows import IGNORE, Batch, Rows
from model.errors import SproutError, UsageError
from model.files.checkpoint import load_model
from model.lora import fingerprint
from training.engine.memory import Footprint
from training.losses.distillation import Divergence, Top, Whole, trained_places
from training.stages.starting_point import find_weight

VERSION = 1  # to be raised with any change of the numbers, or of the files
FLOAT, OFFSET = "<f4", "<i8"


class Teacher:
    """A network that does not learn.

    Attributes: `model`, `source` (where it is), `name` (it changes with the weights).
    """

    def __init__(self, model, source: str, device: torch.device | str = "cpu"):
        self.source, self.name = source, fingerprint(model)
        self.model = model.eval().requires_grad_(False).to(device)

    def __str__(self) -> str:
        config = self.model.config
        return f"{self.source} ({config.num_parameters() / 1e6:.1f} M parameters)"

    def outcomes(self, student) -> int:
        """How many tokens both networks have an output for. One that was imported may have more than its tokenizer has
        tokens; those stand for nothing, and are left out where the other has none for them.
        """
        return min(len(network.lm_head.weight) for network in (self.model, student))

    @torch.inference_mode()
    def of(self, batch: Batch, outcomes: int | None = None) -> Whole:
        """What it predicts for the trained tokens of a batch: of the first `outcomes` tokens of the vocabulary."""
        features = self.model.features(batch.tokens, batch.positions).flatten(0, -2)
        return Whole(features[trained_places(batch.targets)], self.model.lm_head.weight[:outcomes])

    def beside(self, footprint: Footprint) -> Footprint:
        """The memory of a run that has it beside the network that learns."""
        return replace(footprint, program=footprint.program + 4 * self.model.config.num_parameters())


def open_teacher(args, tokenizer, device: torch.device) -> Teacher:
    """The network that `--teacher_weight` names. Raises `UsageError` or `SproutError` for one that cannot teach."""
    source = find_weight(args.teacher_weight, args.out_dir, chosen_by="a path")
    loaded = load_model(source)
    if loaded.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UsageError(
            f"--teacher_weight {source} has another tokenizer than the student, so the same ids mean other tokens:"
            " take networks with the same one"
        )
    if args.max_seq_len > loaded.model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {args.max_seq_len} is more than the {loaded.model.config.max_position_embeddings}"
            f" positions of --teacher_weight {source}: give at most that"
        )
    return Teacher(loaded.model, loaded.source, device)


# --- asked once -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaughtBatch(Batch):
    """Rows, and the teacher's most probable tokens for the trained ones, as `distillation_losses.Top` has them."""

    ids: torch.Tensor  # [N, k] int64
    log_probabilities: torch.Tensor  # [N, k + 1] float32

    @property
    def taught(self) -> Top:
        return Top(self.ids, self.log_probabilities)


class TaughtRows:
    """Training rows, and with each what the teacher said of it; for `step.micro_batches`.

    Attribute: `name`, which changes with weights of the teacher, data, length, precision, k and temperature.
    """

    def __init__(self, rows: Rows, folder: Path, meta: dict):
        self._rows, self._folder, self.name = rows, folder, folder.name
        self._k, self.tokens, self._ids = meta["k"], meta["tokens"], meta["ids"]
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


def taught_rows(
    run, teacher: Teacher, rows: Rows, k: int, divergence: Divergence, outcomes: int, batch_size: int
) -> TaughtRows:
    """`rows` with the teacher's k most probable tokens of each trained one, from the cache if they are there.

    outcomes: how many tokens of the vocabulary count. Raises `UsageError` for a k that is not less, `SproutError` where
    the cache cannot be written.
    """
    if k >= outcomes:
        raise UsageError(f"--teacher_top_k {k} is not less than all {outcomes} tokens: drop it, or give fewer")
    identity = {
        "version": VERSION,
        "teacher": teacher.name,
        "positions": str(teacher.model.config.rope_scaling),  # which weights do not show
        "data": rows.identity,
        "row_length": rows.packed.row_length,
        "dtype": str(run.device_choice.dtype),
        "k": k,
        "temperature": divergence.temperature,
        "outcomes": outcomes,
    }
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
    folder = Path(run.args.out_dir) / "cache" / "teacher" / name

    def build(building: Path) -> dict:
        return identity | _ask(run, teacher, rows, k, divergence, outcomes, batch_size, building)

    try:  # One process asks; the others wait for its lock, which knows no time limit, and read.
        found = open_or_build(
            folder,
            lambda path: _open(path, identity, rows),
            build,
            Path(teacher.source),
            what="teacher's cache",
            verb="asked",
        )
    except OSError as error:
        raise SproutError(
            f"{folder} cannot be written ({error.strerror or error}): make room, take a smaller --teacher_top_k, or"
            " another --out_dir"
        ) from error
    run.say(f"the teacher's {k} most probable tokens of {found.tokens:,} each are in {folder}")
    return found


def _open(folder: Path, identity: dict, rows: Rows) -> TaughtRows | None:
    """None where nothing is there, or not all of it as it was written."""
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
    except SproutError:  # damaged: it is made anew
        return None
    return TaughtRows(rows, folder, meta)


def _ask(run, teacher, rows, k, divergence, outcomes, batch_size, folder: Path) -> dict:
    """Writes what the teacher says of every row, in the order of parts; returns what was written."""
    packed, tokens, ids_type = rows.packed, 0, token_dtype(outcomes)
    files = {name: SummedFile(folder / f"{name}.bin") for name in ("ids", "logs", "offsets")}
    bar = tqdm(total=int(packed.rows.sum()), unit=" rows", desc="teacher", leave=False, disable=None)
    try:
        files["offsets"].write(np.array([0], OFFSET).tobytes())
        with bar, torch.no_grad(), run.autocast():
            for part, count in enumerate(packed.rows.tolist()):
                for start in range(0, count, batch_size):
                    numbers = np.arange(start, min(start + batch_size, count))
                    batch = packed.gather(np.full_like(numbers, part), numbers)
                    top = teacher.of(run.device_choice.move(batch), outcomes).top(k, divergence)
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
