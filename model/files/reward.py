"""Reward models in files: a whole one (`out/reward_512.pth`), or adapters and a head (`out/lora/reward_512.pth`).

A whole one is a weight like any other (model/files/checkpoint.py), of stage "reward", with `score.weight` where a
language model has its head. Adapters (model/files/adapters.py) have `score.weight` among them. The facts of both hold
the mean and standard deviation of the rewards of training answers: {"rewards": {"mean", "deviation", "answers"}}.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from model.errors import SproutError
from model.files.adapters import FORMAT as OF_ADAPTERS
from model.files.adapters import Adapters, open_lora
from model.files.hf_import import facts_of_folder, import_folder
from model.files.loading import Loaded, exact_dtype, load_model, open_own
from model.files.reading import read_checkpoint
from model.files.state_dict import bare_state_dict, fitting_state_dict
from model.lora import attach_lora, merge_lora
from model.reward import RewardModel
from model.undrawn import Undrawn
from model.whole import SCORE

FACT = "rewards"  # among the facts of a weight


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a reward model's rewards for answers that it was trained on."""

    mean: float
    deviation: float
    answers: int  # how many were rated

    def normalised(self, reward: float) -> float:
        """The reward, shifted and scaled so that these answers have mean 0 and standard deviation 1."""
        return (reward - self.mean) / self.deviation

    def facts(self) -> dict:
        return {FACT: asdict(self)}

    @classmethod
    def of(cls, facts: dict) -> "Spread | None":
        """The spread that the facts of a weight hold; None if they hold none, or one whose deviation is not usable."""
        stored = facts.get(FACT)
        try:
            mean, deviation = float(stored["mean"]), float(stored["deviation"])
            usable = math.isfinite(mean) and 0 < deviation < math.inf
            return cls(mean, deviation, int(stored["answers"])) if usable else None
        except (TypeError, KeyError, ValueError, OverflowError):
            return None


def load_reward(source: str | Path, *, device: str | torch.device = "cpu") -> Loaded:
    """Opens a whole reward model, strictly, in float32; `Loaded.model` is a `RewardModel`.

    source: a weight of ours, or a Hugging Face folder with one label (`...ForSequenceClassification`).

    Raises `SproutError` for anything else, such as a language model.
    """
    source = Path(source)
    if source.is_dir():
        if not (source / "config.json").exists():
            raise _no_reward_model(f"{source} is a folder")
        (config, weights, tokenizer), stage, facts = import_folder(source), "imported", facts_of_folder(source)
    else:
        contents = read_checkpoint(source, mmap=True)
        if bare_state_dict(contents, source) is not None:
            raise _no_reward_model(f"{source} holds weights without their configuration")
        config, weights, tokenizer, stage, facts = open_own(contents, source)
    if SCORE not in weights:
        raise _no_reward_model(f"{source} ({stage}) is a language model")
    weights = fitting_state_dict(weights, config, source, RewardModel)
    with Undrawn():
        model = RewardModel(config, initialize_weights=False)
    model.load_state_dict(weights)  # copies into float32
    model.skips_padding = source.is_dir()  # as transformers does; in a folder of ours, no end pads
    return Loaded(model.to(device), tokenizer, stage, facts, str(source), exact_dtype(weights, SCORE))


def adapters_of_reward(source: str | Path) -> Adapters | None:
    """The adapters in a file of ours; None if it holds anything else."""
    if Path(source).is_dir() or read_checkpoint(source, mmap=True).get("format") != OF_ADAPTERS:
        return None
    return open_lora(source)


def is_reward_model(source: str | Path) -> bool:
    """Whether a file or a folder says that it is a whole reward model; False for what cannot be read."""
    try:
        if Path(source).is_dir():
            return "ForSequenceClassification" in (Path(source) / "config.json").read_text(encoding="utf-8")
        weights = read_checkpoint(source, mmap=True).get("model")
    except (OSError, UnicodeDecodeError, SproutError):  # opening it reports the error
        return False
    return isinstance(weights, dict) and SCORE in weights


def load_reward_adapters(
    adapters: Adapters,
    network: str | Path,
    *,
    tokenizer_path: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> Loaded:
    """A reward model made of a language model and of adapters that were trained with a head: merged, in float32.

    Raises `SproutError` for adapters without a head, and for a network that is not the one they belong to.
    """
    if SCORE not in adapters.weights:
        raise _no_reward_model(f"{adapters.source} ({adapters.stage}) holds adapters without a scalar head")
    loaded = load_model(network, tokenizer_path=tokenizer_path)
    of_network = {name: tensor for name, tensor in adapters.weights.items() if name != SCORE}
    attach_lora(loaded.model, adapters.lora, of_network, adapters.source, tokenizer_path=adapters.tokenizer_path)
    merge_lora(loaded.model)
    model = RewardModel.of(loaded.model)
    head = adapters.weights[SCORE]
    shape = model.score.weight.shape
    if not isinstance(head, torch.Tensor) or not head.is_floating_point() or head.shape != shape:
        raise SproutError(f"{adapters.source} does not fit the network: {SCORE} is not a tensor of shape {list(shape)}")
    with torch.no_grad():
        model.score.weight.copy_(head)
    tokenizer = loaded.tokenizer
    dtype = loaded.stored_dtype
    return Loaded(model.to(device), tokenizer, adapters.stage, adapters.facts, adapters.source, dtype)


def _no_reward_model(what: str) -> SproutError:
    return SproutError(f"{what}, not a reward model: train one with train_reward.py, and give its .pth")
