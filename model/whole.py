"""A network as a whole: its parameters by name, their gradients. `training/engine/sharded.py` gathers spread ones."""

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SCORE = "score.weight"  # a reward model has it instead of HEAD


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside the wrappers of torch.compile and DistributedDataParallel."""
    while (inner := getattr(model, "_orig_mod", getattr(model, "module", None))) is not None:
        model = inner
    return model


@contextlib.contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """A context in which the network is in this mode; afterwards it is in its own again."""
    own = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(own)


def plain_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The weights on the CPU by HF's names, each contiguous in storage of its own, without a tied head."""
    network = unwrapped(model)
    tensors = network.state_dict()
    if network.config.tie_word_embeddings:
        tensors.pop(HEAD, None)
    return {name: _own_storage(tensor) for name, tensor in tensors.items()}


def _own_storage(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    # A view would bring the whole storage under it into the file.
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def adapters_of(model: nn.Module):
    """The `model.lora.Lora` that a network has; None where it has no adapters."""
    return getattr(unwrapped(model), "lora", None)


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter, or is a reward model's head, which is kept with them."""
    return name.endswith((".lora_A.weight", ".lora_B.weight")) or name == SCORE


def changing_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters by name that training may change: all, or only the adapters where a network has some."""
    state = model.state_dict()
    return state if adapters_of(model) is None else {name: tensor for name, tensor in state.items() if is_adapter(name)}


def first_not_finite(model: nn.Module) -> str | None:
    """The name of a parameter that holds a NaN or an infinity; None if all numbers are finite."""
    pieces = ((name, p.to_local() if hasattr(p, "to_local") else p) for name, p in model.named_parameters())
    return next((name for name, numbers in pieces if not numbers.isfinite().all()), None)


def gradients_of(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """The gradients that are there, each of a whole parameter."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def norm_of(gradients: list[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar tensor on their device."""
    half = any(each.dtype == torch.bfloat16 for each in gradients)  # their norms would be rounded to bfloat16, too
    norms = torch._foreach_norm(gradients, 2, torch.float32) if half else torch._foreach_norm(gradients)
    return torch.linalg.vector_norm(torch.stack(norms))
