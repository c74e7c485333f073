"""The package `gguf`, which only those need who read or write such files."""

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
    """Whether a file is one by its name or its first bytes; ollama's own have no ending."""
    if path.suffix == ".gguf":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:  # which opening it will say again
        return False
