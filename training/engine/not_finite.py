"""Steps whose loss or gradient is not finite: they are skipped, and too many in a row end the run."""

import math

from model.errors import SproutError

MOST_BAD_STEPS_IN_A_ROW = 3


class DivergedError(SproutError):
    """Too many steps in a row were not finite."""


def why_skipped(updater, loss: float, norm: float) -> str:
    """Why the update of a `training.engine.update.Updater` is skipped. Raises `DivergedError`."""
    if updater.fp16 and math.isfinite(loss) and updater.scale > 1:
        # A finite loss, an infinite gradient: the scale was too large for float16, as is expected now and then.
        updater.scale, updater.good_steps = updater.scale / 2, 0
        updater.skipped["overflow"] += 1
        return "overflow"
    updater.skipped["non-finite"] += 1
    updater.bad_in_a_row += 1
    if updater.bad_in_a_row >= MOST_BAD_STEPS_IN_A_ROW:
        raise DivergedError(
            f"the loss or its gradient was not finite {MOST_BAD_STEPS_IN_A_ROW} steps in a row (loss {loss},"
            f" gradient norm {norm}), so the run was stopped; none of them has touched the weights"
        )
    return "non-finite"


def wrong_rate(factor: float, number: int) -> SproutError:
    """The error where a schedule gives step `number` a learning rate that is negative or not finite."""
    return SproutError(
        f"training/engine/schedules.py gives step {number} a learning rate {factor} times that of the plan: it has to"
        " be 0 or more"
    )
