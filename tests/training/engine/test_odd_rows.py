"""The last micro-batch of an epoch, with fewer rows than the others, in runs that are compiled."""

from functools import partial

import pytest
import torch

from tests.stages.workshop import Workshop


@pytest.fixture
def shapes(monkeypatch):
    """The first sizes of all that is compiled, in order, as [rows, length], symbolic ones as -1."""
    found = []

    def backend(graph, inputs):
        first = next(each.meta["example_value"] for each in graph.graph.nodes if each.op == "placeholder")
        found.append([size if isinstance(size, int) else -1 for size in getattr(first, "shape", [-1])])
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return found


@pytest.mark.parametrize("stage", ["pretrain", "dpo"])
def test_nothing_is_compiled_anew_for_it(tmp_path, stage, shapes):
    workshop = Workshop.create(tmp_path, stage)
    words = ("--epochs=2", "--max_steps=80", "--val_ratio=0", "--batch_size=3", "--accumulation_steps=1")
    expected = workshop.train("plain", *words)  # 92 or 28 rows in an epoch
    torch.compiler.reset()
    found = workshop.train("compiled", *words, "--compile=on")
    assert found.losses == pytest.approx(expected.losses, rel=1e-4)
    assert [rows for rows, *_ in shapes] == [3]
