"""The bytes of a process of a run with `--shard`; other runs do not load this.

Of weights, gradients and moments a process holds the N-th part of what one process alone would. While it computes, some
weights are whole for a time (see `training/engine/sharded.py`): embedding, last norm and head in float32, and in the
precision of the run all blocks (`optimizer`), or the one that computes and the one that is being gathered (`full`). In
the backward pass the gradients of the embedding, or of a block, are whole until they are summed.
"""


def spread_parts(footprint, parts: dict[str, int]) -> dict[str, int]:
    """What `Footprint.parts` says of a run of one process, as it is for one of several.

    footprint: its `shards` are the mode and the number of processes.
    """
    mode, processes = footprint.shards
    blocks = footprint.config.num_hidden_layers
    block, outside = sizes(footprint.config)
    whole = footprint.compute_bytes * block * (blocks if mode == "optimizer" else min(2, blocks)) + 4 * outside
    gradient = max(4 * outside, footprint.compute_bytes * block)
    spread = {name: -(-parts[name] // processes) for name in ("weights", "gradients", "optimizer")}
    return parts | spread | {"gathered": whole + gradient}


def sizes(config) -> tuple[int, int]:
    """Parameters of a block, and of what is outside of the blocks."""
    total, without = config.num_parameters(), config.replace(num_hidden_layers=1).num_parameters()
    block = (total - without) // max(1, config.num_hidden_layers - 1) if config.num_hidden_layers > 1 else 0
    return block or without, total - block * config.num_hidden_layers if block else 0
