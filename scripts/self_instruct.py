"""New instructions and answers from a few seeds, as chat data for train_full_sft.py.

    python scripts/self_instruct.py --seeds seeds.jsonl --endpoint http://127.0.0.1:8998/v1 --model NAME \\
        --number 1000 --save_file out/instructions.jsonl
    python scripts/self_instruct.py --seeds seeds.jsonl --weight full_sft --save_file out/instructions.jsonl
    python scripts/self_instruct.py --seeds seeds.jsonl --weight full_sft --way magpie --save_file out/questions.jsonl

The model is shown a few instructions and writes more (Self-Instruct), or it writes the user's turn itself (Magpie).
What passes all checks and resembles nothing that is there is answered. Every reply is kept in <save_file>.journal: a
run that was killed goes on with --resume, and asks for no reply again.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import count, positive, positive_int, run_main, share
from inference.arguments import above_zero, add_weight_arguments, refuse_existing, refuse_scale_of_nothing
from inference.terminal import say
from model.errors import SproutError, UsageError
from training.stages.arguments import StageParser

WAYS = ("self_instruct", "magpie")
TIMEOUT, RETRIES = 120.0, 6
MOST_SECONDS = 86400  # to wait for a reply; sockets take no number of any size
MOST_IN_FLIGHT = 1000  # each is a thread and an open connection, and Linux lets a program open 1,024 files by default


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to write")
    group.add_argument("--seeds", required=True, metavar="FILE", help="chats, whose first questions are the examples")
    group.add_argument("--save_file", required=True, metavar="FILE", help="where to write the chats, as JSON lines")
    group.add_argument("--number", type=positive_int, default=1000, metavar="N", help="chats to make (%(default)s)")
    group.add_argument("--way", choices=WAYS, default=WAYS[0], help="how instructions are made (%(default)s)")
    group.add_argument(
        "--language", choices=("seeds", "zh", "en", "any"), default="seeds", help="what to write in (%(default)s)"
    )
    group.add_argument(
        "--novelty",
        type=share,
        default=0.7,
        metavar="X",
        help="a new instruction has less ROUGE-L than this (%(default)s)",
    )
    group.add_argument("--temperature", type=above_zero, default=0.8, metavar="X", help="of sampling (%(default)s)")
    group.add_argument("--top_p", type=share, default=0.95, metavar="X", help="of sampling (%(default)s)")
    group.add_argument("--max_new_tokens", type=positive_int, default=512, metavar="N", help="of a reply (%(default)s)")
    group.add_argument("--seed", type=count, default=42, metavar="N", help="of examples and sampling (%(default)s)")
    group.add_argument("--in_flight", type=positive_int, default=8, metavar="N", help="replies at a time (%(default)s)")
    group.add_argument("--resume", action="store_true", help="go on with a run that was interrupted, or to a larger N")
    group = parser.add_argument_group("endpoint")
    group.add_argument("--endpoint", metavar="URL", help="a server with OpenAI's interface, up to /v1")
    group.add_argument("--model", metavar="NAME", help="what the server calls the model")
    group.add_argument(
        "--api_key", metavar="VARIABLE", help="the environment variable that holds the key (not the key itself)"
    )
    group.add_argument(
        "--timeout", type=positive, default=TIMEOUT, metavar="S", help="seconds for a reply (%(default)g)"
    )
    group.add_argument(
        "--retries", type=count, default=RETRIES, metavar="N", help="times that a request is sent again (%(default)s)"
    )
    group = add_weight_arguments(parser, default="none")
    group.add_argument("--hidden_size", type=positive_int, metavar="N", help="where a name fits several sizes")
    args = parser.parse_args(argv)
    refuse_contradictions(args)
    return args


def refuse_contradictions(args) -> None:
    """Raises `UsageError` for flags that mean nothing together."""
    weight = args.weight or args.weight_path or args.lora
    if bool(args.endpoint) == bool(weight):
        raise UsageError("give either --endpoint URL with --model NAME, or --weight NAME")
    if bool(args.endpoint) != bool(args.model):
        raise UsageError("--endpoint URL and --model NAME belong together: give both")
    refuse_scale_of_nothing(args)
    for flag in ("tokenizer_path", "rope_scaling_factor", "hidden_size", "device", "dtype"):
        if args.endpoint and getattr(args, flag) not in (None, "auto"):
            raise UsageError(f"--{flag} is for --weight, and a server opens its own weight: leave it out")
    if args.endpoint and args.way == "magpie":
        raise UsageError(
            "--way magpie opens a turn of the user with control tokens, which a server takes for text: give --weight"
        )
    if args.api_key and not args.endpoint:
        raise UsageError("--api_key is for --endpoint, which is not given")
    if args.api_key and not os.environ.get(args.api_key):
        raise UsageError("--api_key names an environment variable, and there is none of this name: export it first")
    if not args.endpoint and (args.timeout, args.retries) != (TIMEOUT, RETRIES):
        raise UsageError("--timeout and --retries are for --endpoint, which is not given")
    if args.timeout > MOST_SECONDS:
        raise UsageError(f"--timeout {args.timeout:g} is more than a day: give at most {MOST_SECONDS} seconds")
    if args.endpoint and args.in_flight > MOST_IN_FLIGHT:
        raise UsageError(f"--in_flight {args.in_flight} takes as many connections: give at most {MOST_IN_FLIGHT}")
    for flag in ("top_p", "novelty"):
        if not getattr(args, flag):
            raise UsageError(f"--{flag} 0 lets nothing through: give more, at most 1")
    if not Path(args.save_file).name:
        raise UsageError(f"--save_file {args.save_file} is a folder: name a file in it")
    journal = journal_of(args.save_file)
    for path in (args.save_file, journal):
        if os.path.exists(path) and os.path.exists(args.seeds) and os.path.samefile(path, args.seeds):
            raise UsageError(
                f"--save_file {args.save_file} would write over {args.seeds} of --seeds: choose another name"
            )
    if not (args.resume and has_replies(journal)):
        refuse_existing("--save_file", args.save_file)


def journal_of(save_file: str) -> Path:
    return Path(f"{save_file}.journal")


def has_replies(journal: Path) -> bool:
    """Whether a run wrote more than its settings; without, the file beside it is of no run."""
    return journal.is_file() and journal.read_bytes().count(b"\n") > 1


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from inference.instruct.checks import language_of
    from inference.instruct.growing import Growing, Progress, Settings
    from inference.instruct.requests import Journal

    seeds = read_seeds(args.seeds)
    languages = {"seeds": {language_of(one) for one in seeds} - {"none"}, "any": set()}.get(
        args.language, {args.language}
    )
    settings = Settings(
        way=args.way,
        languages=frozenset(languages),
        in_flight=args.in_flight,
        seed=args.seed,
        temperature=args.temperature,
        top_p=args.top_p,
        max_new_tokens=args.max_new_tokens,
        novelty=args.novelty,
    )
    model, name, who = open_model(args)
    journal = Journal(journal_of(args.save_file), identity(settings, seeds, who), args.resume)
    if args.resume and not len(journal):
        say(f"there is no unfinished run of {args.save_file}: begins")
    records = []
    progress = Progress(say, args.number)
    growing = Growing(model, journal, seeds, settings, lambda: progress.show(len(records), growing.counts))
    try:
        for record in growing.records():
            records.append(record | {"model": name})
            if len(records) == args.number:
                break
    except KeyboardInterrupt:
        if len(journal):
            say(f"{journal_of(args.save_file)} keeps every reply; the same command with --resume goes on")
        raise
    finally:
        journal.close()
        report(growing.counts, model.retried, len(records))
        if records:
            save(args.save_file, records)
    if growing.barren:
        raise SproutError(
            f"the model gave no usable record any more, so {args.save_file} has {len(records)} of {args.number}: take a"
            " larger model, more seeds or another --temperature"
        )
    say(f"train on it: python train_full_sft.py --data_path {args.save_file}")


def read_seeds(path: str) -> list[str]:
    """The first question of every chat in the file. Raises `SproutError` for a file that holds no chats."""
    from dataset.records.measured import all_documents, kind_of_file

    kind, _ = kind_of_file(path, ("chat",))
    found = []
    for document in all_documents(path, kind, "reading"):
        question = next((turn["content"] for turn in document.content.messages if turn["role"] == "user"), "")
        if question.strip():
            found.append(question.strip())
    if not found:
        raise SproutError(f"no chat in {path} has a question: give seeds that have one")
    return found


def open_model(args):
    """What answers, its name for the records, and what it is for --resume, in words that messages can use."""
    if args.endpoint:
        from inference.instruct.endpoint import Endpoint

        key = os.environ[args.api_key] if args.api_key else None
        limits = {"in_flight": args.in_flight, "timeout": args.timeout, "retries": args.retries}
        return Endpoint(args.endpoint, args.model, api_key=key, **limits), args.model, {"model": args.model}
    from dataset.rendering import ChatRenderer
    from inference.instruct.decoded import Decoded
    from inference.weights import name_of, open_network
    from model.device import choose_device
    from model.fingerprint import identity_of

    device = choose_device(args.device, args.dtype)
    loaded = open_network(args, "full_sft", device, {}, say)
    variant = ChatRenderer(loaded.tokenizer).variant
    weight = identity_of(loaded.model, loaded.tokenizer, variant)  # `Decoded` changes the network
    model = Decoded(loaded, device, args.dtype, args.in_flight)
    known_as = Path(loaded.source).stem  # in journals of earlier versions, also for a folder with a dot in its name
    return model, name_of(loaded.source), {"model": known_as, "weight": weight, "dtype": args.dtype}


def identity(settings, seeds: list[str], who: dict) -> dict:
    """What --resume has to find unchanged, in words that messages can use."""
    import hashlib
    from dataclasses import asdict

    values = asdict(settings) | {"languages": sorted(settings.languages)} | who
    return values | {"seeds": hashlib.sha256(json.dumps(seeds).encode()).hexdigest()}


def report(counts, retried: int, records: int) -> None:
    say(
        f"{records:,} records from {counts.requests:,} requests ({retried:,} sent again, {counts.known:,} known"
        f" before); {counts.tokens_in:,} tokens in, {counts.tokens_out:,} out"
    )
    for reason, times in counts.rejected.most_common():
        say(f"  rejected {times:,}: {reason}")


def save(path: str, records: list[dict]) -> None:
    """Writes the records, unless the file holds more of them, as after Ctrl-C before all known replies were read. What
    the records do not begin with was edited, and is kept beside them."""
    from model.disk import previous_path, sweep_temporaries, write_atomically

    there = Path(path).read_bytes() if os.path.exists(path) else b""
    if (held := there.count(b"\n")) > len(records):
        say(f"{path} holds {held:,} records, more than the {len(records):,} of this run, and is left as it is")
        return
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode("utf-8")
    was_edited = not content.startswith(there)
    sweep_temporaries(Path(path).parent)
    write_atomically(path, lambda file: file.write(content), keep_previous=was_edited)
    say(f"saved {path}" + (f"; what was there is kept as {previous_path(path)}" if was_edited else ""))


if __name__ == "__main__":
    run_main(main)
