"""The package `gguf`, which is needed only to read or write GGUF files."""

from pathlib import Path

from model.errors import SproutError

MAGIC = b"GGUF"  # what such a file begins with


def gguf_library():
    """The package. Raises `SproutError` that says how to install it."""
    try:
        import gguf
    except ImportError as error:
        raise SproutError('GGUF files need the package gguf: pip install -e ".[gguf]"') from error
    return gguf


def is_gguf(path: Path) -> bool:
    """Whether a file is a GGUF file, by its name or its first bytes; files that ollama stores have no ending."""
    if path.suffix == ".gguf":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:  # opening it reports the error
        return False
