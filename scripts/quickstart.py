"""The whole way in minutes: from plain facts to a small model that chats in English and Chinese.

    python scripts/quickstart.py             # on a laptop; nothing is downloaded
    python scripts/quickstart.py --chat      # the same, then talk to it

Makes the sample data, learns a tokenizer, pretrains a tiny network on texts, fine-tunes it on conversations, and asks
it before and after about what it has read but was never asked. Every command is printed as you would type it. Run
again, it takes up where it was. Everything is written to out/quickstart.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.sample import sample_path
from model.config import preset
from scripts.quickstart_way import Done, Stage, call, perform, stop
from training.arguments import StageParser, count, positive_int, run_main

ROOT = Path(__file__).resolve().parents[1]

# What the sample data and 12 minutes on two CPU cores call for.
VOCABULARY = 4000
PRETRAINING = "--preset tiny --max_seq_len 256 --epochs 3 --sample_interval 0"
# Held-out questions are about facts that the texts taught: larger rates forget them (docs/full_sft.md).
FINE_TUNING = "--max_seq_len 256 --epochs 3 --learning_rate 0.001"

TRY_EN = ("What is the capital of Spain?", "What is 27 + 35?", "What is the moral of The Crow and the Pearl?")
TRY_ZH = ("法国的首都是哪里？", "狗的幼崽叫什么？", "苹果用英语怎么说？")


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    parser.add_argument("--chat", action="store_true", help="open the chat at the end")
    parser.add_argument("--seed", type=count, default=42, help="of the network and the order of the data (%(default)s)")
    parser.add_argument("--out_dir", help="default out/quickstart in the project's folder")
    parser.add_argument("--max_steps", type=positive_int, help="only so many steps of training: to try the machinery")
    return parser.parse_args(argv)


def stages(args) -> list[Stage]:
    """All commands of the way, in order."""
    out = Path(args.out_dir)
    hidden = preset("tiny").hidden_size
    pretrained, tuned = (out / f"{name}_{hidden}.pth" for name in ("pretrain", "full_sft"))
    texts, chats, questions = (str(sample_path(name, out)) for name in ("pretrain", "sft", "questions"))
    where = ("--out_dir", str(out))
    run = (*where, "--seed", str(args.seed), *(("--max_steps", str(args.max_steps)) if args.max_steps else ()))

    def training(title: str, *command: str, result: Path) -> Stage:
        return Stage(title, (*command, *run), result, result.with_name(f"{result.stem}_resume.pth"))

    def examination(title: str, mode: int, result: Path) -> Stage:
        asking = ("--data_path", questions, "--answers", "--json", "--max_new_tokens", "64")
        return Stage(title, ("eval_model.py", "--model_mode", str(mode), *where, *asking), result, capture=True)

    return [
        Stage(
            "sample data: a small world, in texts, conversations and questions",
            ("-m", "dataset.sample", *where),
            Path(questions).with_name("made.json"),
        ),
        Stage(
            "tokenizer: learns which pieces to cut texts into",
            (
                *("train_tokenizer.py", "--data_path", f"{texts}:1", f"{chats}:0.2", "--vocab_size", str(VOCABULARY)),
                *("--out_dir", str(out / "tokenizer")),
            ),
            out / "tokenizer" / "tokenizer.json",
        ),
        training(
            "pretraining: learns the language and the facts from texts",
            *("train_pretrain.py", "--data_path", texts, "--tokenizer_path", str(out / "tokenizer")),
            *PRETRAINING.split(),
            result=pretrained,
        ),
        examination("held-out questions before fine-tuning", 0, out / "questions_before.json"),
        training(
            "fine-tuning: learns to answer, from conversations",
            *("train_full_sft.py", "--data_path", chats),
            *FINE_TUNING.split(),
            result=tuned,
        ),
        examination("held-out questions after fine-tuning", 1, out / "questions_after.json"),
    ]


def main(argv=None) -> None:
    args = parse_arguments(argv)
    if args.out_dir is None:
        args.out_dir = "out/quickstart"
    elif Path.cwd() != ROOT:
        args.out_dir = str(Path(args.out_dir).resolve())
    os.chdir(ROOT)  # where the printed commands are at home
    try:
        chat = walk(args)
    except KeyboardInterrupt:  # between two commands
        stop(signal.SIGINT)
    if args.chat:
        sys.exit(open_chat(chat))


def walk(args) -> tuple[str, ...]:
    """Goes the whole way, or what is left of it; returns the command that opens the chat."""
    started = time.monotonic()
    way = stages(args)
    done = Done(Path(args.out_dir) / "quickstart.json")
    for number, stage in enumerate(way, 1):
        print(f"\n[{number}/{len(way)}] {stage.title}", flush=True)
        if done.has(stage):
            print(f"    done before: {stage.result}", flush=True)
        else:
            perform(stage, done)

    before, after = (json.loads(stage.result.read_text(encoding="utf-8")) for stage in way if stage.capture)
    print("\nright answers to held-out questions, word for word, before and after fine-tuning")
    print("\n".join(comparison(before, after)))

    print("\na few conversations", flush=True)
    chat = ("eval_model.py", "--model_mode", "1", "--out_dir", args.out_dir)
    prompts = [word for question in TRY_EN + TRY_ZH for word in ("--prompt", question)]
    call((*chat, "--temperature", "0", *prompts))
    print(farewell(args, chat, (time.monotonic() - started) / 60), flush=True)
    return chat


def comparison(before: dict, after: dict) -> list[str]:
    """A row for each skill, a column for each language: accuracy before -> after fine-tuning."""
    languages = list(after["languages"])
    rows = [["skill", "questions", *languages, "all"]]
    for skill in [*after["skills"], None]:
        pair = [each["skills"][skill] if skill else each for each in (before, after)]
        cells = [_change(*(each["languages"].get(language) for each in pair)) for language in languages]
        rows.append([skill or "all", f"{pair[1]['questions']:,}", *cells, _change(*pair)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _change(before: dict | None, after: dict | None) -> str:
    return "-" if before is None or after is None else f"{before['accuracy']:.1%} -> {after['accuracy']:.1%}"


def farewell(args, chat: tuple[str, ...], minutes: float) -> str:
    out = Path(args.out_dir)
    return f"""
This took {minutes:.1f} minutes. What next?
  talk to it        python {shlex.join(chat)}
  see the curves    {out}/logs/*/loss.png
  look at the data  {out}/sample/*.jsonl
  your own texts    python train_pretrain.py --data_path my_text.jsonl
  your own chats    python train_full_sft.py --data_path my_chats.jsonl
The pages in docs/ say more about each stage."""


def open_chat(chat: tuple[str, ...]) -> int:
    """The chat in this terminal, which deals with Ctrl-C itself; its exit code."""
    signal.signal(signal.SIGINT, lambda *_: None)
    return subprocess.call([sys.executable, *chat])


if __name__ == "__main__":
    run_main(main)
