"""A name for the weights of a network, to tell whether two are the same."""

import hashlib

import torch
from torch import nn

from model.whole import is_adapter, plain_state_dict


def fingerprint(model: nn.Module, adapters: bool = False) -> str:
    """A name for the weights of a network: SHA-256 of their names, shapes, types and bytes.

    adapters: whether those of adapters are among them.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(plain_state_dict(model).items()):
        if adapters or not is_adapter(name):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.view(torch.uint8).numpy())
    return digest.hexdigest()
