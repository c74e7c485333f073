"""Adapters as Hugging Face's `peft` keeps them: `adapter_config.json` and `adapter_model.safetensors` in a folder.

Its parameters have our names behind the prefix `base_model.model.`, so only the prefix is added or removed. Settings
that peft supports and Sprout does not are refused, never opened almost right.
"""

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from model.disk import sweep_temporaries, write_atomically
from model.errors import SproutError
from model.files.replacing import MARK, earlier_export
from model.files.state_dict import without_wrappers
from model.json_text import json_text
from model.lora import TARGETS, Lora, lora_state_dict
from model.text.tokenizer import FILE_NAMES, Tokenizer
from model.whole import adapters_of, unwrapped

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_BASE = "sprout_base"  # in the header of the weights, where peft does not look: the fingerprint of the network

# The values that mean plain LoRA; with any other value of these keys, peft computes something else.
_PLAIN = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal"),  # the others begin with other weights of the network
    "loftq_config": ({},),
}
_OFF = (
    *("use_dora", "use_qalora", "use_bdlora", "lora_bias", "fan_in_fan_out", "modules_to_save", "rank_pattern"),
    *("alpha_pattern", "layer_replication", "trainable_token_indices", "target_parameters", "alora_invocation_tokens"),
    *("arrow_config", "corda_config", "eva_config", "kasa_config", "lora_ga_config", "monteclora_config"),
    *("velora_config", "megatron_config"),
)


def refuse_peft_folder(folder: str | Path, model: nn.Module) -> None:
    """Raises `SproutError` where `write_peft_folder` cannot write: a file, a folder of others, a GPT-2."""
    folder = Path(folder)
    if unwrapped(model).config.model_type == "gpt2":
        raise SproutError("peft adapts other matrices of a GPT-2 (c_attn): merge the adapters, and export the whole")
    if folder.exists() and not folder.is_dir():
        raise SproutError(f"{folder} is a file: give a folder to export into")
    sweep_temporaries(folder)  # they are not others' files
    strangers = sorted(path.name for path in folder.glob("*") if path.name not in (CONFIG, WEIGHTS, *FILE_NAMES))
    if strangers:
        raise SproutError(f"{folder} holds {', '.join(strangers[:3])}, which no export writes: choose another folder")
    earlier_export(folder, WEIGHTS)


def write_peft_folder(
    folder: str | Path, model: nn.Module, base: str | None = None, tokenizer: Tokenizer | None = None
) -> list[Path]:
    """Writes the adapters of a network as the folder that `PeftModel.from_pretrained` opens; returns its files.

    base: the HF folder of the network itself, for `AutoPeftModel`. tokenizer: where that folder has not the chat
    template that the adapters learned with; `AutoTokenizer` opens it here. Each file is whole or absent, the settings
    last. Raises `SproutError` for a folder with anything else in it.
    """
    folder, lora = Path(folder), adapters_of(model)
    refuse_peft_folder(folder, model)
    weights = {PREFIX + name: tensor for name, tensor in lora_state_dict(model).items()}
    marks = {"format": "pt"} | MARK | ({_BASE: lora.base} if lora.base else {})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(lora.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "use_dora": False,
        "use_rslora": False,
    }
    text = json_text(settings, indent=2) + "\n"
    (folder / CONFIG).unlink(missing_ok=True)  # without it, an interrupted export is not read as adapters
    write_atomically(folder / WEIGHTS, lambda file: file.write(save(weights, metadata=marks)))
    texts = tokenizer.files if tokenizer else {}
    for name in FILE_NAMES:
        (folder / name).unlink(missing_ok=True)  # of an earlier export
    for name, content in (texts | {CONFIG: text}).items():
        write_atomically(folder / name, lambda file, content=content: file.write(content.encode()))
    return [folder / name for name in (CONFIG, WEIGHTS, *texts)]


def read_peft_folder(folder: str | Path) -> tuple[Lora, dict[str, torch.Tensor]]:
    """What adapters a folder holds, and their weights under our names.

    Raises `SproutError` for anything but plain LoRA on linear layers of the blocks.
    """
    folder = Path(folder)
    settings = _read_settings(folder / CONFIG)
    weights, base = _read_weights(folder / WEIGHTS)
    plain = without_wrappers(weights, folder / WEIGHTS)
    weights = {_own_name(name, folder): tensor for name, tensor in plain.items()}
    targets = {name.split(".")[-3] for name in weights}  # target_modules may be a pattern; what is there is there
    if unknown := sorted(targets - {*TARGETS}):
        raise SproutError(f"{folder} adapts {unknown[0]}: Sprout has adapters on {', '.join(TARGETS)} only")
    rank, alpha = settings["r"], settings["lora_alpha"]
    if settings.get("use_rslora"):  # scaled by alpha / sqrt(rank)
        alpha *= math.sqrt(rank)
    where = settings.get("base_model_name_or_path")
    where = where if isinstance(where, str) and where else None
    ordered = tuple(name for name in TARGETS if name in targets)
    return Lora(rank, alpha, ordered, settings["lora_dropout"], base, where), weights


def _read_settings(path: Path) -> dict:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SproutError(f"{path} cannot be read ({error}): copy it again") from error
    if not isinstance(settings, dict) or settings.get("peft_type") != "LORA":
        kind = settings.get("peft_type") if isinstance(settings, dict) else None
        raise SproutError(f"{path} does not describe LoRA adapters: its peft_type is {kind!r}")
    settings = {"r": 8, "lora_alpha": 8, "lora_dropout": 0.0} | settings  # as peft has them
    rank, alpha, dropout = settings["r"], settings["lora_alpha"], settings["lora_dropout"]
    numbers = [isinstance(x, int | float) and not isinstance(x, bool) for x in (rank, alpha, dropout)]
    if not all(numbers) or not isinstance(rank, int) or rank < 1 or not 0 < alpha < math.inf or not 0 <= dropout < 1:
        raise SproutError(f"{path} cannot be used: r {rank!r}, lora_alpha {alpha!r}, lora_dropout {dropout!r}")
    strange = [key for key in _OFF if settings.get(key)]
    strange += [key for key, plain in _PLAIN.items() if settings.get(key, plain[0]) not in (None, *plain)]
    if strange:
        raise SproutError(
            f"{path} has {strange[0]} {settings[strange[0]]!r}, which Sprout cannot compute: it reads plain LoRA only"
        )
    return settings


def _read_weights(path: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    if not path.exists():
        raise SproutError(f"{path.parent} has no {path.name}: only safetensors are opened")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(_BASE)
    except (OSError, SafetensorError) as error:
        raise SproutError(f"{path} is damaged ({error}): copy it again") from error


def _own_name(name: str, folder: Path) -> str:
    own = name.removeprefix(PREFIX)
    if own == name or not own.endswith((".lora_A.weight", ".lora_B.weight")):
        raise SproutError(f"{folder / WEIGHTS} holds {name}, which is not an adapter of a linear layer")
    return own
