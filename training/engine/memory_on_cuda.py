"""The peak memory of a training step on a CUDA GPU; runs on other devices do not load this.

Weights, gradients and moments are there all the time. Beside them a step needs the most memory at one of three moments:
at the end of the forward pass, when everything that the backward pass will read is kept and the loss is computed; with
activation checkpointing, in the backward pass, when the inside of a layer is computed again; or while Muon works.

What is kept follows from the derivative of each operation, and a test counts it. Sizes are in bytes per token, with d
the hidden size, q and k the widths of all query heads and all key/value heads, f the inner size, and b the bytes of the
compute type. `docs/gpu.md` sets the result against measurements.
"""

import math
from dataclasses import dataclass

import torch

from model.likelihood import LOGITS_AT_ONCE
from model.recomputation import CHEAP
from training.engine import distributed
from training.engine.compact import AT_ONCE_ON_A_GPU
from training.engine.compact_network import AT_ONCE_ELSEWHERE
from training.engine.fitting import ROOM
from training.engine.memory import Footprint
from training.engine.memory_of_products import kept_products
from training.engine.muon import AT_ONCE
from training.engine.on_cuda import MOST_LAYERS_AS_ONE
from training.engine.speed import OPERATIONS_PER_SECOND, compiles

# cuBLAS keeps 32 MB on a Hopper GPU, and less on older ones, for each of the two threads that compute; as much again on
# the stream where a pass is recorded.
WORKSPACE = 2 * 32 * 2**20


@dataclass(frozen=True)
class CudaFootprint(Footprint):
    """A `Footprint` on a CUDA GPU."""

    compiled: bool = False
    flash: bool = True  # whether attention runs in a kernel that knows grouped heads
    total_memory: int = 0
    free_memory: int = 0

    on_cuda = True

    def parts(self, batch_size: int, checkpointing: bool | str = False) -> dict[str, int]:
        """Bytes by what they are for; their sum is the peak of what PyTorch has allocated at once."""
        parts = super().parts(batch_size, checkpointing)
        if (update := self.muon()) > parts["activations"]:
            del parts["activations"]  # they are gone by then
            parts["update"] = update
        return parts

    def total(self, batch_size: int, checkpointing: bool | str = False) -> int:
        """What has to be free. A recorded graph keeps the memory of its activations while the optimizer works."""
        if self.compact or checkpointing:  # such passes are not recorded
            return sum(self.parts(batch_size, checkpointing).values())
        return sum(super().parts(batch_size, checkpointing).values()) + self.muon()

    def micro_batch(self, rows: int, args) -> int:
        """The rows of a micro-batch for steps of `rows`: all, or equal parts that fit into the card's memory."""
        sizes = range(rows, 1, -1) if not args.fit else ()  # --fit takes its own choice among the parts of all rows
        fitting = (size for size in sizes if self.total(size, args.activation_checkpointing) <= ROOM * self.available())
        most = rows if args.fit else next(fitting, 1)
        return max(1, min(most, round(rows / -(-rows // most))))

    def available(self) -> int:
        """The same card gives the same plan, whatever little others take of it: a run can only resume with its own."""
        return self.total_memory if self.free_memory > 0.9 * self.total_memory else self.free_memory

    def muon(self) -> int:
        """Temporary copies in Muon's step: the updates in float32, and in the compute type three copies of the matrices
        and two products with themselves, for as many matrices of one shape as are stacked at a time."""
        adamw = 8 * 4 * AT_ONCE_ELSEWHERE if self.compact else 0  # about eight float32 copies
        if self.optimizer != "muon" or not self.matrices():
            return adamw
        most_at_once, copies = (AT_ONCE_ON_A_GPU, 3 * 4) if self.compact else (AT_ONCE, 0)  # of float32
        c, b = self.config, self.compute_bytes
        d, q, k = self._widths()
        most = adamw
        for (rows, columns), count in {(d, q): 2, (d, k): 2, (d, c.intermediate_size): 3}.items():
            one = rows * columns
            numbers = max(one, min(count * c.num_hidden_layers * one, most_at_once // one * one))
            most = max(most, numbers * (4 + copies + 3 * b + 2 * b * min(rows, columns) // max(rows, columns)))
        return most

    def matrices(self) -> int:
        """Trained parameters in the matrices of the layers, about."""
        c = self.config
        embeddings = c.vocab_size * c.hidden_size * (1 if c.tie_word_embeddings else 2)
        return min(self.trainable, c.num_parameters() - embeddings)

    def kept_by_layer(self) -> int:
        """Bytes per token that the backward pass of a layer reads."""
        c, b, half = self.config, self.compute_bytes, self.compute_bytes == 2
        d, q, k = self._widths()
        f, heads = c.intermediate_size, c.num_attention_heads
        # The float32 streams into both norms, and their root mean squares; what attention reads, and its normaliser.
        kept = 8 * d + 8 + b * (2 * q + 2 * (k if self.flash else q)) + 4 * heads
        if self.masked:
            kept += b * self.row_length  # the mask, as numbers to add to the scores
        if self.compiled:  # element-wise operations are computed again instead
            kept += b * (2 * d + 3 * f)
        else:  # values normed, before their weights; inputs of the products, which autocast copies for each of them
            kept += 8 * d + b * (5 if half else 2) * d + b * 4 * f
        if c.qk_norm:
            kept += 4 * (heads + c.num_key_value_heads)
            eager = 10 if half else 8
            kept += (q + k) * (b if self.compiled else eager)
        return kept if self.compiled else kept - self.unread

    def kept_weights(self) -> int:
        """Bytes of the copies of all matrices of the layers in the compute type."""
        c = self.config
        d, q, k = self._widths()
        inner = getattr(c, "num_experts", 1) * getattr(c, "moe_intermediate_size", c.intermediate_size)
        copied = self.compute_bytes == 2 and not self.compact  # compact weights are of this type
        return 2 * (self.layers or c.num_hidden_layers) * d * (2 * q + 2 * k + 3 * inner) if copied else 0

    def compiled_as_one(self, checkpointing: bool | str) -> bool:
        """Whether the loss is compiled with the network."""
        as_one = not self.compact and not checkpointing and self.config.num_hidden_layers <= MOST_LAYERS_AS_ONE
        return self.compiled and as_one

    def kept_at_the_end(self, tokens: int, checkpointing: bool | str) -> int:
        """Bytes kept behind the last layer: the final norm, and what the loss keeps of its gradient."""
        d, vocabulary = self.config.hidden_size, self.config.vocab_size
        if not self.compiled_as_one(checkpointing):
            gradient_of_head = 4 * d * vocabulary if self.head_learns else 0
            return tokens * (12 * d + 4) + gradient_of_head
        # The compiler leaves the gradient of the head to the backward pass, where that keeps less.
        logits = self._logits_at_once(tokens)
        of_head = math.ceil(tokens / logits) * min(logits, d) * vocabulary * self.compute_bytes
        return tokens * (4 * d + 4) + (of_head if self.head_learns else 0)

    def _activations(self, tokens: int, checkpointing: bool | str) -> int:
        c, b = self.config, self.compute_bytes
        layers, d, f = self.layers or c.num_hidden_layers, c.hidden_size, c.intermediate_size
        end, loss = self.kept_at_the_end(tokens, checkpointing), self._loss(tokens, checkpointing)
        # In the backward pass of a layer, two gradients are as wide as the MLP.
        last = max(loss, tokens * 2 * b * f)
        if not checkpointing:
            return tokens * layers * self.kept_by_layer() + self.kept_weights() + end + last
        inputs, inside = tokens * layers * 4 * d, tokens * self.kept_by_layer() + self.kept_weights() // layers
        if checkpointing == CHEAP:
            products = tokens * kept_products(self)
            inputs, inside = inputs + layers * products, inside - products
        return inputs + max(self.kept_weights() + end + loss, inside + tokens * 2 * b * f)

    def _loss(self, tokens: int, checkpointing: bool | str) -> int:
        """Temporary copies while the loss is computed: logits, a chunk at a time, and head and features."""
        if self.head_learns is None:
            return 0  # rewards are a number for each answer
        c, b, logits = self.config, self.compute_bytes, self._logits_at_once(tokens)
        half = b == 2
        if self.compiled_as_one(checkpointing):
            each = 4 + b
        else:  # logits and their logarithms in float32, beside the gradient of the chunk before, if there is one
            each = 8
            if logits < tokens:
                each += 4 + b if half else 4
        # Copies in half precision of the head and of the features, and a product as large as the head where it learns.
        rows = tokens if half else 0
        if half and not self.compact:
            rows += c.vocab_size
        if self.head_learns:
            rows += c.vocab_size
        return logits * c.vocab_size * each + rows * c.hidden_size * b

    def _logits_at_once(self, tokens: int) -> int:
        return min(tokens, max(256, LOGITS_AT_ONCE // self.config.vocab_size))

    def _widths(self) -> tuple[int, int, int]:
        c = self.config
        return c.hidden_size, c.head_dim * c.num_attention_heads, c.head_dim * c.num_key_value_heads


def footprint_on_cuda(plain: Footprint, rows, args, machine, rows_of_a_step) -> CudaFootprint:
    """`plain` with what counts on the CUDA GPU of `machine`, for a run over `rows` (`dataset.rows.rows.Rows`).

    rows_of_a_step: that of `training.engine.plan`. A resumed run keeps to whether it was compiled; here it counts as
    what it would be if it began now.
    """
    device, half = machine.device, plain.compute_bytes == 2
    # All processes must make the same plan, so it is that of the smallest or fullest card.
    free, total = (min(each) for each in zip(*distributed.gathered(torch.cuda.mem_get_info(device))))
    available = args.epochs * rows.rows_per_epoch
    of_a_step = rows_of_a_step(args, available * rows.row_length, rows.row_length, machine.world_size)[0]
    trained = min(available, (args.max_steps or available) * of_a_step)
    operations = 6 * plain.config.active_parameters() * trained * rows.row_length // machine.world_size
    compiled = compiles(device, args.compile, operations / OPERATIONS_PER_SECOND["cuda"])[0]
    recorded = not (args.activation_checkpointing or args.optimizer_memory == "compact" or machine.shards)
    # Several processes send their gradients as one message, while a graph keeps its activations.
    sent = 4 * plain.trainable if machine.world_size > 1 and recorded else 0
    return CudaFootprint(
        **vars(plain) | {"program": plain.program + WORKSPACE * (2 if recorded else 1) + sent},
        compiled=compiled and not machine.shards and args.activation_checkpointing != CHEAP,
        flash=half and not plain.masked and torch.cuda.get_device_capability(device) >= (8, 0),
        total_memory=total,
        free_memory=free,
    )
