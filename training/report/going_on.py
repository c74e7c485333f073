"""Command lines that a message proposes: each can be pasted where the user stands. Loaded only to say one."""

import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

from model.errors import SproutError

ROOT = Path(__file__).resolve().parents[2]
GO_ON = "SPROUT_GO_ON"  # set by a script that runs this one, such as the quickstart: the command that the user typed


def in_words(command) -> str:
    """A list of words as a line to paste, quoted as the shell of this system wants it."""
    words = list(map(str, command))
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def command_to_go_on(*flags: str) -> str:
    """The command that began this process, with `flags` behind it, or what the user typed to begin it."""
    if GO_ON in os.environ:
        return os.environ[GO_ON]
    words = list(sys.orig_argv)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun: it began one such process for each GPU
        words = ["torchrun", "--nproc_per_node", os.environ.get("LOCAL_WORLD_SIZE", "1"), *sys.argv]
        if (machines := os.environ.get("GROUP_WORLD_SIZE", "1")) != "1":  # each machine began its own torchrun
            meet = ["--rdzv_backend", "c10d", "--rdzv_endpoint", os.environ.get("MASTER_ADDR", "HOST")]
            words[1:1] = ["--nnodes", machines, *meet]
    return in_words([*words, *(flag for flag in flags if flag not in words)])


def command_of(script: str, *flags, here: Path | None = None) -> str:
    """The command that runs a script of ours, such as `eval_model.py`. here: where the user stands, if not here."""
    return in_words(["python", script if (here or Path.cwd()) == ROOT else ROOT / script, *flags])


def flags_for_steps(plan, fewest: int, most_passes: int) -> str:
    """Flags that make at least `fewest` steps of the data of a run's `plan`, by as many passes over them at most."""
    rows = max(1, plan.epochs * plan.rows_per_epoch // (fewest * plan.world_size))  # of a process in a step
    batch = min(rows, plan.batch_size)
    times = max(1, min(rows // plan.batch_size, plan.accumulation_steps))
    steps_per_epoch = math.ceil(plan.rows_per_epoch / (batch * times * plan.world_size))
    epochs = max(plan.epochs, min(most_passes, math.ceil(fewest / steps_per_epoch)))
    steps = epochs * steps_per_epoch
    flags = f"--batch_size {batch} --accumulation_steps {times}"
    if epochs > plan.epochs:
        flags += f" --epochs {epochs}"
    if plan.max_steps and plan.max_steps < steps:
        flags += f" --max_steps {steps}"
    return f"{flags} for {steps} steps"


def cannot_append(path: Path, error: OSError) -> SproutError:
    """What a run says that cannot write one of the files that grow."""
    from model.unwritable import remedy

    advice = remedy(error, room="make room", rights="allow writing there")
    return SproutError(
        f"cannot write {path} ({error.strerror}): the last checkpoint is intact; {advice}, and go on with:"
        f" {command_to_go_on('--resume')}"
    )
