"""`--deterministic`: no stage needs an operation that a GPU cannot do in the same order every time."""

import os
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.stages.table import STAGES
from tests.stages.workshop import Workshop
from training.engine.determinism import strict
from training.engine.machine import Machine

# What `torch.use_deterministic_algorithms` refuses on CUDA, of its documentation, and might come into a network of
# ours. An integer `cumsum` and `nll_loss` of [N, C] are let through (aten/src/ATen/native/cuda).
REFUSED = """cumsum_ cumprod histc nll_loss2d_forward nll_loss2d_backward median kthvalue put put_ bincount
scatter_reduce embedding_bag _embedding_bag resize_ """.split()


class AsOnCuda(TorchDispatchMode):
    """Refuses in the strict mode what CUDA would refuse."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        real = bool(args) and isinstance(args[0], torch.Tensor) and args[0].is_floating_point()
        only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
        if torch.are_deterministic_algorithms_enabled() and not only_warns:
            assert name not in REFUSED and not (name == "cumsum" and real), name
        return function(*args, **(kwargs or {}))


RUNS = [(stage.name, words) for stage in STAGES.values() for words in ((), *stage.variants.values())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deterministic")
    Workshop.create(folder)
    return folder


@pytest.mark.parametrize("stage, words", RUNS, ids=str)
def test_every_stage_runs_in_the_strict_mode(folder, stage, words):
    workshop = Workshop(folder, stage)
    with AsOnCuda():
        result = workshop.train(f"out_{RUNS.index((stage, words))}", "--deterministic", "--max_steps=2", *words)
    assert result.facts["step"] == 2
    assert torch.get_deterministic_debug_mode() == 0 and torch.utils.deterministic.fill_uninitialized_memory


def test_what_cuda_refuses_is_refused_here():
    with AsOnCuda(), strict():
        with pytest.raises(AssertionError, match="cumsum"):
            torch.ones(3).cumsum(0)
        torch.ones(3, dtype=torch.int64).cumsum(0)


@pytest.mark.parametrize("before, after", [("", ":4096:8"), (":16:8", ":16:8"), ("something", ":4096:8")])
def test_cublas_is_told_as_well(monkeypatch, before, after):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", before)
    with strict():
        assert torch.get_deterministic_debug_mode() == 2  # not 1, which only warns
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == after


def test_sampled_text_is_let_through_without_a_warning(folder):
    workshop = Workshop(folder)
    args = STAGES["pretrain"].script.parse_arguments(workshop.command("none", "--deterministic"))
    machine = Machine(args, say=print)
    machine.start()
    try:
        with warnings.catch_warnings(), machine.inference():
            warnings.simplefilter("error", append=True)
            assert torch.get_deterministic_debug_mode() == 1
            warnings.warn("cumsum_cuda_kernel does not have a deterministic implementation, but", stacklevel=1)
        assert torch.get_deterministic_debug_mode() == 2
    finally:
        machine.stop()
    assert torch.get_deterministic_debug_mode() == 0
