"""GPT-2 as Hugging Face keeps it: its `config.json`, the names of its weights, and its tokenizer of two files.

Its matrices are `Conv1D`, [in, out] where a linear layer has [out, in], and q, k and v are one of them. Dropout is not
read: no stage of Sprout uses any, so an export says 0.
"""

import json
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from model.errors import SproutError, UsageError
from model.gpt2 import GPT2Config
from model.text.tokenizer import ADDED_TOKENS, END_OF_TEXT, FILE_NAMES, Tokenizer
from model.whole import EMBEDDING, HEAD

# Ours: theirs, without `transformer.`, which OpenAI's own folders lack; in a layer, without `h.0.`.
_OUTSIDE = {
    EMBEDDING: "wte.weight",
    "model.embed_positions.weight": "wpe.weight",
    "model.norm.weight": "ln_f.weight",
    "model.norm.bias": "ln_f.bias",
}
_INSIDE = {
    "input_layernorm": "ln_1",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
_QKV = [f"self_attn.{part}_proj" for part in "qkv"]
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}
_GELU = ("gelu_new", "gelu_pytorch_tanh")  # two names of one function


def config_of_gpt2(values: dict, tokenizer: Tokenizer, folder: str | Path) -> GPT2Config:
    """The configuration in a `config.json` of a GPT-2. Raises `SproutError` for what Sprout cannot run."""

    def refuse(what: str):
        raise SproutError(f"{folder} {what}, which Sprout cannot run: it opens plain GPT-2 only")

    for key in ("auto_map", "quantization_config", "add_cross_attention", "scale_attn_by_inverse_layer_idx"):
        if values.get(key):
            refuse(f"has {key}")
    if values.get("scale_attn_weights") is False:
        refuse("does not scale its attention (scale_attn_weights false)")
    if values.get("activation_function", "gelu_new") not in _GELU:
        refuse(f"has activation_function {values['activation_function']}")
    try:
        sizes = {ours: values[theirs] for ours, theirs in _SIZES.items()}
        return GPT2Config(
            **sizes,
            intermediate_size=values.get("n_inner") or 4 * sizes["hidden_size"],
            num_key_value_heads=sizes["num_attention_heads"],
            layer_norm_eps=float(values.get("layer_norm_epsilon", 1e-5)),
            tie_word_embeddings=values.get("tie_word_embeddings", True) is not False,
            pad_token_id=tokenizer.pad_id,
            bos_token_id=tokenizer.bos_id,
            eos_token_id=tokenizer.eos_id,
        )
    except KeyError as error:
        raise SproutError(f"{folder}/config.json has no {error.args[0]}: it is not complete") from error
    except (UsageError, TypeError, ValueError) as error:
        raise SproutError(f"{folder}/config.json: {error}") from error


def hf_config_of_gpt2(config: GPT2Config, tokenizer: Tokenizer, dtype: torch.dtype) -> dict:
    """`config.json` of a GPT-2 whose weights are stored in `dtype`."""
    name = str(dtype).removeprefix("torch.")
    sizes = {theirs: getattr(config, ours) for ours, theirs in _SIZES.items()}
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "dtype": name,
        "torch_dtype": name,
        **sizes,
        "n_ctx": config.max_position_embeddings,
        "n_inner": config.intermediate_size,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": config.layer_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0),
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }


def weights_from_hf(weights: dict[str, torch.Tensor], source: str | Path) -> dict[str, torch.Tensor]:
    """The weights under our names. A name that is unknown is kept, so that opening them reports it.

    Raises `SproutError` for the weights of a GPT-2 that scores texts.
    """
    if "score.weight" in weights:
        raise SproutError(f"{source} is a GPT-2 that scores texts: Sprout opens GPT-2 as a language model only")
    ours = {}
    outside, inside = ({theirs: own for own, theirs in table.items()} for table in (_OUTSIDE, _INSIDE))
    for name, tensor in weights.items():
        plain = name.removeprefix("transformer.")
        found = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias|masked_bias)", plain)
        if found is None:
            ours[outside.get(plain, name)] = tensor
            continue
        layer, module, kind = found.groups()
        if (module, kind) in (("attn", "bias"), ("attn", "masked_bias")):  # the causal mask, which older files have
            continue
        tensor = tensor.mT if kind == "weight" and tensor.dim() == 2 else tensor
        if module == "attn.c_attn":
            for part, rows in zip(_QKV, tensor.chunk(3), strict=False):
                ours[f"model.layers.{layer}.{part}.{kind}"] = rows
        else:
            ours[f"model.layers.{layer}.{inside.get(module, module)}.{kind}"] = tensor
    return ours


def weights_to_hf(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of `weights_from_hf`; every tensor is contiguous."""
    theirs, prefix = {}, "transformer."
    for name, tensor in weights.items():
        if name == HEAD:
            theirs[HEAD] = tensor
            continue
        if name in _OUTSIDE:
            theirs[prefix + _OUTSIDE[name]] = tensor
            continue
        layer, module, kind = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.(\w+)", name).groups()
        if module in _QKV[1:]:
            continue
        if module == _QKV[0]:
            parts = [weights[f"model.layers.{layer}.{part}.{kind}"] for part in _QKV]
            module, tensor = "attn.c_attn", torch.cat(parts)
        else:
            module = _INSIDE[module]
        theirs[f"{prefix}h.{layer}.{module}.{kind}"] = tensor.mT.contiguous() if tensor.dim() == 2 else tensor
    return theirs


def tokenizer_of_gpt2(folder: Path) -> Tokenizer:
    """The tokenizer of a folder; of vocab.json and merges.txt where it has no tokenizer.json.

    Raises `SproutError` where neither can be read.
    """
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if (folder / "tokenizer.json").exists() or not (vocabulary.is_file() and merges.is_file()):
        return Tokenizer.load(folder)
    try:
        backend = Backend(models.BPE.from_file(str(vocabulary), str(merges)))
        names = (*FILE_NAMES, ADDED_TOKENS)
        files = {name: (folder / name).read_text(encoding="utf-8") for name in names if (folder / name).is_file()}
        settings = {**json.loads(files.get("tokenizer_config.json", "{}"))}
    except Exception as error:  # the library raises nothing more specific
        raise SproutError(f"the vocabulary of {folder} cannot be read ({error}): download it again") from error
    prefix = bool(settings.get("add_prefix_space"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    if backend.token_to_id(END_OF_TEXT) is not None:
        settings |= {key: settings.get(key, END_OF_TEXT) for key in ("bos_token", "eos_token", "unk_token")}
    settings.setdefault("tokenizer_class", "GPT2Tokenizer")
    return Tokenizer.from_files(
        files | {"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(settings)}
    )
