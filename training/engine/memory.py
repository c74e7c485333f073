"""How much memory a run takes, estimated from its shapes, and two ways to take less.

A smaller micro-batch keeps fewer activations at a time; more of them make up the same step. Activation checkpointing
(https://arxiv.org/abs/1604.06174) keeps only what goes into each layer, and computes the inside of a layer again when
its gradient is due: the same numbers for about a third more time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from model.attention import QUERY_BLOCK
from model.config import TransformerConfig
from model.errors import UsageError
from training.losses.next_token import LOGITS_AT_ONCE

# A process on a CPU with PyTorch and our modules in it, before it has a network (measured: 0.45 to 0.55 GB).
PROGRAM_ON_CPU = 500 * 2**20
# Estimates are up to a fifth too low (docs/pretrain.md), and a GPU keeps some memory for itself.
ROOM = 0.8
# Without activation checkpointing, rather than with it and more rows, as long as a micro-batch has so many tokens.
ENOUGH_TOKENS = 2048


@dataclass(frozen=True)
class Footprint:
    """What decides the memory of a run, but for the size of its micro-batches."""

    config: TransformerConfig
    row_length: int
    optimizer: str
    trainable: int  # parameters
    compute_bytes: int  # 2 in bfloat16 or float16, 4 in float32
    keeps_attention: bool = False  # for the backward pass, as `model.attention.BlockAttention` does
    program: int = 0  # bytes of the process itself

    def parts(self, batch_size: int, checkpointing: bool = False) -> dict[str, int]:
        """Bytes of each kind, for micro-batches of `batch_size` rows."""
        config = self.config
        total = config.num_parameters()
        embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
        matrices = min(self.trainable, total - embeddings)
        adam = self.trainable if self.optimizer == "adamw" else self.trainable - matrices
        return {
            "program": self.program,
            "weights": 4 * total,
            "gradients": 4 * self.trainable,
            "optimizer": 8 * adam + 4 * (self.trainable - adam),
            "activations": self._activations(batch_size * self.row_length, checkpointing),
        }

    def total(self, batch_size: int, checkpointing: bool = False) -> int:
        return sum(self.parts(batch_size, checkpointing).values())

    def _activations(self, tokens: int, checkpointing: bool) -> int:
        config = self.config
        d, f = config.hidden_size, config.intermediate_size
        heads = config.head_dim * (config.num_attention_heads + 2 * config.num_key_value_heads)
        # Kept for the backward pass, per token and layer: nine float32 copies of the residual stream (the stream,
        # and each norm's square, factor and result), and in the compute type the normed inputs, q, k, v before and
        # after rotation, the attention output, and four as wide as the MLP.
        per_layer = 4 * 9 * d + self.compute_bytes * (4 * d + 2 * heads + 4 * f)
        if self.keeps_attention:
            per_layer += self.compute_bytes * config.num_attention_heads * (self.row_length + QUERY_BLOCK) // 2
        per_token = config.num_hidden_layers * per_layer
        if checkpointing:  # the inputs of all layers, and the inside of the one being computed again
            per_token = config.num_hidden_layers * 4 * d + per_layer
        rows_of_logits = min(tokens, max(256, LOGITS_AT_ONCE // config.vocab_size))
        return tokens * per_token + rows_of_logits * config.vocab_size * (4 + self.compute_bytes)


def fit(footprint: Footprint, gigabytes: float, choices: Sequence[int], checkpointing: bool) -> tuple[int, bool]:
    """The rows of a micro-batch that fit into so much memory, and whether with activation checkpointing.

    choices: numbers of rows, the largest first. checkpointing: asked for in any case. Raises `UsageError` when not
    even the smallest fits.
    """
    limit = ROOM * gigabytes * 2**30

    def largest(checkpointing: bool) -> int:
        return next((rows for rows in choices if footprint.total(rows, checkpointing) <= limit), 0)

    without, recomputed = 0 if checkpointing else largest(False), largest(True)
    if without == choices[0] or without * footprint.row_length >= ENOUGH_TOKENS or without == recomputed > 0:
        return without, False
    if recomputed:
        return recomputed, True
    needed = footprint.total(choices[-1], True) / 2**30
    raise UsageError(
        f"--fit {gigabytes:g}: one row takes about {needed:.2f} GB even with activation checkpointing: shorten"
        " --max_seq_len, or take a smaller network"
    )


def recompute_activations(model) -> None:
    """Lets every layer of a `Transformer` keep nothing but its inputs for the backward pass."""
    for layer in model.model.layers:
        # Dropout, which adapters may have, is to drop the same numbers again.
        draws = any(isinstance(module, nn.Dropout) and module.p > 0 for module in layer.modules())
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=draws)
