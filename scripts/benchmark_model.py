"""What can a network do? Scores on local files of known benchmarks, by the conventions of lm-evaluation-harness.

    python scripts/benchmark_model.py --model_mode 1 --data_path blimp.jsonl xcopa_zh.jsonl
    python scripts/benchmark_model.py --model_mode 1 --data_path gsm8k_test.jsonl --shots_path gsm8k_train.jsonl
    python scripts/benchmark_model.py --weight_path M.gguf --data_path hellaswag.parquet --limit 500
    python scripts/benchmark_model.py --model_mode 1 --data_path my_text.jsonl --check_overlap my_corpus.jsonl

The layout of a file is seen from its keys: C-Eval, CMMLU, MMLU, ARC, HellaSwag, PIQA, XCOPA (zh), COPA, BLiMP, GAOKAO,
GSM8K, MGSM (zh, en), questions with short answers, and plain texts (perplexity, bits per byte). docs/benchmark.md says
how each is asked. Where the 95 % interval of a score holds what guessing would score, the table says "chance".
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import add_switch, count, positive_int
from inference.arguments import WEIGHT_NAMES, add_weight_arguments, refuse_scale_of_nothing
from inference.growing_file import GrowingFile
from inference.terminal import say
from model.errors import UsageError
from training.stages.arguments import StageParser, add_size_arguments, run_main, size_overrides


def parse_arguments(argv=None):
    parser = StageParser(__doc__)
    group = parser.add_argument_group("what to ask")
    group.add_argument("--data_path", nargs="+", required=True, metavar="FILE", help="JSON lines, parquet, CSV, text")
    group.add_argument("--limit", type=positive_int, metavar="N", help="only the first N items of each file")
    group.add_argument("--shots_path", nargs="+", default=(), metavar="FILE", help="examples to put before each item")
    group.add_argument(
        "--shots", type=count, metavar="N", help="how many (the first of the file; default: as is usual for the task)"
    )
    group.add_argument(
        "--check_overlap",
        nargs="+",
        metavar="FILE",
        help="training data: counts the items that stand in it, and scores the others",
    )
    group.add_argument("--max_new_tokens", type=positive_int, default=256, help="of a written answer (%(default)s)")
    group.add_argument("--max_seq_len", type=positive_int, help="tokens that the network sees (all its positions)")
    group.add_argument(
        "--batch_size", type=positive_int, help="choices or answers at once (default: by their length; 32 answers)"
    )
    bos = "begin with BOS, as in training (default), not only where nothing else stands before an answer"
    add_switch(group.add_argument, "bos", bos, default=True)
    group.add_argument("--save_file", metavar="FILE", help="the result (<out_dir>/benchmark/<weight>.json)")
    group.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    modes = ", ".join(f"{mode} {name}" for mode, name in enumerate(WEIGHT_NAMES))
    weight = add_weight_arguments(parser)
    weight.add_argument("--model_mode", type=int, choices=range(len(WEIGHT_NAMES)), default=0, help=f"{modes} (0)")
    add_size_arguments(weight.add_argument)
    parser.set_defaults(dtype="float32")  # so that figures can be compared
    args = parser.parse_args(argv)
    refuse_scale_of_nothing(args)
    return args


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from inference.benchmark.report import remarks, table
    from inference.benchmark.result import Result, refuse_replacing
    from inference.benchmark.running import Settings, prepare, run_in_parts
    from inference.benchmark.tasks import read_tasks
    from inference.weights import open_network, positions_read
    from inference.writer import ready_to_generate
    from model.device import choose_device, reuse_freed_memory

    # Refuse what cannot be done before the network is read
    refuse_unusable_files(args)
    tasks = read_tasks(args.data_path, args.shots_path, args.shots, args.limit)
    device = choose_device(args.device, args.dtype)
    if device.device.type == "cpu":
        reuse_freed_memory()

    # Refuse what this network cannot be asked before anything is computed
    loaded = open_network(args, WEIGHT_NAMES[args.model_mode], device, size_overrides(args), say)
    path = path_of_result(args, loaded.source)
    positions = positions_read(loaded.model.config, args.max_seq_len)
    settings = Settings(
        positions, args.batch_size, args.max_new_tokens, args.bos, device.autocast, vocabulary=loaded.writable
    )
    requests = {task.name: prepare(task, loaded.tokenizer, settings) for task in tasks}
    overlaps = find_overlaps(args, tasks)

    # One task after the other: every part of its items is kept for --resume, and every whole task is in the result
    tasks.sort(key=lambda task: bool(task.form.until))  # a network that is ready to generate can do nothing else
    result = Result(path, about(args, loaded.source, positions), len(tasks))
    refuse_replacing(result.unfinished, files_read(args))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with GrowingFile(str(result.items), identity(args, loaded, tasks), args.resume, replaces=True) as file:
            if file.done:
                say(f"going on after {file.done:,} items")
            earlier = file.earlier()
            for task in tasks:
                if task.form.until:
                    precision = ready_to_generate(loaded.model, device, args.dtype)
                    settings = replace(settings, precision=precision)
                asked = requests.pop(task.name)
                outcomes = run_in_parts(task, loaded.model, loaded.tokenizer, settings, asked, file, earlier)
                for remark in remarks(task, outcomes):
                    say(remark)
                result.add(task, outcomes, overlaps.get(task.name))
            file.forget()
    finally:
        if result.rows:
            print("\n".join(table(result.rows)))
        if where := result.whereabouts():
            say(where)


def refuse_unusable_files(args) -> None:
    """Raises `UsageError` or `SproutError` for files that the flags name and that cannot be read or written."""
    from dataset.records.reading import check_file
    from inference.benchmark.result import refuse_replacing
    from model.files.writable import refuse_unwritable

    for path in args.check_overlap or ():
        check_file(path)
    if args.save_file:
        if Path(args.save_file).is_dir():
            raise UsageError(f"--save_file {args.save_file} is a folder: name a file")
        refuse_unwritable(Path(args.save_file).parent, "--save_file")
        refuse_replacing(Path(args.save_file), files_read(args))


def path_of_result(args, source: str) -> Path:
    """Where the result of the weight at `source` is written. Raises `UsageError` if it may not take that place."""
    from inference.benchmark.result import refuse_other_weights, refuse_replacing
    from inference.weights import name_of

    name = name_of(source) + (f"+{name_of(args.lora)}" if args.lora else "")
    path = Path(args.save_file or Path(args.out_dir) / "benchmark" / f"{name}.json")
    refuse_replacing(path, files_read(args))
    if not args.save_file:
        refuse_other_weights(path, source, args.lora)
    return path


def files_read(args) -> list[str]:
    return [*args.data_path, *args.shots_path, *(args.check_overlap or ())]


def find_overlaps(args, tasks) -> dict[str, set[int]]:
    """Which entries of each task stand in the training data; {} where nobody asked."""
    if not args.check_overlap:
        return {}
    from inference.benchmark.overlap import overlapping

    texts = [[entry.item.own for entry in task.entries] for task in tasks]
    found = {}
    for task, (seen, judged) in zip(tasks, overlapping(texts, args.check_overlap), strict=True):
        found[task.name] = seen
        short = len(task.entries) - judged
        untold = f"; too short to tell: {short:,}" if short else ""
        say(f"{task.name}: in the training data {len(seen):,} of {judged:,} items{untold}")
    return found


def about(args, source: str, positions: int) -> dict:
    """What a result says of the network and of how it was asked."""
    asked = {"max_seq_len": positions, "max_new_tokens": args.max_new_tokens, "bos": args.bos, "dtype": args.dtype}
    names = "lora_scale", "tokenizer_path", "rope_scaling_factor", "limit"
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return {"weight": source, "lora": args.lora, **asked, **given}


def identity(args, loaded, tasks) -> dict:
    """What --resume has to find unchanged, in words that messages can use."""
    import hashlib

    from model.fingerprint import identity_of

    items = hashlib.sha256()
    for task in tasks:
        for entry in task.entries:
            items.update(f"{task.name} {entry}".encode("utf-8", "backslashreplace"))
    names = "lora_scale", "max_seq_len", "max_new_tokens", "bos", "dtype"
    return {
        "network": identity_of(loaded.model, loaded.tokenizer),
        "--data_path, --limit, --shots_path or --shots": items.hexdigest(),
        **{f"--{name}": getattr(args, name) for name in names},
    }


if __name__ == "__main__":
    run_main(main)
