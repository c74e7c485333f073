"""Activation checkpointing: what a layer keeps for its backward pass, and what is computed again there.

With "layers" a layer keeps its input alone (https://arxiv.org/abs/1604.06174), and all of it is computed again, for
up to a third more time. With "cheap" it also keeps the results of its matrix products and of attention, where nearly
all of the time goes; norms, rotation, SwiGLU and sums are computed again from them (https://arxiv.org/abs/2205.05198).

Two things speak against `create_selective_checkpoint_contexts` of PyTorch. It numbers every operation, and fails where
autocast has cast a weight before, as in a second forward pass for the same loss. And it looks into `BlockAttention`,
whose scores it would keep besides the weights that follow from them.
"""

from collections import deque
from functools import partial

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.checkpoint import checkpoint, noop_context_fn

from model.attention import attend_in_blocks

LAYERS, CHEAP = "layers", "cheap"
# Matrix products by the names of PyTorch's operations, and the argument whose last size is summed over.
PRODUCTS = {"mm": 0, "addmm": 1, "linear": 0, "_grouped_mm": 0}


def recomputed(network: nn.Module, layer: nn.Module, *inputs) -> Tensor:
    """What `layer` makes of `inputs`; `network.recomputes_layers` is "layers", or True, or "cheap".

    The gradients are those without checkpointing, to the bit: dropout draws the same random numbers again.
    """
    contexts = noop_context_fn
    if network.recomputes_layers == CHEAP:
        rank = network.lora.rank if network.lora else 0
        has_experts = hasattr(network.config, "num_experts")
        contexts = partial(_contexts, rank, has_experts)
    return checkpoint(layer, *inputs, use_reentrant=False, context_fn=contexts)


def _contexts(rank: int, needs_last: bool):
    """Contexts for the forward pass of a layer and for its repetition. rank: of its adapters, whose second products are
    as cheap as it is small. needs_last: whether the backward pass reads the result of the last product."""
    kept = Kept(needs_last)
    return _Around(kept.keep, rank, kept.complete), _Around(kept.take, rank, kept.discard)


class Kept:
    """Results of a layer, in the order in which they were computed."""

    def __init__(self, needs_last: bool):
        self._results, self._needs_last = deque(), needs_last

    def keep(self, compute):
        """Computes a result in the forward pass."""
        result = compute()
        # Detached, since the tensor itself is about to hold the graph, and the graph holds this.
        detached = tree_map_only(Tensor, Tensor.detach, result)
        self._results.append((detached, _versions(detached)))
        return result

    def complete(self) -> None:
        """At the end of the forward pass. The gradient of the last product needs its factors and not its result: the
        repetition ends as soon as they are there."""
        if self._results and not self._needs_last:
            self._results.pop()

    def take(self, compute):
        """Gives a result back in the repetition, and keeps it no longer. What is not there is computed."""
        if not self._results:
            return compute()
        result, versions = self._results.popleft()
        if _versions(result) != versions:
            raise RuntimeError("the result of a product was changed in place, and is needed for the backward pass")
        return result

    def discard(self) -> None:
        """At the end of the repetition. A further one, for a gradient taken twice, computes everything."""
        self._results.clear()


def _versions(result) -> list[int]:
    return [each._version for each in tree_leaves(result) if isinstance(each, Tensor)]


class _Around:
    """A context in which `answer(compute)` answers for every expensive operation; entered again for each repetition."""

    def __init__(self, answer, rank: int, at_the_end):
        self._modes, self._at_the_end = (_OfAttention(answer), _OfOperations(answer, rank)), at_the_end

    def __enter__(self):
        for mode in self._modes:
            mode.__enter__()

    def __exit__(self, *error):
        for mode in reversed(self._modes):
            mode.__exit__(*error)
        self._at_the_end()


class _OfAttention(TorchFunctionMode):
    """`attend_in_blocks`, which consists of many operations."""

    def __init__(self, answer):
        super().__init__()
        self._answer = answer

    def __torch_function__(self, function, types, args=(), kwargs=None):
        compute = partial(function, *args, **(kwargs or {}))
        return self._answer(compute) if function is attend_in_blocks else compute()


class _OfOperations(TorchDispatchMode):
    """Products with matrices, and attention where it is one operation of PyTorch."""

    def __init__(self, answer, rank: int):
        super().__init__()
        self._answer, self._rank = answer, rank

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        compute = partial(function, *args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        expensive = name.startswith("_scaled_dot_product")
        if name in PRODUCTS:
            expensive = args[PRODUCTS[name]].shape[-1] > self._rank
        return self._answer(compute) if expensive else compute()
