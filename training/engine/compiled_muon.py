"""Muon's arithmetic for CUDA, compiled: few kernels instead of hundreds, which a host is slow to launch."""

import torch

from training.engine.captured import reason_of
from training.engine.muon import Muon, orthogonalize

MOST_SHAPES = 64  # every shape and number of matrices is compiled for itself; by default dynamo gives up after 8


def compile_arithmetic(optimizers: list[torch.optim.Optimizer], machine) -> None:
    """Replaces the arithmetic of every Muon among the optimizers."""
    for optimizer in optimizers:
        if isinstance(optimizer, Muon):
            optimizer.arithmetic = CompiledArithmetic(optimizer.arithmetic, machine)


class CompiledArithmetic:
    """Does what `plain` (`muon.update_matrices`) does, compiled where the run compiles.

    Where compiling fails, before anything is changed, it says so and uses `plain`.
    """

    def __init__(self, plain, machine, backend: str = "inductor"):
        self._plain = plain
        self._machine = machine
        self._compiled = torch.compile(_update_matrices, dynamic=False, backend=backend)
        self._fails = False

    def __call__(self, parameters, gradients, buffers, momentum, keep, rate, dtype) -> None:
        if self._machine.compiles and not self._fails:
            # A number would be a part of what is compiled, and these change from step to step. `full` does not wait
            # for the device, as copying a number to it would.
            numbers = [torch.full((), value, device=parameters[0].device) for value in (momentum, keep, rate)]
            try:
                with torch._dynamo.config.patch(cache_size_limit=MOST_SHAPES):
                    return self._compiled(parameters, gradients, buffers, *numbers, dtype)
            except torch._dynamo.exc.TorchDynamoException as error:
                self._fails = True
                self._machine.say(f"warning: Muon cannot be compiled ({reason_of(error)}); it goes on without")
        return self._plain(parameters, gradients, buffers, momentum, keep, rate, dtype)


def _update_matrices(parameters, gradients, buffers, momentum, keep, rate, dtype) -> None:
    """`muon.update_matrices` with tensors for numbers; the compiler makes one kernel of what stands side by side."""
    for buffer, gradient in zip(buffers, gradients):
        buffer.lerp_(gradient, 1 - momentum)
    nesterov = torch.stack([gradient.lerp(buffer, momentum) for buffer, gradient in zip(buffers, gradients)])
    updates = orthogonalize(nesterov.to(dtype)).float() * rate
    for parameter, update in zip(parameters, updates.unbind()):
        parameter.mul_(keep).sub_(update)
