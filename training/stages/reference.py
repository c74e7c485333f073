"""What the reference model thinks of both answers of every pair, found once and kept.

The reference of DPO is the network that training begins with, and it never changes: its log-probabilities are numbers
of the data, not work for every step. So they are computed before the first step and kept in the cache, keyed by
everything they depend on; training then needs the memory of one network, not of two. Adapters begin as nothing, so
with them the reference is the network that they are on.

Both networks go the same way to their numbers. In half precision, attention with a gradient and without one differ by
a few ten-thousandths of a log-probability, which is a good part of a nat for a long answer: the first loss would not be
what it must be.
"""

import copy
import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dataset.rows.pairs import PackedPairs, PairBatch
from model.errors import SproutError
from model.files.disk import write_atomically
from model.files.locks import exclusive
from model.lora import fingerprint
from training.engine.memory import Footprint
from training.losses.log_probabilities import sequence_sums, token_log_probabilities

VERSION = 4  # to be raised with any change of the numbers, or of the file: a digest of them, and they
FLOAT, DIGEST_BYTES = "<f4", 16


def answer_log_probabilities(model, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log p of every answer [2P], summed over its tokens; how many these are [2P]; the sum of their entropies [].

    The first P are those of chosen answers; entropies are in nats and have no gradient.
    """
    features = model.features(batch.tokens, batch.positions)
    tokens, entropies = token_log_probabilities(features, model.lm_head.weight, batch.targets)
    sums = sequence_sums(tokens, batch.sequences, 2 * batch.pairs)
    counts = sequence_sums((batch.targets >= 0).to(sums.dtype), batch.sequences, 2 * batch.pairs)
    return sums, counts, entropies.sum()


def add_reference(run, model, packed: PackedPairs, identity: list[str], batch_size: int, validation=False) -> None:
    """Gives `packed` the log-probabilities of `model` as it is now, from the cache if they are there.

    identity: what decides the pairs. validation: whether they are never learned from. Adapters of the network must be
    as they begin. Raises `SproutError` where the cache cannot be written.
    """
    path = Path(run.args.out_dir) / "cache" / "reference" / f"{_name(run, model, packed, identity)}.bin"
    wanted = (packed.pairs, 2)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SproutError(f"{path.parent} cannot be made ({error.strerror}): choose another --out_dir") from error
    # One process computes; the others wait for its lock, which knows no time limit, and read.
    with exclusive(path.parent / ".lock", lambda: run.say("waiting for the reference's log-probabilities")):
        packed.reference = _read(path, wanted)
        if packed.reference is None:
            if path.exists():
                run.say(f"warning: {path} is damaged; the reference's log-probabilities are computed again")
            content = _compute(run, model, packed, batch_size, validation).tobytes()
            write_atomically(path, lambda file: file.write(_digest(content) + content))
            packed.reference = _read(path, wanted)


def frozen_copy(model):
    """A reference beside the network: what learns is copied as it is now, what does not learn is shared. The copy is in
    no optimizer, so it stays as it is.
    """
    shared = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, shared).eval()


def beside(footprint: Footprint) -> Footprint:
    """The memory of a run that has a frozen copy beside the network: what learns is there twice."""
    return replace(footprint, program=footprint.program + 4 * footprint.trainable)


def _compute(run, model, packed: PackedPairs, batch_size: int, validation: bool) -> np.ndarray:
    """float32 [pairs, 2]; NaN for pairs that are left out, so that none is used by mistake."""
    found = np.full((packed.pairs, 2), np.nan, FLOAT)
    places = [(part, row) for part, rows in enumerate(packed.rows) for row in range(rows)]
    was_training = model.training
    model.train(not validation)
    bar = tqdm(total=len(places), unit=" rows", desc="reference", leave=False, disable=None)
    with bar, torch.set_grad_enabled(not validation), run.inference() if validation else run.autocast():
        for start in range(0, len(places), batch_size):
            parts, rows = np.array(places[start : start + batch_size], np.int64).T
            batch = packed.gather(parts, rows)
            sums, _, _ = answer_log_probabilities(model, run.device_choice.move(batch))
            found[batch.numbers] = sums.detach().view(2, -1).T.float().cpu().numpy()
            bar.update(len(rows))
    model.train(was_training)
    return found


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The array, or None where there is none or not a whole one: it is made anew then."""
    try:
        found = path.read_bytes()
    except OSError:
        return None
    content = found[DIGEST_BYTES:]
    if found[:DIGEST_BYTES] != _digest(content) or len(content) != 4 * math.prod(shape):
        return None
    return np.frombuffer(content, FLOAT).reshape(shape)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _name(run, model, packed: PackedPairs, identity: list[str]) -> str:
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]  # chooses the kernels
    where = run.device.type, run.device_choice.dtype, run.compiles
    parts = (VERSION, identity, packed.max_seq_len, where, model.config, learns, fingerprint(model))
    return _digest("\n".join(map(str, parts)).encode()).hex()
