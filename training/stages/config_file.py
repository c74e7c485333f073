"""`--config FILE.yaml`: flags from a file, under their own names."""

import yaml

from dataset.unknown_flags import sentence_about
from model.errors import UsageError


def flags_in(path: str, parser, given) -> list[str]:
    """The flags of a YAML file, as they would stand on the command line of `parser`.

    given: the flags of the command line itself. A list that it gives replaces that of the file, even where repeating
    the flag makes the list longer. Raises `UsageError` for a file that is not one of flags.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} must hold lines of the form `flag: value`")
    actions = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if action.dest not in ("help", "config") and not option.startswith("--no_")
    }
    words = []
    for name, value in values.items():
        if name not in actions:
            raise UsageError(f"--config {path}: {sentence_about(f'--{name}', list(parser._option_string_actions))}")
        if type(actions[name]).__name__ == "_ExtendAction" and getattr(given, actions[name].dest) is not None:
            continue
        words += _as_on_command_line(name, actions[name], value, path, parser)
    try:
        parser.parse_known_args(words)
    except UsageError as error:
        raise UsageError(f"--config {path}: {error}") from None
    return words


def _as_on_command_line(name, action, value, path, parser) -> list[str]:
    flag = f"--{name}"
    if action.nargs == 0 or (action.nargs == "?" and isinstance(value, bool)):  # a switch
        if not isinstance(value, bool):
            raise UsageError(f"--config {path}: {name} is a switch: true or false, not {value!r}")
        off = f"--no_{name}"
        return [flag] if value else [off] if off in parser._option_string_actions else []
    if isinstance(value, bool) and action.choices:  # YAML takes on and off for true and false
        value = "on" if value else "off"
    if value is None or isinstance(value, dict) or (isinstance(value, list) and action.nargs is None):
        raise UsageError(f"--config {path}: {name} takes one value, not {value!r}")
    if "\0" in str(value):  # a command line cannot hold it
        raise UsageError(f"--config {path}: {name} contains a NUL character")
    return [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]
