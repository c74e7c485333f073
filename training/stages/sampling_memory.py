"""How many answers are sampled at a time: what sampling needs lies in memory beside weights, gradients and moments.

Of each answer there are the keys and values of all its tokens, and the numbers from which a token is drawn. Prompts are
read before, all at once. Activations of training are not there at that time.
"""

from math import ceil

from training.engine.fitting import ROOM
from training.engine.memory import Footprint

MOST = 512  # more at a time are no faster


def answers_at_once(footprint: Footprint, gigabytes: float | None, length: int, prompt_length: int, group: int) -> int:
    """So many answers fit into `gigabytes`, or without that into the memory of a GPU; at least 1, at most `MOST`.

    length: tokens of the longest prompt with its answer. group: answers to each prompt, which is read once.
    """
    if gigabytes:
        memory = gigabytes * 2**30
    elif footprint.on_cuda:
        memory = footprint.available()
    else:
        return MOST
    lasting = {name: size for name, size in footprint.parts(1).items() if name not in ("activations", "update")}
    copies = 1 if footprint.on_cuda else 2  # of the matrices, by `model.decoding`: a CPU may need them packed and plain
    copied = copies * footprint.compute_bytes * footprint.config.num_parameters()
    room = ROOM * memory - sum(lasting.values()) - copied
    return max(1, min(MOST, int(room / bytes_of_an_answer(footprint, length, prompt_length, group))))


def bytes_of_an_answer(footprint: Footprint, length: int, prompt_length: int, group: int) -> int:
    config, size = footprint.config, footprint.compute_bytes
    return (
        cache_of_an_answer(footprint, length)
        + 20 * config.vocab_size  # logits, probabilities, their sums in float64 or noise, and which tokens occurred
        # Of each token of a prompt a layer has about eight float32 states of the hidden size, and four of its MLP.
        + ceil(prompt_length / group * (32 * config.hidden_size + 4 * size * config.intermediate_size))
    )


def cache_of_an_answer(footprint: Footprint, length: int) -> int:
    """Keys and values of one row of `model.attention.KVCache`."""
    config, capacity = footprint.config, -(-length // 8) * 8
    width = config.num_key_value_heads * config.head_dim
    return 2 * config.num_hidden_layers * capacity * width * footprint.compute_bytes
