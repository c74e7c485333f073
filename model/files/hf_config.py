"""`config.json` of Hugging Face, in both directions.

The programs that read a folder differ in where they look for the rotary settings:

* transformers 4, vLLM and llama.cpp of that time: `rope_theta` and `rope_scaling`,
* transformers 5 and what followed: `rope_parameters` with both in it.

All of them are written, and either is read, in the order in which transformers reads them.
"""

from pathlib import Path

import torch

from model.config import TransformerConfig, is_positive_number
from model.errors import SproutError, UsageError
from model.rope_scaling import KEYS, kind_of
from model.text.tokenizer import Tokenizer

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
}
# What transformers takes for a key that is absent, where it is not the same for all.
_DEFAULTS = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {"max_position_embeddings": 131072, "num_key_value_heads": 8},  # without a window it is a Llama
    "qwen2": {"max_position_embeddings": 32768},
    "qwen3": {"max_position_embeddings": 32768, "head_dim": 128},
    "qwen3_moe": {"max_position_embeddings": 32768, "num_key_value_heads": 4},
}
_ROPE_KEYS = sorted({key for keys in KEYS.values() for part in keys for key in part})
# What the values in config.json must be where they are there and not null. Sizes are left to TransformerConfig.
_KINDS = (
    (("rope_scaling", "rope_parameters"), "an object", lambda value: isinstance(value, dict)),
    (("layer_types",), "a list", lambda value: isinstance(value, list)),
    (
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window", "is_causal"),
        "true or false",
        lambda value: isinstance(value, bool),
    ),
    (
        ("max_position_embeddings", "rope_theta", "partial_rotary_factor", *_ROPE_KEYS),
        "a finite number above 0",
        is_positive_number,
    ),
)


def hf_config(config: TransformerConfig, tokenizer: Tokenizer, dtype: torch.dtype, reward: bool = False) -> dict:
    """`config.json` of a network whose weights are stored in `dtype`; `reward`: of one with a scalar head."""
    kind = config.model_type
    if not kind.startswith("qwen3") and config.hidden_size % config.num_attention_heads:
        raise SproutError(
            f"transformers cannot open a {kind} with hidden_size {config.hidden_size} and"
            f" {config.num_attention_heads} heads: hidden_size must be divisible by the number of heads"
        )
    rope = _rope_to_hf(config)
    positions = config.max_position_embeddings
    if rope["rope_scaling"] is not None and rope["rope_scaling"]["rope_type"] == "yarn":
        # transformers 4 and vLLM compute one of these three from the other two, and 5 warns if they disagree.
        positions = round(rope["rope_scaling"]["original_max_position_embeddings"] * rope["rope_scaling"]["factor"])
    dtype_name = str(dtype).removeprefix("torch.")
    values = {
        "architectures": [ARCHITECTURES[kind].replace("CausalLM", "SequenceClassification" if reward else "CausalLM")],
        "model_type": kind,
        "dtype": dtype_name,
        "torch_dtype": dtype_name,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": positions,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        **rope,
        **({"id2label": {"0": "reward"}, "label2id": {"reward": 0}, "problem_type": "regression"} if reward else {}),
    }
    if kind == "qwen2":  # the bias on q, k and v is part of this architecture, and no key says so
        return values | {"use_sliding_window": False, "sliding_window": None}
    if kind == "qwen3_moe":
        from model.files.experts import keys_of_experts  # dense networks do not load it

        values |= keys_of_experts(config)
    if kind.startswith("qwen3"):
        return values | {"attention_bias": False, "use_sliding_window": False, "sliding_window": None}
    return values | {"attention_bias": False, "mlp_bias": False}


def _rope_to_hf(config: TransformerConfig) -> dict:
    scaling = None
    if config.rope_scaling is not None:
        kind = kind_of(config.rope_scaling)
        given = {key: config.rope_scaling.get(key) for keys in KEYS[kind] for key in keys}
        if kind == "yarn" and not given["original_max_position_embeddings"]:
            given["original_max_position_embeddings"] = config.max_position_embeddings
        scaling = {"rope_type": kind} | {key: value for key, value in given.items() if value is not None}
    parameters = {"rope_theta": config.rope_theta} | (scaling or {"rope_type": "default"})
    return {"rope_theta": config.rope_theta, "rope_scaling": scaling, "rope_parameters": parameters}


def config_from_hf(values: dict, tokenizer: Tokenizer, folder: str | Path) -> TransformerConfig:
    """The configuration in a `config.json` of transformers 4 or 5; absent keys take HF's defaults.

    Raises `SproutError` that names the key for whatever transformers would act upon and Sprout cannot.
    """
    _check_kinds(values, folder)

    def refuse(what: str):
        raise SproutError(
            f"{folder} {what}, which Sprout cannot run: it opens plain Llama, Qwen2, Qwen3, Qwen3-MoE, GPT-2 only"
        )

    _refuse_others(values, refuse)
    kind = values["model_type"]
    theta, scaling = _rope_from_hf(values, refuse, folder)
    Config = TransformerConfig
    sizes = {}
    if kind == "qwen3_moe":
        from model.files.experts import sizes_of_experts

        Config, sizes = sizes_of_experts(values, refuse, folder)

    try:
        heads = values["num_attention_heads"]
        default = _DEFAULTS[kind]
        return Config(
            vocab_size=values["vocab_size"],
            hidden_size=values["hidden_size"],
            num_hidden_layers=values["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=values.get("num_key_value_heads", default.get("num_key_value_heads")) or heads,
            head_dim=values.get("head_dim") or default.get("head_dim"),
            max_position_embeddings=values.get("max_position_embeddings", default["max_position_embeddings"]),
            rope_theta=theta,
            rope_scaling=scaling,
            rms_norm_eps=values.get("rms_norm_eps", 1e-6),
            tie_word_embeddings=values.get("tie_word_embeddings", False),
            attention_bias=kind == "qwen2",
            qk_norm=kind.startswith("qwen3"),
            # The tokenizer says what ends a text; config.json may list several ids or an older one.
            pad_token_id=tokenizer.pad_id,
            bos_token_id=tokenizer.bos_id,
            eos_token_id=tokenizer.eos_id,
            **(sizes or {"intermediate_size": values["intermediate_size"]}),
        )
    except KeyError as error:
        raise SproutError(f"{folder}/config.json has no {error.args[0]}: it is not complete") from error
    except UsageError as error:
        raise SproutError(f"{folder}/config.json: {error}") from error


def _check_kinds(values: dict, folder: str | Path) -> None:
    """Raises `SproutError` for a value of a kind that its key cannot have."""
    for keys, kind, fits in _KINDS:
        for key in keys:
            if values.get(key) is not None and not fits(values[key]):
                raise SproutError(f"{folder}/config.json: {key} is {values[key]!r}, but must be {kind}")


def _refuse_others(values: dict, refuse) -> None:
    """Refuses a network that computes something else than the ones here, by what its keys say."""
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in _DEFAULTS:
        refuse(f"is a network of model_type {kind}")
    if "auto_map" in values:
        refuse("brings code of its own (auto_map)")
    if values.get("quantization_config"):
        refuse("is quantised (quantization_config)")
    if values.get("hidden_act", "silu") not in ("silu", "swish"):  # two names of one function
        refuse(f"has hidden_act {values['hidden_act']}")
    if values.get("mlp_bias"):
        refuse("has mlp_bias")
    if values.get("attention_bias") and kind != "qwen2":
        refuse(f"has attention_bias (in a {kind} this puts a bias on o_proj too, or beside q_norm)")
    if values.get("is_causal") is False:
        refuse("looks at later tokens, too (is_causal false)")
    if values.get("per_layer_config"):
        refuse("has layers of different settings (per_layer_config)")
    _refuse_windows(values, refuse)


def _refuse_windows(values: dict, refuse) -> None:
    """Refuses a network in which a layer sees only the last `sliding_window` tokens."""
    kind, layers = values["model_type"], values.get("layer_types")
    if any(layer != "full_attention" for layer in layers or []):
        refuse("attends through a sliding window, or in another special way (layer_types)")
    if values.get("sliding_window", None if kind == "llama" else 4096) is None:  # as transformers has them
        return
    if kind == "mistral":
        window = values.get("sliding_window", 4096)
        refuse(f"is a network of model_type mistral that attends through a sliding window (sliding_window {window})")
    # The layers from max_window_layers on have one, unless layer_types says otherwise. In a Llama transformers
    # overlooks the keys and other programs do not, so none that asks for windows is opened.
    first, count = values.get("max_window_layers", 0 if kind == "llama" else 28), values.get("num_hidden_layers")
    windowed = layers is None and not (isinstance(first, int) and isinstance(count, int) and first >= count)
    if values.get("use_sliding_window") and windowed:
        refuse("attends through a sliding window (use_sliding_window)")


def _rope_from_hf(values: dict, refuse, folder: str | Path) -> tuple[float, dict | None]:
    """rope_theta and how positions are stretched (or None), from either generation of keys."""
    # Where both are given, transformers follows the old one alone, which people add by hand.
    rope = dict(values.get("rope_scaling") or values.get("rope_parameters") or {})
    _check_kinds(rope, folder)
    theta = float(rope.pop("rope_theta", None) or values.get("rope_theta") or 10000.0)
    kind = rope.pop("rope_type", None) or rope.get("type") or "default"
    rope.pop("type", None)
    partial = rope.pop("partial_rotary_factor", values.get("partial_rotary_factor"))
    if partial not in (None, 1, 1.0):
        refuse(f"rotates only a part of each head (partial_rotary_factor {partial})")
    # To transformers null is as if the key were absent, but for this one, where it is false.
    rope = {key: value for key, value in rope.items() if value is not None or key == "truncate"}
    if kind == "yarn" and rope.get("truncate") is True:  # true is the default
        del rope["truncate"]
    needed, optional = KEYS.get(kind, ((), ())) if isinstance(kind, str) else ((), ())
    strange = sorted(set(rope) - {*needed, *optional})
    if kind not in ("default", *KEYS) or strange:
        refuse(f"has rotary embeddings of type {kind}" + (f" with {', '.join(strange)}" if strange else ""))
    if kind == "default":
        return theta, None
    if "original_max_position_embeddings" in (*needed, *optional):
        # transformers prefers the key beside the settings, where Phi-3 has it.
        length = values.get("max_position_embeddings") or _DEFAULTS[values["model_type"]]["max_position_embeddings"]
        original = values.get("original_max_position_embeddings")
        rope["original_max_position_embeddings"] = original or rope.get("original_max_position_embeddings") or length
    if kind == "yarn" and "factor" not in rope:
        rope["factor"] = length / rope["original_max_position_embeddings"]
    if absent := [key for key in needed if key not in rope]:
        refuse(f"has rotary embeddings of type {kind} without {absent[0]}")
    return theta, {"rope_type": kind} | rope
