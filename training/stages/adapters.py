"""Training adapters instead of the network: what `--lora` changes in any stage, and how adapters are found again.

A stage calls `add_adapters` once, behind `starting_point`. All else follows from the network having adapters: they
alone are in the optimizers, the learning rate is theirs (`training/engine/plan.py`), and the run writes them, and
nothing of the network, to <out_dir>/lora/<weight_name>_<hidden>.pth (`training/engine/run.py`).
"""

import os

from model.errors import UsageError
from model.files.adapters import Adapters, open_lora
from model.lora import Lora, add_lora, fingerprint, targets_called
from training.stages.arguments import LORA_DEFAULTS
from training.stages.starting_point import Origin, find_weight

FOLDER = "lora"  # in --out_dir


def add_adapters(args, model, origin: Origin) -> None:
    """With --lora: gives the network adapters, which learn, and freezes everything else. Without it: nothing.

    The network is on the CPU, as `starting_point` returns it. Raises `UsageError` for flags that contradict it.
    """
    if not args.lora:
        given = [name for name, value in LORA_DEFAULTS.items() if getattr(args, name) != value]
        if given:
            raise UsageError(f"--{given[0]} is for --lora, which is not given")
        return
    if origin.stage is None:
        raise UsageError("adapters adapt a network that is trained already: name it by --from_weight")
    if args.freeze_layers:
        raise UsageError("--freeze_layers means nothing to adapters: all of the network is frozen, so drop it")
    if args.rope_factor:
        raise UsageError(
            "--rope_factor changes the network, and adapters leave it as it is: stretch it in a stage without --lora"
        )
    if args.optimizer != "adamw":
        raise UsageError(f"adapters learn by AdamW: drop --optimizer {args.optimizer}")
    settings = (args.lora_rank, args.lora_alpha, targets_called(args.lora_targets), args.lora_dropout)
    add_lora(model, Lora(*settings, base=fingerprint(model), base_path=origin.source))


def find_adapters(name: str, out_dir: str, hidden_size: int | None = None) -> Adapters:
    """Opens adapters: a path as it stands, or a name in <out_dir>/lora; `hidden_size` chooses among several."""
    return open_lora(find_weight(name, os.path.join(out_dir, FOLDER), hidden_size))


def network_of(adapters: Adapters, flag: str, needed: bool = True) -> str | None:
    """The path of the network that adapters were trained on, as they remember it; None where they do not.

    Raises `UsageError` that names `flag`, by which to give it, where it is no longer there, or is `needed` and unknown.
    """
    path = adapters.lora.base_path
    if path is None and needed:
        raise UsageError(f"{adapters.source} does not say to which network it belongs: name it by {flag}")
    if path is not None and not os.path.exists(path):
        raise UsageError(f"{adapters.source} belongs to {path}, which is not here: give that network by {flag}")
    return path
