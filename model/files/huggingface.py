"""Hugging Face folders, in both directions, without `transformers` (which takes seconds to import).

The network is a Llama, Qwen2 or Qwen3 under their own parameter names, so no weight is renamed or changed. Those of
experts, stacked in memory, have a name each in a folder (`model/files/experts.py`).
"""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model.config import TransformerConfig
from model.disk import HOST, sweep_temporaries, sync_folder
from model.errors import SproutError
from model.files.finite import refuse_not_finite
from model.files.hf_config import config_from_hf, hf_config
from model.files.replacing import MARK, earlier_export
from model.processes import is_another_living_process
from model.text.exported import MODULE, files_for, rebuilding_class
from model.text.tokenizer import FILE_NAMES, IM_END, Tokenizer
from model.whole import EMBEDDING, SCORE, plain_state_dict, unwrapped

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
# Values with which each of its settings changes nothing.
PLAIN = {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0, "typical_p": 1, "repetition_penalty": 1}

# --- export -----------------------------------------------------------------------------------------


def export_folder(
    folder: str | Path,
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    dtype: torch.dtype | None = None,
    facts: dict | None = None,
    end_of_turn: int | None = None,
) -> list[Path]:
    """Writes the folder that `AutoModelForCausalLM` and `AutoTokenizer` open, and returns its files.

    A `RewardModel` becomes one that `AutoModelForSequenceClassification` opens, with one label.

    model: its adapters, if it has any, are not written: `write_peft_folder` writes them.
    dtype: of the weights in the file; None keeps theirs. facts: kept in config.json under "sprout", which transformers
    keeps and does not read; `facts_of_folder` returns them. end_of_turn: the id that ends an answer in chats (default:
    <|im_end|>, if it is a control token), at which generation has to stop, too. The folder appears whole: it is written
    beside and renamed. An earlier export is replaced; a folder with anything else in it is refused (`SproutError`),
    and so are weights that are not finite.
    """
    folder = Path(folder).resolve()  # "." has no name to write beside; a link is to stay one
    weights = {name: tensor for name, tensor in plain_state_dict(model).items() if ".lora_" not in name}
    stored = weights if dtype is None else {name: tensor.to(dtype) for name, tensor in weights.items()}
    refuse_not_finite(weights, stored)
    weights = stored
    config = unwrapped(model).config
    if config.model_type == "gpt2":
        from model.files.gpt2 import hf_config_of_gpt2, weights_to_hf  # no other network needs it

        config, weights = hf_config_of_gpt2(config, tokenizer, weights[EMBEDDING].dtype), weights_to_hf(weights)
    else:
        if config.model_type == "qwen3_moe":
            from model.files.experts import unstacked  # dense networks do not load it

            weights = unstacked(weights)
        config = hf_config(config, tokenizer, weights[EMBEDDING].dtype, reward=SCORE in weights)
    if facts:
        config["sprout"] = facts
    texts = {
        **files_for(tokenizer, config["model_type"]),
        "config.json": _to_json(config | MARK),
        GENERATION: _to_json(
            {key: config[key] for key in ("bos_token_id", "pad_token_id")}
            | {"eos_token_id": _ends(tokenizer, end_of_turn)}
        ),
    }
    strangers = _files_of_others(folder, [*texts, WEIGHTS, *FILE_NAMES, MODULE])
    if strangers:
        raise SproutError(f"{folder} holds {', '.join(strangers[:3])}, which no export writes: choose another folder")
    earlier_export(folder)
    sweep_temporaries(folder.parent)
    temporary = folder.with_name(f".{folder.name}.{HOST}-{os.getpid()}.tmp")
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
        from model.unwritable import remedy

        reason = getattr(error, "strerror", None) or error  # without the name of the temporary folder
        raise SproutError(f"cannot write {folder} ({reason}): {remedy(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(folder.iterdir())


def _take_place(new: Path, folder: Path) -> None:
    """Renames `new` to `folder`. A folder that was there goes only after that; if the renaming fails, it stays.

    No call exchanges two folders everywhere. A process killed between the renames leaves the earlier one under
    its other name, which is not hidden; once there is a whole export again, that one goes, too.
    """
    earlier = folder.with_name(f"{folder.name}.earlier.{HOST}-{os.getpid()}")
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
    for left in folder.parent.iterdir():
        beginning, _, process = left.name.rpartition("-")
        is_earlier = beginning == f"{folder.name}.earlier.{HOST}" and process.isdigit()
        if is_earlier and not is_another_living_process(int(process)):  # of this process, or of a dead one
            shutil.rmtree(left, ignore_errors=True)


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


def _ends(tokenizer: Tokenizer, of_turn: int | None) -> int | list[int]:
    """What ends a text here (`Tokenizer.end_ids`); and the end of a chat's turn, where it is a control token."""
    if of_turn is None:
        of_turn = tokenizer.vocab.get(IM_END, tokenizer.eos_id)
    others = tokenizer.end_ids | ({of_turn} & tokenizer.special_ids)
    ends = [tokenizer.eos_id, *sorted(others - {tokenizer.eos_id})]
    return ends if len(ends) > 1 else ends[0]


# --- import -----------------------------------------------------------------------------------------


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
