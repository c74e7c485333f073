"""The whole way in minutes: from plain facts to a small model that chats in English and Chinese.

    python scripts/quickstart.py             # on a laptop; nothing is downloaded
    python scripts/quickstart.py --chat      # the same, then talk to it
    python scripts/quickstart.py --full      # goes on through the other stages: about an hour more

Makes the sample data, learns a tokenizer, pretrains a tiny network on texts, fine-tunes it on conversations, and asks
it before and after about what it has read but was never asked. A second fine-tuning makes the network to talk to: that
one also says when it does not know, reads what is typed in a hurry, and tells little stories. Every command is printed
as you would type it. If you run it again, it goes on where it stopped. Everything is written to out/quickstart.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import count, positive_int
from inference.columns import in_columns
from scripts.quickstart_full import stages_after, table_after
from scripts.quickstart_way import Done, Place, Stage, call, perform, stop
from training.report.description import duration
from training.report.going_on import GO_ON, ROOT, command_of, command_to_go_on, in_words
from training.stages.arguments import StageParser, run_main

# Chosen for the sample data and 9 minutes on two CPU cores with bfloat16 instructions.
VOCABULARY = 4000
PRETRAINING = "--preset tiny --max_seq_len 256 --epochs 3"
# Held-out questions are about facts that the texts taught: larger rates forget them (docs/full_sft.md).
FINE_TUNING = "--max_seq_len 256 --epochs 3 --learning_rate 0.001"
# Half as many tokens a step, so twice the updates for the same work, and a rate that teaches refusals in so few steps.
FIRST_CHAT = "--max_seq_len 256 --epochs 3 --max_steps 1050 --batch_size 8 --accumulation_steps 1"
FIRST_CHAT += " --learning_rate 0.003 --val_ratio 0"
FIRST_CHAT_DATA = {"sft": 0.3, "first_chat": 0.55, "told": 0.15}  # shares of the rows
OF_FIRST_CHAT = 0.94  # the rest is of the fine-tuned network, which refuses nothing

CHAT_MODE = "--model_mode 1 --weight chat"
CHAT_EXAMINATIONS = {  # by the file of the result, and what it is asked
    "chat_questions": ("the same held-out questions", "questions"),
    "chat_rephrased": ("questions in other words, as typed in a hurry", "rephrased_heldout"),
    "chat_unknown": ("questions that its world has no answer to", "unknown_heldout"),
}

TRY_EN = ("What is 27 + 35?", "capital of japan", "What is 123 + 456?", "Tell me a little story.")
TRY_ZH = ("法国的首都是哪里？", "日本首都", "三加五等于几？", "明天会下雨吗？")


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    parser.add_argument("--chat", action="store_true", help="open the chat at the end")
    stages = "LoRA, DPO, reward model, PPO, reasoning, GRPO, tools, distillation"
    parser.add_argument("--full", action="store_true", help=f"go on through {stages}")
    parser.add_argument("--seed", type=count, default=42, help="seed of the network and the data order (%(default)s)")
    parser.add_argument("--out_dir", help="default out/quickstart in the project's folder")
    parser.add_argument("--max_steps", type=positive_int, help="end each training after N steps, to try the script")
    return parser.parse_args(argv)


def stages(place: Place) -> list[Stage]:
    """All commands of the way, in order."""
    texts, chats = place.sample("pretrain"), place.sample("sft")
    tokenizer = place.out / "tokenizer"
    return [
        Stage(
            "sample data: a small world, in texts, conversations and questions",
            ("-m", "dataset.sample", *place.where),
            Path(texts).with_name("made.json"),
        ),
        Stage(
            "tokenizer: learns which pieces to cut texts into",
            (
                *("train_tokenizer.py", "--data_path", f"{texts}:1", f"{chats}:0.2", "--vocab_size", str(VOCABULARY)),
                *("--out_dir", str(tokenizer)),
            ),
            tokenizer / "tokenizer.json",
        ),
        place.training(
            "pretraining: learns the language and the facts from texts",
            f"train_pretrain.py {PRETRAINING}",
            *("--data_path", texts, "--tokenizer_path", str(tokenizer)),
            result=place.weight("pretrain"),
        ),
        place.examination("held-out questions before fine-tuning", "questions_before", "--model_mode 0"),
        place.training(
            "fine-tuning: learns to answer, from conversations",
            f"train_full_sft.py {FINE_TUNING}",
            *("--data_path", chats),
            result=place.weight("full_sft"),
        ),
        place.examination("held-out questions after fine-tuning", "questions_after", "--model_mode 1"),
        place.training(
            "first chat: learns to answer once more, to say that it does not know, and to read hurried questions",
            f"train_full_sft.py --weight_name first_chat {FIRST_CHAT}",
            *("--data_path", *(f"{place.sample(name)}:{share}" for name, share in FIRST_CHAT_DATA.items())),
            result=place.weight("first_chat"),
        ),
        Stage(
            "a small step from there to the fine-tuned network, which takes back refusals of what is known",
            (
                *("scripts/interpolate.py", "--from_weight", "full_sft", "--to_weight", "first_chat"),
                *("--share", str(OF_FIRST_CHAT), "--weight_name", "chat", *place.where),
            ),
            place.weight("chat"),
        ),
        *(
            place.examination(f"{title}, by the network of the first chat", name, CHAT_MODE, questions)
            for name, (title, questions) in CHAT_EXAMINATIONS.items()
        ),
    ]


def main(argv=None) -> None:
    args = parse_arguments(argv)
    if args.out_dir is None:
        args.out_dir = "out/quickstart"
    elif Path.cwd() != ROOT:
        args.out_dir = str(Path(args.out_dir).resolve())
    os.environ[GO_ON] = command_to_go_on()
    here = Path.cwd()
    if here != ROOT:
        print(f"the commands below hold in this folder:\n    {in_words(['cd', ROOT])}")
    os.chdir(ROOT)
    try:
        chat = walk(args, here)
    except KeyboardInterrupt:  # between two commands
        stop(signal.SIGINT)
    if args.chat:
        sys.exit(open_chat(chat))


def walk(args, here: Path) -> tuple[str, ...]:
    """Runs all stages that are not done yet; returns the command that opens the chat. here: where the user stands."""
    started = time.monotonic()
    place = Place(Path(args.out_dir), args.seed, args.max_steps)
    way, further = stages(place), stages_after(place) if args.full else []
    done = Done(place.out / "quickstart.json")
    count = len(way) + len(further)
    print(f"{count} steps; trainings say how long they will take, and every step how long it took")
    watch = command_of("scripts/watch.py", "--out_dir", _seen(place.out, here), here=here)
    print(f"another window can watch them: {watch}", flush=True)
    for number, stage in enumerate(way, 1):
        do(stage, f"[{number}/{count}]", done)

    before, after, *chats = (json.loads(stage.result.read_text(encoding="utf-8")) for stage in way if stage.capture)
    print("\nright answers to held-out questions, word for word, before and after fine-tuning")
    print("\n".join(comparison(before, after)))
    print("\nafter the first chat")
    print("\n".join(after_the_first_chat(chats)))
    print("\na few conversations", flush=True)
    chat = ("eval_model.py", *CHAT_MODE.split(), *place.where)
    prompts = [word for question in TRY_EN + TRY_ZH for word in ("--prompt", question)]
    call((*chat, "--temperature", "0", "--max_new_tokens", "128", *prompts))  # those of a trial have no end

    for number, stage in enumerate(further, len(way) + 1):
        do(stage, f"[{number}/{count}]", done)
    if further:
        print("\nwhat each stage brought")
        print("\n".join(table_after(place)))
    print(farewell(args, chat, here, duration(time.monotonic() - started)), flush=True)
    return chat


def do(stage: Stage, number: str, done: Done) -> None:
    print(f"\n{number} {stage.title}", flush=True)
    if done.has(stage):
        print(f"    done before: {stage.result}", flush=True)
    else:
        perform(stage, done)


def comparison(before: dict, after: dict) -> list[str]:
    """A row for each skill, a column for each language: accuracy before -> after fine-tuning."""
    languages = list(after["languages"])
    rows = [["skill", "questions", *languages, "all"]]
    for skill in [*after["skills"], None]:
        pair = [each["skills"][skill] if skill else each for each in (before, after)]
        cells = [_change(*(each["languages"].get(language) for each in pair)) for language in languages]
        rows.append([skill or "all", f"{pair[1]['questions']:,}", *cells, _change(*pair)])
    return in_columns(rows)


def after_the_first_chat(found: list[dict]) -> list[str]:
    """A line for each of `CHAT_EXAMINATIONS`."""
    titles = [title for title, _ in CHAT_EXAMINATIONS.values()]
    width = max(map(len, titles))
    return [
        f"{title.ljust(width)}  {each['accuracy']:6.1%} of {each['questions']:,}"
        for title, each in zip(titles, found, strict=True)
    ]


def _change(before: dict | None, after: dict | None) -> str:
    return "-" if before is None or after is None else f"{before['accuracy']:.1%} -> {after['accuracy']:.1%}"


def _seen(out: Path, here: Path) -> Path:
    """The output folder, which is named from the project's folder, as a user who stands elsewhere names it."""
    return out if here == ROOT else ROOT / out


def farewell(args, chat: tuple[str, ...], here: Path, time: str) -> str:
    out = _seen(Path(args.out_dir), here)
    *flags, _ = chat[1:]  # the last is the folder
    trial = (
        f"\nThis was a trial: no training went beyond {args.max_steps:,} steps, as --max_steps asks, so the answers are"
        " poor; without the flag it learns."
        if args.max_steps
        else ""
    )
    return f"""{trial}
This took {time}. What next?
  talk to it        {command_of(chat[0], *flags, out, here=here)}
  see the curves    {command_of("scripts/report.py", out, here=here)}
  look at the data  {out}/sample/*.jsonl
  your own texts    {command_of("train_pretrain.py", "--data_path", "my_text.jsonl", here=here)}
  your own chats    {command_of("train_full_sft.py", "--data_path", "my_chats.jsonl", here=here)}
The pages in docs/ say more about each stage."""


def open_chat(chat: tuple[str, ...]) -> int:
    """The chat in this terminal, which deals with Ctrl-C itself; its exit code."""
    signal.signal(signal.SIGINT, lambda *_: None)
    return subprocess.call([sys.executable, *chat])


if __name__ == "__main__":
    run_main(main)
