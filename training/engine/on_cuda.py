"""What a run does on a CUDA GPU and nowhere else; no other run loads it."""

from collections.abc import Callable, Iterator

import torch

from model.device import Device
from model.grouped import waits_for_the_host
from training.engine import distributed
from training.engine.ahead import Ahead
from training.engine.captured import Passes

# A network of more layers compiles layer by layer: all layers share what is compiled, and as one it would take longer.
MOST_LAYERS_AS_ONE = 24


def equip(machine, model, plan) -> None:
    """Gives the machine of a run what its plan allows: batches made ahead, and passes recorded as CUDA graphs.

    Sets the precision of float32 products, for the whole process (see `allow_tf32`).
    """
    allow_tf32(machine.choice)
    if machine.shards:  # they gather weights in the midst of a pass, and make their batches beforehand
        return
    machine.batches_ahead = BatchesAhead(plan, Copies(machine.choice))
    # Checkpointing has to save and restore random numbers in the middle of a pass, and Python adds compact gradients.
    waits = waits_for_the_host(model.config, machine.device, machine.choice.dtype)
    if not plan.activation_checkpointing and plan.optimizer_memory == "exact" and not waits:
        rows = min(plan.batch_size, plan.rows_per_epoch)
        generator = torch.cuda.default_generators[machine.device.index]
        as_one = machine.compiles and model.config.num_hidden_layers <= MOST_LAYERS_AS_ONE
        machine.recorded_passes = Passes(machine.device, rows, machine.compiles, as_one, generator, machine.say)


def allow_tf32(choice: Device) -> None:
    """Lets the products that stay in float32 beside half precision, as Muon's do beside float16, run as TF32.

    --dtype float32 asks for all digits, and gets them. Cards before Ampere have no TF32.
    """
    if choice.dtype != torch.float32 and torch.cuda.get_device_capability(choice.device) >= (8, 0):
        torch.set_float32_matmul_precision("high")


class Copies:
    """Copies batches to the GPU on a stream of their own, beside the computation."""

    def __init__(self, choice: Device):
        self._choice = choice
        self._stream = torch.cuda.Stream(choice.device)

    def __call__(self, batch) -> Callable:
        """Begins to copy; returns a function that returns the batch when the current stream may use it."""
        device = self._choice.device
        with torch.cuda.device(device), torch.cuda.stream(self._stream):
            moved = self._choice.move(batch)
            copied = self._stream.record_event()

        def ready():
            stream = torch.cuda.current_stream(device)
            stream.wait_event(copied)
            for value in vars(moved).values():
                if isinstance(value, torch.Tensor):
                    value.record_stream(stream)  # its memory is not given away before this stream has used it
            return moved

        return ready


class BatchesAhead:
    """The micro-batches of a process in the order of the steps, made by a thread a step before they are due."""

    def __init__(self, plan, copy: Callable):
        self._plan = plan
        self._copy = copy
        self._ahead: Ahead | None = None
        self._due = None  # what the thread goes on with: (rows, step)

    def of_step(self, step: int, rows) -> Iterator:
        """The micro-batches of a step; `rows` has `batch(epoch, places)`. Steps that follow each other are quickest."""
        if self._ahead is None or self._due != (rows, step):
            self.close()
            self._ahead = Ahead(self._calls(step, rows), depth=self._plan.accumulation_steps)
        self._due = None
        for _ in self._chunks(step):
            yield self._ahead.take()()
        self._due = rows, step + 1

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()

    def _chunks(self, step: int) -> list[range]:
        return distributed.own_chunks(self._plan.rows_of_step(step)[1], self._plan.batch_size)

    def _calls(self, first: int, rows) -> Iterator[Callable]:
        for step in range(first, self._plan.steps):
            epoch = self._plan.rows_of_step(step)[0]
            for places in self._chunks(step):
                yield lambda epoch=epoch, places=places: self._copy(rows.batch(epoch, places))
