"""What changed in the networks and rewards that a run compares with, in words. Loaded only where it is not resumed."""

from pathlib import Path

USES = ("precomputed, of ", "live, of ")  # of a reference
# What a run calls its networks, and the flag that names each.
FLAGS = {"lora.base": "--from_weight", "data.reference": "--from_weight", "data.judge": "--reward_weight"}


def changes_of_networks(name: str, before, now, out_dir: Path) -> str | None:
    """`before` and `now`: what the identity of a run has under `name`; None where no network or reward has changed."""
    if name == "data.rewards":
        return _changes_of_rewards(before, now)
    if not (isinstance(before, str) and isinstance(now, str)) or _digest(before) == _digest(now):
        return None
    earlier = out_dir / "earlier"
    where = f" (what a later training replaced is in {earlier})" if earlier.is_dir() else ""
    return f"{name} was another network than the one that {FLAGS[name]} names now: name the one of then{where}"


def _digest(identity: str) -> str:
    """What stands for the network, without how it is used."""
    return identity.rpartition(", of ")[2] if identity.startswith(USES) else identity


def _changes_of_rewards(before, now) -> str | None:
    if not (isinstance(before, list) and isinstance(now, list)):
        return None
    old, new = ([str(one).partition(" ") for one in each] for each in (before, now))
    if [name for name, *_ in old] != [name for name, *_ in new]:
        return None
    changed = [name.partition(":")[0] for (name, *one), (_, *other) in zip(old, new, strict=True) if one != other]
    return f"data.rewards was computed by other files than now: those of {', '.join(changed)} have changed"
