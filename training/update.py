"""From losses to a changed network: accumulation, loss scaling, clipping, and the guard against non-finite numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from model.errors import SproutError
from training import distributed

FIRST_SCALE, SCALE_DOUBLES_AFTER = 2.0**16, 2000
MOST_BAD_STEPS_IN_A_ROW = 3


@dataclass(frozen=True)
class UpdateResult:
    """What one optimizer step saw. `skipped` says why nothing was changed: 'non-finite', 'overflow' or None."""

    loss: float  # mean over trained tokens, nats
    trained: int  # trained tokens of all processes
    grad_norm: float  # before clipping
    skipped: str | None


class Updater:
    """Sums gradients of a step's micro-batches and applies them once, normalised by all its trained tokens.

    The normaliser is only known when every micro-batch (of every process) has been seen, so the loss sums are
    divided by the constant `nominal_tokens` on the way back, which keeps float16 gradients in range, and the
    gradients are corrected by nominal / actual before they are used.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer], nominal_tokens: int, grad_clip: float, fp16: bool):
        self.optimizers = optimizers
        self.parameters = [p for each in optimizers for group in each.param_groups for p in group["params"]]
        self.nominal_tokens, self.grad_clip, self.fp16 = nominal_tokens, grad_clip, fp16
        self.scale = FIRST_SCALE if fp16 else 1.0
        self.good_steps = 0  # since the scale last changed
        self.bad_in_a_row = 0
        self.skipped = {"non-finite": 0, "overflow": 0}
        self._begin()

    def _begin(self):
        self._loss: Tensor | None = None
        self._trained: int | Tensor = 0
        self._fresh = True

    def backward(self, loss_sum: Tensor, trained: int | Tensor) -> None:
        """Adds the gradient of `loss_sum`, a sum over `trained` tokens. Does not wait for the device."""
        self._forget_gradients_before()
        (loss_sum * (self.scale / self.nominal_tokens)).backward()
        loss_sum = loss_sum.detach().float()
        self._loss = loss_sum if self._loss is None else self._loss + loss_sum
        self._trained = self._trained + trained

    def _forget_gradients_before(self) -> None:
        """Gradients of the step before are kept until the next begins, for histograms."""
        if self._fresh:
            for parameter in self.parameters:
                parameter.grad = None
            self._fresh = False

    def discard(self) -> None:
        """Forgets the micro-batches seen since the last update."""
        self._begin()

    def update(self, rate_factor: float) -> UpdateResult:
        """One optimizer step at `rate_factor` times the peak learning rates, unless a number is not finite.

        Raises `SproutError` after three non-finite steps in a row; the weights are then those of the last good one.
        """
        self._forget_gradients_before()  # where this process had no rows in the last step of an epoch
        distributed.sum_gradients(self.parameters)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        loss_sum, trained, norm = self._read(gradients)
        self._begin()
        correction = self.nominal_tokens / (max(1.0, trained) * self.scale)
        norm, loss = norm * correction, loss_sum / max(1.0, trained)
        skipped = self._verdict(loss, norm)
        if skipped is None and trained > 0:
            clip = min(1.0, self.grad_clip / (norm + 1e-6)) if self.grad_clip else 1.0
            torch._foreach_mul_(gradients, correction * clip)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * rate_factor
                optimizer.step()
        return UpdateResult(loss, round(trained), norm, skipped)

    def _read(self, gradients: list[Tensor]) -> tuple[float, float, float]:
        """Loss sum, trained tokens and gradient norm: the one moment of a step that waits for the device."""
        device = gradients[0].device if gradients else torch.device("cpu")
        loss = torch.zeros((), device=device) if self._loss is None else self._loss
        trained = torch.as_tensor(self._trained, dtype=torch.float32, device=device)
        sums = distributed.sum_over_processes(torch.stack((loss, trained)))
        norm = loss.new_zeros(())
        if gradients:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        loss_sum, trained, norm = torch.cat((sums, norm[None])).tolist()
        return loss_sum, trained, norm

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
            raise SproutError(
                f"the loss or its gradient was not finite {MOST_BAD_STEPS_IN_A_ROW} steps in a row (loss {loss},"
                f" gradient norm {norm}): the run was stopped, the last good checkpoint is intact;"
                " try a lower --learning_rate, or --dtype float32"
            )
        return "non-finite"

    def state_dict(self) -> dict:
        return {
            "optimizers": [each.state_dict() for each in self.optimizers],
            "scale": self.scale,
            "good_steps": self.good_steps,
            "bad_in_a_row": self.bad_in_a_row,
            "skipped": dict(self.skipped),
        }

    def load_state_dict(self, state: dict) -> None:
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.scale, self.good_steps = state["scale"], state["good_steps"]
        self.bad_in_a_row, self.skipped = state["bad_in_a_row"], dict(state["skipped"])
