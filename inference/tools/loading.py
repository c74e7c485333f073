"""The functions that `--tools` names: built-in ones, and the public functions of Python files.

A file is run when it is loaded, which is done in the process that runs the tools and in no other.
"""

import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from inference.tools.schemas import schema_of
from model.errors import SproutError, UsageError

BUILT_IN = ("calculator", "lookup")


def refuse_unknown(sources: Sequence[str]) -> None:
    """Raises `UsageError` for a source that is neither built in nor a file."""
    for source in sources:
        if source not in BUILT_IN and not os.path.isfile(source):
            raise UsageError(f"there is no tool {source}: name a Python file, or {' or '.join(BUILT_IN)}")


def load(sources: Sequence[str]) -> dict[str, tuple[dict, Callable]]:
    """Schema and function of each tool, by name, in order. Raises `SproutError` for what cannot be a tool."""
    tools: dict[str, tuple[dict, Callable]] = {}
    for source in dict.fromkeys(sources):
        functions = [_built_in(source)] if source in BUILT_IN else _functions_of(source)
        for function in functions:
            if function.__name__ in tools:
                raise SproutError(f"{source}: there is a tool {function.__name__} already: rename one of the two")
            tools[function.__name__] = (schema_of(function, source), function)
    return tools


def _built_in(name: str) -> Callable:
    return getattr(importlib.import_module(f"inference.tools.{name}"), name)


def advice_on(error: SyntaxError) -> str:
    """What to do about a file of Python that Windows' Notepad, say, saved in another encoding than UTF-8."""
    return ": save the file as UTF-8" if error.lineno is None or "(unicode error) 'utf-8'" in error.msg else ""


def _functions_of(file: str) -> list[Callable]:
    """The public functions that a file defines itself, in its order."""
    path = Path(file).resolve()
    name = str(path)  # no other module's: a file called json.py hides nothing
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, name))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses, for one, look their module up there
    sys.path.append(str(path.parent))  # what stands beside a file can be imported from it, as when it is run
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise SproutError(f"{file}, line {error.lineno or 1}: {error.msg}{advice_on(error)}") from error
    except BaseException as error:  # whatever a user's file raises
        raise SproutError(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
    functions = [
        value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and inspect.isfunction(inspect.unwrap(value) if callable(value) else value)
        and value.__module__ == name
    ]
    if not functions:
        raise SproutError(f"{file} has no public function, so no tool: define one there")
    return functions
