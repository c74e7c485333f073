"""Hugging Face folders, in both directions, without `transformers` (which takes seconds to import).

The network is a Llama, Qwen2 or Qwen3 under their own parameter names, so no weight is renamed or changed;
what differs between the programs that read a folder is where `config.json` keeps the rotary settings:

* transformers 4, vLLM and llama.cpp of that time: `rope_theta` and `rope_scaling`,
* transformers 5 and what followed: `rope_parameters` with both in it.

All of them are written, and either is read.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.config import TransformerConfig, is_positive_number
from model.disk import sync_folder
from model.errors import SproutError, UsageError
from model.text.tokenizer import IM_END, Tokenizer
from model.whole import EMBEDDING, plain_state_dict, unwrapped

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_YARN_KEYS = ("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow")
# What the values in config.json must be where they are there and not null. Sizes are left to TransformerConfig.
_KINDS = (
    (("rope_scaling", "rope_parameters"), "an object", lambda value: isinstance(value, dict)),
    (("layer_types",), "a list", lambda value: isinstance(value, list)),
    (
        ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window"),
        "true or false",
        lambda value: isinstance(value, bool),
    ),
    (
        ("max_position_embeddings", "rope_theta", "partial_rotary_factor", *_YARN_KEYS),
        "a finite number above 0",
        is_positive_number,
    ),
)


# --- export -----------------------------------------------------------------------------------------


def export_folder(
    folder: str | Path, model: torch.nn.Module, tokenizer: Tokenizer, dtype: torch.dtype | None = None
) -> list[Path]:
    """Writes the folder that `AutoModelForCausalLM` and `AutoTokenizer` open, and returns its files.

    dtype: of the weights in the file; None keeps theirs. The folder appears whole: it is written under another
    name and renamed. An earlier export is replaced; a folder with any other file in it is refused (`SproutError`).
    """
    folder = Path(folder).resolve()  # "." has no name of its own; a link stays a link
    weights = plain_state_dict(model)
    if dtype is not None:
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    config = hf_config(unwrapped(model).config, tokenizer, weights[EMBEDDING].dtype)
    texts = {
        **tokenizer.files,
        "config.json": _to_json(config),
        "generation_config.json": _to_json(
            {key: config[key] for key in ("bos_token_id", "pad_token_id")} | {"eos_token_id": _ends(tokenizer)}
        ),
    }
    strangers = _files_of_others(folder, [*texts, WEIGHTS])
    if strangers:
        raise SproutError(f"{folder} holds {', '.join(strangers[:3])}, which no export writes: choose another folder")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="\n")
        # transformers refuses a file without this mark.
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        for path in temporary.iterdir():
            path.chmod((temporary / "config.json").stat().st_mode)  # safetensors gives others no right to read
            _sync_file(path)
        _take_place(temporary, folder)
    except (OSError, SafetensorError) as error:
        raise SproutError(f"cannot write {folder} ({error}): make room or choose another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(folder.iterdir())


def _take_place(new: Path, folder: Path) -> None:
    """Renames `new` to `folder`. A folder that was there goes only after that; if the renaming fails, it stays.

    No call exchanges two folders everywhere. A process killed between the renames leaves the earlier one under
    its other name, which is not hidden.
    """
    earlier = folder.with_name(f"{folder.name}.earlier.{os.getpid()}")
    replaces = folder.exists()
    if replaces:
        os.replace(folder, earlier)
    try:
        os.replace(new, folder)
    except BaseException:
        if replaces:
            os.replace(earlier, folder)
        raise
    sync_folder(folder.parent)
    if replaces:
        shutil.rmtree(earlier, ignore_errors=True)


def _files_of_others(folder: Path, ours: list[str]) -> list[str]:
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise SproutError(f"{folder} is a file: give a folder to export into")
    return sorted(path.name for path in folder.iterdir() if path.name not in ours or not path.is_file())


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _to_json(values: dict) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _ends(tokenizer: Tokenizer) -> int | list[int]:
    """What ends a text; and the end of a chat's turn, where that is another token, as in Qwen's base models."""
    of_turn = tokenizer.vocab.get(IM_END, tokenizer.eos_id)
    other = of_turn != tokenizer.eos_id and of_turn in tokenizer.special_ids
    return [tokenizer.eos_id, of_turn] if other else tokenizer.eos_id


def hf_config(config: TransformerConfig, tokenizer: Tokenizer, dtype: torch.dtype) -> dict:
    """`config.json` of a network whose weights are stored in `dtype`."""
    kind = config.model_type
    if kind != "qwen3" and config.hidden_size % config.num_attention_heads:
        raise SproutError(
            f"transformers opens no {kind} of hidden_size {config.hidden_size} with"
            f" {config.num_attention_heads} heads: it wants the one divisible by the other"
        )
    rope = _rope_to_hf(config)
    positions = config.max_position_embeddings
    if rope["rope_scaling"] is not None:
        # transformers 4 and vLLM compute one of these three from the other two, and 5 warns if they disagree.
        positions = round(rope["rope_scaling"]["original_max_position_embeddings"] * rope["rope_scaling"]["factor"])
    dtype_name = str(dtype).removeprefix("torch.")
    values = {
        "architectures": [ARCHITECTURES[kind]],
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
    }
    if kind == "qwen2":  # the bias on q, k and v is part of this architecture, and no key says so
        return values | {"use_sliding_window": False, "sliding_window": None}
    if kind == "qwen3":
        return values | {"attention_bias": False, "use_sliding_window": False, "sliding_window": None}
    return values | {"attention_bias": False, "mlp_bias": False}


def _rope_to_hf(config: TransformerConfig) -> dict:
    scaling = None
    if config.rope_scaling is not None:
        given = {key: config.rope_scaling.get(key) for key in _YARN_KEYS}
        given["original_max_position_embeddings"] = (
            given["original_max_position_embeddings"] or config.max_position_embeddings
        )
        scaling = {"rope_type": "yarn"} | {key: value for key, value in given.items() if value is not None}
    parameters = {"rope_theta": config.rope_theta} | (scaling or {"rope_type": "default"})
    return {"rope_theta": config.rope_theta, "rope_scaling": scaling, "rope_parameters": parameters}


# --- import -----------------------------------------------------------------------------------------


def import_folder(folder: str | Path) -> tuple[TransformerConfig, dict[str, torch.Tensor], Tokenizer]:
    """Configuration, weights (on the CPU, dtype as stored) and tokenizer of a Llama, Qwen2 or Qwen3 folder.

    Raises `SproutError` for a network that is not exactly one of these, rather than opening it almost right.
    No code from the folder is ever run.
    """
    folder = Path(folder)
    values = _read_json(folder / "config.json")
    tokenizer = Tokenizer.load(folder)
    return config_from_hf(values, tokenizer, folder), _read_weights(folder), tokenizer


def config_from_hf(values: dict, tokenizer: Tokenizer, folder: str | Path) -> TransformerConfig:
    """The configuration in a `config.json` of transformers 4 or 5; absent keys take HF's defaults."""
    _check_kinds(values, folder)
    kind = values.get("model_type")

    def refuse(what: str):
        raise SproutError(f"{folder} {what}, which Sprout cannot run: only plain Llama, Qwen2 and Qwen3 networks")

    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        refuse(f"is a network of model_type {kind}")
    if "auto_map" in values:
        refuse("brings code of its own (auto_map)")
    if values.get("quantization_config"):
        refuse("is quantised")
    if values.get("hidden_act", "silu") != "silu":
        refuse(f"has hidden_act {values['hidden_act']}")
    if values.get("mlp_bias"):
        refuse("has mlp_bias")
    if values.get("attention_bias") and kind != "qwen2":
        refuse(f"has attention_bias (a {kind} then has one on o_proj too, or beside q_norm)")
    sliding = values.get("use_sliding_window") and values.get("sliding_window") is not None
    if sliding or any(layer != "full_attention" for layer in values.get("layer_types") or []):
        refuse("attends through a sliding window")
    theta, scaling = _rope_from_hf(values, refuse, folder)

    try:
        heads = values["num_attention_heads"]
        head_dim = values.get("head_dim") or (128 if kind == "qwen3" else None)
        return TransformerConfig(
            vocab_size=values["vocab_size"],
            hidden_size=values["hidden_size"],
            intermediate_size=values["intermediate_size"],
            num_hidden_layers=values["num_hidden_layers"],
            num_attention_heads=heads,
            num_key_value_heads=values.get("num_key_value_heads") or heads,
            head_dim=head_dim,
            max_position_embeddings=values.get("max_position_embeddings", 2048 if kind == "llama" else 32768),
            rope_theta=theta,
            rope_scaling=scaling,
            rms_norm_eps=values.get("rms_norm_eps", 1e-6),
            tie_word_embeddings=values.get("tie_word_embeddings", False),
            attention_bias=kind == "qwen2",
            qk_norm=kind == "qwen3",
            # The tokenizer says what ends a text; config.json may list several ids or an older one.
            pad_token_id=tokenizer.pad_id,
            bos_token_id=tokenizer.bos_id,
            eos_token_id=tokenizer.eos_id,
        )
    except KeyError as error:
        raise SproutError(f"{folder}/config.json has no {error.args[0]}: it is not whole") from error
    except UsageError as error:
        raise SproutError(f"{folder}/config.json: {error}") from error


def _check_kinds(values: dict, folder: str | Path) -> None:
    """Raises `SproutError` for a value of a kind that its key cannot have."""
    for keys, kind, fits in _KINDS:
        for key in keys:
            if values.get(key) is not None and not fits(values[key]):
                raise SproutError(f"{folder}/config.json: {key} is {values[key]!r}, but must be {kind}")


def _rope_from_hf(values: dict, refuse, folder: str | Path) -> tuple[float, dict | None]:
    """rope_theta and the YaRN settings (or None), from either generation of keys."""
    new, old = values.get("rope_parameters") or {}, values.get("rope_scaling") or {}
    for settings in (new, old):
        _check_kinds(settings, folder)
    rope = dict(old or new)  # where both are given, transformers follows the old one, which people edit by hand
    theta = float(rope.pop("rope_theta", None) or values.get("rope_theta") or new.get("rope_theta") or 10000.0)
    kind = rope.pop("rope_type", None) or rope.get("type") or "default"
    rope.pop("type", None)
    partial = rope.pop("partial_rotary_factor", values.get("partial_rotary_factor"))
    if partial not in (None, 1, 1.0):
        refuse(f"rotates only a part of each head (partial_rotary_factor {partial})")
    rope = {key: value for key, value in rope.items() if value is not None}
    strange = sorted(set(rope) - set(_YARN_KEYS if kind == "yarn" else ()))
    if kind not in ("default", "yarn") or strange:
        refuse(f"has rotary embeddings of type {kind}" + (f" with {', '.join(strange)}" if strange else ""))
    if kind == "default":
        return theta, None
    length = values.get("max_position_embeddings") or 32768
    rope.setdefault("original_max_position_embeddings", length)
    if "factor" not in rope:
        rope["factor"] = length / rope["original_max_position_embeddings"]
    return theta, {"rope_type": "yarn"} | rope


def _read_json(path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SproutError(f"{path.parent} is not a Hugging Face folder: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SproutError(f"{path} cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise SproutError(f"{path} is not a JSON object")
    return values


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    if (folder / WEIGHTS).exists():
        shards = [WEIGHTS]
    elif (folder / INDEX).exists():
        shards = _shards(folder / INDEX)
    else:
        pickled = " (pytorch_model.bin could run code: convert it)" if any(folder.glob("*.bin")) else ""
        raise SproutError(f"{folder} has no {WEIGHTS}{pickled}: only safetensors are opened")
    weights: dict[str, torch.Tensor] = {}
    for shard in shards:
        try:
            weights.update(load_file(folder / shard))
        except FileNotFoundError as error:
            raise SproutError(f"{folder} lacks {shard}, a part of the weights: download it again") from error
        except (OSError, SafetensorError) as error:
            raise SproutError(f"{folder / shard} is damaged ({error}): copy it again") from error
    return weights


def _shards(index: Path) -> list[str]:
    """The names of the files that an index spreads the weights over."""
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise SproutError(f"{index} has no weight_map from names of weights to names of files: download it again")
    shards = sorted(set(places.values()))
    for shard in shards:
        if Path(shard).name != shard:
            raise SproutError(f"{index} names a file outside of the folder: {shard}")
    return shards
