"""`--config FILE.yaml`: flags from a file, under their own names."""

import os
from pathlib import Path

import yaml

from dataset.unknown_flags import sentence_about
from model.errors import UsageError


class _AsWritten(yaml.BaseLoader):
    """Reads values as the words that stand there: YAML takes 2024_11_29 and 010 for other numbers, and no for false.

    Raises `yaml.YAMLError` where a name stands twice.
    """

    def construct_mapping(self, node, deep=False):
        names = [self.construct_object(name) for name, _ in node.value]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]} stands there twice")
        return super().construct_mapping(node, deep)


HELD_OUT = ("val_path", "val_ratio")  # argparse would refuse --val_ratio 0 beside --val_path, which agree
SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def flags_in(path: str, parser, given) -> list[str]:
    """The flags of a YAML file, as they would stand on the command line of `parser`.

    given: the flags of the command line itself. A list that it gives replaces that of the file, even where repeating
    the flag makes the list longer, and one of two flags that exclude each other replaces the other one of the file.
    Raises `UsageError` for a file that is not one of flags.
    """
    values = _values_in(path)
    actions = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if action.dest not in ("help", "config") and not option.startswith("--no_")
    }
    words = []
    for name, value in values.items():
        if name == "config":
            raise UsageError(f"--config {path}: a file of flags cannot name another one: leave out config")
        if name not in actions:
            raise UsageError(f"--config {path}: {sentence_about(f'--{name}', list(parser._option_string_actions))}")
        if not _is_replaced(actions[name], parser, given):
            words += _as_on_command_line(name, actions[name], value, path, parser)
    try:
        parser.parse_known_args(words)
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from None
    return words


def _values_in(path: str) -> dict:
    """What stands in the file, by name. Raises `UsageError` where it is no file of flags."""
    if is_lonely_pipe(path):
        raise UsageError(f"--config {path} is a pipe, from which nothing may ever come: name a file")
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.load(file, _AsWritten)
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read ({error.strerror}): check the name") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {path} cannot be read, as it is not UTF-8: save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"--config {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} must hold lines of the form `flag: value`")
    return values


def is_lonely_pipe(path: str) -> bool:
    """Whether this is a pipe with a name, to which nobody may ever write; one that a shell makes, `<(...)`, is read."""
    place = Path(os.path.realpath(path))
    return place.is_fifo() and place.parts[:2] != ("/", "dev")


def _is_replaced(action, parser, given) -> bool:
    """Whether the command line itself gives a list that the flag would only make longer, or a flag that excludes it."""
    if type(action).__name__ == "_ExtendAction" and getattr(given, action.dest) is not None:
        return True
    # By identity, as argparse does: a flag may be given with the value that it has by default.
    return any(getattr(given, other.dest) is not other.default for other in _excluded_by(action, parser))


def _excluded_by(action, parser) -> list:
    """The flags that cannot stand beside this one, such as --weight_path beside --from_weight."""
    groups = [group._group_actions for group in parser._mutually_exclusive_groups if action in group._group_actions]
    if action.dest in HELD_OUT:
        groups.append([each for each in parser._actions if each.dest in HELD_OUT])
    return [other for group in groups for other in group if other is not action]


def _as_on_command_line(name, action, value, path, parser) -> list[str]:
    flag, is_on = f"--{name}", SWITCH.get(value.lower()) if isinstance(value, str) else None
    if action.nargs == 0 or (action.nargs == "?" and is_on is not None):  # a switch
        if is_on is None:
            raise UsageError(f"--config {path}: {name} is a switch: true or false, not {value!r}")
        off = f"--no_{name}"
        return [flag] if is_on else [off] if off in parser._option_string_actions else []
    if is_on is not None and action.choices and value not in action.choices:
        value = "on" if is_on else "off"
    if value in ("", "~", "null") or isinstance(value, dict) or (isinstance(value, list) and action.nargs is None):
        raise UsageError(f"--config {path}: {name} takes one value, not {value!r}")
    if "\0" in str(value):  # a command line cannot hold it
        raise UsageError(f"--config {path}: {name} contains a NUL character")
    return [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]
