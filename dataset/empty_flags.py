"""Flags whose value is empty, as `--save_path "$FILE"` is where the variable is not set. Loaded only to refuse them."""

import argparse

from model.errors import UsageError


def refuse_empty(parser: argparse.ArgumentParser, known: argparse.Namespace) -> None:
    """Raises `UsageError` for a value that is empty and no text: no file, folder or name is empty."""
    for action in parser._actions:
        value = getattr(known, action.dest, None)
        if "" not in (value if isinstance(value, list) else [value]) or action.metavar == "TEXT":
            continue
        what = "give a value" if action.required else "give a value, or leave it out"
        if action.dest in ("out_dir", "save_dir"):
            what = "name a folder (. is the one you are in)"
        name = next(iter(action.option_strings), action.metavar or action.dest)
        raise UsageError(f"{name} is empty, as an unset variable is: {what}")
