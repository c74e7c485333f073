"""Folders that `save_to_disk` of Hugging Face's `datasets` wrote: files of Arrow, and `state.json` that lists them."""

import json
from pathlib import Path

from dataset.records.odd_files import NAMES
from model.errors import SproutError


def check_folder(path: Path) -> str:
    """The type of such a folder. Raises SproutError for any other, and for one that holds several splits."""
    if (path / "dataset_dict.json").is_file():
        splits = sorted(inner.name for inner in path.iterdir() if (inner / "state.json").is_file())
        raise SproutError(f"{path} holds several splits: name one of them, such as {path / (splits or ['train'])[0]}")
    if not (path / "state.json").is_file():
        raise SproutError(f"{path} is a folder: name the files in it, each ending in {NAMES}")
    data_files(path)
    return "save_to_disk"


def data_files(path: Path) -> list[Path]:
    """Its files of Arrow, in order. Raises SproutError where the folder is not whole."""
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        files = [path / Path(each["filename"]).name for each in state["_data_files"]]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise SproutError(
            f"{path / 'state.json'} does not describe a saved data set: save the data set again"
        ) from error
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise SproutError(f"{path} is not whole: it lacks {missing[0] if missing else 'its data'}; save it again")
    return files
