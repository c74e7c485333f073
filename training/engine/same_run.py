"""Whether `--resume` would go on with the same run: what the saved run computed, compared with what this one would.

The comparison names every difference. A few are allowed, with --allow_changed.
"""

import math
from pathlib import Path

from model.errors import UsageError

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
# Their product is the number of rows in a step, in which the position in the data is counted.
ROWS_OF_A_STEP = ("batch_size", "accumulation_steps", "processes")
USUAL = {"optimizer_memory": "exact", "shard": "none"}  # what a state does not name


def changes_since(saved: dict, expected: dict, out_dir: Path, allow_changed: bool) -> list[str]:
    """The changes since `saved`, a state, in words with their effects.

    expected: `state.identity_of_run` of this run, which writes to `out_dir`. Raises `UsageError` that names every
    difference; with `allow_changed`, only those that would train something else.
    """
    before, now = flattened(saved["identity"]), flattened(expected)
    before.setdefault("data.scored_rows", now.get("data.scored_rows"))  # states of earlier versions do not say it
    if any(name.startswith("data.") and before.get(name) != value for name, value in now.items()):
        from training.engine.changed_data import same_tokens

        before |= same_tokens(before, now, out_dir / "cache")
    # A flag that is newer than the state, and off (0, False, None), changes nothing.
    known = before | {name: value for name, value in now.items() if value}
    changed = [name for name in known if before.get(name) != now.get(name)]
    refused = _refused(changed, before, now, is_rated=any(saved.get("kept") or ()))
    as_before = _steps_as_before(changed, before, now)
    of_data = ""
    if {"data.training", "data.validation"} & set(changed):
        adapters = any(name.startswith("lora.") for name in before)
        begin = "merge the adapters (scripts/merge_lora.py) and begin with the result" if adapters else "begin with it"
        of_data = (
            "; give the data as they were, or, to teach other data to what the run has written, leave out --resume"
        )
        of_data += f" and {begin}, by --from_weight"
    if changed and not allow_changed:
        if of_data:
            hint = of_data
        elif as_before and set(refused) <= set(ROWS_OF_A_STEP):
            hint = f"{as_before} and --allow_changed"
        else:
            hint = "" if refused else "; --allow_changed goes on all the same"
        found = _described(changed, before, now, out_dir)
        raise UsageError(f"--resume would not continue the same run: {found}{hint}")
    if refused:
        raise UsageError(
            "--resume cannot go on with that changed, even by --allow_changed:"
            f" {_described(refused, before, now, out_dir)}{as_before}{of_data}"
        )
    if now.get("steps", saved["step"]) < saved["step"]:
        raise UsageError(f"--resume: the run is at step {saved['step']} already, and is to end at {now['steps']}")
    return [f"{_described([name], before, now, out_dir)}: {EFFECTS[name]}" for name in changed]


def _refused(changed: list[str], before: dict, now: dict, is_rated: bool) -> list[str]:
    """Those of the changed names with which no run goes on. is_rated: answers of the unfinished step are."""
    refused = [name for name in changed if name not in EFFECTS]
    rewards = [each.get("data.rewards") or () for each in (before, now)]
    if is_rated and len(rewards[0]) != len(rewards[1]):
        refused.append("data.rewards")
    if _rows_per_step(before) != _rows_per_step(now):
        refused += [name for name in ROWS_OF_A_STEP if name in changed]
    return refused


def _steps_as_before(changed: list[str], before: dict, now: dict) -> str:
    """The flags that give a step as many rows as before; nothing where it has as many, or no flags would do.

    The batch may differ although no flag asks for it, because its default depends on the length of the run.
    """
    if _rows_per_step(before) == _rows_per_step(now):
        return ""
    batch, accumulation = before.get("batch_size"), before.get("accumulation_steps")
    if "processes" in changed:
        each, left = divmod(_rows_per_step(before), now.get("processes", 1))
        if left:
            return ""
        batch = math.gcd(each, before.get("batch_size", 1))
        accumulation = each // batch
    return f"; for steps as before give --batch_size {batch} --accumulation_steps {accumulation}"


def _described(names: list[str], before: dict, now: dict, out_dir: Path) -> str:
    """What was and what is under these names, in words."""
    old, new = ({name: _short(each.get(name, USUAL.get(name))) for name in names} for each in (before, now))
    words = {name: f"{name} was {old[name]}, is {new[name]}" for name in names}
    for name in ("data.training", "data.validation"):
        if name in words:
            from training.engine.changed_data import changes_of_data

            words[name] = changes_of_data(before.get(name), now.get(name), out_dir / "cache") or words[name]
    for name in words.keys() & {*NETWORKS}:
        from training.engine.changed_network import changes_of_networks

        words[name] = changes_of_networks(name, before.get(name), now.get(name), out_dir) or words[name]
    if "data.training" in words:
        words.pop("data.teacher", None)  # it learns from these data, so it follows
    if "data.validation" in words:
        words.pop("data.scored_rows", None)  # they are other rows anyway
    return "; ".join(dict.fromkeys(words.values()))  # training and validation may be of one file


def _rows_per_step(identity: dict) -> int:
    return math.prod(identity.get(name, 1) for name in ROWS_OF_A_STEP)


def flattened(values: dict, prefix: str = "") -> dict:
    """Flattens nested dictionaries: {"network": {"hidden_size": 64}} becomes {"network.hidden_size": 64}."""
    flat = {}
    for name, value in values.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
