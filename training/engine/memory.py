"""How much memory a run takes, estimated from its shapes."""

from dataclasses import dataclass

from model.attention import QUERY_BLOCK
from model.config import TransformerConfig
from model.device import PROGRAM_ON_CPU, Device
from model.likelihood import LOGITS_AT_ONCE


@dataclass(frozen=True)
class Footprint:
    """Everything that determines the memory of a run, except the size of its micro-batches."""

    config: TransformerConfig
    row_length: int
    optimizer: str
    trainable: int  # number of parameters
    compute_bytes: int  # 2 in bfloat16 or float16, 4 in float32
    keeps_attention: bool = False  # whether the attention matrix is kept for the backward pass
    program: int = 0  # bytes that the process takes without a network
    compact: bool | None = False  # --optimizer_memory; None: no, but --fit may choose it
    adapters: bool = False  # whether adapters learn, and only the network under them is compact
    offload: bool = False  # --offload_states
    rows: int = 1  # that stand for one row of the plan: several where that is a group of answers
    layers: int = 0  # that learn, where those before them are frozen; 0: all
    masked: bool = False  # whether rows hold several documents that do not see each other
    head_learns: bool | None = True  # the head that makes logits; None: a reward model has none
    unread: int = 0  # bytes per token that a layer does not keep, for what is frozen (`memory_of_stages.py`)
    beside: int = 0  # tokens whose activations are kept beside those of a micro-batch
    on_cuda = False

    def parts(self, batch_size: int, checkpointing: bool | str = False) -> dict[str, int]:
        """Bytes by what they are for, with micro-batches of `batch_size` rows."""
        config, total = self.config, self.config.num_parameters()
        activations = self._activations(batch_size * self.rows * self.row_length + self.beside, checkpointing)
        if self.compact:
            from training.engine.memory_of_compact import compact_parts  # only with the flag

            return compact_parts(self, total, activations)
        embeddings = config.vocab_size * config.hidden_size * (2 - config.tie_word_embeddings)
        matrices = min(self.trainable, total - embeddings)
        adam = self.trainable if self.optimizer == "adamw" else self.trainable - matrices
        return {
            "program": self.program,
            "weights": 4 * total,
            "gradients": 4 * self.trainable,
            "optimizer": 8 * adam + 4 * (self.trainable - adam),
            "activations": activations,
        }

    def total(self, batch_size: int, checkpointing: bool | str = False) -> int:
        return sum(self.parts(batch_size, checkpointing).values())

    def _activations(self, tokens: int, checkpointing: bool | str) -> int:
        config, d, f, T = self.config, self.config.hidden_size, self.config.intermediate_size, self.row_length
        heads = config.head_dim * (config.num_attention_heads + 2 * config.num_key_value_heads)
        # Per token and layer, in float32: nine copies of the residual stream (itself; each norm's square, factor and
        # result). In the compute type: the normed inputs; q, k and v before and after rotation; what attention returns;
        # four activations as wide as the MLP; rows sorted by expert, and back; attention weights, or else its mask.
        sorted_rows = 3 * d * getattr(config, "num_experts_per_tok", 0)
        seen = T if self.masked else 0
        if self.keeps_attention:
            seen = config.num_attention_heads * (T + QUERY_BLOCK) // 2
        per_layer = 4 * 9 * d + self.compute_bytes * (4 * d + 2 * heads + 4 * f + sorted_rows + seen) - self.unread
        per_token = (self.layers or config.num_hidden_layers) * per_layer
        if checkpointing:
            from training.engine.memory_of_products import with_checkpointing  # only with the flag

            per_token = with_checkpointing(self, per_layer, tokens, checkpointing)
        if self.head_learns is None:  # a reward model makes no logits
            return tokens * per_token
        rows_of_logits = min(tokens, max(256, LOGITS_AT_ONCE // config.vocab_size))
        return tokens * per_token + rows_of_logits * config.vocab_size * (4 + self.compute_bytes)


def footprint_of(model, rows, optimizer: str, choice: Device, beside: int = 0) -> Footprint:
    """The footprint of training `model` on `rows`; `beside`: float32 parameters that do not learn, as of a teacher."""
    on_cpu, size = choice.device.type == "cpu", choice.dtype.itemsize
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    program = 4 * beside + (PROGRAM_ON_CPU if on_cpu else 0)
    found = Footprint(model.config, rows.row_length, optimizer, trainable, size, on_cpu and size == 2, program)
    if rows.kind.name != "text" or not all(p.requires_grad for p in model.parameters()):
        from training.engine.memory_of_stages import of_stage  # pretraining does not load it

        return of_stage(found, model, rows)
    return found
