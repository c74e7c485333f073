"""The bytes of a process of a run with `--shard`; other runs do not load this.

Of weights, gradients and moments a process holds the N-th part of what one process alone would. While it computes, some
weights are whole for a time (see `training/engine/sharded.py`): embedding, last norm and head in float32, and in the
precision of the run all blocks (`optimizer`), or the one that computes and the one that is being gathered (`full`). In
the backward pass the gradients of the embedding, or of a block, are whole until they are summed.
"""

from training.engine.memory import Footprint


def spread(footprint: Footprint, mode: str, processes: int) -> Footprint:
    """The `Footprint` of one of several processes, where `footprint` is that of a run of one."""

    class Spread(type(footprint)):
        def parts(self, batch_size: int, checkpointing: bool = False) -> dict[str, int]:
            return spread_parts(self, super().parts(batch_size, checkpointing), mode, processes)

        def total(self, batch_size: int, checkpointing: bool = False) -> int:
            return sum(self.parts(batch_size, checkpointing).values())

    return Spread(**vars(footprint))


def spread_parts(footprint: Footprint, parts: dict[str, int], mode: str, processes: int) -> dict[str, int]:
    blocks = footprint.config.num_hidden_layers
    block, outside = sizes(footprint.config)
    whole = footprint.compute_bytes * block * (blocks if mode == "optimizer" else min(2, blocks)) + 4 * outside
    gradient = max(4 * outside, footprint.compute_bytes * block)
    spread = {name: -(-parts[name] // processes) for name in ("weights", "gradients", "optimizer")}
    return parts | spread | {"gathered": whole + gradient}


def sizes(config) -> tuple[int, int]:
    """Parameters of a block, and of what is outside of the blocks."""
    layers = config.num_hidden_layers
    block = config.replace(num_hidden_layers=layers + 1).num_parameters() - config.num_parameters()
    return block, config.num_parameters() - layers * block
