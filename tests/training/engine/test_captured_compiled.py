"""Passes that are compiled before they are recorded, and what happens where the compiler fails."""

import contextlib
from functools import partial

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from model.experts import ExpertsConfig
from tests.support import random_network
from tests.training.engine.fake_gpu import FakeGraphs
from tests.training.engine.line import EXPERTS, ROWS, Line, assert_same, batch_of, plain
from tests.training.support import SMALL
from training.engine.update import Measures
from training.losses.next_token import next_token_loss, next_token_loss_and_measures
from training.losses.tag_weights import target_weights


def compile_fails(monkeypatch, error: Exception) -> None:
    def backend(graph, inputs):
        raise error

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))


def test_without_a_compiler_it_trains_as_it_is(monkeypatch):
    compile_fails(monkeypatch, RuntimeError("no triton"))
    said = []
    line = Line(FakeGraphs().passes(ROWS, said.append, compiles=True))
    line.model.model.layers[0].compile()  # as `Machine.compile` does: it must not be tried again
    assert_same(line.steps(3), Line(plain).steps(3))
    assert len(said) == 1 and "no triton" in said[0] and said[0].endswith("; it trains without")


def test_a_compiler_that_fails_in_the_backward_pass_leaves_nothing_of_it():
    """By then the loss and the last layers have added their gradients, and dropout has drawn its numbers."""

    def fails(graph, inputs):
        raise RuntimeError("no triton")

    backend = aot_autograd(fw_compiler=lambda graph, inputs: make_boxed_func(graph.forward), bw_compiler=fails)
    said = []
    line = Line(FakeGraphs().passes(ROWS, said.append, compiles=True, as_one=False), dropout=0.3)
    line.model.model.layers[0].compile(backend=backend)
    assert_same(line.steps(3), Line(plain, dropout=0.3).steps(3))
    assert len(said) == 1 and "no triton" in said[0]


def test_a_loss_that_is_first_seen_amid_a_step_is_not_compiled_there(monkeypatch):
    """Its failing could not be undone without what the step has added up before."""
    compile_fails(monkeypatch, RuntimeError("no triton"))
    said = []
    lines = [Line(FakeGraphs().passes(ROWS, said.append, compiles=True)), Line(plain)]
    for line in lines:
        alone = lambda batch, line=line: line.loss_of(batch)  # noqa: E731
        for loss_of, seed in ((line.loss_of, 1), (alone, 2)):
            batch = batch_of(ROWS, seed)
            line.found.append(line.run(loss_of, batch, contextlib.nullcontext, line.updater))
            line.updater.add(line.found[-1][0], batch.trained)
        line.found.append(line.updater.update(1.0, Measures()))
    assert_same(*lines)
    assert len(said) == 1


@pytest.mark.parametrize("config", [SMALL, ExpertsConfig(**EXPERTS, router_aux_loss_coef=0.5)])
def test_a_compiler_that_loses_the_gradient_is_not_used(config, monkeypatch):
    """So torch 2.11 compiles a function whose result is summed up in place."""

    def compiled(loss_of, **settings):
        def without_gradient(batch):
            found = loss_of(batch)
            return tuple(each.detach() + 0 * found[0] for each in found)

        return without_gradient

    monkeypatch.setattr(torch, "compile", compiled)
    said = []
    line = Line(FakeGraphs().passes(ROWS, said.append, compiles=True), config=config)
    assert_same(line.steps(3), Line(plain, config=config).steps(3))
    assert said == ["warning: the network cannot be compiled (its gradient would be zero); it trains without"]


def test_a_deep_network_compiles_layer_by_layer():
    graphs, line = [], Line(FakeGraphs().passes(ROWS, compiles=True, as_one=False))

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for layer in line.model.model.layers:
        layer.compile(backend=backend)
    for one, other in zip(line.steps(3).found, Line(plain).steps(3).found, strict=True):
        assert one[0].item() == pytest.approx(other[0].item()) if isinstance(one, tuple) else one.loss == other.loss
    assert len(graphs) == 1  # all layers share it; the half micro-batches made no other


def test_a_lack_of_memory_is_not_taken_for_one_of_a_compiler():
    def loss_of(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    passes, line = FakeGraphs().passes(ROWS, compiles=True), Line(plain)
    with torch.compiler.set_stance("force_eager"), pytest.raises(torch.OutOfMemoryError):
        passes(loss_of, batch_of(ROWS, 0), contextlib.nullcontext, line.updater)


# --- compiled as one --------------------------------------------------------------------------------


def losses_of(model) -> dict:
    def features(batch):
        return model.features(batch.tokens, batch.positions), model.lm_head.weight, batch.targets

    return {
        "measured": lambda batch: next_token_loss_and_measures(*features(batch)),
        "weighted": lambda batch: next_token_loss(*features(batch), weights=target_weights(batch.targets, (3, 4), 5.0)),
    }


@pytest.mark.parametrize("name", losses_of(None))
def test_network_and_loss_compile_as_one_graph_once(name, monkeypatch):
    """No break, no new version for another batch, the same numbers."""
    monkeypatch.setattr("training.losses.next_token.chunk_length", lambda head: 20)  # of 48 tokens
    model = random_network(SMALL.replace(num_hidden_layers=1))
    loss_of, graphs = losses_of(model)[name], []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(loss_of, backend=backend, fullgraph=True, dynamic=False)
    for layer in model.model.layers:
        layer.compile(backend=backend)  # as `Machine.compile` does; inside a compiled whole it means nothing
    for seed in range(3):
        results = []
        for function in (compiled, loss_of):
            with torch.compiler.set_stance("default" if function is compiled else "force_eager"):
                found = function(batch_of(ROWS, seed))
            found = found if isinstance(found, tuple) else (found,)
            model.zero_grad()
            found[0].backward()
            results.append([*found, *(p.grad for p in model.parameters())])
            assert not any(each.requires_grad for each in found[1:])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)
    assert len(graphs) == 1
