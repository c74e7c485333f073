"""The bookkeeping of CUDA graphs in decoding, on a GPU that only pretends."""

import contextlib
import gc
import math
import weakref
from typing import ClassVar

import pytest
import torch

from model import cuda_graphs
from model.attention import KVCache
from model.generation import Decoding, generate_batch, new_generator
from model.retiring import retire
from model.sampling import GREEDY
from model.transformer import Transformer
from tests.model.small_decoding import ENDS, NUCLEUS, PENALISED, PROMPTS, SMALL
from tests.support import random_network


@pytest.fixture(scope="module")
def network() -> Transformer:
    return random_network(SMALL)


class PretendedGraph:
    """While a step is captured nothing runs; `replay` runs it, but no Python: what the host counts stays."""

    made: ClassVar[list["PretendedGraph"]] = []
    batch: ClassVar[Decoding]
    spoil: ClassVar[float] = 1.0  # of its logits
    invalid: ClassVar[bool] = False  # whether what was recorded cannot be used
    mended: ClassVar[list] = []  # the generators and memory that a failure has put in order

    def __init__(self):
        self.replays, self.generators = 0, []
        PretendedGraph.made.append(self)

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def capture_begin(self, pool, capture_error_mode):
        assert self.generators == [self.batch.generator] and capture_error_mode == "thread_local"
        cache = self.batch.cache
        self.key, self.length = (len(self.batch.rows), cache.width), cache.longest
        self.memory = [(tensor, tensor.clone()) for tensor in self.tensors()]
        self.random = self.batch.generator.get_state()

    def capture_end(self):
        if not hasattr(self, "memory"):
            raise RuntimeError("nothing is being recorded")
        for tensor, before in self.memory:
            tensor.copy_(before)
        self.batch.generator.set_state(self.random)
        if self.invalid:
            raise RuntimeError("operation failed due to a previous error during capture")

    def tensors(self):
        batch = self.batch
        return batch.tokens, batch.seen, batch.order, batch.cache.lengths, batch.cache.keys, batch.cache.values

    def replay(self):
        self.replays += 1
        cache = self.batch.cache
        assert (len(self.batch.rows), cache.width) == self.key
        length = cache.longest
        logits = Decoding.step(self.batch)
        cache.longest = length
        self.batch.logits.copy_(logits * self.spoil)


@pytest.fixture
def gpu(monkeypatch):
    """What `model.cuda_graphs` uses of CUDA, and a function that decodes with it as `new_tokens` does."""

    class Stream:
        def wait_stream(self, other):
            pass

    for name, value in {
        "CUDAGraph": PretendedGraph,
        "stream": lambda stream: contextlib.nullcontext(),
        "current_stream": lambda device: Stream(),
        "graph_pool_handle": lambda: "pool",
        "synchronize": lambda device: None,
        "default_generators": {None: "of all"},
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    mended = PretendedGraph.mended
    for name, what in (("_cuda_endAllocateToPool", "closed"), ("_cuda_releasePool", "given back")):
        note = lambda index, pool, what=what: mended.append(f"{pool} {what}")  # noqa: E731
        monkeypatch.setattr(torch._C, name, note, raising=False)
    monkeypatch.setattr(cuda_graphs, "_renew", mended.append)
    monkeypatch.setattr(cuda_graphs, "side_stream", lambda device: Stream())
    monkeypatch.setattr(cuda_graphs.Graphs, "failed", False)
    monkeypatch.setattr(KVCache, "width", property(lambda self: min(-(-(self.longest + 1) // 8) * 8, self.capacity)))
    PretendedGraph.made.clear()
    mended.clear()

    @torch.inference_mode()
    def decode(model, how, steps=24) -> list[list[int]]:
        batch = PretendedGraph.batch = Decoding(model, PROMPTS, steps, how, new_generator(seed=3))
        batch.cache.fixed = True

        def captured(graphs):
            graph, logits = real(graphs)
            batch.logits = logits  # the memory that a replay writes to
            return graph, logits

        real = cuda_graphs.Graphs.captured
        with monkeypatch.context() as patched:
            patched.setattr(cuda_graphs.Graphs, "captured", captured)
            cuda_graphs.use_graphs(batch)
            answers = [[] for _ in PROMPTS]
            for _ in range(steps):
                newest = batch.next()
                for answer, token in zip(answers, newest):
                    answer += [] if token is None else [token]
                if not retire(batch, {row for row, token in enumerate(newest) if token in ENDS}):
                    break
        return answers

    return decode


@pytest.mark.parametrize("how", [GREEDY, NUCLEUS, PENALISED], ids=str)
def test_graphs_write_the_same_tokens(network, gpu, how, capsys):
    expected = generate_batch(
        network, PROMPTS, max_new_tokens=24, sampling=how, eos_ids=ENDS, generator=new_generator(seed=3)
    )
    assert gpu(network, how) == expected
    keys = [graph.key for graph in PretendedGraph.made]
    assert len(keys) == len(set(keys)) and {slots for slots, _ in keys} <= {5, 4, 2, 1} and len(keys) > 2
    assert sum(graph.replays for graph in PretendedGraph.made) == max(map(len, expected)) - 1  # all but the prompts
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fault", ["refused", "invalid", "raised", "other logits", "no number"])
def test_where_capturing_fails_it_says_so_once_and_goes_on(network, gpu, fault, monkeypatch, capsys):
    expected = generate_batch(
        network, PROMPTS, max_new_tokens=24, sampling=NUCLEUS, eos_ids=ENDS, generator=new_generator(seed=3)
    )
    if fault == "refused":

        def refuse(self, generator):
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

        monkeypatch.setattr(PretendedGraph, "register_generator_state", refuse)
    elif fault == "invalid":
        monkeypatch.setattr(PretendedGraph, "invalid", True)
    elif fault == "raised":  # by Python, in a recording that is valid

        def raising(self, *args, honest=PretendedGraph.capture_begin, **settings):
            honest(self, *args, **settings)
            raise RuntimeError("Python says no")

        monkeypatch.setattr(PretendedGraph, "capture_begin", raising)
    else:
        monkeypatch.setattr(PretendedGraph, "spoil", 1.5 if fault == "other logits" else math.nan)
    assert gpu(network, NUCLEUS) == expected
    # torch leaves a recording that failed half open: it would refuse the next random number.
    random = PretendedGraph.batch.generator
    in_order = ["pool closed", "pool given back", "of all", random]
    assert PretendedGraph.mended == (in_order if fault in ("refused", "invalid") else [])
    assert gpu(network, NUCLEUS) == expected
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(PretendedGraph.made) == 1 and "without CUDA graphs" in said[0]
    reasons = {"refused": "is capturing", "invalid": "error during capture", "raised": "Python says no"}
    assert reasons.get(fault, "differ by") in said[0]


def test_a_batch_goes_with_its_last_name_and_with_it_its_cache(network, gpu):
    """On a GPU they are gigabytes, and Python looks for circles only now and then."""
    gpu(network, GREEDY)
    batch, PretendedGraph.batch = weakref.ref(PretendedGraph.batch), None
    gc.disable()
    try:
        for graph in PretendedGraph.made:
            graph.memory = graph.generators = None
        assert batch() is None
    finally:
        gc.enable()
