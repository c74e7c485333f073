"""Every stage on a CUDA GPU that pretends: network and batches live beside the host, and passes are recorded."""

from itertools import pairwise

import pytest
import torch

from model.cuda_graphs import Graphs, record
from tests.stages.another_device import another_device
from tests.stages.table import STAGES
from tests.stages.workshop import Workshop
from training.engine.determinism import strict
from training.engine.run import Run
from training.engine.update import Updater

OTHERS = ("experts", "live", "kto", "sampled", "several")  # which compute in ways of their own
RUNS = {
    (name, variant): flags
    for name, stage in STAGES.items()
    for variant, flags in {"": (), **stage.variants}.items()
    if variant in ("", *OTHERS)
}


@pytest.fixture
def elsewhere(monkeypatch):
    with another_device() as waits:
        monkeypatch.setattr(Workshop, "device", "cuda")
        yield waits


@pytest.mark.parametrize(("name", "variant"), RUNS)
def test_nothing_of_the_host_meets_what_is_on_the_device(name, variant, tmp_path, elsewhere):
    shop = Workshop.create(tmp_path, name)
    flags = [flag.format(folder=tmp_path) for flag in RUNS[name, variant]]
    words = ["--val_ratio=0.2", *flags]
    found = shop.train("out", "--max_steps=2", "--sample_interval=2", "--eval_interval=1", *words)
    resumes = (name, variant) == ("pretrain", "")
    if resumes:
        found = shop.train("out", "--max_steps=3", "--resume", "--allow_changed", *words)
    assert len(found.metrics) == (3 if resumes else 2)
    assert all(weight.isfinite().all() for weight in found.weights.values())
    assert "CUDA graph" not in found.said and not Graphs.failed  # what is recorded computes the same


@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if not stage.samples])
def test_a_step_waits_for_the_device_once_and_so_does_a_validation(name, tmp_path, elsewhere, monkeypatch):
    shop, counts, honest = Workshop.create(tmp_path, name), [], Run._finish

    def finish(run, step):
        counts.append(len(elsewhere))
        honest(run, step)

    monkeypatch.setattr(Run, "_finish", finish)
    shop.train("out", "--max_steps=4", "--val_ratio=0.2", "--eval_interval=4")
    # In the second step a stage that records its passes compares the graph with the pass before it.
    assert [after - before for before, after in pairwise(counts)][1:] == [1, 2]


@pytest.mark.parametrize(("name", "variant"), [("grpo", "several"), ("ppo", "")])
def test_updates_on_what_was_sampled_wait_for_the_device_once_each(name, variant, tmp_path, elsewhere, monkeypatch):
    counts, honest = [], Updater.update

    def update(updater, *words):
        counts.append(len(elsewhere))
        return honest(updater, *words)

    monkeypatch.setattr(Updater, "update", update)
    Workshop.create(tmp_path, name).train("out", "--max_steps=1", "--eval_interval=0", *RUNS[name, variant])
    waits = [after - before for before, after in pairwise(counts)]
    assert waits and set(waits) == {1}


def test_a_mistake_is_seen(elsewhere):
    there = torch.ones(2, device="cuda:0")
    with pytest.raises(RuntimeError, match="of the host"):
        there + torch.ones(2)
    assert (there + 1).tolist() == [2.0, 2.0] and there.sum().item() == 2.0 and len(elsewhere) == 2
    assert there[there > 0].cpu().sum() == 2.0 and len(elsewhere) == 4
    with strict(), pytest.raises(RuntimeError, match="deterministic"):
        there.cumsum(0)
    with pytest.raises(RuntimeError, match="capturing"):
        record(there.tolist, there.device)


def test_a_graph_replays_what_was_recorded(elsewhere):
    there = torch.ones(2, device="cuda:0")
    graph, sums = record(lambda: there.add_(1) + torch.rand(2, device="cuda:0"), there.device)
    assert there.tolist() == [1.0, 1.0]  # nothing runs while it is recorded
    torch.manual_seed(0)
    graph.replay()
    first = sums.clone()
    torch.manual_seed(0)
    graph.replay()
    assert there.tolist() == [3.0, 3.0] and torch.allclose(sums.here, first.here + 1)
