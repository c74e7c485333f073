"""Reads Hugging Face folders, without `transformers` (which takes seconds to import)."""

import json
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.hf_config import config_from_hf
from model.text.exported import rebuilding_class
from model.text.tokenizer import Tokenizer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
# Values with which each of its settings changes nothing.
PLAIN = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1, "repetition_penalty": 1}


def import_folder(folder: str | Path) -> tuple[TransformerConfig, dict[str, torch.Tensor], Tokenizer]:
    """Configuration, weights (on the CPU, dtype as stored) and tokenizer of a Llama, Qwen2, Qwen3(-MoE), GPT-2 folder.

    Raises `SproutError` for a network that is not exactly one of these, rather than opening it almost right.
    No code from the folder is ever run.
    """
    folder = Path(folder)
    values = read_json(folder / "config.json")
    if (folder / "adapter_config.json").exists():  # transformers would put them on
        raise SproutError(
            f"{folder} holds adapters (adapter_config.json) beside the network: move them into a folder of their own,"
            " and give it with --lora"
        )
    if values.get("model_type") == "gpt2":
        from model.files import gpt2  # no other network needs it

        tokenizer = gpt2.tokenizer_of_gpt2(folder)
        config = gpt2.config_of_gpt2(values, tokenizer, folder)
        weights = gpt2.weights_from_hf(_read_weights(folder), folder)
    else:
        tokenizer = Tokenizer.load(folder)
        config, weights = config_from_hf(values, tokenizer, folder), _read_weights(folder)
        if config.model_type == "qwen3_moe":
            from model.files.experts import stacked  # dense networks do not load it

            weights = stacked(weights, config.num_experts, folder)
    if name := rebuilding_class(tokenizer.config, tokenizer, values["model_type"]):
        print(
            f"note: AutoTokenizer of transformers 5 rebuilds the tokenizer of {folder} as {name}, which gives some"
            " texts other ids than its tokenizer.json; Sprout follows tokenizer.json",
            file=sys.stderr,
        )
    if asked := _sampling_of(folder):
        print(
            f"note: {folder / GENERATION} asks for {', '.join(asked)}; Sprout samples by its own flags, and an export"
            " of this network leaves them out",
            file=sys.stderr,
        )
    return config, weights, tokenizer


def _sampling_of(folder: Path) -> list[str]:
    """How the folder says that its network should be sampled, in words; [] if nothing there differs from plain."""
    try:
        values = read_json(folder / GENERATION)
    except SproutError:
        return []  # few folders lack it, and none needs it
    names = PLAIN if values.get("do_sample") is True else ("repetition_penalty",)  # greedy generation uses no other
    asked = {name: values[name] for name in names if isinstance(values.get(name), int | float)}
    return [f"{name} {value!s:.20}" for name, value in asked.items() if value != PLAIN[name]]


def facts_of_folder(folder: str | Path) -> dict:
    """The facts that `export_folder` was given; {} for a folder that Sprout did not write."""
    facts = read_json(Path(folder) / "config.json").get("sprout")
    return facts if isinstance(facts, dict) else {}


def read_json(path: Path) -> dict:
    """A JSON object of a folder. Raises `SproutError` where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SproutError(f"{path.parent} is not a Hugging Face folder: it has no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SproutError(f"{path} cannot be read ({error}): download the folder again") from error
    if not isinstance(values, dict):
        raise SproutError(f"{path} is not a JSON object: download the folder again")
    return values


def _read_weights(folder: Path) -> dict[str, torch.Tensor]:
    if (folder / WEIGHTS).exists():
        shards = [WEIGHTS]
    elif (folder / INDEX).exists():
        shards = _shards(folder / INDEX)
    else:
        pickled = (
            " (pytorch_model.bin could run code: convert it by save_pretrained of transformers)"
            if any(folder.glob("*.bin"))
            else ""
        )
        raise SproutError(f"{folder} has no {WEIGHTS}{pickled}: only safetensors are opened")
    weights: dict[str, torch.Tensor] = {}
    for shard in shards:
        try:
            weights.update(load_file(folder / shard))
        except FileNotFoundError as error:
            raise SproutError(f"{folder} lacks {shard}, a part of the weights: download that file") from error
        except (OSError, SafetensorError) as error:
            raise SproutError(f"{folder / shard} is damaged ({error}): copy it again") from error
    return weights


def _shards(index: Path) -> list[str]:
    """The names of the files that an index spreads the weights over."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise SproutError(f"{index} has no weight_map from names of weights to names of files: download it again")
    shards = sorted(set(places.values()))
    for shard in shards:
        if Path(shard).name != shard:
            raise SproutError(f"{index} names {shard}, which is outside the folder: download the folder again")
    return shards
