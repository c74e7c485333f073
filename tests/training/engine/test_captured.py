"""Passes that are recorded and replayed, against the same passes as they are. Calls stand for CUDA's graphs."""

import contextlib
import math

import pytest
import torch

from model import cuda_graphs
from model.experts import ExpertsConfig
from tests.training.engine.fake_gpu import FakeGraphs
from tests.training.engine.line import EXPERTS, ROWS, Line, assert_same, batch_of, plain
from training.engine import captured
from training.engine.update import forward_backward


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
