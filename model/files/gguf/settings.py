"""Sizes and rotary settings of a network as the keys of a GGUF file, in both directions."""

import numpy as np

from model.attention import inverse_frequencies
from model.config import TransformerConfig
from model.errors import SproutError, UsageError
from model.rope_scaling import kind_of, sharpening

FAMILIES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe"}  # ours -> llama.cpp's
_EXPERTS = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}
_SIZES = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "rope.dimension_count": "head_dim",
    "vocab_size": "vocab_size",
}
_SCALES = {"attention.layer_norm_rms_epsilon": "rms_norm_eps", "rope.freq_base": "rope_theta"}
_ROPE = ("type", "factor", "original_context_length", "attn_factor", "yarn_beta_fast", "yarn_beta_slow", "finetuned")
_KNOWN = {*_SIZES, *_SCALES, *(f"rope.scaling.{key}" for key in _ROPE)}


def settings_of(config: TransformerConfig) -> tuple[dict[str, int | float | str], np.ndarray | None]:
    """The keys without the architecture's prefix; and the divisors of the frequencies [h / 2], if a file needs them.

    Raises `SproutError` for a network that llama.cpp would compute differently.
    """
    keys = {key: getattr(config, name) for key, name in (_SIZES | _SCALES).items()}
    if config.model_type == "qwen3_moe":
        if not config.norm_topk_prob:
            raise SproutError(
                "llama.cpp always lets the weights of a token's experts sum to one, and those of this network do not"
                " (norm_topk_prob false): it would compute something else, so no GGUF file is written"
                " (scripts/export_hf.py can export the network)"
            )
        keys |= {key: getattr(config, name) for key, name in _EXPERTS.items()}
    scaling = config.rope_scaling
    if scaling is None:
        return keys, None
    kind, factor = kind_of(scaling), float(scaling["factor"])
    if kind == "linear":
        return keys | {"rope.scaling.type": kind, "rope.scaling.factor": factor}, None
    if kind == "llama3":
        if config.model_type != "llama":
            raise SproutError(
                f"llama.cpp cannot stretch positions as Llama 3.1 does in a {config.model_type}: it would compute"
                " something else, so no GGUF file is written (scripts/export_hf.py can export the network)"
            )
        return keys, _divisors(config, scaling)
    for name, usual in (("beta_fast", 32), ("beta_slow", 1)):
        if (scaling.get(name) or usual) != usual:
            raise SproutError(
                f"llama.cpp always takes {name} {usual} for YaRN, and this network has {scaling[name]}: it would"
                " compute something else, so no GGUF file is written (scripts/export_hf.py can export the network)"
            )
    original = scaling.get("original_max_position_embeddings") or config.max_position_embeddings
    keys |= {"rope.scaling.type": kind, "rope.scaling.factor": factor}
    keys |= {"rope.scaling.original_context_length": int(original)}
    if scaling.get("attention_factor"):  # llama.cpp's multiplies the usual one
        keys["rope.scaling.attn_factor"] = float(scaling["attention_factor"]) / sharpening(factor)
    return keys, None


def _divisors(config: TransformerConfig, scaling: dict | None) -> np.ndarray:
    sizes = config.head_dim, config.rope_theta
    plain, _ = inverse_frequencies(*sizes, None, config.max_position_embeddings)
    turned, _ = inverse_frequencies(*sizes, scaling, config.max_position_embeddings)
    return (plain / turned).numpy()


def config_of(keys: dict, rows: int, source: str, tied: bool, divisors: np.ndarray | None) -> TransformerConfig:
    """The configuration of a network from all keys of a file.

    rows: those of its embedding; tied: whether it has no head of its own. Ids of bos, eos and pad stay as they are by
    default. Raises `SproutError` that names the key for a network that is not exactly one of ours.
    """
    family = keys.get("general.architecture")
    if family not in FAMILIES.values():
        raise SproutError(f"{source} is a {family}, and Sprout opens GGUF files of {', '.join(FAMILIES.values())} only")
    experts = _EXPERTS if family == "qwen3moe" else {}
    mine = {key.removeprefix(f"{family}."): value for key, value in keys.items() if key.startswith(f"{family}.")}
    if strange := sorted(set(mine) - _KNOWN - experts.keys()):
        raise SproutError(f"{source} has {family}.{strange[0]}, which Sprout cannot run: it opens plain {family} only")
    needed = ("embedding_length", "block_count", "feed_forward_length", "attention.head_count", "context_length")
    if absent := [key for key in (*needed, *experts, "attention.layer_norm_rms_epsilon") if key not in mine]:
        raise SproutError(f"{source} lacks {family}.{absent[0]}, so it is not complete: download it again")
    sizes = {name: mine[key] for key, name in (_SIZES | experts).items() if key in mine}
    Config = TransformerConfig
    if experts:
        from model.experts import ExpertsConfig as Config  # dense networks do not load it

    heads = ("attention.key_length", "attention.value_length", "rope.dimension_count")
    if len({mine[key] for key in heads if key in mine}) > 1:
        raise SproutError(
            f"{source} has heads of several sizes or rotates only a part of each ({', '.join(heads)}), which Sprout"
            " cannot run"
        )
    sizes = {"num_key_value_heads": sizes["num_attention_heads"]} | sizes
    try:
        scales = {name: _as_written(mine[key]) for key, name in _SCALES.items() if key in mine}
        if experts:
            sizes["intermediate_size"] = sizes["num_experts_per_tok"] * sizes["moe_intermediate_size"]
        config = Config(
            **(sizes | {"rope_theta": 10000.0} | scales | {"vocab_size": rows}),  # 10,000 is what llama.cpp takes
            rope_scaling=_scaling_of(mine, source),
            tie_word_embeddings=tied,
            attention_bias=family == "qwen2",
            qk_norm=family.startswith("qwen3"),
        )
    except (UsageError, ValueError, TypeError) as error:
        raise SproutError(f"{source} has settings that no network can have ({error})") from error
    return config if divisors is None else config.replace(rope_scaling=_llama3_of(config, divisors, source))


def _as_written(value: float) -> float:
    """A float32 as the shortest decimal that rounds to it: 9.999999747378752e-06 was written as 1e-05."""
    return float(str(np.float32(value)))


def _scaling_of(mine: dict, source: str) -> dict | None:
    told = {key: mine[name] for key in _ROPE if (name := f"rope.scaling.{key}") in mine}
    kind = told.get("type", "none")
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise SproutError(f"{source} has rotary embeddings of type {kind}, which Sprout cannot run")
    scaling = {"rope_type": kind, "factor": _as_written(told.get("factor", 1.0))}
    if kind == "yarn":
        if "original_context_length" in told:
            scaling["original_max_position_embeddings"] = told["original_context_length"]
        if "attn_factor" in told:
            scaling["attention_factor"] = _as_written(told["attn_factor"] * sharpening(scaling["factor"]))
    return scaling


def _llama3_of(config: TransformerConfig, divisors: np.ndarray, source: str) -> dict:
    """The settings that give these divisors: a file holds the divisors, but not the settings."""
    factor = _as_written(divisors.max())
    for length in (2**power for power in range(4, 21)):
        for low, high in ((1.0, 4.0), (1.0, 2.0), (2.0, 4.0)):
            scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high}
            scaling["original_max_position_embeddings"] = length
            if divisors.shape == (config.head_dim // 2,) and np.allclose(_divisors(config, scaling), divisors, 1e-5, 0):
                return scaling
    raise SproutError(f"{source} stretches its positions (rope_freqs) unlike Llama 3.1, which Sprout cannot run")
