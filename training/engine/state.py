"""The state of a run, as plain values and tensors, for the file that `--resume` reads.

Learning rate, order of the data and random numbers are functions of (seed, step, update). So the networks, their
optimizers and the few values of `RunState` are enough to resume exactly.
"""

import random
from dataclasses import asdict, dataclass, field, fields

import numpy
import torch

from model.whole import adapters_of, changing_state
from training.engine import distributed

FORMAT, VERSION = "sprout-resume", 2
OF_THE_PLAN = "batch_size accumulation_steps epochs steps learning_rate warmup_steps schedule".split()


@dataclass
class RunState:
    """The progress of a run. A step is one turn of the loop: one update, or several on the same rollouts."""

    step: int = 0  # number of complete steps
    tokens: int = 0  # number of trained tokens
    best: dict = field(default_factory=dict)  # the lowest validation loss and its step
    updates: list[dict] = field(default_factory=list)  # metrics of each update in the unfinished step
    kept: dict = field(default_factory=dict)  # what an iteration keeps for its updates, such as rollouts
    remembered: dict = field(default_factory=dict)  # values that iterations hand on, the same in all processes
    code: dict = field(default_factory=dict)  # `machine.loaded_code` as the run began

    def complete(self, metrics: dict) -> None:
        """Ends the step; `metrics` is its line in metrics.jsonl."""
        self.step += 1
        self.updates, self.kept = [], {}
        if metrics.get("val_loss", float("inf")) < self.best.get("val_loss", float("inf")):
            self.best = {"val_loss": metrics["val_loss"], "step": self.step}


def identity_of_run(stage: str, args, plan, model, tokenizer, machine, data: dict) -> dict:
    """Everything that determines what the next step computes. A run resumes only if all of it is equal.

    args: `training.stages.arguments.Arguments`, which know the flags that change the result. data: the identity of
    the training data and of everything else that a stage learns from.
    """
    lora = adapters_of(model)
    adapters = {} if lora is None else {"lora": {k: v for k, v in asdict(lora).items() if k != "base_path"}}
    return (
        adapters
        | args.changing_the_result()
        | {
            "stage": stage,
            "network": model.config.to_dict(),
            "tokenizer": tokenizer.fingerprint,
            "data": data,
            **{name: getattr(plan, name) for name in OF_THE_PLAN},
            "processes": plan.world_size,
            "max_seq_len": plan.row_length,
            "device": machine.device.type,
            "dtype": str(machine.choice.dtype).removeprefix("torch."),
            "compile": machine.compiles,
        }
        | ({"deterministic": True} if args.deterministic else {})
        | ({"optimizer_memory": "compact"} if args.optimizer_memory == "compact" else {})
        | ({"shard": args.shard} if args.shard != "none" else {})
    )


def whole_state(identity: dict, state: RunState, networks: dict, updaters: dict, gathered=distributed.gathered) -> dict:
    """The contents of <weight>_resume.pth. All call this: each has its own rollouts, which `gathered` collects."""
    values = {each.name: getattr(state, each.name) for each in fields(state)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "identity": identity,
        **values,  # a new field is saved and restored; `resume.restore` leaves it at its default in an older file
        "kept": gathered(state.kept),
        "networks": {name: changing_state(network) for name, network in networks.items()},
        "updaters": {name: updater.state_dict() for name, updater in updaters.items()},
    }


def seed_everything(seed: int, step: int, moment: str = "") -> None:
    """Makes all random numbers a function of (seed, step, moment), so that no generator has to be saved.

    moment: names a point within the step at which a run may resume.
    """
    mixed = (seed * 1_000_003 + step) % 2**32
    if moment:
        mixed = random.Random(f"{mixed} {moment}").getrandbits(32)
    random.seed(mixed)
    numpy.random.seed(mixed)
    torch.manual_seed(mixed)  # seeds every device
