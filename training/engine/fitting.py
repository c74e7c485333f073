"""`--fit GB`: two ways to take less memory. Runs without the flag do not load this.

A smaller micro-batch keeps fewer activations at a time; more of them make up the same step. Activation checkpointing
(https://arxiv.org/abs/1604.06174) keeps only what goes into each layer, and computes the inside of a layer again when
its gradient is due: the results are the same, and a step takes about a third longer.
"""

from collections.abc import Sequence

from model.errors import UsageError
from training.engine.memory import Footprint

# Estimates are up to a fifth too low (docs/pretrain.md), and a GPU keeps some memory for itself.
ROOM = 0.8
# A micro-batch of this many tokens is large enough: activation checkpointing is not used to make it larger.
ENOUGH_TOKENS = 2048


def fit(footprint: Footprint, gigabytes: float, choices: Sequence[int], checkpointing: bool) -> tuple[int, bool]:
    """The number of rows in a micro-batch that fits into memory, and whether it needs activation checkpointing.

    choices: possible numbers of rows, the largest first. checkpointing: whether the user asked for it. Raises
    `UsageError` when not even the smallest fits.
    """
    limit = ROOM * gigabytes * 2**30

    def largest(checkpointing: bool) -> int:
        return next((rows for rows in choices if footprint.total(rows, checkpointing) <= limit), 0)

    without, recomputed = 0 if checkpointing else largest(False), largest(True)
    if without == choices[0] or without * footprint.row_length >= ENOUGH_TOKENS or without == recomputed > 0:
        return without, False
    if recomputed:
        return recomputed, True
    needed = footprint.total(choices[-1], True) / 2**30
    raise UsageError(
        f"--fit {gigabytes:g}: one row takes about {needed:.2f} GB even with activation checkpointing: shorten"
        " --max_seq_len, or take a smaller network"
    )
