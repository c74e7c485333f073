"""Flags that do not exist: which one was meant."""

import difflib
from collections.abc import Sequence

# What other programs call flags, where the nearest name would be another.
ELSEWHERE = {
    "--lr": "--learning_rate",
    "--wd": "--weight_decay",
    "--bs": "--batch_size",
    "--seq_len": "--max_seq_len",
    "--max_length": "--max_seq_len",
    "--model": "--from_weight",
    "--load": "--from_weight",
    "--output": "--out_dir",
}


def sentence_about(flag: str, flags: Sequence[str]) -> str:
    """What is said of a flag that is not among `flags`, with the nearest of them."""
    if not flag.startswith("-"):
        hint = ": values follow a flag such as --data_path" if "--data_path" in flags else ""
        return f"unexpected argument {flag!r}{hint} (see --help)"
    name = flag.split("=")[0].replace("-", "_").replace("__", "--", 1)
    close = difflib.get_close_matches(ELSEWHERE.get(name, name), flags, n=1)
    return f"unknown flag {flag}" + (f": did you mean {close[0]}?" if close else " (see --help)")
