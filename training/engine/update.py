"""From losses to a changed network: accumulation, loss scaling, clipping, and the guard against non-finite numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import SproutError
from training.engine import distributed

FIRST_SCALE, SCALE_DOUBLES_AFTER = 2.0**16, 2000
MOST_BAD_STEPS_IN_A_ROW = 3


class DivergedError(SproutError):
    """Too many steps in a row were not finite."""


@dataclass(frozen=True)
class UpdateResult:
    """What one optimizer step saw. `skipped` says why nothing was changed: 'non-finite', 'overflow' or None."""

    loss: float  # mean over what was counted (trained tokens, pairs, ...) in all processes; NaN if nothing was
    trained: int  # trained tokens of all processes
    grad_norm: float  # before clipping
    skipped: str | None
    measures: dict[str, float]  # means of what `measure` added up
    interrupted: bool  # whether any process wants to stop


class Updater:
    """Sums gradients of a step's micro-batches and applies them once, normalised by all that was counted.

    The normaliser is only known when every micro-batch (of every process) has been seen, so the loss sums are
    divided by the constant `nominal_count` on the way back, which keeps float16 gradients in range, and the
    gradients are corrected by nominal / actual before they are used.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer], nominal_count: int, grad_clip: float, fp16: bool):
        self.optimizers = optimizers
        self.parameters = [p for each in optimizers for group in each.param_groups for p in group["params"]]
        self.nominal_count, self.grad_clip, self.fp16 = nominal_count, grad_clip, fp16
        self.scale = FIRST_SCALE if fp16 else 1.0
        self.good_steps = 0  # since the scale last changed
        self.bad_in_a_row = 0
        self.skipped = {"non-finite": 0, "overflow": 0}
        self._names: list[str] | None = None  # of all measures, in one order for all processes
        self._range_names: list[str] | None = None  # of all ranges
        self._begin()

    def _begin(self):
        self._loss: float | Tensor = 0.0
        self._count: int | Tensor = 0
        self._trained: int | Tensor = 0
        self._measures: dict[str, list] = {}  # name: [sum, count]
        self._extremes: dict[str, Tensor] = {}  # name: the largest so far
        self._fresh = True

    def backward(self, loss_sum: Tensor, count: int | Tensor, trained: int | Tensor | None = None) -> None:
        """Adds the gradient of `loss_sum`, a sum over `count` things. Does not wait for the device.

        count: what the loss is the mean of: trained tokens, or pairs, or sequences. trained: trained tokens, if
        they are something else; they are only reported.
        """
        self._forget_gradients_before()
        (loss_sum * (self.scale / self.nominal_count)).backward()
        self._loss = self._loss + loss_sum.detach().float()
        self._count = self._count + count
        self._trained = self._trained + (count if trained is None else trained)

    def measure(self, count: int | Tensor, **sums: Tensor | float) -> None:
        """Adds up values to be reported as means over all micro-batches and processes: each a sum over `count`.

        A stage measures the same things in every step; the first says which they are.
        """
        for name, value in sums.items():
            entry = self._measures.setdefault(name, [0.0, 0])
            entry[0] = entry[0] + (value.detach().float() if isinstance(value, Tensor) else value)
            entry[1] = entry[1] + count

    def measure_range(self, **values: Tensor) -> None:
        """Notes values to be reported as `min_<name>` and `max_<name>` over all micro-batches and processes.

        A stage that does it at all does it in every step, with at least one value.
        """
        for name, tensor in values.items():
            tensor = tensor.detach().float()
            for key, largest in ((f"min_{name}", (-tensor).max()), (f"max_{name}", tensor.max())):
                self._extremes[key] = torch.maximum(self._extremes.get(key, largest), largest)

    def _forget_gradients_before(self) -> None:
        """Gradients of the step before are kept until the next begins, for histograms."""
        if self._fresh:
            for parameter in self.parameters:
                parameter.grad = None
            self._fresh = False

    def discard(self) -> None:
        """Forgets the micro-batches seen since the last update."""
        self._begin()

    def update(self, rate_factor: float, interrupted: bool = False) -> UpdateResult:
        """One optimizer step at `rate_factor` times the peak learning rates, unless a number is not finite.

        interrupted: whether this process wants to stop; all processes learn it with the result.
        Raises `DivergedError` after three non-finite steps in a row; the weights are then those of the last good one.
        """
        self._forget_gradients_before()  # where this process had no rows in the last step of an epoch
        distributed.sum_gradients(self.parameters)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        loss_sum, count, trained, signals, measures, norm = self._read(gradients, interrupted)
        self._begin()
        correction = self.nominal_count / (max(1.0, count) * self.scale)
        norm = norm * correction
        skipped = self._verdict(loss_sum, norm)
        if skipped is None and count > 0:
            clip = min(1.0, self.grad_clip / (norm + 1e-6)) if self.grad_clip else 1.0
            torch._foreach_mul_(gradients, correction * clip)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * rate_factor
                optimizer.step()
        loss = loss_sum / count if count else math.nan
        return UpdateResult(loss, round(trained), norm, skipped, measures, signals > 0)

    def _read(self, gradients: list[Tensor], interrupted: bool):
        """All sums over all processes, and the gradient norm: the one moment of a step that waits for the device."""
        device = gradients[0].device if gradients else torch.device("cpu")
        if self._names is None:  # asked of the others once: a process without rows measures nothing
            self._names = distributed.union(self._measures)
        if unknown := self._measures.keys() - set(self._names):
            raise ValueError(f"measured now, but not in the first step: {', '.join(sorted(unknown))}")
        values = [self._loss, self._count, self._trained, float(interrupted)]
        for name in self._names:
            values += self._measures.get(name, (0.0, 0))
        sums = torch.stack([torch.as_tensor(v, dtype=torch.float32, device=device) for v in values])
        sums = distributed.sum_over_processes(sums)
        norm = sums.new_zeros(())
        if gradients:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        loss_sum, count, trained, signals, *measured, norm = torch.cat((sums, norm[None])).tolist()
        pairs = zip(self._names, measured[::2], measured[1::2])
        measures = {name: total / n for name, total, n in pairs if n} | self._read_extremes(device)
        return loss_sum, count, trained, signals, measures, norm

    def _read_extremes(self, device: torch.device) -> dict[str, float]:
        """Over all processes; one without rows (in the last step of an epoch) has none to tell."""
        if self._range_names is None:
            self._range_names = distributed.union(self._extremes)
        if not self._range_names:
            return {}
        none = torch.tensor(-math.inf, device=device)
        largest = torch.stack([self._extremes.get(name, none).to(device) for name in self._range_names])
        found = zip(self._range_names, distributed.largest_over_processes(largest).tolist())
        return {name: -value if name.startswith("min_") else value for name, value in found}

    def _verdict(self, loss: float, norm: float) -> str | None:
        """Whether to skip this step. A NaN must not reach the optimizer: its moments would never recover."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.bad_in_a_row = 0
            self.good_steps += 1
            if self.fp16 and self.good_steps >= SCALE_DOUBLES_AFTER:
                self.scale, self.good_steps = self.scale * 2, 0
            return None
        if self.fp16 and math.isfinite(loss) and self.scale > 1:
            # Finite loss, infinite gradient: the scale was too large for float16. Expected now and then.
            self.scale, self.good_steps = self.scale / 2, 0
            self.skipped["overflow"] += 1
            return "overflow"
        self.skipped["non-finite"] += 1
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= MOST_BAD_STEPS_IN_A_ROW:
            raise DivergedError(
                f"the loss or its gradient was not finite {MOST_BAD_STEPS_IN_A_ROW} steps in a row (loss {loss},"
                f" gradient norm {norm}), so the run was stopped; none of them has touched the weights"
            )
        return "non-finite"

    def state_dict(self) -> dict:
        return {
            "optimizers": [each.state_dict() for each in self.optimizers],
            "fp16": self.fp16,
            "scale": self.scale,
            "good_steps": self.good_steps,
            "bad_in_a_row": self.bad_in_a_row,
            "skipped": dict(self.skipped),
        }

    def load_state_dict(self, state: dict) -> None:
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            # Rates and decays are those of this run's flags; a state brings its own.
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                group.update(own)
        if state.get("fp16", self.fp16) == self.fp16:  # else this precision begins with a scale of its own
            self.scale, self.good_steps = state["scale"], state["good_steps"]
        self.bad_in_a_row, self.skipped = state["bad_in_a_row"], dict(state["skipped"])
