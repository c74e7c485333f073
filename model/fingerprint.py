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


def identity_of(model: nn.Module, tokenizer, variant: dict | None = None) -> str:
    """All that decides what a language model answers to a text, to tell whether two answer alike.

    variant: that of a `ChatRenderer`; None where no chat is rendered.
    """
    rendering = "" if variant is None else f" {variant}"
    return f"{fingerprint(model, adapters=True)} {model.config} {tokenizer.fingerprint}{rendering}"
