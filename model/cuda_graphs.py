"""The single-token step on a GPU, launched as one CUDA graph.

A step consists of many small kernels, and launching them one by one takes longer than the GPU needs to run them.
A graph is launched at once, but always runs the same kernels on the same memory: a step changes tokens, lengths, cache
and random state in place, and each (number of slots, width of attention) has a graph of its own.
"""

import contextlib
import functools
import sys
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from model.grouped import waits_for_the_host

# Not cuDNN, which plans for tens of milliseconds at each new length.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
renewals = 0  # how often generators were given a new state; graphs recorded before draw from the old one
TOLERANCE = 0.02  # of the largest logit: the same kernels, in bfloat16 perhaps in another order


def use_graphs(batch) -> None:
    """Lets a `model.generation.Decoding` on a GPU take its steps from graphs."""
    # The batch holds its graphs. If they held it as well, its cache would stay until Python collects such cycles.
    graphs = Graphs(weakref.proxy(batch))
    batch.read_prompts, batch.step = graphs.read_prompts, graphs.step


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which everything is recorded: always the same, since each has its own workspace for products."""
    return torch.cuda.Stream(device)


@contextlib.contextmanager
def on_the_side(device: torch.device) -> Iterator[None]:
    """Context of `side_stream`, in the order of what comes before and after."""
    side, main = side_stream(device), torch.cuda.current_stream(device)
    side.wait_stream(main)
    try:
        with torch.cuda.stream(side):
            yield
    finally:
        main.wait_stream(side)


def record(work: Callable, device: torch.device, generator: torch.Generator | None = None, pool=None) -> tuple:
    """Records the kernels that `work` starts: returns a CUDA graph of them, and what `work` returned.

    work: has run before `on_the_side`, as libraries set themselves up in a first call, which cannot be recorded.
    generator: where random numbers come from, if not from the default one. pool: memory that graphs share.

    If it fails, random numbers and memory are as they were before, and the error is raised.
    """
    graph, pool = torch.cuda.CUDAGraph(), pool or torch.cuda.graph_pool_handle()
    generators = [torch.cuda.default_generators[device.index]] + ([generator] if generator else [])
    torch.cuda.synchronize(device)
    with on_the_side(device):
        try:
            with torch.inference_mode(False):  # a later graph, outside of it, writes to what is allocated here
                if generator:
                    graph.register_generator_state(generator)
                # Other threads may use the GPU meanwhile: one that copies the next batch of a training run, say.
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            results = work()
            graph.capture_end()
        except BaseException:
            _abandon(graph, device, pool, generators)
            raise
    return graph, results


def _abandon(graph, device: torch.device, pool, generators: list[torch.Generator]) -> None:
    """Ends a recording that failed. Where it was invalid, torch itself does so only in part: it would refuse to draw
    random numbers, and keep memory for the graph, from then on."""
    global renewals
    with contextlib.suppress(RuntimeError):  # if it has ended already, or not begun
        graph.capture_end()
        return  # it was valid, and has put back what it had taken
    with contextlib.suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(device.index, pool)
        torch._C._cuda_releasePool(device.index, pool)  # else what was allocated until then stays the graph's
    for generator in generators:
        _renew(generator)
    renewals += 1


def _renew(generator: torch.Generator) -> None:
    """Gives a generator a state of the same numbers that takes no part in a recording."""
    generator.graphsafe_set_state(generator.clone_state())


class Graphs:
    """The graphs of one batch, each captured when it is first needed. Where that fails, the step is taken without."""

    failed = False  # in this process, which then tries no more and has said so

    def __init__(self, batch):
        self.batch, kind = batch, batch.__class__
        self.eager_step = functools.partial(kind.step, batch)
        self.eager_read = functools.partial(kind.read_prompts, batch)
        self.graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self.device, self.pool = batch.tokens.device, torch.cuda.graph_pool_handle()
        self.can_record = not waits_for_the_host(batch.model.config, self.device, batch.cache.keys.dtype)

    def read_prompts(self) -> None:
        with sdpa_kernel(BACKENDS):
            self.eager_read()

    def step(self) -> None:
        """One step of the batch. With a graph, nothing here waits for the GPU."""
        key = len(self.batch.rows), self.batch.cache.width
        if key in self.graphs:
            self.graphs[key].replay()
            self.batch.cache.longest += 1  # what a step does on the host
            return
        with sdpa_kernel(BACKENDS):
            if Graphs.failed or not self.can_record:
                self.eager_step()
            else:
                self.first_step(key)

    def first_step(self, key: tuple[int, int]) -> None:
        """The step without a graph, which warms up; and again with one, which is kept if it computes the same."""
        before = self.state()
        with on_the_side(self.device):
            expected = self.eager_step()
        after = self.state()
        try:
            self.restore(before)
            graph, logits = self.captured()
            self.restore(before)  # no kernel ran during the capture, but the host counted a step
            graph.replay()
            self.check(logits, expected)
            self.graphs[key] = graph
        except Exception as error:  # whatever a driver, a GPU or a version of torch refuses
            Graphs.failed = True
            self.graphs.clear()  # they may draw from the state that the generator had
            reason = str(error).partition("\n")[0] or type(error).__name__
            print(f"warning: decoding goes on without CUDA graphs, more slowly: {reason}", file=sys.stderr, flush=True)
            torch.cuda.synchronize(self.device)
        self.restore(after)

    def captured(self) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A graph of the step, and the logits that it will write."""
        return record(self.eager_step, self.device, self.batch.generator, self.pool)

    def check(self, logits: Tensor, expected: Tensor) -> None:
        logits, expected = (each.float().nan_to_num() for each in (logits, expected))  # damaged weights compute NaN
        difference = (logits - expected).abs().max()
        if difference > TOLERANCE * expected.abs().max():
            raise RuntimeError(f"its logits differ by {float(difference):.2g} from those without")

    def state(self) -> tuple[list[Tensor], Tensor, int]:
        """A copy of what a step changes, but for keys and values: the same step writes them once more."""
        return [each.clone() for each in self.changing()], self.batch.generator.get_state(), self.batch.cache.longest

    def restore(self, state: tuple[list[Tensor], Tensor, int]) -> None:
        tensors, random, self.batch.cache.longest = state
        for tensor, saved in zip(self.changing(), tensors, strict=True):
            tensor.copy_(saved)
        self.batch.generator.set_state(random)

    def changing(self) -> tuple[Tensor, ...]:
        return self.batch.tokens, self.batch.seen, self.batch.cache.lengths
