"""A name for the weights of a network, to tell whether two are the same."""

import hashlib

import torch
from torch import nn

from model.whole import is_adapter, plain_state_dict


def fingerprint(model: nn.Module) -> str:
    """A name for the weights of a network without its adapters: SHA-256 of their names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(plain_state_dict(model).items()):
        if not is_adapter(name):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.view(torch.uint8).numpy())
    return digest.hexdigest()
