"""`--fit GB`: three ways to take less memory. Runs on a CPU without the flag do not load this.

A smaller micro-batch keeps fewer activations at a time; more of them make up the same step. Activation checkpointing
(`model/recomputation.py`) computes a part of each layer again when its gradient is due, with the same results: first
what is cheap, then, for up to a third more time, all of it. Where that is not enough either, compact optimizers
(`training/engine/compact.py`) halve what weights, gradients and moments take.
"""

from collections.abc import Sequence
from dataclasses import replace

from model.errors import UsageError
from model.recomputation import CHEAP, LAYERS
from training.engine.memory import Footprint

# On a CPU, estimates are up to a fifth too low (docs/pretrain.md). Those for a GPU (docs/gpu.md) are of what a step has
# allocated at once: validation, and memory that is free but in pieces, come on top.
ROOM = 0.8
# A micro-batch of this many tokens is large enough: activation checkpointing is not used to make it larger.
ENOUGH_TOKENS = 2048


def refuse_compiled(choice: str) -> None:
    """Raises `UsageError` if layers that compute again what is cheap are to be compiled. choice: that of --compile."""
    if choice == "on":
        raise UsageError(
            "--activation_checkpointing cheap and --compile on do not go together, since compiled layers already"
            " compute again what is cheap: leave one of them out, or give --activation_checkpointing layers"
        )


def fitted(
    footprint: Footprint, args, batch_size: int, accumulation: int, reasons: dict[str, str]
) -> tuple[int, int, bool | str, Footprint]:
    """Rows in a micro-batch, micro-batches in a step, the grade of activation checkpointing (False: none), and the
    footprint, which may have become compact, for `args.fit` GB.

    reasons: those of the plan; what is chosen here is added. The rows of this process in a step stay those of the
    micro-batches given. Raises `UsageError`.
    """
    choice = getattr(args, "compile", "auto")
    if args.activation_checkpointing == CHEAP:
        refuse_compiled(choice)
    share = batch_size * accumulation
    choices = [size for size in range(batch_size, 0, -1) if share % size == 0]
    exact = footprint.total(choices[-1], LAYERS) / 2**30
    if footprint.compact is None and exact > ROOM * args.fit:
        footprint = replace(footprint, compact=True)
        reasons["compact"] = (
            f": with exact optimizers a row takes about {exact:.2f} GB, of which --fit {args.fit:g} leaves"
            f" {ROOM * args.fit:.2f}"
        )
    reasons["batch"] = f"{reasons['batch']}; micro-batch as --fit {args.fit:g} allows"
    compiled = choice == "on" or getattr(footprint, "compiled", False)
    size, checkpointing = fit(footprint, args.fit, choices, args.activation_checkpointing, compiled)
    return size, share // size, checkpointing, footprint


def fit(
    footprint: Footprint, gigabytes: float, choices: Sequence[int], asked: bool | str, compiled: bool = False
) -> tuple[int, bool | str]:
    """The number of rows in a micro-batch that fits into memory, and the grade of activation checkpointing it needs.

    choices: possible numbers of rows, the largest first. asked: the grade that the user asked for; only what keeps less
    is tried beside it. compiled: whether layers are; such already compute again what is cheap. Raises `UsageError`
    when not even the smallest fits.
    """
    limit = ROOM * gigabytes * 2**30
    grades = [False, CHEAP, LAYERS]  # in the order of the time they take
    grades = [grade for grade in grades[grades.index(asked) :] if grade != CHEAP or not compiled]
    sizes = [next((rows for rows in choices if footprint.total(rows, grade) <= limit), 0) for grade in grades]
    for grade, size in zip(grades, sizes, strict=True):
        if size and (size in (choices[0], max(sizes)) or size * footprint.rows * footprint.row_length >= ENOUGH_TOKENS):
            return size, grade
    needed = footprint.total(choices[-1], LAYERS) / 2**30
    raise UsageError(
        f"--fit {gigabytes:g}: one row takes about {needed:.2f} GB even with activation checkpointing, and a fifth of"
        f" what is given is kept free: give --fit {needed / ROOM + 0.05:.1f}, shorten --max_seq_len, or take a smaller"
        " network"
    )
