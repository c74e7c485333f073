"""Writes Hugging Face folders, without `transformers` (which takes seconds to import).

The network is a Llama, Qwen2 or Qwen3 under their own parameter names, so no weight is renamed or changed. Those of
experts, stacked in memory, have a name each in a folder (`model/files/experts.py`).
"""

import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from model.disk import HOST, sweep_temporaries, sync_folder
from model.errors import SproutError
from model.files.finite import refuse_not_finite
from model.files.hf_config import hf_config
from model.files.hf_import import GENERATION, WEIGHTS
from model.files.replacing import MARK, earlier_export
from model.processes import is_another_living_process
from model.text.exported import MODULE, files_for
from model.text.tokenizer import FILE_NAMES, IM_END, Tokenizer
from model.whole import EMBEDDING, SCORE, plain_state_dict, unwrapped


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
    config, weights = _as_stored(model, tokenizer, dtype)
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


def _as_stored(model: torch.nn.Module, tokenizer: Tokenizer, dtype: torch.dtype | None) -> tuple[dict, dict]:
    """`config.json`, and the weights under the names and in the type that a folder has."""
    ours = {name: tensor for name, tensor in plain_state_dict(model).items() if ".lora_" not in name}
    weights = ours if dtype is None else {name: tensor.to(dtype) for name, tensor in ours.items()}
    refuse_not_finite(ours, weights)
    config = unwrapped(model).config
    dtype = weights[EMBEDDING].dtype
    if config.model_type == "gpt2":
        from model.files.gpt2 import hf_config_of_gpt2, weights_to_hf  # no other network needs it

        return hf_config_of_gpt2(config, tokenizer, dtype), weights_to_hf(weights)
    values = hf_config(config, tokenizer, dtype, reward=SCORE in weights)
    if config.model_type == "qwen3_moe":
        from model.files.experts import unstacked  # dense networks do not load it

        weights = unstacked(weights)
    return values, weights


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
