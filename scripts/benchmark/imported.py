"""What learning rates do to a network that came from elsewhere: the runs behind the second table of rates in
docs/choosing.md.

Fine-tuning, adapters and DPO, each at three rates over the same rows. A run has two figures: what it learned, on
conversations or pairs that it did not see, and what it forgot, on texts. Every run is a stage script as one would type
it. What is done is not done again.
"""

import contextlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

from model.errors import UsageError
from model.files.loading import load_model
from scripts.benchmark.choosing import make
from scripts.benchmark.program import run_program
from scripts.quickstart_way import Done, Place, Stage
from training.report.going_on import ROOT

ROWS = "--max_seq_len 512 --accumulation_steps 1 --eval_interval 1000000 --sample_interval 0"
CHATS, PAIRS = "--batch_size 4", "--batch_size 2"  # rows of a step; one of pairs is twice as long
STEPS = "--max_steps 40 --compile off"
HELD_OUT = 60  # conversations, pairs and texts
SEED = 42


@dataclass(frozen=True)
class Sweep:
    """A stage, and the rates that it is run with, its default on imported networks among them."""

    name: str
    script: str
    naming: str  # the flag that names what it writes
    rates: tuple[float, float, float]


SWEEPS = {
    "sft": Sweep("fine-tuning, Muon", "train_full_sft.py", "--weight_name", (4e-5, 2e-4, 1e-3)),
    "lora": Sweep("LoRA, AdamW", "train_lora.py", "--lora_name", (4e-5, 2e-4, 1e-3)),
    "dpo": Sweep("DPO, AdamW", "train_dpo.py", "--weight_name", (1e-6, 5e-6, 5e-5)),
}


@dataclass(frozen=True)
class Files:
    """Lines to train on and lines held out, of conversations and of pairs; and texts, of which none is trained on."""

    chats: tuple[Path, Path]
    pairs: tuple[Path, Path]
    texts: Path


def compare(args) -> None:
    """Sweeps the stages that --only names (default: all three) and prints one table in Markdown.

    Raises `UsageError` unless --data_path has conversations, preference pairs and texts, in this order.
    """
    names = args.only or list(SWEEPS)
    if unknown := [name for name in names if name not in SWEEPS]:
        raise UsageError(f"--only {unknown[0]}: the stages of imported are {', '.join(SWEEPS)}")
    if len(args.data_path) != 3:
        raise UsageError("imported needs three files: --data_path CONVERSATIONS PAIRS TEXTS")
    network, out = str(Path(args.weight_path).absolute()), Path(args.out_dir).absolute() / "imported"
    hidden = load_model(network).model.config.hidden_size
    out.mkdir(parents=True, exist_ok=True)
    chats, pairs, texts = (Path(path).absolute() for path in args.data_path)
    files = Files(divided(chats, out), divided(pairs, out), divided(texts, out)[1])
    with contextlib.chdir(ROOT):  # the commands that are printed hold there
        place = Place(out, SEED)
        first = {kind: loss(place, "before", kind, path, ("--weight_path", network)) for kind, path in asked(files)}
        lines = [row("as it came", "", first["conversations"], "", first["texts"])]
        for sweep in (SWEEPS[name] for name in names):
            lines += [run(place, sweep, rate, network, hidden, files) for rate in sweep.rates]
    head = row("stage", "rate", "loss of held-out conversations", "held-out pairs in order, loss", "loss of texts")
    print("\n".join(["", head, "|---" * 5 + "|", *lines]), flush=True)


def asked(files: Files) -> list[tuple[str, Path]]:
    return [("conversations", files.chats[1]), ("texts", files.texts)]


def divided(path: Path, out: Path) -> tuple[Path, Path]:
    """Files with the lines of a file in a fixed random order: all but the last `HELD_OUT`, and these."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    parts = out / f"{path.stem}_train.jsonl", out / f"{path.stem}_held_out.jsonl"
    for part, content in zip(parts, (lines[:-HELD_OUT], lines[-HELD_OUT:])):
        part.write_text("".join(content), encoding="utf-8")
    return parts


def run(place: Place, sweep: Sweep, rate: float, network: str, hidden: int, files: Files) -> str:
    """Trains with one rate, unless that is done, and returns a row of the table."""
    name = f"{sweep.script[6:-3]}_{rate:g}"
    on_pairs, adapters = sweep.script == "train_dpo.py", sweep.script == "train_lora.py"
    train, held_out = files.pairs if on_pairs else files.chats
    weight = (place.out / "lora" if adapters else place.out) / f"{name}_{hidden}.pth"
    training = place.training(
        f"{sweep.name}, {rate:g}",
        f"{sweep.script} {ROWS} {PAIRS if on_pairs else CHATS} {STEPS} --learning_rate {rate:g}",
        *(sweep.naming, name, "--from_weight", network, "--data_path", str(train), "--val_path", str(held_out)),
        result=weight,
    )
    make(training, Done(place.out / f"{name}.json"))
    of = ("--lora", name) if adapters else ("--weight_path", str(weight))
    chats, texts = (loss(place, name, kind, path, of) for kind, path in asked(files))
    return row(sweep.name, f"{rate:g}", chats, pairs_in_order(place, name, hidden) if on_pairs else "", texts)


def loss(place: Place, name: str, kind: str, path: Path, network: tuple[str, ...]) -> str:
    """The mean loss of a network on conversations (of the answers) or on texts, in nats for each token."""
    mode = "1" if kind == "conversations" else "0"
    asking = ("eval_model.py", "--model_mode", mode, *network, *place.where, "--data_path", str(path), "--json")
    stage = Stage(f"{name}: {kind}", asking, place.out / f"{name}_{kind}.json", capture=True)
    make(stage, Done(place.out / f"{name}.json"))
    return f"{json.loads(stage.result.read_text(encoding='utf-8'))['loss']:.3f}"


def pairs_in_order(place: Place, name: str, hidden: int) -> str:
    """The share of held-out pairs whose better answer DPO made likelier than the worse one, and its loss on them."""
    metrics = place.out / "logs" / f"{name}_{hidden}" / "metrics.jsonl"
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    return f"{100 * last['val_rewards/accuracies']:.0f} %, {last['val_loss']:.3f}"


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    run_program(__doc__)
