"""Adapters in files: `out/lora/NAME_512.pth` as Sprout writes it, or a folder as `peft` writes it.

A file of ours holds the adapters and their settings, but not the network:

    {"format": "sprout-lora", "version": 1, "rank": 16, "alpha": 32.0, "targets": [...], "dropout": 0.0,
     "base": {"fingerprint": ..., "path": "out/full_sft_512.pth"}, "stage": "lora", "facts": {...},
     "adapters": {parameter name: tensor}}
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from model.errors import SproutError
from model.files.checkpoint import save_checkpoint
from model.files.peft import CONFIG, read_peft_folder
from model.files.reading import read_checkpoint
from model.lora import Lora, attach_lora, lora_state_dict
from model.whole import SCORE, adapters_of

FORMAT, VERSION = "sprout-lora", 1
_KINDS = {
    "rank": int,
    "alpha": (int, float),
    "targets": list,
    "dropout": (int, float),
    "base": dict,
    "stage": str,
    "facts": dict,
    "adapters": dict,
}


@dataclass(frozen=True)
class Adapters:
    """Adapters as opened, not yet on a network."""

    lora: Lora
    weights: dict[str, torch.Tensor]
    source: str
    stage: str = "lora"  # the stage that trained them
    partial: bool = False  # those of peft may be on some of the layers only
    facts: dict = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.source} (rank {self.lora.rank}, alpha {self.lora.alpha:g}, on {', '.join(self.lora.targets)})"

    @property
    def tokenizer_path(self) -> str | None:
        """The --tokenizer_path of their training; None where none was given, or it is not known."""
        arguments = self.facts.get("arguments")
        path = arguments.get("tokenizer_path") if isinstance(arguments, dict) else None
        return path if isinstance(path, str) and path.isprintable() else None

    def scaled(self, share: float) -> "Adapters":
        """The same adapters at a share of their strength: W + share (alpha / rank) B A.

        A share between 0 (the network alone) and 1 (all that was learned) keeps a part of both, and often nearly all
        of both (Wortsman et al. 2022, https://arxiv.org/abs/2109.01903).
        """
        return replace(self, lora=replace(self.lora, alpha=share * self.lora.alpha))

    def attach(self, model: nn.Module) -> None:
        """Puts the adapters on their network. Raises `SproutError` for any other network."""
        if SCORE in self.weights:
            raise SproutError(
                f"{self.source} holds the adapters of a reward model, which scores answers and writes none: use it with"
                " scripts/score.py --lora"
            )
        attach_lora(model, self.lora, self.weights, self.source, self.partial, self.tokenizer_path)


def save_lora(path: str | Path, model: nn.Module, *, stage: str, facts: dict | None = None) -> None:
    """Saves the adapters of a network, whole or not at all."""
    lora = adapters_of(model)
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "rank": lora.rank,
        "alpha": lora.alpha,
        "targets": list(lora.targets),
        "dropout": lora.dropout,
        "base": {"fingerprint": lora.base, "path": lora.base_path},
        "stage": stage,
        "facts": dict(facts or {}),
        "adapters": lora_state_dict(model),
    }
    save_checkpoint(path, contents)


def open_lora(source: str | Path) -> Adapters:
    """Opens a file of ours or a folder that peft wrote. If a file is damaged, the save before it is opened.

    Raises `SproutError` for a file or folder that is neither, or not whole.
    """
    source = Path(source)
    if source.is_dir():
        if not (source / CONFIG).exists():
            raise SproutError(f"{source} is not a folder of adapters: it has no {CONFIG}, which peft writes")
        return Adapters(*read_peft_folder(source), str(source), partial=True)
    contents = read_checkpoint(source)
    if contents.get("format") != FORMAT:
        raise SproutError(f"{source} holds no adapters: give a file from out/lora, or a folder that peft wrote")
    if isinstance(contents.get("version"), int) and contents["version"] > VERSION:
        raise SproutError(f"{source} was written by a newer Sprout (format {contents['version']}): update this one")
    wrong = [name for name, kind in _KINDS.items() if not isinstance(contents.get(name), kind)]
    if not wrong:
        base, adapters, targets = contents["base"], contents["adapters"], contents["targets"]
        texts = (base.get("fingerprint", 0), base.get("path", 0))
        wrong += ["base"] * (not all(isinstance(text, str | None) for text in texts))
        wrong += ["adapters"] * (not all(isinstance(name, str) for name in adapters))
        wrong += ["targets"] * (not all(isinstance(name, str) for name in targets))
        wrong += ["stage"] * (not contents["stage"].isprintable())  # it is shown, and must not steer the terminal
        wrong += ["rank"] * isinstance(contents["rank"], bool)  # to Python an int, to torch no size
        wrong += ["alpha"] * (not 0 < contents["alpha"] < float("inf"))
        wrong += ["dropout"] * (not 0 <= contents["dropout"] < 1)
    if wrong:
        raise SproutError(f"{source} does not hold adapters as Sprout writes them: its {wrong[0]} is missing or wrong")
    lora = Lora(*(contents[name] for name in ("rank", "alpha")), tuple(targets), contents["dropout"], *texts)
    return Adapters(lora, adapters, str(source), contents["stage"], facts=contents["facts"])
