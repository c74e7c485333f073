"""Passes that are recorded and replayed, against the same passes as they are. Calls stand for CUDA's graphs."""

import contextlib
import math
from functools import partial

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from dataset.rows.rows import Batch
from model import cuda_graphs
from model.experts import ExpertsConfig
from model.likelihood import IGNORE
from model.lora import Lora, add_lora
from tests.support import random_network
from tests.training.engine.fake_gpu import FakeGraphs
from tests.training.support import SMALL
from training.engine import captured
from training.engine.balance import Balance
from training.engine.optimizers import build_optimizers
from training.engine.update import Measures, Updater, forward_backward
from training.losses.next_token import next_token_loss, next_token_loss_and_measures
from training.losses.tag_weights import target_weights

ROWS = 4
EXPERTS = {"vocab_size": SMALL.vocab_size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
EXPERTS |= {"intermediate_size": 48, "num_experts": 4}


def batch_of(rows: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens, targets = torch.randint(0, SMALL.vocab_size, (2, rows, 12), generator=generator)
    targets[0, : seed % 12] = IGNORE
    return Batch(tokens, targets, torch.arange(12).repeat(rows, 1) % 5, int((targets != IGNORE).sum()))


class Line:
    """A training with two whole micro-batches a step, and half a one."""

    def __init__(self, run, dropout: float = 0.0, fp16: bool = False, config=SMALL):
        self.run, self.model, self.found = run, random_network(config), []
        if dropout:
            torch.manual_seed(0)
            add_lora(self.model, Lora(rank=4, alpha=8.0, dropout=dropout))
        self.model.train()
        self.updater = Updater(build_optimizers(self.model, "muon", 0.02, 0.1), 100, 1.0, fp16)
        if isinstance(config, ExpertsConfig):
            self.updater.balance = Balance(self.model)
        self.factor = torch.ones(())  # of the loss, to spoil it

        def loss_of(batch):
            features = self.model.features(batch.tokens, batch.positions)
            loss, *measures = next_token_loss_and_measures(features, self.model.lm_head.weight, batch.targets)
            return loss * self.factor, *measures

        self.loss_of = loss_of

    def step(self, number: int):
        torch.manual_seed(number)
        for place, rows in enumerate((ROWS, ROWS, ROWS // 2)):
            batch = batch_of(rows, 10 * number + place)
            loss, *measures = self.run(self.loss_of, batch, contextlib.nullcontext, self.updater)
            self.updater.add(loss, batch.trained)
            self.found.append((loss, *measures))
        self.found.append(self.updater.update(1.0, Measures()))
        return self.found[-1]

    def steps(self, count: int) -> "Line":
        for number in range(count):
            self.step(number)
        return self


def plain(loss_of, batch, autocast, updater):
    """What `Passes` does, without a graph."""
    lacks_rows = len(batch.tokens) < ROWS and not updater.balance
    return forward_backward(loss_of, captured._filled(batch, ROWS) if lacks_rows else batch, autocast, updater)


def assert_same(one: Line, other: Line) -> None:
    assert one.found == other.found
    assert all(map(torch.equal, one.model.parameters(), other.model.parameters()))
    assert one.updater.scale == other.updater.scale


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_is_replayed_is_what_would_have_been_computed(dropout):
    graphs, said = FakeGraphs(), []
    found = Line(graphs.passes(ROWS, said.append), dropout).steps(4)
    assert_same(found, Line(plain, dropout).steps(4))
    # From the second step on: one to compare, eight for the rest.
    assert (graphs.recorded, graphs.replayed, said) == (1, 9, [])


def test_a_micro_batch_with_fewer_rows_computes_the_same_when_it_is_filled_up():
    batch, found = batch_of(ROWS // 2, seed=3), []
    for rows in (batch, captured._filled(batch, ROWS)):
        line = Line(forward_backward)
        found.append((*forward_backward(line.loss_of, rows, contextlib.nullcontext, line.updater), line.model))
    for one, other in zip(*(each[:-1] for each in found), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(*(each[-1].parameters() for each in found), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_pass_beside_the_graph_gets_its_memory(monkeypatch):
    """Rows are not added for experts, who count them: the pass without a graph runs when there is none."""
    config, kept = ExpertsConfig(**EXPERTS), []
    graphs = FakeGraphs()
    passes = graphs.passes(ROWS)

    def run(loss_of, batch, *others):
        kept.append([each._replay for each in passes._recurring.values()] if len(batch.tokens) < ROWS else [])
        return forward_backward(loss_of, batch, *others)

    monkeypatch.setattr(captured, "forward_backward", run)
    found = Line(passes, config=config).steps(4)
    assert not any(map(any, kept)) and graphs.recorded == 3
    assert_same(found, Line(plain, config=config).steps(4))


def test_experts_are_counted_once_and_where_the_recorded_pass_counts_them():
    """Recording computes a pass several times, and what is recorded writes to the same memory for ever."""
    config = ExpertsConfig(**EXPERTS, router_aux_loss_coef=0.5)
    graphs = FakeGraphs()
    found, addresses = Line(graphs.passes(ROWS), config=config), set()
    for number in range(4):
        found.step(number)
        tallies = found.updater.balance._tallies
        addresses.add(tuple(tally.grad.data_ptr() for tally in tallies))
        assert not any(tally.grad.any() for tally in tallies)
    expected = Line(plain, config=config).steps(4)
    assert_same(found, expected)
    assert graphs.recorded == 3 and len(addresses) == 1  # again in each step, as each ends with fewer rows
    assert (
        torch.equal(found.updater.balance.weights, expected.updater.balance.weights)
        and expected.updater.balance.weights.any()
    )


def test_a_scale_that_changes_reaches_the_recorded_pass():
    graphs = FakeGraphs()
    lines = [Line(graphs.passes(ROWS), fp16=True), Line(plain, fp16=True)]
    for line in lines:
        line.steps(2)
        line.updater.scale = 8.0
        line.step(2)
    assert_same(*lines)
    assert graphs.replayed == 6


def test_where_the_graph_computes_something_else_the_run_goes_on_without_it():
    graphs, said = FakeGraphs(error=50.0), []
    found = Line(graphs.passes(ROWS, said.append), dropout=0.3).steps(3)
    assert_same(found, Line(plain, dropout=0.3).steps(3))
    assert (graphs.recorded, graphs.replayed) == (1, 1)
    assert len(said) == 1 and "instead of" in said[0]


def test_small_differences_are_let_through_unless_bits_count(monkeypatch):
    for deterministic, warnings in ((False, 0), (True, 1)):
        said = []
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda now=deterministic: now)
        Line(FakeGraphs(error=0.01).passes(ROWS, said.append)).steps(3)
        assert len(said) == warnings


def test_where_nothing_can_be_recorded_the_run_says_so_once():
    def record(work, device):
        work()  # what a failed record has done to the gradients does not stay
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    graphs, said = FakeGraphs(), []
    graphs.record = record
    found = Line(graphs.passes(ROWS, said.append)).steps(3)
    assert_same(found, Line(plain).steps(3))
    assert len(said) == 1 and "(operation not permitted when stream is capturing); it runs without" in said[0]


def test_numbers_that_are_not_finite_are_compared_in_a_later_step():
    graphs, said = FakeGraphs(), []
    lines = [Line(graphs.passes(ROWS, said.append)), Line(plain)]
    for line in lines:
        line.step(0)
        line.factor.fill_(math.inf)
        assert line.step(1).skipped
        line.factor.fill_(1.0)
        line.step(2)
        line.factor.fill_(math.nan)
        assert line.step(3).skipped  # replayed, and not left in the gradients
        line.factor.fill_(1.0)
        line.step(4)
    assert lines[0].found[:4] == lines[1].found[:4]
    assert all(map(torch.equal, lines[0].model.parameters(), lines[1].model.parameters()))
    assert (graphs.recorded, said) == (1, [])


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


def test_what_draws_from_an_old_random_state_is_recorded_again(monkeypatch):
    graphs = FakeGraphs()
    found = Line(graphs.passes(ROWS), dropout=0.3).steps(3)
    monkeypatch.setattr(cuda_graphs, "renewals", cuda_graphs.renewals + 1)  # as a capture of decoding that failed
    found.step(3)
    found.step(4)
    assert_same(found, Line(plain, dropout=0.3).steps(5))
    assert graphs.recorded == 2


@pytest.mark.parametrize("fault", ["refused", "other numbers"])
def test_where_a_second_recording_fails_the_first_is_not_used_again(fault, monkeypatch):
    """Its batch is given up, and it would draw from an old random state; meanwhile it would hold its memory."""
    graphs, said = FakeGraphs(), []
    passes = graphs.passes(ROWS, said.append)
    found = Line(passes, dropout=0.3).steps(3)
    honest, held = passes.record, []

    def record(work, device):
        held.append([each._replay for each in passes._recurring.values()])
        if fault == "refused":
            raise RuntimeError("no memory is left")
        replay, results = honest(work, device)
        return lambda: (replay(), results[0].add_(50.0)), results

    passes.record = record
    monkeypatch.setattr(cuda_graphs, "renewals", cuda_graphs.renewals + 1)
    found.steps(3)
    expected = Line(plain, dropout=0.3).steps(3).steps(3)
    assert_same(found, expected)
    assert held == [[None]] and len(said) == 1


def test_a_function_made_anew_in_every_step_is_refused():
    passes, line = FakeGraphs().passes(ROWS), Line(plain)
    with pytest.raises(ValueError, match="define the function once"):
        for seed in range(9):
            loss_of = lambda batch: line.loss_of(batch)  # noqa: E731
            passes(loss_of, batch_of(ROWS, seed), contextlib.nullcontext, line.updater)


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
