"""Training adapters instead of the network: what `--lora` changes in any stage.

A stage calls `add_adapters` once, after `starting_point`. The rest follows from the network having adapters: the
optimizers update only them, at their own learning rate (`training/engine/plan.py`), and the run writes only them, to
<out_dir>/lora/<weight_name>_<hidden>.pth (`training/engine/output.py`).
"""

from model.errors import UsageError
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora, targets_called
from training.stages.stage_arguments import LORA_DEFAULTS
from training.stages.starting_point import Origin


def add_adapters(args, model, origin: Origin) -> None:
    """With --lora, adds trainable adapters to the network and freezes everything else; otherwise does nothing.

    The network is on the CPU, as `starting_point` returns it. Raises `UsageError` for flags that contradict it.
    """
    if not args.lora:
        given = [name for name, value in LORA_DEFAULTS.items() if getattr(args, name) != value]
        if given:
            raise UsageError(f"--{given[0]} is for --lora, which is not given")
        return
    if origin.stage is None:
        raise UsageError("adapters need a network that is trained already: name it with --from_weight")
    if args.freeze_layers:
        raise UsageError("--freeze_layers means nothing to adapters: all of the network is frozen, so drop it")
    if args.rope_scaling_factor:
        raise UsageError(
            "--rope_scaling_factor changes the network, and adapters leave it as it is: extend it in a stage without"
            " --lora"
        )
    if args.optimizer != "adamw":
        raise UsageError(f"adapters are trained by AdamW: drop --optimizer {args.optimizer}")
    settings = (args.lora_rank, args.lora_alpha, targets_called(args.lora_targets), args.lora_dropout)
    add_lora(model, Lora(*settings, base=fingerprint(model), base_path=origin.source))
