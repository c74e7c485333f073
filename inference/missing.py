"""What is said where a weight is missing: the folder that was looked in, what lies there, the command that makes it."""

import os
import shlex
from pathlib import Path

from model.errors import UsageError
from model.files.checkpoint import ADAPTER_FOLDER

SHOWN = 6  # weights in a message
# The commands by the name of the weight that they write.
STAGES = ("pretrain", "full_sft", "dpo", "reason", "reward", "distill", "grpo", "ppo")
COMMANDS = {name: f"train_{name}.py" for name in STAGES}
COMMANDS |= {"rlhf": "train_dpo.py --weight_name rlhf", "merged": "scripts/merge_lora.py --lora NAME"}


class MissingWeightError(UsageError):
    """There is no weight of this name."""


def sentences_about(source: str, out_dir: str, is_path: bool) -> str:
    """source: a path, or a name; out_dir: the folder of named weights, or <out_dir>/lora for adapters."""
    folder = Path(source).parent if is_path else Path(out_dir)
    what = f"{source} does not exist" if is_path else f"there is no weight called {source} in {out_dir}"
    stem = Path(source).name.removesuffix(".pth")
    name, _, size = stem.rpartition("_")
    name = name if name and size.isdecimal() else stem
    return f"{what}; {_contents(folder)}. {_advice(name, folder)}"


def _contents(folder: Path) -> str:
    """Which weights lie in the folder, which is named in full, the newest first."""
    whole = os.path.abspath(folder)
    if not os.path.isdir(folder):
        return f"there is no folder {whole}"
    weights = sorted(folder.glob("*.pth"), key=lambda path: path.stat().st_mtime, reverse=True)
    names = [path.name for path in weights if not path.name.endswith(("_resume.pth", ".previous.pth"))]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{whole} holds {', '.join(names[:SHOWN]) or 'no weight'}{more}"


def _advice(name: str, folder: Path) -> str:
    """Where a weight of this name is, or how to make one."""
    if adapters := _called(name, folder / ADAPTER_FOLDER):
        return f"{adapters[0]} holds adapters, which --lora takes"
    if elsewhere := [path for inner in _folders(folder) for path in _called(name, inner)]:
        return f"{elsewhere[0]} is one: give its path, or --out_dir {shlex.quote(str(elsewhere[0].parent))}"
    if folder.name == ADAPTER_FOLDER:
        command, folder = f"train_lora.py --lora_name {shlex.quote(name)}", folder.parent
    elif name in COMMANDS:
        command = COMMANDS[name]
    else:
        return f"Give a .pth or a Hugging Face folder, or train one with --weight_name {shlex.quote(name)}"
    where = "" if folder == Path("out") else f" --out_dir {shlex.quote(str(folder))}"
    data = " (on the sample data, or add --data_path FILE)" if command.startswith("train_") else ""
    return f"This makes it: python {command}{where}{data}"


def _folders(folder: Path) -> list[Path]:
    """The folders in it, such as out/quickstart."""
    if not os.path.isdir(folder):
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in (ADAPTER_FOLDER, "earlier"))


def _called(name: str, folder: Path) -> list[Path]:
    """Its weights, <name>_<hidden>.pth, without copies such as <name>_<hidden>.previous.pth."""
    stems = [(path, path.stem.rpartition("_")) for path in sorted(folder.glob("*.pth"))]
    return [path for path, (before, _, hidden) in stems if before == name and hidden.isdecimal()]
