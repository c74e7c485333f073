"""How long a run takes on this device, and whether torch.compile pays for itself in it.

A CPU is measured: the network itself computes gradients of a few tokens. The speed that a processor may reach says
little: without bfloat16 instructions, or beside other programs, it is several times slower.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from model.disk import previous_path
from training.engine import distributed
from training.losses.next_token import next_token_loss

OPERATIONS_PER_SECOND = {"cuda": 5e13, "mps": 1e12}  # roughly, in training; they only tell a short run from a long one
WORTH_COMPILING = 300  # seconds
OPERATIONS, FEWEST = 5e10, 32  # of a pass that is measured: half a second on two cores; the fewest tokens of one


def decide(machine, model, plan, resume_file: Path | None) -> tuple[bool, str, float | None]:
    """Whether a run compiles, why, and the seconds that it takes, where that was measured.

    resume_file: the state of the run that goes on, which keeps to what was chosen automatically.
    """
    if machine.shards:  # all processes make their passes together
        return False, "--shard does without", None
    choice = machine.compile_choice
    cheap = plan.activation_checkpointing == "cheap"
    if cheap:
        from training.engine.fitting import refuse_compiled  # only with this flag

        refuse_compiled(choice)
    seconds = expected_seconds(model, plan, machine)
    chosen, why = compiles(machine.device, choice, seconds)
    if cheap:
        chosen, why = False, "--activation_checkpointing cheap does without"
    before = compiled_before(resume_file) if resume_file and choice == "auto" and not cheap else None
    if before not in (None, chosen):
        chosen, why = before, "as before"
    return chosen, why, seconds if machine.device.type == "cpu" else None


def expected_seconds(model, plan, machine) -> float:
    """How long the run of `plan` takes without torch.compile, validation and samples; of all processes the longest."""
    if machine.device.type in OPERATIONS_PER_SECOND:
        operations = 6 * model.config.active_parameters() * plan.steps * plan.tokens_per_step // plan.world_size
        return operations / OPERATIONS_PER_SECOND[machine.device.type]
    seconds = plan.steps * plan.accumulation_steps * micro_batch_seconds(model, plan, machine)
    return float(distributed.largest_over_processes(torch.tensor(seconds, dtype=torch.float64)))


def micro_batch_seconds(model, plan, machine) -> float:
    """The time of a forward and a backward pass over a micro-batch, from passes over a part of it.

    So many tokens that a pass takes about half a second: with few, what every pass takes would count, and the waiting
    of the threads for each other. Of two passes the faster one counts, since other programs may hold up either.
    Neither gradients nor random numbers of the run are touched.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def seconds_of(tokens: int) -> float:
        length = min(tokens, plan.row_length)
        rows = torch.zeros(tokens // length, length, dtype=torch.int64)
        started = time.perf_counter()
        with machine.autocast():
            features, head = model.features(rows), getattr(model, "lm_head", None)  # a reward model has none
            loss = features.sum() if head is None else next_token_loss(features, head.weight, rows)
        torch.autograd.grad(loss, trained, allow_unused=True)
        return time.perf_counter() - started

    most = plan.batch_size * plan.row_length
    tokens = min(most, max(FEWEST, int(OPERATIONS / (6 * model.config.active_parameters()))))
    tokens = max(1, tokens // plan.row_length) * min(tokens, plan.row_length)  # whole rows
    with torch.random.fork_rng(devices=[]):
        seconds_of(min(FEWEST, tokens))  # loads kernels
        return min(seconds_of(tokens), seconds_of(tokens)) * most / tokens


def compiles(device: torch.device, choice: str, seconds: float) -> tuple[bool, str]:
    """Whether to use torch.compile in a run of so many seconds, and why. Compiling takes up to a minute."""
    if device.type == "cuda" and choice != "off" and not _has_triton(device):
        return False, "Triton is not installed, or not for such an old GPU"
    if choice != "auto":
        return choice == "on", "as --compile says"
    if device.type == "mps":
        return False, "not on Apple GPUs"
    if device.type == "cpu" and not _has_compiler():
        return False, "no C++ compiler"
    if seconds < WORTH_COMPILING:
        return False, "the run is too short to pay for it"
    return True, "pays in a run of this length"


def eagerly_if_odd(batches: Iterable, rows: int) -> Iterator:
    """Yields micro-batches; what the loop does with one of other than so many rows, as at the end of an epoch, is not
    compiled. PyTorch would compile for it anew, and from then on use what fits any number of rows."""
    for batch in batches:
        is_odd = len(getattr(batch, "tokens", range(rows))) != rows
        with torch.compiler.set_stance("force_eager") if is_odd else contextlib.nullcontext():
            yield batch


def compiled_before(resume_file: Path) -> bool | None:
    """Whether the run that is to go on was compiled; None if its state does not say so.

    A measured time must not decide it anew, since compiled layers round differently.
    """
    from model.files.reading import read_checkpoint

    if not (resume_file.exists() or previous_path(resume_file).exists()):
        return None
    identity = read_checkpoint(resume_file, mmap=True).get("identity")
    return identity.get("compile") if isinstance(identity, dict) else None


def _has_triton(device: torch.device) -> bool:
    return find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (7, 0)


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))
