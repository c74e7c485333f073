"""From losses to an updated network: accumulation, loss scaling, clipping, and the guard against non-finite numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.whole import gradients_of, norm_of
from training.engine import distributed

FIRST_SCALE, SCALE_DOUBLES_AFTER = 2.0**16, 2000
# Where the terms of a loss cancel out, its gradient is only rounding, which AdamW and Muon would magnify to full steps.
# So a gradient counts as none if its root mean square is below 1e-8, the eps of AdamW, or its norm below 1e-5. Terms
# with norms of some tens that cancel out in float32 leave about 3e-7 of that.
SMALLEST, SMALLEST_NORM = 1e-8, 1e-5


@dataclass(frozen=True)
class UpdateResult:
    """The result of one optimizer step. `skipped`: why the step was skipped ('non-finite', 'overflow'), or None."""

    loss: float  # mean over what `backward` counted (trained tokens, pairs, ...) in all processes; NaN for a count of 0
    trained: int  # trained tokens of all processes
    grad_norm: float  # before clipping
    skipped: str | None
    measures: dict[str, float]  # means and extremes by name, as `Measures` collected them
    interrupted: bool  # whether any process wants to stop
    no_gradient: bool = False  # whether it was zero but for rounding, so that nothing was updated

    @property
    def is_finite(self) -> bool:
        """Whether the step trained on any token and was not skipped."""
        return self.skipped is None and self.trained > 0


def forward_backward(loss_of: Callable, batch, autocast: Callable, updater: "Updater", factor=None) -> list[Tensor]:
    """Adds the gradient of a loss, times `factor` (None: that of the updater), to those of the parameters.

    Returns what `loss_of(batch)` returns, the loss or a tuple that begins with it, without gradient.
    """
    updater.begin()
    with autocast():
        found = loss_of(batch)
    found = found if isinstance(found, tuple) else (found,)
    (found[0] * (updater.factor if factor is None else factor)).backward()
    return [each.detach() for each in found]


class Measures:
    """Values added up over the micro-batches and processes of an update, to be reported as means and extremes."""

    def __init__(self):
        # Names that all processes know: one without rows in the last step of an epoch measures nothing itself.
        self._names: list[str] = []
        self._ranges: list[str] = []
        self.discard()

    def discard(self) -> None:
        """Discards what was measured since the last update."""
        self._sums: dict[str, list] = {}  # name: [sum, count]
        self._extremes: dict[str, Tensor] = {}  # name: the largest so far

    def add(self, count: int | Tensor, **sums: Tensor | float) -> None:
        """Adds up values to be reported as means: each is a sum over `count` things. Does not wait for the device."""
        for name, value in sums.items():
            entry = self._sums.setdefault(name, [0.0, 0])
            entry[0] = entry[0] + (value.detach().float() if isinstance(value, Tensor) else value)
            entry[1] = entry[1] + count

    def add_range(self, **values: Tensor) -> None:
        """Notes values to be reported as `min_<name>` and `max_<name>`."""
        for name, tensor in values.items():
            tensor = tensor.detach().float()
            for key, largest in ((f"min_{name}", (-tensor).max()), (f"max_{name}", tensor.max())):
                self._extremes[key] = torch.maximum(self._extremes.get(key, largest), largest)

    def read(self, totals: list, scalars: list[Tensor], device: torch.device) -> tuple[list[float], dict[str, float]]:
        """Sums `totals` over all processes and reads `scalars`; returns both, and the measures by name.

        An update waits for the device only here, and only once, unless a process has measured something under a name
        that is new to the others, as in the first step.
        """
        if distributed.world_size() == 1:
            self._names, self._ranges = sorted(self._sums), sorted(self._extremes)
        news = bool(self._sums.keys() - set(self._names) or self._extremes.keys() - set(self._ranges))
        found, measures = self._exchange([*totals, float(news)], scalars, self._names, self._ranges, device)
        if found.pop(len(totals)):
            names = [name for name in distributed.union(self._sums) if name not in self._names]
            ranges = [name for name in distributed.union(self._extremes) if name not in self._ranges]
            measures |= self._exchange([0.0], [], names, ranges, device)[1]
            self._names, self._ranges = self._names + names, self._ranges + ranges
        self.discard()
        return found, measures

    def _exchange(self, totals, scalars, names, ranges, device) -> tuple[list[float], dict[str, float]]:
        """Totals, scalars and the measures of these names, over all processes."""
        values = [*totals, *(each for name in names for each in self._sums.get(name, (0.0, 0)))]
        # All numbers of the host in one copy, which is not waited for.
        if device.type != "cpu":
            values = [v.item() if isinstance(v, Tensor) and v.is_cpu else v for v in values]
        numbers = torch.tensor([0.0 if isinstance(v, Tensor) else v for v in values], dtype=torch.float32)
        pairs = zip(values, numbers.to(device, non_blocking=True))
        summed = torch.stack([v.to(device, torch.float32) if isinstance(v, Tensor) else n for v, n in pairs])
        parts = [distributed.sum_over_processes(summed), *(scalar.float()[None] for scalar in scalars)]
        if ranges:
            none = torch.full((), -math.inf, device=device)
            largest = torch.stack([self._extremes.get(name, none).to(device) for name in ranges])
            parts.append(distributed.largest_over_processes(largest))
        numbers = iter(torch.cat(parts).tolist())  # read in the order in which they were put together
        found = [next(numbers) for _ in totals]
        sums = {name: (next(numbers), next(numbers)) for name in names}
        found += [next(numbers) for _ in scalars]
        extremes = {name: next(numbers) for name in ranges}  # infinite where no process has measured any
        measures = {name: total / count for name, (total, count) in sums.items() if count}
        measures |= {name: -x if name.startswith("min_") else x for name, x in extremes.items() if not math.isinf(x)}
        return found, measures


class Updater:
    """Sums the gradients of one network over micro-batches and applies them once, divided by the total count.

    The total count is known only after the last micro-batch of every process. So `backward` divides by the constant
    `nominal_count`, which keeps float16 gradients in range, and `update` multiplies the gradients by nominal / actual.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer], nominal_count: int, grad_clip: float, fp16: bool):
        self.optimizers = optimizers
        self.parameters = [p for each in optimizers for group in each.param_groups for p in group["params"]]
        self.nominal_count, self.grad_clip, self.fp16 = nominal_count, grad_clip, fp16
        self.keeps_gradients = False  # whether gradients are set to zero in place, for kernels that know their address
        self.scale = FIRST_SCALE if fp16 else 1.0
        self.good_steps = 0  # since the scale last changed
        self.bad_in_a_row = 0
        self.skipped = {"non-finite": 0, "overflow": 0}
        self.rounding = max(SMALLEST_NORM, SMALLEST * math.sqrt(sum(p.numel() for p in self.parameters)))
        self.without_gradient = 0  # how many updates were
        self.balance = None  # of a network with experts: `training.engine.balance.Balance`
        self.discard()

    def discard(self) -> None:
        """Discards the micro-batches since the last update."""
        self._loss: float | Tensor = 0.0
        self._count: int | Tensor = 0
        self._trained: int | Tensor = 0
        self.fresh = True  # whether no micro-batch has begun since the last update

    def backward(self, loss_sum: Tensor, count: int | Tensor, trained: int | Tensor | None = None) -> None:
        """Adds the gradient of `loss_sum`, a sum over `count` things. Does not wait for the device.

        count: the number of trained tokens, pairs or sequences in the sum. trained: the number of trained tokens, if
        `count` is another number; it is only reported.
        """
        self.begin()
        (loss_sum * self.factor).backward()
        self.add(loss_sum, count, trained)

    @property
    def factor(self) -> float:
        """What a loss is multiplied by before its backward pass."""
        return self.scale / self.nominal_count

    def add(self, loss_sum: Tensor, count: int | Tensor, trained: int | Tensor | None = None) -> None:
        """Counts a micro-batch whose gradient was added; arguments as in `backward`."""
        self._loss = self._loss + loss_sum.detach().float()
        self._count = self._count + count
        self._trained = self._trained + (count if trained is None else trained)

    def begin(self) -> None:
        """Forgets the gradients of the update before. Histograms need them, so they are kept until the next begins."""
        if self.fresh:
            self.forget_gradients()
            self.fresh = False

    def forget_gradients(self) -> None:
        if self.keeps_gradients and (gradients := gradients_of(self.parameters)):
            torch._foreach_zero_(gradients)
            return
        for parameter in self.parameters:
            parameter.grad = None

    def update(self, rate_factor: float, measures: Measures | None = None, interrupted: bool = False) -> UpdateResult:
        """Makes one optimizer step at `rate_factor` times the peak learning rates, unless a number is not finite.

        measures: what was measured besides the loss. interrupted: whether this process wants to stop; the result tells
        all processes. Raises `DivergedError` after three non-finite steps in a row; the weights are then those of the
        last good step.
        """
        self.begin()  # in the last step of an epoch, a process without rows calls no `backward`
        gradients, norm = self._summed()
        if self.balance:
            self.balance.count(self._count, measures)
        totals = [self._loss, self._count, self._trained, float(interrupted)]
        (loss_sum, count, trained, signals, norm), measured = (measures or Measures()).read(totals, [norm], norm.device)
        self.discard()
        correction = self.nominal_count / (max(1.0, count) * self.scale)
        norm = norm * correction
        skipped = self._verdict(loss_sum, norm)
        no_gradient = skipped is None and count > 0 and norm <= self.rounding
        self.without_gradient += no_gradient
        if skipped is None and count > 0 and not no_gradient:
            clip = min(1.0, self.grad_clip / (norm + 1e-6)) if self.grad_clip else 1.0
            torch._foreach_mul_(gradients, correction * clip)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * rate_factor
                optimizer.step()
        if self.balance:
            self.balance.press(self.factor)
        loss = loss_sum / count if count else math.nan
        return UpdateResult(loss, round(trained), norm, skipped, measured, signals > 0, no_gradient)

    def _summed(self) -> tuple[list[Tensor], Tensor]:
        """The gradients over all processes, and their norm."""
        if distributed.world_size() > 1:
            from training.engine.collectives import sum_gradients

            sum_gradients(self.parameters)
        gradients = gradients_of(self.parameters)
        return gradients, norm_of(gradients) if gradients else self.parameters[0].new_zeros(())

    def _verdict(self, loss: float, norm: float) -> str | None:
        """Why to skip this step, or None. A NaN must not reach the optimizer: its moments would never recover."""
        if math.isfinite(loss) and math.isfinite(norm):
            self.bad_in_a_row = 0
            self.good_steps += 1
            if self.fp16 and self.good_steps >= SCALE_DOUBLES_AFTER:
                self.scale, self.good_steps = self.scale * 2, 0
            return None
        from training.engine.not_finite import why_skipped  # most steps are finite

        return why_skipped(self, loss, norm)

    def state_dict(self) -> dict:
        """What `training.engine.resume.restore_updater` puts back."""
        return {
            "optimizers": [each.state_dict() for each in self.optimizers],
            "fp16": self.fp16,
            "scale": self.scale,
            "good_steps": self.good_steps,
            "bad_in_a_row": self.bad_in_a_row,
            "skipped": dict(self.skipped),
            "balance": self.balance and self.balance.weights,
        }
