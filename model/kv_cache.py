"""The memory of a generation: keys and values of all earlier tokens, allocated once.

Growing a cache by concatenation copies it at every token; writing into a preallocated one does not.
"""

import torch

from model.attention import visible
from model.config import TransformerConfig


class KVCache:
    """Keys and values of up to `max_length` tokens for every layer, and where each row's text stands.

    `documents` [B, max_length] says which document each token belongs to, so that the padding to the left
    of a short prompt (a document of its own) is never attended to; None while every row is one document.
    """

    def __init__(self, config: TransformerConfig, batch_size: int, max_length: int, device=None, dtype=torch.float32):
        shape = (batch_size, config.num_key_value_heads, max_length, config.head_dim)
        self.keys = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.values = [torch.empty(shape, device=device, dtype=dtype) for _ in range(config.num_hidden_layers)]
        self.batch_size, self.max_length, self.device = batch_size, max_length, device
        self.length = 0  # tokens stored so far
        self.documents: torch.Tensor | None = None
        self.next_positions: torch.Tensor | None = None  # [B, 1]; None: every row is at position `length`

    def place(self, positions: torch.Tensor | None, count: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Positions [B or 1, T] of the next T = `count` tokens, and the mask [B or 1, 1, T, S] of what they see.

        positions: [B, T], a 0 beginning a new document; None goes on where each row ended. The mask is None where
        none is needed. To be followed by a `write` for every layer; then `length` grows.
        """
        if positions is None and self.documents is None:
            return self._place_in_one_document(count)
        start, end = self.length, self.length + count
        if self.documents is None:
            if start > 0:
                raise ValueError("documents must be told apart from the first token of a cache on")
            self.documents = torch.zeros(self.batch_size, self.max_length, dtype=torch.long, device=self.device)
        newest = self.documents[:, start - 1 : start] if start else 0
        if positions is None:
            positions = self.next_positions + torch.arange(count, device=self.device)
            self.documents[:, start:end] = newest
        else:
            self.documents[:, start:end] = newest + (positions == 0).cumsum(dim=1)
        self.next_positions = positions[:, -1:] + 1
        return positions, visible(self.documents[:, start:end], self.documents[:, :end])

    def _place_in_one_document(self, count: int):
        end = self.length + count
        positions = torch.arange(self.length, end, device=self.device)[None]
        if count == 1 or self.length == 0:
            return positions, None  # one new token sees everything; a whole text is plainly causal
        same = torch.zeros(1, end, dtype=torch.long, device=self.device)
        return positions, visible(same[:, self.length :], same)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores [B, K, T, h] after the tokens already there and returns all of them as views."""
        end = self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, {end} were asked of it")
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]
