"""States of version 1: they had one network, one update per step, and the flags of a loss in one sentence."""

import re

from training.engine.same_run import flattened

# How version 1 said the flags of a loss, in one sentence `data.loss` for each stage, and those of sampled answers.
LOSSES = (
    r"(?P<loss_type>\w+), Settings\(beta=(?P<beta>[^,]+), label_smoothing=(?P<label_smoothing>[^,]+),"
    r" gamma=(?P<gamma>[^,]+), odds_weight=(?P<odds_weight>[^)]+)\), sft_weight (?P<sft_weight>\S+)",
    r"Divergence\(loss_type='(?P<loss_type>\w+)', temperature=(?P<temperature>[^,]+), jsd_beta=(?P<jsd_beta>[^)]+)\),"
    r" alpha (?P<alpha>\S+)",
    r"(?P<loss_type>\w+), center (?P<center>\S+), hinge_margin (?P<hinge_margin>\S+)",
    r"tag_weight (?P<tag_weight>\S+)",
)
SAMPLING = (r"(?P<on_policy>\S+), (?P<max_new_tokens>\d+) tokens",)


def converted(saved: dict, expected: dict) -> dict:
    """A state of version 1 as one of the current version. expected: the identity of this run."""
    pending = saved.get("pending")
    return saved | {
        "identity": described_as_now(flattened(saved["identity"]), flattened(expected)),
        "updates": [] if pending is None else [pending],
        "kept": [],
        "networks": saved.get("modules"),
        "updaters": {"model": saved.get("updater")},
    }


def described_as_now(before: dict, now: dict) -> dict:
    """`before`, the identity in a state of version 1, with the flags of the loss one by one, as `now` has them.

    A sentence that is not understood stays, so that it counts as a difference. Flags that version 1 did not have are
    taken as those of this run.
    """
    before, flags = dict(before), {}
    if before.get("data.on_policy") == "no":
        del before["data.on_policy"]
        flags["on_policy"] = _value("0", now.get("on_policy"))
    for name, patterns in (("data.loss", LOSSES), ("data.on_policy", SAMPLING)):
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
