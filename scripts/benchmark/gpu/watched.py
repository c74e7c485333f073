"""Runs a script of a checkout as it is. Asked by SIGUSR1, it writes the peaks of its memory to a file, as JSON.

    python -P scripts/benchmark/gpu/watched.py memory.json train_pretrain.py --preset 26m

It runs scripts of other checkouts, too, so it uses nothing of this one. Until it is asked it does nothing.
"""

import json
import os
import runpy
import signal
import sys


def main(file: str, script: str, *words: str) -> None:
    """`allocated` and `reserved`, in bytes, of a CUDA GPU; None on other devices."""

    def write(number, frame) -> None:
        torch, found = sys.modules.get("torch"), {"allocated": None, "reserved": None}
        if torch and torch.cuda.is_initialized():
            found = {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
        with open(f"{file}.part", "w", encoding="utf-8") as written:
            json.dump(found, written)
        os.replace(f"{file}.part", file)

    signal.signal(signal.SIGUSR1, write)
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        sys.exit(print(__doc__))
    main(*sys.argv[1:])
