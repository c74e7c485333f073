"""A network in bfloat16 that trains as if it were in float32: what `--optimizer_memory compact` makes of a network.

* Large matrices hold the upper halves of their float32 values, and `Masters` the lower ones
  (`training/engine/split.py`). `state_dict` and `load_state_dict` of the network speak of the float32 values, so that
  files are the same as ever.
* Norms, biases and other small tensors stay float32, and so does what runs from layer to layer, which begins in the
  embedding. Its gradient is summed in float32 for each token, and rounded once.
* A gradient is a bfloat16, as every product of autocast is. A second micro-batch is added to it in float32, and the sum
  is rounded so that its mean is right (`split.narrowed`): a hundred micro-batches that each bring less than half a
  digit are not lost, and no second half has to be kept. What that costs is noise: about 1 % of a sum of a thousand
  equal gradients, and less for fewer; the gradient of a batch differs from that of the next by far more.
* Parameters that do not learn: with adapters the large ones become bfloat16, as autocast would use them in every
  product anyway, and are saved nowhere; without adapters they stay float32.
"""

from functools import partial

import torch
from torch import Tensor, nn

from model.whole import adapters_of
from training.engine.split import merge, narrowed, split, thresholds

LEAST_NUMBERS = 4096  # a matrix of fewer stays float32
AT_ONCE = {"cpu": 2**17}  # numbers that are worked on at a time: as the caches of a core hold, elsewhere 2^22
AT_ONCE_ELSEWHERE = 2**22


def is_large(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and parameter.numel() >= LEAST_NUMBERS


def pieces(tensor: Tensor) -> list[slice]:
    """The parts of a flat tensor that are worked on one after the other; each but the last of whole blocks."""
    size, numbers = AT_ONCE.get(tensor.device.type, AT_ONCE_ELSEWHERE), tensor.numel()
    return [slice(start, min(start + size, numbers)) for start in range(0, numbers, size)]


def make_compact(model: nn.Module, offload: bool = False) -> "Masters | None":
    """Turns a float32 network on its device into a compact one, in place, a piece at a time.

    offload: keep the lower halves in the memory of the CPU. Returns None for a network with adapters: they stay float32
    as a whole, and only what they are added to becomes bfloat16. A network that is compact already stays as it is.
    """
    if hasattr(model, "masters"):
        return model.masters
    model.masters = None
    for name in ("embed_tokens", "embed_positions"):
        if hasattr(model.model, name):
            setattr(model.model, name, WideEmbedding(getattr(model.model, name)))
    if adapters_of(model) is not None:
        for parameter in model.parameters():
            if not parameter.requires_grad and is_large(parameter):
                parameter.data = parameter.data.to(torch.bfloat16)
    else:
        model.masters = Masters(model, offload)
    return model.masters


class Masters:
    """The lower halves of the parameters of a network. Makes it compact, and answers for their float32 values."""

    def __init__(self, model: nn.Module, offload: bool):
        self._names: dict[str, nn.Parameter] = {}
        self._low: dict[nn.Parameter, Tensor] = {}
        self._added: dict[nn.Parameter, int] = {}  # micro-batches in a gradient, after the first
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if not (parameter.requires_grad and (is_large(parameter) or parameter in self._low)):
                continue
            self._names[name] = parameter
            if parameter in self._low:  # a tied head
                continue
            values = parameter.data.flatten()
            home = "cpu" if offload else parameter.device
            low = torch.empty(parameter.numel(), dtype=torch.int16, device=home)
            self._low[parameter] = low.pin_memory() if home == "cpu" and parameter.is_cuda else low
            parameter.data = torch.empty_like(
                parameter.data, dtype=torch.bfloat16, memory_format=torch.contiguous_format
            )
            for piece in pieces(values):
                self.write(parameter, piece, values[piece])
            parameter.register_hook(partial(self._add_gradient, parameter))
        model.register_state_dict_post_hook(partial(Masters._merge_state, self))
        model.register_load_state_dict_pre_hook(partial(Masters._split_state, self))

    def __deepcopy__(self, memo) -> "Masters":
        """Without lower halves, for a copied network: it is bfloat16, computes the same, and does not learn."""
        copied = object.__new__(type(self))
        copied._names, copied._low, copied._added = {}, {}, {}
        return copied

    def __contains__(self, parameter: nn.Parameter) -> bool:
        return parameter in self._low

    def read(self, parameter: nn.Parameter, piece: slice = slice(None)) -> Tensor:
        """float32 values of a part of the flat parameter, on its device: a copy."""
        return merge(parameter.data.view(-1)[piece], self._low[parameter][piece].to(parameter.device))

    def write(self, parameter: nn.Parameter, piece: slice, values: Tensor) -> None:
        """Puts flat float32 values in place of a part of the parameter."""
        high, low = split(values)
        parameter.data.view(-1)[piece] = high
        self._low[parameter][piece] = low.to(self._low[parameter].device)

    @torch.no_grad()
    def _add_gradient(self, parameter: nn.Parameter, new: Tensor) -> Tensor:
        """Autograd calls this before it adds `new` to the gradient. Returns what it is to add."""
        if parameter.grad is None:
            self._added[parameter] = 0
            return new
        self._added[parameter] += 1
        gradient, new = parameter.grad.view(-1), new.reshape(-1)
        for piece in pieces(gradient):
            total = gradient[piece].float().add_(new[piece])
            chances = thresholds(piece.start, len(total), self._added[parameter], total.device)
            gradient[piece] = narrowed(total, chances)
        return new.new_zeros(()).expand(parameter.shape)

    @torch.no_grad()
    def _merge_state(self, model, state: dict, prefix: str, metadata) -> None:
        """After `state_dict`: float32 values on the CPU, where they do not fill up the memory of a GPU."""
        merged: dict[nn.Parameter, Tensor] = {}
        for name, parameter in self._names.items():
            if parameter not in merged:
                flat = torch.empty(parameter.numel())
                for piece in pieces(parameter):
                    flat[piece] = self.read(parameter, piece)
                merged[parameter] = flat.view(parameter.shape)
            if prefix + name in state:
                state[prefix + name] = merged[parameter]

    @torch.no_grad()
    def _split_state(self, model, state: dict, prefix: str, *_) -> None:
        """Before `load_state_dict`: takes the float32 values itself, and leaves the upper halves to be copied."""
        for name, parameter in self._names.items():
            if prefix + name in state:
                values = state[prefix + name].reshape(-1)
                for piece in pieces(parameter):
                    self.write(parameter, piece, values[piece].to(parameter.device, torch.float32))
                state[prefix + name] = parameter.data


class WideEmbedding(nn.Embedding):
    """An embedding in bfloat16 whose output is float32. Takes over the weight of `embedding`."""

    computes_as = nn.Embedding  # for `model.twin.functions_of`: a sample must not take it for an edit

    def __init__(self, embedding: nn.Embedding):
        with torch.device("meta"):  # no memory for a weight that is replaced at once
            super().__init__(*embedding.weight.shape)
        self.weight = embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return _Lookup.apply(tokens, self.weight)


class _Lookup(torch.autograd.Function):
    """weight[tokens] in float32; the gradient of a row is summed in float32 and rounded to the type of the weight."""

    @staticmethod
    def forward(ctx, tokens, weight):
        ctx.save_for_backward(tokens)
        ctx.shape, ctx.dtype = weight.shape, weight.dtype
        return weight[tokens].float()

    @staticmethod
    def backward(ctx, gradient):
        if not ctx.needs_input_grad[1]:
            return None, None
        (tokens,) = ctx.saved_tensors
        ordered, order = tokens.flatten().sort()
        group = (ordered.diff(prepend=ordered[:1]) != 0).cumsum(0)  # tokens of one kind have one number
        sums = torch.zeros_like(gradient.flatten(0, -2)).index_add_(0, group, gradient.flatten(0, -2)[order])
        found = torch.zeros(ctx.shape, dtype=ctx.dtype, device=gradient.device)
        found[ordered] = sums[group].to(ctx.dtype)  # the same row again for a token that occurs again
        return None, found
