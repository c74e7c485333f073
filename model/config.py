"""The shape of a network, in the words of Hugging Face's `config.json`.

One dataclass covers three published architectures, told apart by two switches:

    attention_bias  qk_norm    network
    no              no         Llama   (https://arxiv.org/abs/2302.13971)
    yes             no         Qwen2   (https://arxiv.org/abs/2407.10671), bias on q, k, v only
    no              yes        Qwen3   (https://arxiv.org/abs/2505.09388), RMSNorm on each head of q and k
"""

import dataclasses
import difflib
import sys
from dataclasses import dataclass

from model.errors import UsageError


@dataclass(frozen=True)
class TransformerConfig:
    """Every number that decides the network's shape. Key names are those of HF `config.json`.

    Raises `UsageError` for a shape that cannot exist.
    """

    vocab_size: int = 6400
    hidden_size: int = 512
    intermediate_size: int = 1408
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    head_dim: int | None = None  # None: hidden_size / num_attention_heads
    max_position_embeddings: int = 32768
    rope_theta: float = 1e6
    rope_scaling: dict | None = None  # see model/rope_scaling.py
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    qk_norm: bool = False
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2

    def __post_init__(self):
        sizes = (
            "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
            " num_key_value_heads max_position_embeddings"
        )
        for name in sizes.split():
            value = getattr(self, name)
            if not _is_count(value):
                raise UsageError(f"{name} is {value!r}, but must be a whole number of at least 1")
        if self.head_dim is None:
            if self.hidden_size % self.num_attention_heads:
                raise UsageError(
                    f"hidden_size {self.hidden_size} is not divisible by num_attention_heads"
                    f" {self.num_attention_heads}: choose sizes that divide"
                )
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        if not _is_count(self.head_dim) or self.head_dim % 2:
            raise UsageError(
                f"each attention head has {self.head_dim!r} dimensions, but rotary embedding turns pairs"
                " of dimensions: choose hidden_size / num_attention_heads even"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise UsageError(
                f"num_attention_heads {self.num_attention_heads} is not divisible by"
                f" num_key_value_heads {self.num_key_value_heads}: each key/value head serves a whole group"
            )
        if self.attention_bias and self.qk_norm:
            raise UsageError(
                "attention_bias (Qwen2) and qk_norm (Qwen3) together make a network that"
                " neither transformers nor llama.cpp can run: choose one"
            )
        for name, least in (("rms_norm_eps", 0), ("rope_theta", 1)):  # theta 1 would turn all pairs alike
            if not is_positive_number(getattr(self, name)) or getattr(self, name) <= least:
                raise UsageError(f"{name} is {getattr(self, name)!r}, but must be a finite number above {least}")
        if self.rope_scaling is not None:
            from model.rope_scaling import check_scaling  # only stretched positions need it

            check_scaling(self.rope_scaling)

    @property
    def model_type(self) -> str:
        """HF's name of this architecture: `llama`, `qwen2` or `qwen3`."""
        return "qwen3" if self.qk_norm else "qwen2" if self.attention_bias else "llama"

    def replace(self, **changes) -> "TransformerConfig":
        """This configuration with some values changed; the head size follows unless it is given."""
        if ("hidden_size" in changes or "num_attention_heads" in changes) and "head_dim" not in changes:
            changes["head_dim"] = None
        return dataclasses.replace(self, **changes)

    def active_parameters(self) -> int:
        """Those that compute a token: all, unless there are experts."""
        return self.num_parameters()

    def to_dict(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "TransformerConfig":
        """The inverse of `to_dict`. An unknown key is an error: it would change the network unseen."""
        unknown = sorted(map(str, set(values) - {field.name for field in dataclasses.fields(cls)}))
        if unknown:
            raise UsageError(f"unknown configuration keys {', '.join(unknown)}: made by a newer Sprout?")
        return cls(**values)

    def num_parameters(self) -> int:
        """Trainable parameters, a tied head counted once."""
        d, h = self.hidden_size, self.head_dim
        q, kv = self.num_attention_heads * h, self.num_key_value_heads * h
        attention = 2 * d * q + 2 * d * kv
        attention += (q + 2 * kv) if self.attention_bias else 0
        attention += 2 * h if self.qk_norm else 0
        layer = attention + 3 * d * self.intermediate_size + 2 * d
        embeddings = self.vocab_size * d * (1 if self.tie_word_embeddings else 2)
        return embeddings + self.num_hidden_layers * layer + d


def _is_count(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_positive_number(value) -> bool:
    """Whether a value read from somewhere is a finite number above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


_26M = TransformerConfig()
_64M = _26M.replace(hidden_size=768, intermediate_size=2432, num_key_value_heads=4, qk_norm=True)
PRESETS: dict[str, TransformerConfig] = {
    # For the sample data on a laptop: 4.0 M with the 4000 tokens of the quickstart.
    "tiny": _26M.replace(
        hidden_size=256, intermediate_size=704, num_hidden_layers=4, num_attention_heads=4, qk_norm=True
    ),
    "26m": _26M,
    "64m": _64M,
    "moe": _64M,  # with 8 experts, of which a token takes 2 (model/experts.py): 198 M parameters, 64 M active
    "104m": _26M.replace(hidden_size=768, intermediate_size=2048, num_hidden_layers=16),
    # The shape of mini_qwen, with the vocabulary of Qwen2.5.
    "1b": _26M.replace(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=4864,
        num_hidden_layers=48,
        num_attention_heads=16,
        num_key_value_heads=4,
        attention_bias=True,
    ),
}


def preset(name: str) -> TransformerConfig:
    """The configuration called `name`; an unknown name is a `UsageError` that lists the known ones."""
    if name.lower() in PRESETS:
        return PRESETS[name.lower()]
    close = difflib.get_close_matches(name.lower(), PRESETS, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(f"unknown preset {name}{hint}: choose from {', '.join(PRESETS)}")
