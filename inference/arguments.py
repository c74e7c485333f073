"""The flags of eval_model.py, and which of them contradict each other. No torch is loaded, so --help is fast."""

import argparse
import os

from dataset.command_line import (
    add_switch,
    count,
    fraction,
    nonnegative,
    positive,
    positive_int,
)
from model.errors import UsageError

WEIGHT_NAMES = ("pretrain", "full_sft", "dpo", "reason")  # by --model_mode

ANSWERED_AT_ONCE = 64  # questions in a batch by default


def add_task_arguments(parser) -> None:
    group = parser.add_argument_group("what to do")
    modes = ", ".join(f"{mode} {name}" for mode, name in enumerate(WEIGHT_NAMES))
    group.add_argument(
        "--model_mode", type=int, choices=range(len(WEIGHT_NAMES)), default=0, help=f"{modes} (%(default)s)"
    )
    what = group.add_mutually_exclusive_group()
    what.add_argument("--prompt", action="append", metavar="TEXT", help="go on from this, or answer it (repeatable)")
    what.add_argument("--auto_test", action="store_true", help="built-in prompts in Chinese and English")
    what.add_argument("--data_path", metavar="FILE", help="score texts or chats: JSON lines, plain text, parquet, ...")
    group.add_argument("--system", metavar="TEXT", help="the system message that a chat begins with")
    group.add_argument(
        "--tools",
        nargs="+",
        metavar="TOOL",
        help="what it may call: calculator, lookup, a Python file (docs/tools.md)",
    )
    add_switch(group.add_argument, "think", "show what is thought before an answer (default)", default=True)
    group.add_argument("--format", metavar="NAME", help="with --data_path: its format (docs/chat_data.md)")
    group.add_argument("--answers", action="store_true", help="with --data_path: greedy answers, by exact match")
    group.add_argument("--show", type=count, default=0, metavar="N", help="with --answers: show N wrong ones")
    group.add_argument("--save_answers", metavar="FILE", help="with --answers: each of them, whole, as lines of JSON")
    group.add_argument("--resume", action="store_true", help="with --save_answers: go on with an interrupted run")
    group.add_argument("--json", action="store_true", help="with --data_path: the result as a line of JSON")
    group.add_argument(
        "--max_seq_len",
        type=positive_int,
        help="tokens in a scored row (texts 512, chats 768); in a chat, all that the network sees (its positions)",
    )
    group.add_argument(
        "--batch_size",
        type=positive_int,
        help=f"rows scored (as many as have 8,192 tokens) or answered ({ANSWERED_AT_ONCE}) at once",
    )


def add_weight_arguments(parser, default: str = "the name of --model_mode"):
    """Returns the group, to which a script adds the sizes of a bare weight. default: which weight that is, in words."""
    group = parser.add_argument_group("weight")
    group.add_argument("--out_dir", default="out", help="where weights are (%(default)s)")
    either = group.add_mutually_exclusive_group()
    either.add_argument(
        "--weight",
        metavar="NAME|FILE|FOLDER",
        help=f"its name there, a .pth, or an HF folder (default: {default})",
    )
    either.add_argument("--weight_path", metavar="FILE|FOLDER", help="the same as --weight with a path")
    group.add_argument(
        "--lora",
        metavar="NAME|FILE|FOLDER",
        help="with adapters: a name in <out_dir>/lora, a .pth, or peft's folder; on the network they belong to, if no"
        " weight is given",
    )
    group.add_argument(
        "--lora_scale", type=nonnegative, metavar="X", help="how much of the adapters counts; 0: nothing (1)"
    )
    group.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the weight's own")
    group.add_argument(
        "--rope_scaling_factor",
        type=positive,
        metavar="X",
        help="read texts X times as long as those it was trained on, by YaRN (docs/long_texts.md)",
    )
    add_device_arguments(group)
    return group


def add_device_arguments(group) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")


def above_zero(text: str) -> float:
    """A temperature that `Sampling` takes, without 0: all answers to a prompt would be one."""
    if (value := positive(text)) < 1e-5:
        raise argparse.ArgumentTypeError(f"{text} is too near to 0, where answers no longer differ: give more")
    return value


above_zero.__name__ = "number"  # argparse says "invalid <name> value"


def add_sampling_arguments(parser) -> None:
    group = parser.add_argument_group("sampling")
    group.add_argument("--max_new_tokens", type=positive_int, default=256, help="default %(default)s")
    group.add_argument("--temperature", type=nonnegative, default=0.8, help="0: greedy (%(default)s)")
    group.add_argument("--top_k", type=count, default=0, help="the K most probable; 0: all (%(default)s)")
    group.add_argument("--top_p", type=positive, default=0.9, help="the most probable, up to a sum of P (%(default)s)")
    group.add_argument("--min_p", type=fraction, default=0.0, help="at least this share of the largest (%(default)s)")
    group.add_argument("--repetition_penalty", type=positive, default=1.0, help="1: none (%(default)s)")
    group.add_argument("--seed", type=count, help="gives the same text again (default: a new one each time)")


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    if (args.json or args.answers) and not args.data_path:
        raise UsageError(f"--{'json' if args.json else 'answers'} is for --data_path, which is not given")
    if args.format and not args.data_path:
        raise UsageError("--format is that of --data_path, which is not given")
    if args.max_seq_len and args.answers:
        raise UsageError("--max_seq_len cuts what is scored, and --answers asks every question whole: leave it out")
    if args.max_seq_len and not args.data_path and args.model_mode == 0:
        raise UsageError("--max_seq_len is for --data_path and for a chat, by --model_mode 1 or more: leave it out")
    if args.batch_size and not args.data_path:
        raise UsageError("--batch_size is how much of --data_path is computed at once, which is not given")
    refuse_scale_of_nothing(args)
    if args.show and not args.answers:
        raise UsageError("--show N shows wrong answers of --answers, which is not given")
    if args.save_answers is not None and not args.answers:
        raise UsageError("--save_answers FILE keeps what --answers finds, which is not given")
    if args.resume and args.save_answers is None:
        raise UsageError("--resume goes on with the file of --save_answers, which is not given")
    if not args.think and (args.data_path or args.model_mode == 0):
        raise UsageError("--no_think hides thoughts of a chat: give --model_mode 1 or more, and no --data_path")
    if args.tools and not args.answers and (args.data_path or args.model_mode == 0):
        raise UsageError("--tools are called in a chat, by --model_mode 1 or more, and in --answers")
    if args.system is not None and (args.data_path or args.model_mode == 0):
        raise UsageError("--system begins a chat: give --model_mode 1 or more, and no --data_path")


def refuse_scale_of_nothing(args) -> None:
    """Raises `UsageError` for --lora_scale without adapters. args: those of `add_weight_arguments`."""
    if args.lora_scale is not None and not args.lora:
        raise UsageError("--lora_scale is for --lora, which is not given")


def is_taken(path: str) -> bool:
    """Whether something is there that would be lost. A run that was killed as it began leaves an empty file."""
    return os.path.lexists(path) and not (os.path.isfile(path) and os.path.getsize(path) == 0)


def refuse_existing(flag: str, path: str) -> None:
    """Raises `UsageError` if the output file that `flag` names exists already."""
    if is_taken(path):
        raise UsageError(f"{flag} {path} exists already, and is left as it is: choose another name")
