"""The runs behind docs/choosing.md: amounts of data, epochs, rates, sizes and adapters, on the sample world.

Begins with folders that scripts/quickstart.py made, one for each seed: their texts, conversations, held-out questions,
tokenizer and pretrained network. Every run is a stage script as one would type it. What is done is not done again, and
what was interrupted is resumed. Each part prints its table in Markdown.
"""

import contextlib
import json
import random
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from model.errors import UsageError
from scripts.benchmark.program import run_program
from scripts.quickstart_way import Done, Place, Stage, perform
from training.report.going_on import ROOT

# Every run of a table has these, so that only what the table compares is different.
FINE_TUNING = "--max_seq_len 256 --sample_interval 0 --compile off"
PRETRAINING = "--preset tiny --max_seq_len 256 --sample_interval 0 --compile off"
TEACHING_A_NAME = "--max_seq_len 256 --batch_size 8 --accumulation_steps 1 --epochs 40 --max_steps 800 --val_ratio 0"
TEACHING_A_NAME += " --sample_interval 0 --compile off"
TEXTS, HELD_OUT_TEXTS = 0.15, 300  # of the sample's texts: what the sizes are trained on, and what they are scored on


@dataclass(frozen=True)
class FineTuning:
    """Flags of a fine-tuning that the tables vary. The default is what the quickstart does."""

    share: float = 1  # of the conversations
    epochs: int = 3
    rate: float = 0.001

    @property
    def name(self) -> str:
        return f"share{self.share:g}_epochs{self.epochs}_rate{self.rate:g}"


@dataclass(frozen=True)
class Pretraining:
    """A new network and how often it reads the texts."""

    hidden: int
    epochs: int

    @property
    def name(self) -> str:
        return f"texts_epochs{self.epochs}"

    @property
    def shape(self) -> str:
        """Flags of the preset's shape at another width: heads of 64, two for a key, and the same ratio of the MLP."""
        heads = self.hidden // 64
        sizes = (("hidden_size", self.hidden), ("num_attention_heads", heads), ("num_key_value_heads", heads // 2))
        return " ".join(f"--{flag} {size}" for flag, size in (*sizes, ("intermediate_size", self.hidden * 11 // 4)))


@dataclass(frozen=True)
class NewName:
    """Another name taught to the fine-tuned network, beside the conversations that it was fine-tuned on."""

    lora: bool
    rate: float

    @property
    def name(self) -> str:
        return f"new_name_{'lora' if self.lora else 'full'}_rate{self.rate:g}"


@dataclass(frozen=True)
class Outcome:
    steps: int
    loss: float | None  # of held-out conversations or texts, at the end
    right: float | None = None  # share of the held-out questions
    parameters: int = 0
    named: float | None = None  # share of the held-out questions for its name


USUAL = FineTuning()
PARTS = {
    "data": [
        *(replace(USUAL, share=0.05, epochs=epochs) for epochs in (3, 30)),
        *(replace(USUAL, share=0.2, epochs=epochs) for epochs in (3, 9)),
        *(replace(USUAL, epochs=epochs) for epochs in (1, 3)),
    ],
    "rates": [replace(USUAL, share=0.2, epochs=9, rate=rate) for rate in (0.0005, 0.001, 0.002, 0.004)],
    "sizes": [Pretraining(hidden, epochs) for hidden in (128, 256, 384) for epochs in (1, 3)],
    "lora": [*(NewName(True, rate) for rate in (0.00025, 0.001)), *(NewName(False, rate) for rate in (0.0001, 0.0005))],
}


def compare(args) -> None:
    """Makes the runs of the parts that --only names (default: all) with every seed and prints a table for each.

    Raises `UsageError` for an unknown part, and for a folder that scripts/quickstart.py did not make.
    """
    names = args.only or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise UsageError(f"--only {unknown[0]}: the parts of choosing are {', '.join(PARTS)}")
    folders = {seed_of(Path(folder)): Path(folder).absolute() for folder in args.data_path}
    out = Path(args.out_dir).absolute() / "choosing"
    with contextlib.chdir(ROOT):  # the commands that are printed hold there
        for name in names:
            outcomes = {
                (recipe, seed): run(recipe, folder, out / f"seed{seed}", seed)
                for seed, folder in folders.items()
                for recipe in PARTS[name]
            }
            print("\n".join(["", name, *table(PARTS[name], list(folders), outcomes), ""]), flush=True)


def seed_of(folder: Path) -> int:
    """The seed with which scripts/quickstart.py made a folder. Raises `UsageError` if it did not, or not to its end."""
    try:
        stages = json.loads((folder / "quickstart.json").read_text(encoding="utf-8"))
        words = next(words for words in stages.values() if "train_full_sft.py" in words)
        (folder / "questions_after.json").stat()
    except (OSError, ValueError, StopIteration):
        raise UsageError(
            f"{folder} is not the folder of a finished quickstart: make one with "
            f"python scripts/quickstart.py --seed 1 --out_dir {folder}"
        ) from None
    return int(words[words.index("--seed") + 1])


def run(recipe: FineTuning | Pretraining, folder: Path, out: Path, seed: int) -> Outcome:
    """The outcome of one training, which is made unless it is there. folder: the quickstart's; out: where it goes."""
    if recipe == USUAL:  # the quickstart has made this very run
        return outcome(folder, "full_sft", 256, folder / "questions_after.json")
    out.mkdir(parents=True, exist_ok=True)
    ways = {Pretraining: pretrain, FineTuning: tune, NewName: teach_a_name}
    return ways[type(recipe)](recipe, folder, out, seed)


def pretrain(recipe: Pretraining, folder: Path, out: Path, seed: int) -> Outcome:
    texts, held_out = some_lines(folder / "sample" / "pretrain.jsonl", TEXTS, out, HELD_OUT_TEXTS)
    files = ("--data_path", str(texts), "--val_path", str(held_out), "--tokenizer_path", str(folder / "tokenizer"))
    command = f"train_pretrain.py {PRETRAINING} {recipe.shape} --epochs {recipe.epochs} --eval_interval 1000000"
    place, name = Place(out, seed), ("--weight_name", recipe.name)
    weight = place.weight(recipe.name, recipe.hidden)
    training = place.training(f"seed {seed}, {recipe}", command, *files, *name, result=weight)
    make(training, Done(out / f"{recipe.name}_{recipe.hidden}.json"))
    return outcome(out, recipe.name, recipe.hidden)


def tune(recipe: FineTuning, folder: Path, out: Path, seed: int) -> Outcome:
    chats, _ = some_lines(folder / "sample" / "sft.jsonl", recipe.share, out)
    files = ("--data_path", str(chats), "--from_weight", str(folder / "pretrain_256.pth"))
    command = f"train_full_sft.py {FINE_TUNING} --epochs {recipe.epochs} --learning_rate {recipe.rate:g}"
    place, name, done = Place(out, seed), ("--weight_name", recipe.name), Done(out / f"{recipe.name}.json")
    weight, answers = place.weight(recipe.name), out / f"{recipe.name}_questions.json"
    title = f"seed {seed}, {recipe}"
    make(place.training(title, command, *files, *name, result=weight), done)
    questions = ("--data_path", str(folder / "sample" / "questions.jsonl"), "--answers", "--json")
    asking = ("eval_model.py", "--model_mode", "1", "--weight_path", str(weight), *questions, "--max_new_tokens", "64")
    make(Stage(f"{title}: questions", asking, answers, capture=True), done)
    return outcome(out, recipe.name, 256, answers)


def teach_a_name(recipe: NewName, folder: Path, out: Path, seed: int) -> Outcome:
    sample, place, done = folder / "sample", Place(out, seed), Done(out / f"{recipe.name}.json")
    files = ("--data_path", f"{sample / 'identity.jsonl'}:0.25", f"{sample / 'sft.jsonl'}:0.75")
    adapters, all_of_it = "train_lora.py --lora_rank 32 --lora_alpha 64 --lora_name", "train_full_sft.py --weight_name"
    script = adapters if recipe.lora else all_of_it
    command = f"{script} {recipe.name} {TEACHING_A_NAME} --learning_rate {recipe.rate:g}"
    weight = place.weight(f"lora/{recipe.name}" if recipe.lora else recipe.name)
    title, start = f"seed {seed}, {recipe}", ("--from_weight", str(folder / "full_sft_256.pth"))
    make(place.training(title, command, *start, *files, result=weight), done)
    network = ("--lora", str(weight)) if recipe.lora else ("--weight_path", str(weight))
    answers = {name: out / f"{recipe.name}_{name}.json" for name in ("questions", "identity_heldout")}
    for name, file in answers.items():
        asking = ("eval_model.py", "--model_mode", "1", *network, "--data_path", str(sample / f"{name}.jsonl"))
        command = (*asking, "--answers", "--json", "--max_new_tokens", "64")
        make(Stage(f"{title}: {name}", command, file, capture=True), done)
    right, named = (json.loads(file.read_text(encoding="utf-8"))["accuracy"] for file in answers.values())
    logs = weight.parent / "logs" / weight.stem
    steps = json.loads((logs / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
    return Outcome(steps, None, right, named=named)


def make(stage: Stage, done: Done) -> None:
    """Runs a stage unless it is done."""
    if done.has(stage):
        return
    print(f"\n{stage.title}", flush=True)
    perform(stage, done)
    if stage.resume is not None:  # a finished run of a table is not gone on with, and its state is twice its weight
        for path in stage.result.parent.glob(f"{stage.result.stem}*_resume*.pth"):
            path.unlink()


def some_lines(path: Path, share: float, out: Path, held_out: int = 0) -> tuple[Path, Path | None]:
    """Files with a share of the lines of a file, drawn by a fixed seed, and with `held_out` lines that are not in it.

    All of the lines are the file itself.
    """
    if share == 1 and not held_out:
        return path, None
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    held, rest = lines[:held_out], lines[held_out:]
    chosen, left = out / f"{path.stem}_{share:.2g}.jsonl", out / f"{path.stem}_held_out.jsonl"
    for file, content in ((chosen, rest[: round(share * len(lines))]), (left, held)):
        if content:
            file.write_text("".join(content), encoding="utf-8")
    return chosen, left if held else None


def outcome(out: Path, name: str, hidden: int, answers: Path | None = None) -> Outcome:
    """What a finished run has written: its last validation, and the share of right answers if questions were asked."""
    logs = out / "logs" / f"{name}_{hidden}"
    last = json.loads((logs / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    parameters = json.loads((logs / "run.json").read_text(encoding="utf-8"))["parameters"]
    right = json.loads(answers.read_text(encoding="utf-8"))["accuracy"] if answers else None
    return Outcome(last["step"], last["val_loss"], right, parameters)


def table(recipes: list, seeds: list[int], outcomes: dict) -> list[str]:
    """The lines of a table in Markdown: a row for each recipe, and what came out by seed and in the mean."""
    lines = []
    for recipe in recipes:
        each = [outcomes[recipe, seed] for seed in seeds]
        if isinstance(recipe, FineTuning):
            cells = {"conversations": percent(recipe.share), "epochs": recipe.epochs, "rate": f"{recipe.rate:g}"}
            same = len({recipe.share for recipe in recipes}) == 1  # or each was validated on other conversations
            fields = ["right", "loss"] if same else ["right"]
        elif isinstance(recipe, NewName):
            cells = {"what learns": "LoRA, AdamW" if recipe.lora else "all, Muon", "rate": f"{recipe.rate:g}"}
            fields = ["named", "right"]
        else:
            cells = {"hidden": recipe.hidden, "parameters": f"{each[0].parameters:,}", "epochs": recipe.epochs}
            fields = ["loss"]
        cells["steps"] = f"{each[0].steps:,}"
        for field in fields:
            values = [getattr(one, field) for one in each]
            for which, value in zip([*(f"seed {seed}" for seed in seeds), "mean"], [*values, statistics.mean(values)]):
                cells[f"{field}, {which}"] = f"{value:.3f}" if field == "loss" else percent(value, 1)
        lines.append("| " + " | ".join(map(str, cells.values())) + " |")
    return ["| " + " | ".join(cells) + " |", "|---" * len(cells) + "|", *lines]


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


if __name__ == "__main__":
    run_program(__doc__)
