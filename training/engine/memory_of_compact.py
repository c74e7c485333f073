"""How much memory `--optimizer_memory compact` takes; other runs do not load this.

With AdamW, 8.06 bytes for each parameter that learns: `training/engine/compact.py`.
"""

from dataclasses import replace

import torch

from model.device import Device
from model.whole import adapters_of
from training.engine.blocks import BLOCK


def possibly_compact(footprint, model, args, choice: Device):
    """`footprint`, a `training.engine.memory.Footprint`, with what the flags say of its optimizers."""
    possible = choice.dtype == torch.bfloat16 and choice.device.type != "mps"
    possible = possible and not hasattr(model.config, "num_experts") and args.optimizer_memory is None
    decided = args.optimizer_memory == "compact"
    return replace(
        footprint,
        compact=None if possible else decided,
        adapters=adapters_of(model) is not None,
        offload=args.offload_states and choice.device.type != "cpu",
    )


def compact_parts(footprint, total: int, activations: int) -> dict[str, int]:
    """Bytes by what they are for; `footprint`: a `training.engine.memory.Footprint` of `total` parameters."""
    config, learns = footprint.config, footprint.trainable
    if footprint.adapters:  # they are float32 as ever
        own = {"weights": 2 * total, "adapters": 4 * learns, "gradients": 4 * learns, "optimizer": 8 * learns}
        return {"program": footprint.program, **own, "activations": activations}
    if not footprint.on_cuda:
        activations += 4 * config.vocab_size * config.hidden_size  # the gradient of the head is summed in float32
    embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    matrices = min(learns, total - embeddings) if footprint.optimizer == "muon" else 0
    moments = 2 * learns + (learns - matrices) * 2 * 4 // BLOCK
    return {
        "program": footprint.program,
        "weights": 2 * learns + 4 * (total - learns),  # what is frozen stays float32
        "lower halves": 0 if footprint.offload else 2 * learns,
        "gradients": 2 * learns,
        "optimizer": 0 if footprint.offload else moments,
        "activations": activations,
    }
