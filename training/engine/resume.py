"""What `--resume` needs: the state of a run, its identity, and an output that belongs to one run at a time."""

import math
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch

from model.errors import SproutError, UsageError
from model.files.checkpoint import read_checkpoint
from model.files.disk import previous_path
from model.files.locks import take
from model.lora import is_adapter, lora_of
from training.engine.muon import Muon

VERSION = 1

# What --allow_changed lets differ, and what that does.
EFFECTS = {
    "epochs": "the schedule is that of the new length from here on, so the learning rate may jump",
    "steps": "the schedule is that of the new length from here on, so the learning rate may jump",
    "learning_rate": "it holds from the next step on",
    "warmup_steps": "the schedule is the new one from the next step on",
    "schedule": "the schedule is the new one from the next step on",
    "weight_decay": "it holds from the next step on",
    "adam_beta2": "it holds from the next step on",
    "grad_clip": "it holds from the next step on",
    "batch_size": "sums are rounded in another order",
    "accumulation_steps": "sums are rounded in another order",
    "processes": "sums are rounded in another order",
    "device": "results are rounded otherwise",
    "dtype": "results are rounded otherwise",
    "compile": "results are rounded otherwise",
}


# What a state is made of, besides what identifies it.
_KINDS = {"tokens": int, "best": dict, "pending": dict | None, "memory": dict, "modules": dict, "updater": dict}


def identity(run, data: dict) -> dict:
    """Everything that decides what the next step computes. A run resumes only where all of it is the same."""
    args, plan = run.args, run.plan
    adapters = {}
    if run.lora:
        adapters = {"lora": {name: value for name, value in asdict(run.lora).items() if name != "base_path"}}
    return adapters | {
        "stage": run.stage,
        "network": run.model.config.to_dict(),
        "tokenizer": run.tokenizer.fingerprint,
        "data": data,
        "batch_size": plan.batch_size,
        "accumulation_steps": plan.accumulation_steps,
        "processes": plan.world_size,
        "max_seq_len": plan.row_length,
        "epochs": plan.epochs,
        "steps": plan.steps,
        "learning_rate": plan.learning_rate,
        "warmup_steps": plan.warmup_steps,
        "schedule": plan.schedule,
        "optimizer": args.optimizer,
        "weight_decay": args.weight_decay,
        "adam_beta2": args.adam_beta2,
        "grad_clip": args.grad_clip,
        "freeze_layers": getattr(args, "freeze_layers", 0),
        "seed": args.seed,
        "device": run.device.type,
        "dtype": str(run.device_choice.dtype).removeprefix("torch."),
        "compile": run.compiles,
    }


def state_of(run) -> dict:
    """The whole state of a run at the last completed update."""
    return {
        "format": "sprout-resume",
        "version": VERSION,
        "identity": run.identity,
        "step": run.step,
        "tokens": run.tokens,
        "best": run.best,
        "pending": run.pending,
        "memory": run.memory,
        "modules": {name: _kept(module) for name, module in run.modules.items()},
        "updater": run.updater.state_dict(),
    }


def _kept(module) -> dict:
    """What a state holds of a network: of one with adapters these alone, since nothing else of it changes."""
    state = module.state_dict()
    return state if lora_of(module) is None else {name: tensor for name, tensor in state.items() if is_adapter(name)}


def read(path: Path, expected: dict, allow_changed: bool = False) -> tuple[dict, list[str]]:
    """The state in `path`, and what differs from the run `expected`, in words.

    Raises `UsageError` for any difference, with `allow_changed` for those that would train something else, each by
    name.
    """
    if not path.exists() and not previous_path(path).exists():
        raise UsageError(f"--resume: there is no {path}; start without --resume")
    state = read_checkpoint(path)
    if state.get("format") != "sprout-resume" or state.get("version") != VERSION:
        raise SproutError(f"{path} is not the state of a run that this version of Sprout can continue")
    if not isinstance(state.get("identity"), dict) or not isinstance(state.get("step"), int):
        raise SproutError(f"{path} is not a state as Sprout writes it: its identity or step is missing")
    before, now = _flat(state["identity"]), _flat(expected)
    changed = [name for name in before | now if before.get(name) != now.get(name)]

    def described(names) -> str:
        return "; ".join(f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in names)

    refused = [name for name in changed if name not in EFFECTS]
    as_before = ""
    if _rows_per_step(before) != _rows_per_step(now):  # the place in the data is counted in steps
        refused += [name for name in ("batch_size", "accumulation_steps", "processes") if name in changed]
        # Nobody may have asked for another batch: the rule for it looks at the length of the run.
        if "processes" not in changed:
            as_before = "; for steps as before give " + " ".join(
                f"--{name} {before.get(name)}" for name in ("batch_size", "accumulation_steps")
            )
    if changed and not allow_changed:
        hint = "" if refused else "; --allow_changed goes on all the same"
        raise UsageError(f"--resume would not continue the same run: {described(changed)}{hint}")
    if refused:
        raise UsageError(
            f"--resume cannot go on with that changed, even by --allow_changed: {described(refused)}{as_before}"
        )
    if now.get("steps", state["step"]) < state["step"]:
        raise UsageError(f"--resume: the run is at step {state['step']} already, and is to end at {now['steps']}")
    return state, [f"{described([name])}: {EFFECTS[name]}" for name in changed]


def _rows_per_step(identity: dict) -> int:
    return math.prod(identity.get(name, 1) for name in ("batch_size", "accumulation_steps", "processes"))


def _flat(values: dict, prefix: str = "") -> dict:
    """Nested dictionaries as one: {"network": {"hidden_size": 64}} as {"network.hidden_size": 64}."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def restore(run, state: dict) -> None:
    """Puts a state that `read` returned into the run: all of it, or nothing and a `SproutError` if it does not fit."""
    wrong = _misfit(run, state)
    if wrong:
        raise SproutError(f"{run.resume_file} is not the state of this run: {wrong}; nothing of it was used")
    for name, module in run.modules.items():
        module.load_state_dict(module.state_dict() | state["modules"][name], strict=True)
    run.updater.load_state_dict(state["updater"])
    run.step, run.tokens, run.best = state["step"], state["tokens"], dict(state["best"])
    run.pending, run.memory = state["pending"], state["memory"]


def _misfit(run, state: dict) -> str | None:
    """What in a state does not fit the networks and optimizers of the run, in words."""
    for name, kind in _KINDS.items():
        if name not in state or not isinstance(state[name], kind):
            return f"its {name} is missing or of a wrong kind"
    for name, module in run.modules.items():
        saved, own = state["modules"].get(name), _kept(module)
        if not isinstance(saved, dict) or saved.keys() != own.keys():
            return f"its {name} has other parameters"
        for key, tensor in own.items():
            if not isinstance(saved[key], torch.Tensor) or saved[key].shape != tensor.shape:
                return f"{key} has another shape"
            if saved[key].dtype != tensor.dtype:
                return f"{key} is of type {saved[key].dtype}"
    own = run.updater.state_dict()
    if state["updater"].keys() != own.keys() or len(state["updater"]["optimizers"]) != len(own["optimizers"]):
        return "it has other optimizers"
    for optimizer, saved in zip(run.updater.optimizers, state["updater"]["optimizers"], strict=True):
        groups = [len(group["params"]) for group in optimizer.param_groups]
        if [len(group["params"]) for group in saved["param_groups"]] != groups:
            return "its optimizers have other parameters"
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, values in saved["state"].items():
            shapes = {value.shape for value in values.values() if isinstance(value, torch.Tensor)}
            if not shapes <= {parameters[index].shape, torch.Size()}:  # moments, and a count of steps
                return "the moments of an optimizer have another shape"
    return None


def first_not_finite(modules: dict) -> str | None:
    """The name of a parameter that holds a NaN or an infinity."""
    for module in modules.values():
        for name, parameter in module.named_parameters():
            if not parameter.isfinite().all():
                return name
    return None


def keep_aside(weight_file: Path, resume_file: Path, log_folder: Path) -> Path | None:
    """Moves the result of an earlier run to out/earlier/<weight>_<time>/, and returns that folder."""
    checkpoints = (weight_file, resume_file)
    files = [path for path in (*checkpoints, *map(previous_path, checkpoints), log_folder) if path.exists()]
    if not files:
        return None
    folder = weight_file.parent / "earlier" / f"{weight_file.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    while folder.exists():  # two in one second
        folder = folder.with_name(f"{folder.name}+")
    folder.mkdir(parents=True)
    for path in files:
        path.rename(folder / ("logs" if path == log_folder else path.name))
    return folder


def check_space(run) -> None:
    """Raises `SproutError` where two generations of weights and state, and one being written, would not fit."""
    sizes = {
        name: 4 * sum(p.numel() for key, p in module.named_parameters() if is_adapter(key) or lora_of(module) is None)
        for name, module in run.modules.items()
    }
    weights, state = sizes["model"], sum(sizes.values())
    for optimizer in run.updater.optimizers:
        moments = 1 if isinstance(optimizer, Muon) else 2
        state += 4 * moments * sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    files = (run.weight_file, run.resume_file)
    needed = 2 * (weights + state) + max(weights, state)
    if run.args.resume:  # otherwise what is there is kept aside
        needed -= sum(path.stat().st_size for path in (*files, *map(previous_path, files)) if path.exists())
    free = shutil.disk_usage(run.weight_file.parent).free
    if free < needed:
        raise SproutError(
            f"{run.weight_file.parent} has {free / 1e9:.2f} GB free, but the checkpoints of this run take"
            f" {needed / 1e9:.2f} GB: make room or choose another --out_dir"
        )


class OutputLock:
    """Held while a run writes its files: a second run on the same output is refused. Ends with the process."""

    def __init__(self, weight_file: Path):
        try:
            weight_file.parent.mkdir(parents=True, exist_ok=True)
            self.path = weight_file.with_name(f".{weight_file.stem}.lock")
            self._file = open(self.path, "a")
        except OSError as error:
            raise SproutError(
                f"{weight_file.parent} cannot be written: {error.strerror}; choose another --out_dir"
            ) from error
        if not take(self._file.fileno(), self.path):
            self._file.close()
            raise SproutError(
                f"another run is writing {weight_file}: wait for it, or choose another --weight_name or --out_dir"
            )

    def release(self) -> None:
        self._file.close()
