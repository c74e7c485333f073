"""`--resume`: reads the saved state, compares it with this run, and restores it.

The comparison names every difference; only a few are allowed.
"""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from model.disk import previous_path
from model.errors import SproutError, UsageError
from model.files.checkpoint import ADAPTER_FOLDER
from model.files.reading import is_whole, read_checkpoint
from model.whole import adapters_of, changing_state
from training.engine import distributed
from training.engine.blocks import scales_of
from training.engine.state import FORMAT, VERSION, RunState
from training.engine.update import Updater
from training.report.lines import flat

# What may differ with --allow_changed, and the effect.
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
    "data.rewards": "answers are rated by these from the next step on, and an average over both says little",
    "data.tools": "the next answers are written with these",
    "device": "results are rounded differently",
    "dtype": "results are rounded differently",
    "compile": "results are rounded differently",
    "deterministic": "sums on a GPU are rounded in another order",
    "shard": "sums are rounded in another order",
    "data.scored_rows": "validation is of other rows from here on, and the lowest loss begins anew",
    "optimizer_memory": "weights are kept to the bit, moments are rounded to 8 bits or taken from there",
}


# What stands for other networks, and for rewards.
NETWORKS = ("lora.base", "data.reference", "data.judge", "data.rewards")

_TYPES = {"tokens": int, "best": dict, "updates": list, "kept": list, "networks": dict, "updaters": dict}


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
        " --weight_name, --preset, --hidden_size), or start without --resume"
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


def read(path: Path, expected: dict, allow_changed: bool = False) -> tuple[dict, list[str]]:
    """The state in `path`, and the changes in words.

    expected: `state.identity_of_run` of this run. Raises `UsageError` that names every difference; with
    `allow_changed`, only those that would train something else.
    """
    if not path.exists() and not previous_path(path).exists():
        raise UsageError(f"--resume: there is no {path}; start without --resume")
    saved = read_checkpoint(path, mmap="shard" in expected)  # each process takes its piece of it
    if saved.get("format") != FORMAT or saved.get("version") not in (1, VERSION):
        raise SproutError(f"{path} is not the state of a run that this version of Sprout can continue")
    if not isinstance(saved.get("identity"), dict) or not isinstance(saved.get("step"), int):
        raise SproutError(f"{path} is not a state as Sprout writes it: its identity or step is missing")
    before, now = _flat(saved["identity"]), _flat(expected)
    if saved["version"] == 1:
        saved, before = _from_version_1(saved), _described_as_now(before, now)
    before.setdefault("data.scored_rows", now.get("data.scored_rows"))  # states of earlier versions do not say it
    # A flag that is newer than the state, and off (0, False, None), changes nothing.
    known = before | {name: value for name, value in now.items() if value}
    changed = [name for name in known if before.get(name) != now.get(name)]

    def described(names) -> str:
        usual = {"optimizer_memory": "exact", "shard": "none"}  # what a state does not name
        old, new = ({name: _short(each.get(name, usual.get(name))) for name in names} for each in (before, now))
        words = {name: f"{name} was {old[name]}, is {new[name]}" for name in names}
        for name in ("data.training", "data.validation"):
            if name in words:
                from training.engine.changed_data import changes_of_data

                words[name] = changes_of_data(before.get(name), now.get(name), _caches_of(path)) or words[name]
        for name in words.keys() & {*NETWORKS}:
            from training.engine.changed_network import changes_of_networks

            out_dir = path.parent.parent if path.parent.name == ADAPTER_FOLDER else path.parent
            words[name] = changes_of_networks(name, before.get(name), now.get(name), out_dir) or words[name]
        if "data.training" in words:
            words.pop("data.teacher", None)  # it learns from these data, so it follows
        if "data.validation" in words:
            words.pop("data.scored_rows", None)  # they are other rows anyway
        return "; ".join(dict.fromkeys(words.values()))  # training and validation may be of one file

    refused = [name for name in changed if name not in EFFECTS]
    rewards = [each.get("data.rewards") or () for each in (before, now)]
    if any(saved.get("kept") or ()) and len(rewards[0]) != len(rewards[1]):
        refused.append("data.rewards")  # the answers of the unfinished step are rated already, by so many
    as_before = of_data = ""
    if {"data.training", "data.validation"} & set(changed):
        of_data = "; give the data as they were, or start without --resume"
    if _rows_per_step(before) != _rows_per_step(now):  # the position in the data is counted in steps
        refused += [name for name in ("batch_size", "accumulation_steps", "processes") if name in changed]
        # The batch may differ although no flag asks for it, because its default depends on the length of the run.
        if "processes" in changed:
            each, left = divmod(_rows_per_step(before), now.get("processes", 1))
            if not left:
                batch = math.gcd(each, before.get("batch_size", 1))
                as_before = f"; for steps as before give --batch_size {batch} --accumulation_steps {each // batch}"
        else:
            as_before = "; for steps as before give " + " ".join(
                f"--{name} {before.get(name)}" for name in ("batch_size", "accumulation_steps")
            )
    if changed and not allow_changed:
        only_rows = not {*refused} - {"batch_size", "accumulation_steps", "processes"}
        hint = as_before and f"{as_before} and --allow_changed" if only_rows else ""
        hint = of_data or hint or ("" if refused else "; --allow_changed goes on all the same")
        raise UsageError(f"--resume would not continue the same run: {described(changed)}{hint}")
    if refused:
        raise UsageError(
            f"--resume cannot go on with that changed, even by --allow_changed: {described(refused)}{as_before}"
            f"{of_data}"
        )
    if now.get("steps", saved["step"]) < saved["step"]:
        raise UsageError(f"--resume: the run is at step {saved['step']} already, and is to end at {now['steps']}")
    return saved, [f"{described([name])}: {EFFECTS[name]}" for name in changed]


def restore(saved: dict, state: RunState, networks: dict, updaters: dict, path) -> None:
    """Restores what `whole_state` returned. Raises `SproutError`, and changes nothing, if it does not fit."""
    wrong = _misfit(saved, networks, updaters)
    if wrong:
        raise SproutError(f"{path} is not the state of this run: {wrong}; nothing of it was used")
    if any(saved["kept"]) and (count := len(saved["kept"])) != distributed.world_size():
        raise UsageError(
            f"--resume: {path} keeps answers that {count} processes have sampled and not yet learned from: go on with"
            f" {count}, at least to the end of that step"
        )
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


def _from_version_1(saved: dict) -> dict:
    """Converts a state of version 1, which had one network and one update per step, to the current version."""
    pending = saved.get("pending")
    return saved | {
        "updates": [] if pending is None else [pending],
        "kept": [],
        "networks": saved.get("modules"),
        "updaters": {"model": saved.get("updater")},
    }


# How version 1 said the flags of a loss, in one sentence `data.loss` for each stage, and those of sampled answers.
_LOSSES_OF_VERSION_1 = (
    r"(?P<loss_type>\w+), Settings\(beta=(?P<beta>[^,]+), label_smoothing=(?P<label_smoothing>[^,]+),"
    r" gamma=(?P<gamma>[^,]+), odds_weight=(?P<odds_weight>[^)]+)\), sft_weight (?P<sft_weight>\S+)",
    r"Divergence\(loss_type='(?P<loss_type>\w+)', temperature=(?P<temperature>[^,]+), jsd_beta=(?P<jsd_beta>[^)]+)\),"
    r" alpha (?P<alpha>\S+)",
    r"(?P<loss_type>\w+), center (?P<center>\S+), hinge_margin (?P<hinge_margin>\S+)",
    r"tag_weight (?P<tag_weight>\S+)",
)
_SAMPLING_OF_VERSION_1 = (r"(?P<on_policy>\S+), (?P<max_new_tokens>\d+) tokens",)


def _described_as_now(before: dict, now: dict) -> dict:
    """`before`, the identity in a state of version 1, with the flags of the loss one by one, as `now` has them.

    A sentence that is not understood stays, so that it counts as a difference. Flags that version 1 did not have are
    taken as those of this run.
    """
    before, flags = dict(before), {}
    if before.get("data.on_policy") == "no":
        del before["data.on_policy"]
        flags["on_policy"] = _value("0", now.get("on_policy"))
    for name, patterns in (("data.loss", _LOSSES_OF_VERSION_1), ("data.on_policy", _SAMPLING_OF_VERSION_1)):
        matches = (re.fullmatch(pattern, before.get(name, "")) for pattern in patterns)
        if match := next(filter(None, matches), None):
            del before[name]
            flags |= {flag: _value(text, now.get(flag)) for flag, text in match.groupdict().items()}
    return {name: value for name, value in now.items() if "." not in name} | before | flags


def _value(text: str, now):
    """The value that a sentence says; `now` itself if the sentence, which rounds numbers, may mean that."""
    if isinstance(now, int | float):
        return now if f"{now:g}" == f"{float(text):g}" else float(text)
    return text


def _caches_of(path: Path) -> Path:
    """Where the token caches of the run lie whose state is `path`; adapters have a folder of their own in --out_dir."""
    folder = path.parent.parent if path.parent.name == ADAPTER_FOLDER else path.parent
    return folder / "cache"


def _rows_per_step(identity: dict) -> int:
    return math.prod(identity.get(name, 1) for name in ("batch_size", "accumulation_steps", "processes"))


def _flat(values: dict, prefix: str = "") -> dict:
    """Flattens nested dictionaries: {"network": {"hidden_size": 64}} becomes {"network.hidden_size": 64}."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
