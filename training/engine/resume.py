"""`--resume`: reads the saved state and restores it, if it is that of the same run (`training/engine/same_run.py`)."""

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from model.disk import previous_path
from model.errors import SproutError, UsageError, counted
from model.files.checkpoint import ADAPTER_FOLDER
from model.files.reading import is_whole, read_checkpoint
from model.whole import adapters_of, changing_state
from training.engine import distributed
from training.engine.blocks import scales_of
from training.engine.same_run import changes_since
from training.engine.state import FORMAT, VERSION, RunState
from training.engine.update import Updater
from training.report.lines import flat

MOST_FILES = 5  # that changed and are named
_TYPES = {"tokens": int, "best": dict, "updates": list, "kept": list, "networks": dict, "updaters": dict, "code": dict}


def check_there(args, hidden_size: int) -> None:
    """Raises `UsageError` if --resume finds no state of the run that `args` name. Called before data are read."""
    folder = Path(args.out_dir) / (ADAPTER_FOLDER if getattr(args, "lora", False) else "")
    path = folder / f"{args.weight_name}_{hidden_size}_resume.pth"
    if path.exists() or previous_path(path).exists():
        return
    others = [each.name for each in sorted(folder.glob("*_resume.pth"))]
    there = f", which holds {', '.join(others)}" if others else ""
    raise UsageError(
        f"--resume: there is no {path.name} in {folder}{there}: give the flags of the run that is to go on (--out_dir,"
        " its name, --preset, --hidden_size), or start without --resume"
    )


def where_it_goes_on(args, state: RunState, plan, path: Path) -> str:
    """Says at which step a resumed run goes on, or that it has ended, and how to train on."""
    place = f"resumed {path} at step {state.step:,} of {plan.steps:,}"
    if state.step < plan.steps:
        return place
    bounded = args.max_steps and args.max_steps <= args.epochs * plan.steps_per_epoch
    longer = f"--max_steps {2 * args.max_steps}" if bounded else f"--epochs {args.epochs + 1}"
    if bounded and 2 * args.max_steps > args.epochs * plan.steps_per_epoch:
        longer += f" --epochs {math.ceil(2 * args.max_steps / plan.steps_per_epoch)}"
    if not (args.batch_size and args.accumulation_steps):  # else they would follow the new length
        longer += f" --batch_size {plan.batch_size} --accumulation_steps {plan.accumulation_steps}"
    return (
        f"{place}, which is its end: nothing is left to train; add {longer} --allow_changed to train on, or start"
        " without --resume for a new run"
    )


def go_on(run) -> None:
    """Restores a `training.engine.run.Run`, and says where it goes on and what was changed."""
    path = run.output.resume_file
    saved, changes = read(path, run.identity, run.args.allow_changed)
    for change in changes:
        run.say(f"changed: {change}")
    restore(saved, run.state, run.networks, run.updaters, path)
    if any(change.startswith("data.scored_rows") for change in changes):
        run.state.best = {}
    if run.machine.shards and distributed.gathered(is_whole(run.output.weight_file)) != [True] * run.machine.world_size:
        run.machine.shards.gather(run, changing_state(run.model))  # for `mend_output`
    run.say(where_it_goes_on(run.args, run.state, run.plan, path))
    now, run.code = run.code, run.state.code  # a run that goes on has loaded more files, and is no other for that
    if edited := edited_since(run.code, now):
        more = f" and {len(edited) - MOST_FILES} more files" if len(edited) > MOST_FILES else ""  # another version
        files = ", ".join(edited[:MOST_FILES]) + more
        run.say(f"warning: {files} changed after this run began: the steps from here on are those of the code as it is")
        run.code = run.code | {name: f"{run.code[name]}, then {now[name]}" for name in edited}


def edited_since(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The files that are in both, with other digests: see `training.engine.machine.loaded_code`."""
    return [name for name, digest in before.items() if now.get(name, digest) != digest]


def read(path: Path, expected: dict, allow_changed: bool = False) -> tuple[dict, list[str]]:
    """The state in `path`, and the changes in words, as `same_run.changes_since` finds them.

    expected: `state.identity_of_run` of this run. Raises `UsageError` or `SproutError` for a state that is missing,
    damaged, or of another run.
    """
    if not path.exists() and not previous_path(path).exists():
        raise UsageError(f"--resume: there is no {path}; start without --resume")
    saved = read_checkpoint(path, mmap="shard" in expected)  # each process takes its piece of it
    if saved.get("format") != FORMAT or saved.get("version") not in (1, VERSION):
        raise SproutError(f"{path} is not the state of a run that this version of Sprout can continue")
    if not isinstance(saved.get("identity"), dict) or not isinstance(saved.get("step"), int):
        raise SproutError(f"{path} is not a state as Sprout writes it: its identity or step is missing")
    if saved["version"] == 1:
        from training.engine.version_1 import converted  # few states are so old

        saved = converted(saved, expected)
    out_dir = path.parent.parent if path.parent.name == ADAPTER_FOLDER else path.parent
    return saved, changes_since(saved, expected, out_dir, allow_changed)


def restore(saved: dict, state: RunState, networks: dict, updaters: dict, path) -> None:
    """Restores what `whole_state` returned. Raises `SproutError`, and changes nothing, if it does not fit."""
    saved = {"code": state.code} | saved  # an older state does not know it
    wrong = _misfit(saved, networks, updaters)
    if wrong:
        raise SproutError(f"{path} is not the state of this run: {wrong}; nothing of it was used")
    if any(saved["kept"]) and (count := len(saved["kept"])) != distributed.world_size():
        found = (
            f"--resume: {path} keeps answers that were sampled by {count} processes and not yet learned from: go on"
            f" with {count}, at least to the end of that step"
        )
        raise UsageError(counted(found))
    for name, network in networks.items():
        load_changing_state(network, saved["networks"][name])
    for name, updater in updaters.items():
        restore_updater(updater, saved["updaters"][name])
    for each in fields(state):
        setattr(state, each.name, saved.get(each.name, getattr(state, each.name)))
    state.updates = [flat(line) for line in state.updates]
    state.kept = saved["kept"][distributed.rank()] if any(saved["kept"]) else {}


def load_changing_state(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copies what `changing_state` returned back into the network."""
    whole = {} if adapters_of(model) is None else model.state_dict()
    model.load_state_dict(whole | dict(state), strict=True)


def restore_updater(updater: Updater, state: dict) -> None:
    """Puts back what `Updater.state_dict` returned."""
    for optimizer, saved in zip(updater.optimizers, state["optimizers"], strict=True):
        if isinstance(optimizer, torch.optim.AdamW) and any("m" in values for values in saved["state"].values()):
            from training.engine.compact import exact_state  # only after --optimizer_memory compact

            saved = exact_state(saved)
        # A state brings its own learning rates and weight decays; those of this run's flags must win.
        settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        optimizer.load_state_dict(saved)
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            group.update(own)
    if state.get("fp16", updater.fp16) == updater.fp16:  # another precision begins with its own scale
        updater.scale, updater.good_steps = state["scale"], state["good_steps"]
    updater.bad_in_a_row, updater.skipped = state["bad_in_a_row"], dict(state["skipped"])
    if updater.balance and state.get("balance") is not None:
        updater.balance.weights.copy_(state["balance"])
        updater.balance.press(updater.factor)


def mend_output(output, kept: int, step: int, save_weights: Callable[[], None], say: Callable[[str], None]) -> None:
    """Writes the weights of a restored run again where their file is missing or damaged; `output`: the run's.

    kept: lines of metrics.jsonl up to `step`. Those that are not there cannot be mended.
    """
    if kept < step:
        say(f"warning: {output.logs / 'metrics.jsonl'} lacks {step - kept} of the {step} steps before this")
    if not is_whole(output.weight_file):
        say(f"warning: {output.weight_file} is missing or damaged; it is written again from {output.resume_file}")
        output.weight_file.unlink(missing_ok=True)  # a damaged file must not be kept as the save before
        save_weights()


def _misfit(saved: dict, networks: dict, updaters: dict) -> str | None:
    """The first part of a state that does not fit the networks and optimizers of the run, in words."""
    for name, kind in _TYPES.items():
        if name not in saved or not isinstance(saved[name], kind):
            return f"its {name} is missing or of a wrong kind"
    for name, network in networks.items():
        tensors, own = saved["networks"].get(name), changing_state(network)
        if not isinstance(tensors, dict) or tensors.keys() != own.keys():
            return f"its {name} has other parameters"
        for key, tensor in own.items():
            if not isinstance(tensors[key], torch.Tensor) or tensors[key].shape != tensor.shape:
                return f"{key} has another shape"
            if tensors[key].dtype != tensor.dtype:
                return f"{key} is of type {tensors[key].dtype}"
    for name, updater in updaters.items():
        if wrong := _updater_misfit(updater, saved["updaters"].get(name)):
            return wrong
    return None


def _updater_misfit(updater: Updater, state) -> str | None:
    """The first part of a state that does not fit the optimizers, in words."""
    own = updater.state_dict()
    same = isinstance(state, dict) and state.keys() == own.keys()
    if not same or len(state["optimizers"]) != len(own["optimizers"]):
        return "it has other optimizers"
    for optimizer, saved in zip(updater.optimizers, state["optimizers"], strict=True):
        groups = [len(group["params"]) for group in optimizer.param_groups]
        if [len(group["params"]) for group in saved["param_groups"]] != groups:
            return "its optimizers have other parameters"
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, values in saved["state"].items():
            shapes = {value.shape for value in values.values() if isinstance(value, torch.Tensor)}
            whole = getattr(parameters[index], "whole", parameters[index])  # of a piece with --shard
            scales = torch.Size([scales_of(whole.numel())])  # of moments in blocks
            if not shapes <= {whole.shape, torch.Size(), scales}:  # moments; the step count is a scalar
                return "the moments of an optimizer have another shape"
    return None
