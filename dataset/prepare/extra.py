"""The libraries of the extra `data`, imported where a document needs them."""

import importlib

from model.errors import SproutError


def library(name: str, what: str):
    """The module `name`. Raises SproutError that says what needs it (`what`) and how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SproutError(
            f'{what} needs {error.name or name}, which is not installed: pip install -e ".[data]"'
        ) from error
