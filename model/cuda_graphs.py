"""The single-token step on a GPU, launched as one CUDA graph.

A step consists of some 200 small kernels, and launching them one by one takes longer than the GPU needs to run them.
A graph is launched at once, but always runs the same kernels on the same memory: a step changes tokens, lengths, cache
and random state in place, and each (number of slots, width of attention) has a graph of its own.
"""

import functools
import sys

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

# Not cuDNN, which plans for tens of milliseconds at each new length.
BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
TOLERANCE = 0.02  # of the largest logit: the same kernels, in bfloat16 perhaps in another order


def capture(batch) -> None:
    """Lets a `model.generation.Decoding` on a GPU take its steps from graphs."""
    graphs, read_prompts = Graphs(batch), batch.read_prompts

    def read() -> None:
        with sdpa_kernel(BACKENDS):
            read_prompts()

    batch.read_prompts, batch.step = read, graphs.step


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which steps are captured: always the same, since each has its own workspace for matrix products."""
    return torch.cuda.Stream(device)


class Graphs:
    """The graphs of one batch, each captured when it is first needed. Where that fails, the step is taken without."""

    failed = False  # in this process, which then tries no more and has said so

    def __init__(self, batch):
        self.batch, self.eager_step = batch, batch.step
        self.graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self.pool, self.stream = torch.cuda.graph_pool_handle(), side_stream(batch.tokens.device)

    def step(self) -> None:
        """One step of the batch. With a graph, nothing here waits for the GPU."""
        key = len(self.batch.rows), self.batch.cache.width
        if key in self.graphs:
            self.graphs[key].replay()
            self.batch.cache.longest += 1  # what a step does on the host
            return
        with sdpa_kernel(BACKENDS):
            if Graphs.failed:
                self.eager_step()
            else:
                self.first_step(key)

    def first_step(self, key: tuple[int, int]) -> None:
        """The step without a graph, which warms up; and again with one, which is kept if it computes the same."""
        before = self.state()
        expected = self.on_the_side(self.eager_step)
        after = self.state()
        try:
            self.restore(before)
            graph, logits = self.captured()
            self.restore(before)  # capturing has run nothing on the GPU, but on the host
            graph.replay()
            self.check(logits, expected)
            self.graphs[key] = graph
        except Exception as error:  # whatever a driver, a GPU or a version of torch refuses
            Graphs.failed = True
            reason = str(error).partition("\n")[0] or type(error).__name__
            print(f"warning: decoding goes on without CUDA graphs, more slowly: {reason}", file=sys.stderr, flush=True)
            torch.cuda.synchronize()
        self.restore(after)

    def captured(self) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        """A graph of the step, and the logits that it will write."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.batch.generator)

        def capture() -> Tensor:
            # Other threads may use the GPU meanwhile: one that copies the next batch of a training run, say.
            graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
            try:
                return self.eager_step()
            finally:
                graph.capture_end()

        torch.cuda.synchronize()
        return graph, self.on_the_side(capture)

    def on_the_side(self, step) -> Tensor:
        """Runs `step` on a stream of its own, as capturing demands it, of the warm-up too."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            logits = step()
        torch.cuda.current_stream().wait_stream(self.stream)
        return logits

    def check(self, logits: Tensor, expected: Tensor) -> None:
        difference = (logits - expected).float().nan_to_num().abs().max()
        if difference > TOLERANCE * expected.float().nan_to_num().abs().max():
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
