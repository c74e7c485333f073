"""The memory of a generation: keys and values of all earlier tokens, allocated once.

Growing a cache by concatenation copies it at every token; writing into a preallocated one does not.
"""

import torch

from model.config import TransformerConfig


class KVCache:
    """Keys and values of up to `max_length` tokens for every layer.

    `documents` [B, max_length] says which document each token belongs to, so that the padding to the left
    of a short prompt (a document of its own) is never attended to; None while every row is one document.
    """

    def __init__(self, config: TransformerConfig, batch_size: int, max_length: int, device=None, dtype=torch.float32):
        shape = (batch_size, config.num_key_value_heads, max_length, config.head_dim)
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.max_length = max_length
        self.length = 0  # tokens stored so far
        self.documents: torch.Tensor | None = None
        self.next_positions: torch.Tensor | None = None  # [B]; None: every row is at position `length`

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores [B, Hkv, T, h] after the tokens already there and returns all of them as views."""
        end = self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, {end} were asked of it")
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def truncate(self, length: int) -> None:
        """Forgets all tokens from `length` on (a chat goes back, say)."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot truncate a cache of {self.length} tokens to {length}")
        if self.documents is not None:
            raise ValueError("a cache of several documents cannot be truncated")
        self.length = length
