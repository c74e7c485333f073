"""Bare state dicts, parameters by name and nothing else: those of MiniMind, in and out.

What MiniMind's code (https://github.com/jingyaogong/minimind) makes of a file depends on its year, and the names tell:

    from       names                     rotary pairs    rms_norm_eps   rope_theta   heads, key/value heads
    2024-08    tok_embeddings, wq, ...   (2i, 2i + 1)    1e-5           1e4          16, 8
    2025-02    tok_embeddings, wq, ...   (2i, 2i + 1)    1e-5           1e6          8, 2
    2025-04    HF's                      (i, i + h/2)    1e-5           1e6          8, 2
    2026-03    HF's, with q_norm         (i, i + h/2)    1e-6           1e6          8, 4

The first two differ in nothing but numbers that no file holds, so the second is taken.
"""

import math
import re
import sys
from pathlib import Path

import torch

from model.config import TransformerConfig
from model.disk import sweep_temporaries, write_atomically
from model.errors import SproutError
from model.files.checkpoint import save_to
from model.files.edited import refuse_edited
from model.files.finite import refuse_not_finite
from model.files.state_dict import config_of_state_dict
from model.text.tokenizer import Tokenizer
from model.whole import EMBEDDING, HEAD, plain_state_dict, unwrapped

EPS_WITH_Q_NORM = 1e-6
# Llama's own names, which MiniMind had at first, and Hugging Face's.
_NAMES = {
    "tok_embeddings.weight": EMBEDDING,
    "output.weight": HEAD,
    "norm.weight": "model.norm.weight",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    **{f"attention.w{part}": f"self_attn.{part}_proj" for part in "qkvo"},
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
_TABLES = ("pos_cis", "freqs_cis", "rope.freqs", "mask")  # computed from the configuration, and saved by some


def open_bare(
    contents: dict[str, torch.Tensor], wanted: dict, source: Path
) -> tuple[TransformerConfig, dict[str, torch.Tensor]]:
    """The configuration of a bare state dict, and its weights under Hugging Face's names, for our pairs of dimensions.

    wanted: what the user says; see `config_of_state_dict`, which also says what is raised.
    """
    early = "tok_embeddings.weight" in contents
    weights = {_hf_name(name): tensor for name, tensor in contents.items()} if early else contents
    if any(name.endswith("self_attn.q_norm.weight") for name in weights):
        wanted = {"rms_norm_eps": EPS_WITH_Q_NORM} | wanted
    config = config_of_state_dict(weights, wanted, source)
    if early:
        weights = {name: tensor for name, tensor in weights.items() if not name.endswith(_TABLES)}
        for name in weights:
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                weights[name] = _halves(weights[name], config.head_dim)
        print(
            f"note: {source} has the names of MiniMind before April 2025: it is read as a weight of 2025, with"
            f" rope_theta {config.rope_theta:g} and {config.num_attention_heads} heads (a weight of 2024 needs"
            " --rope_theta 1e4 --num_attention_heads 16)",
            file=sys.stderr,
        )
    return config, weights


def _hf_name(name: str) -> str:
    match = re.fullmatch(r"(layers\.\d+\.)(.+)\.weight", name)
    if match is None:
        return _NAMES.get(name, name)
    return f"model.{match[1]}{_NAMES.get(match[2], match[2])}.weight"


def _halves(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
    """Rows of heads whose rotary pairs are (2i, 2i + 1), in the order in which they are (i, i + head_dim / 2)."""
    heads = weight.unflatten(0, (-1, head_dim // 2, 2))  # [heads, pairs, 2, D]
    return heads.transpose(1, 2).reshape(weight.shape)


def tokenizer_beside(source: Path, rows: int) -> Tokenizer:
    """The tokenizer of `rows` tokens that lies where MiniMind has its own: with the file, or in a `model` nearby.

    Raises `SproutError` where there is none: ids of another tokenizer would mean other words, whatever their number.
    """
    near = source.resolve().parent
    for folder in (near, near.parent):
        for place in (folder, folder / "model", folder / "model" / "minimind_tokenizer", folder / "tokenizer"):
            if (place / "tokenizer.json").is_file():
                found = Tokenizer.load(place)
                if found.vocab_size == rows:
                    print(f"note: {source} carries no tokenizer; the one in {place} is used", file=sys.stderr)
                    return found
    raise SproutError(
        f"{source} carries no tokenizer, and none with {rows:,} tokens lies beside it: give the folder of the tokenizer"
        " that it was trained with as --tokenizer_path (MiniMind's is the folder model of its checkout)"
    )


def write_bare(
    folder: Path, model: torch.nn.Module, tokenizer: Tokenizer, name: str, dtype: torch.dtype | None = None
) -> tuple[list[Path], list[str]]:
    """Writes `<name>_<hidden>.pth` as MiniMind saves and loads it, and the tokenizer beside it.

    dtype: of the weights; None is float16, as MiniMind has it. Returns the files, and the arguments of MiniMindConfig
    that the network needs and MiniMind's own scripts do not give. Raises `SproutError` for a network that MiniMind's
    code cannot express, that was edited, or whose weights are not finite.
    """
    config = unwrapped(model).config
    if config.model_type in ("gpt2", "qwen3_moe"):
        what = "GPT-2" if config.model_type == "gpt2" else "Qwen3-MoE"
        raise SproutError(f"MiniMind's code runs no {what}: export this network without --minimind")
    if config.attention_bias or config.rope_scaling is not None:
        what = "biases on q, k and v" if config.attention_bias else "stretched positions"
        raise SproutError(f"MiniMind's network has no {what}: export this one without --minimind")
    weights = plain_state_dict(model)
    stored = {name: tensor.to(dtype or torch.float16) for name, tensor in weights.items()}
    refuse_not_finite(weights, stored)
    refuse_edited(model)
    weights = stored
    if config.tie_word_embeddings:  # MiniMind's file has the head although it is the embedding
        weights[HEAD] = weights[EMBEDDING]
    suffix = f"_{config.hidden_size}"
    weight_file = Path(folder) / f"{name.removesuffix(suffix)}{suffix}.pth"
    texts = {Path(folder) / text_name: text.encode("utf-8") for text_name, text in tokenizer.files.items()}
    for path in (weight_file, *texts):
        if path.exists() and (path == weight_file or path.read_bytes() != texts[path]):
            raise SproutError(f"{path} is there already: choose another --save_dir, or move it away")
    sweep_temporaries(folder)
    for path, text in texts.items():
        write_atomically(path, lambda file, text=text: file.write(text))
    write_atomically(weight_file, lambda file: save_to(file, weights))  # last: without it, the export can be repeated
    return [weight_file, *texts], _not_by_default(config)


def _not_by_default(config: TransformerConfig) -> list[str]:
    """The arguments of MiniMindConfig besides hidden_size and num_hidden_layers that are not its defaults."""
    hidden, with_norm = config.hidden_size, config.qk_norm
    inner = math.ceil(hidden * math.pi) if with_norm else int(hidden * 8 / 3)
    defaults = {
        "vocab_size": 6400,
        "num_attention_heads": 8,
        "num_key_value_heads": 4 if with_norm else 2,
        "head_dim": hidden // config.num_attention_heads,
        "intermediate_size": math.ceil(inner / 64) * 64,
        "rms_norm_eps": EPS_WITH_Q_NORM if with_norm else 1e-5,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
    }
    return [f"{key}={getattr(config, key)!r}" for key, value in defaults.items() if getattr(config, key) != value]
