"""Writing a tokenizer into a folder that may hold another one, which is kept aside."""

import os
from pathlib import Path

from model.disk import previous_path, sweep_temporaries, write_atomically
from model.text.tokenizer import FILE_NAMES, Tokenizer


def replace_tokenizer(folder: Path, new: Tokenizer) -> list[Path]:
    """Writes the files of `new`; those of another tokenizer that was there are kept aside, and returned.

    Each file takes the place of the old one in a moment, so the folder is never without a tokenizer. Whatever goes
    wrong, Ctrl-C included, the old tokenizer is put back. Raises `SproutError` where the folder cannot be written.
    """
    sweep_temporaries(folder)
    old = {folder / name: (folder / name).read_bytes() for name in FILE_NAMES if (folder / name).exists()}
    earlier = {previous_path(path) for path in old if previous_path(path).exists()}
    wanted = {name: text.encode("utf-8") for name, text in new.files.items()}
    kept = {path for path, content in old.items() if content != wanted.get(path.name)}
    if folder / FILE_NAMES[0] in kept:  # else a killed run wrote it, and has kept the one before: that one stays
        kept = set(old)
    try:
        write_files(folder, wanted, kept)
        for path in old:
            if path.name not in wanted:
                os.replace(path, previous_path(path))
    except BaseException:
        put_back(old, earlier, {folder / name for name in wanted})
        raise
    return [previous_path(path) for path in old if path in kept]


def write_files(folder: Path, files: dict[str, bytes], kept: set[Path]) -> None:
    for name, content in files.items():
        write_atomically(folder / name, lambda file, content=content: file.write(content), folder / name in kept)


def put_back(old: dict[Path, bytes], earlier: set[Path], new: set[Path]) -> None:
    """The tokenizer as it was. A file that was kept aside is renamed, which needs no room on the disk.

    earlier: what had been kept aside before, and stays where the old file is unchanged.
    """
    for path in new - old.keys():
        path.unlink(missing_ok=True)
    for path, content in old.items():
        is_changed = not holds(path, content)
        kept = previous_path(path)
        if holds(kept, content) and (is_changed or kept not in earlier):
            os.replace(kept, path)
        elif is_changed:
            write_atomically(path, lambda file, content=content: file.write(content))


def holds(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content
