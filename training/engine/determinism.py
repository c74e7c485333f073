"""`--deterministic`: a GPU adds up in the same order every time. Runs without the flag do not load this.

PyTorch refuses an operation that has no such order (`torch.use_deterministic_algorithms`). The mode that only warns is
not enough: in it the backward pass of attention, flash or memory-efficient, keeps adding up in any order. The strict
mode orders both, and takes cuDNN's attention, which cannot, out of the choice. (aten/src/ATen/native/transformers/cuda:
attention_backward.cu, sdp_utils.cpp.)
"""

import contextlib
import os
import warnings

import torch

WORKSPACES = (":4096:8", ":16:8")  # with which cuBLAS is deterministic


@contextlib.contextmanager
def strict():
    """A context in which only deterministic operations run. It has to begin before the first product on the GPU."""
    if os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in WORKSPACES:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = WORKSPACES[0]
    before, fills = torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # what is not written is not read either
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = fills


@contextlib.contextmanager
def lenient():
    """A context for validation and samples, which train nothing: top-p has a cumulative sum, which no GPU orders."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*(deterministic implementation|non-deterministic algorithm)")
            yield
    finally:
        torch.use_deterministic_algorithms(True)
