"""The reference model's log-probabilities of every answer, computed once and cached.

The reference of DPO is the network that training begins with, and it never changes. So its log-probabilities are
computed before the first step, for the rows that the run will see, and cached under a key of everything they depend on.
Training then needs the memory of one network, not of two. Adapters begin as zero, so with adapters the reference is the
network under them.

Policy and reference must use the same kernels. In half precision, attention with and without gradients differs by a few
ten-thousandths of a nat per log-probability, which adds up to a large part of a nat for a long answer: the first loss
would be wrong.
"""

import copy
import hashlib
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dataset.records.reading import bar_over
from dataset.rows.packed import PackedRecords, RecordBatch
from dataset.rows.rows import Rows, ValidationRows
from model.disk import exclusive, sweep_temporaries, write_atomically
from model.errors import SproutError
from model.fingerprint import fingerprint
from model.log_probabilities import sequence_sums, token_log_probabilities
from model.whole import in_mode

VERSION = 4  # raise it with any change of the numbers or of the file, which holds a digest and the numbers
FLOAT, DIGEST_BYTES = "<f4", 16


def answer_log_probabilities(model, batch: RecordBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log p of every answer [A], summed over its tokens; its number of tokens [A]; the sum of all entropies [].

    A is P for P single answers. Of P pairs it is 2 P, and the first P answers are the chosen ones. Entropies are in
    nats and have no gradient.
    """
    features = model.features(batch.tokens, batch.positions)
    tokens, entropies = token_log_probabilities(features, model.lm_head.weight, batch.targets)
    answers = len(batch.ends)
    sums = sequence_sums(tokens, batch.sequences, answers)
    counts = sequence_sums((batch.targets >= 0).to(sums.dtype), batch.sequences, answers)
    return sums, counts, entropies.sum()


def precompute_reference(run, model, plan, rows: Rows, validation: ValidationRows) -> None:
    """Sets the reference's log-probabilities of the rows that the run will see, and of those that it will score."""
    args, machine = run.args, run.machine
    seen = rows_seen(rows, replace(plan, max_steps=3) if args.dry_run else plan)
    add_reference(model, rows.packed, rows.identity, machine, args.out_dir, plan.batch_size, seen)
    if args.eval_interval != 0:
        identity, scored = ["validation", *validation.identity], validation.places(range(len(validation)))
        add_reference(model, validation.packed, identity, machine, args.out_dir, plan.batch_size, scored, held_out=True)


def add_reference(
    model,
    packed: PackedRecords,
    identity: list[str],
    machine,
    out_dir: str,
    batch_size: int,
    seen: tuple[np.ndarray, np.ndarray] | None = None,
    held_out: bool = False,
) -> None:
    """Sets `packed.reference` to the log-probabilities under `model`, from the cache if they are there.

    identity: what determines the records. seen: parts and rows that are needed; None: all.
    Adapters of the network must not be trained yet. Raises `SproutError` if the cache cannot be written.
    """
    path = Path(out_dir) / "cache" / "reference" / f"{_name(model, packed, identity, machine)}.bin"
    shape = (packed.records, 2)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SproutError(f"{path.parent} cannot be made ({error.strerror}): choose another --out_dir") from error
    # One process computes; the others wait for its lock, which, unlike a barrier, has no time limit.
    with exclusive(path.parent / ".lock", lambda: machine.say("waiting for the reference's log-probabilities")):
        cached = _read(path, shape)
        if cached is None and path.exists():
            machine.say(f"warning: {path} is damaged; the reference's log-probabilities are computed again")
        # What was not computed is NaN, so that using it by mistake is noticed.
        log_p = np.full(shape, np.nan, FLOAT) if cached is None else cached.copy()
        missing = _missing(log_p, packed, seen)
        if missing:
            machine.say(f"computes the reference's log-probabilities in {len(missing):,} rows")
            _compute(log_p, missing, model, packed, machine, batch_size, validation=held_out)
            content = log_p.tobytes()
            sweep_temporaries(path.parent)
            write_atomically(path, lambda file: file.write(_digest(content) + content))
        packed.reference = log_p


def rows_seen(rows: Rows, plan) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a run of this plan takes, each once: parts and rows, int64 [n] each."""
    orders = []
    for first in range(0, plan.steps, plan.steps_per_epoch):
        last = min(first + plan.steps_per_epoch, plan.steps) - 1
        epoch, places = plan.rows_of_step(last)
        orders.append(np.stack(rows.order(epoch, range(places.stop))))
    return tuple(np.unique(np.concatenate(orders, axis=1), axis=1))


def prepare_with_reference(run, model, plan) -> None:
    """`Run.prepare` for a network that reference values are computed of: now, so that they come from the same kernels.

    With --optimizer_memory compact the network is made compact before, so that they come from the same numbers, too.
    """
    if plan.optimizer_memory == "compact":
        from training.engine.compact_network import make_compact  # only with the flag

        make_compact(model, run.args.offload_states)
    run.prepare(model, plan)


def with_passes(seconds: float | None, model, passes: int) -> float | None:
    """How long a run takes, from the time of its learning alone, where each step also makes `passes` forward passes of
    networks as large as `model`.

    To learn takes three products of equal cost for each weight: one in the forward pass, one for the gradient of its
    input, and one for its own gradient, which weights that do not learn have none of. A forward pass is one of them.
    """
    if seconds is None:
        return None
    parameters = list(model.parameters())
    share = sum(p.numel() for p in parameters if p.requires_grad) / sum(p.numel() for p in parameters)
    return seconds * (1 + passes / (2 + share))


def frozen_copy(model):
    """A copy of the network for a live reference; it shares the frozen parameters. No optimizer updates the copy."""
    shared = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, shared).eval()


def parameters_copied(model) -> int:
    """How many parameters `frozen_copy` copies: those that learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _missing(log_p: np.ndarray, packed: PackedRecords, seen) -> list[tuple[int, int]]:
    """The parts and rows, of those in `seen`, that have records without their log-probabilities."""
    unknown = np.isnan(log_p).any(axis=1)
    parts = range(len(packed.rows))
    places = zip(*seen) if seen else ((part, row) for part in parts for row in range(packed.rows[part]))
    return [(part, row) for part, row in places if unknown[packed.numbers(part, row)].any()]


def _compute(log_p: np.ndarray, places: list, model, packed, machine, batch_size: int, validation: bool) -> None:
    """Writes the log-probabilities of the records in these rows into `log_p`, float32 [records, 2]: those of both
    answers of a pair, or of a single answer to its own prompt and to another one.
    """
    with (
        bar_over(len(places), "log-probabilities of the reference", " rows") as bar,
        in_mode(model, training=not validation),
        torch.set_grad_enabled(not validation),
        machine.inference() if validation else machine.autocast(),
    ):
        for start in range(0, len(places), batch_size):
            few = places[start : start + batch_size]
            # As many rows each time as in training: for another number, PyTorch would compile anew, and differently.
            filled = itertools.islice(itertools.cycle(few), batch_size) if machine.compiles and not validation else few
            parts, rows = np.array(list(filled), np.int64).T
            batch = machine.move(packed.gather(parts, rows))
            sums = answer_log_probabilities(model, batch)[0].detach()
            if batch.mixed is not None:
                with torch.no_grad(), machine.inference():  # as it is computed in training
                    sums = torch.cat([sums, answer_log_probabilities(model, batch.mixed)[0]])
            log_p[batch.numbers] = sums.view(2, -1).T.float().cpu().numpy()
            bar.update(len(few))


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The array, or None if it is missing or damaged."""
    try:
        digest_and_content = path.read_bytes()
    except OSError:
        return None
    content = digest_and_content[DIGEST_BYTES:]
    if digest_and_content[:DIGEST_BYTES] != _digest(content) or len(content) != 4 * math.prod(shape):
        return None
    return np.frombuffer(content, FLOAT).reshape(shape)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _name(model, packed: PackedRecords, identity: list[str], machine) -> str:
    learns = [name for name, parameter in model.named_parameters() if parameter.requires_grad]  # chooses the kernels
    where = machine.device.type, machine.choice.dtype, machine.compiles
    if (kind := model.model.embed_tokens.weight.dtype) != torch.float32:  # --optimizer_memory compact
        where += (kind,)
    parts = (VERSION, identity, packed.max_seq_len, where, model.config, learns, fingerprint(model))
    return _digest("\n".join(map(str, parts)).encode()).hex()
