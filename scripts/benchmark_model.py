"""What can a network do? Scores on local files of known benchmarks, by the conventions of lm-evaluation-harness.

    python scripts/benchmark_model.py --model_mode 1 --data_path blimp.jsonl xcopa_zh.jsonl
    python scripts/benchmark_model.py --model_mode 1 --data_path gsm8k_test.jsonl --shots_path gsm8k_train.jsonl
    python scripts/benchmark_model.py --weight_path M.gguf --data_path hellaswag.parquet --limit 500
    python scripts/benchmark_model.py --model_mode 1 --data_path my_text.jsonl --check_overlap my_corpus.jsonl

The layout of a file is seen from its keys: C-Eval, CMMLU, MMLU, ARC, HellaSwag, PIQA, XCOPA (zh), COPA, BLiMP, GAOKAO,
GSM8K, MGSM (zh, en), questions with short answers, and plain texts (perplexity, bits per byte). docs/benchmark.md says
how each is asked. Where the 95 % interval of a score holds what guessing would score, the table says "chance".
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import add_switch, count, positive_int
from inference.arguments import WEIGHT_NAMES, add_weight_arguments, refuse_scale_of_nothing
from inference.growing_file import GrowingFile
from inference.replaced import has_keys, refuse_inputs, refuse_strangers
from inference.terminal import say
from model.errors import UsageError
from model.json_text import json_text
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
    from dataset.records.reading import check_file
    from inference.benchmark.report import as_json, remarks, table
    from inference.benchmark.running import Settings, prepare, run_in_parts, score_task
    from inference.benchmark.tasks import read_tasks
    from inference.weights import name_of, open_network, positions_read
    from inference.writer import ready_to_generate
    from model.device import choose_device, reuse_freed_memory
    from model.disk import write_atomically
    from model.files.writable import refuse_unwritable

    # Refuse what cannot be done before the network is read
    for path in args.check_overlap or ():
        check_file(path)
    if args.save_file:
        if Path(args.save_file).is_dir():
            raise UsageError(f"--save_file {args.save_file} is a folder: name a file")
        refuse_unwritable(Path(args.save_file).parent, "--save_file")
        refuse_replacing(args, Path(args.save_file))
    tasks = read_tasks(args.data_path, args.shots_path, args.shots, args.limit)
    device = choose_device(args.device, args.dtype)
    if device.device.type == "cpu":
        reuse_freed_memory()

    loaded = open_network(args, WEIGHT_NAMES[args.model_mode], device, size_overrides(args), say)
    name = name_of(loaded.source) + (f"+{name_of(args.lora)}" if args.lora else "")
    path = Path(args.save_file or Path(args.out_dir) / "benchmark" / f"{name}.json")
    refuse_replacing(args, path)
    if not args.save_file:
        refuse_other_weights(args, loaded.source, path)
    positions = positions_read(loaded.model.config, args.max_seq_len)
    precision = device.autocast
    settings = Settings(positions, args.batch_size, args.max_new_tokens, args.bos, precision, loaded.writable)
    requests = {task.name: prepare(task, loaded.tokenizer, settings) for task in tasks}
    overlaps = find_overlaps(args, tasks)
    tasks.sort(key=lambda task: bool(task.form.until))  # a network that is ready to generate can do nothing else
    again, rows, results = " (replaced)" if path.exists() else "", [], []
    unfinished = path.with_name(f"{path.stem}.unfinished.json")
    refuse_replacing(args, unfinished)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with GrowingFile(str(items_of(path)), identity(args, loaded, tasks), args.resume, replaces=True) as file:
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
                scores = score_task(task, outcomes)
                rows += [(task.name, score) for score in scores]
                found = overlaps.get(task.name)
                if found:
                    apart = score_task(task, outcomes, found)
                    rows += [(f"{task.name} without {len(found):,} seen", score) for score in apart]
                # Written after each task, so that an interruption loses none that is complete, nor an earlier result.
                written = [*results, as_json(task, outcomes, scores, found)]
                content = json_text(result_of(args, loaded.source, positions) | {"tasks": written}, indent=1)
                place = path if len(written) == len(tasks) else unfinished
                write_atomically(place, lambda file, text=content: file.write(text.encode("utf-8")))
                results = written
            unfinished.unlink(missing_ok=True)
            file.forget()
    finally:
        if rows:
            print("\n".join(table(rows)))
        if len(results) == len(tasks):
            say(f"every item is in {path}{again}")
        elif results:
            say(f"every item of {len(results)} of {len(tasks)} benchmarks is in {unfinished}")


def items_of(path: Path) -> Path:
    """Where the items that are done stand until the result at `path` is complete."""
    return path.with_name(f"{path.stem}.unfinished.jsonl")


def identity(args, loaded, tasks) -> dict:
    """What --resume has to find unchanged, in words that messages can use."""
    import hashlib

    from model.fingerprint import fingerprint

    asked = hashlib.sha256()
    for task in tasks:
        for entry in task.entries:
            asked.update(f"{task.name} {entry}".encode("utf-8", "backslashreplace"))
    names = "lora_scale", "max_seq_len", "max_new_tokens", "bos", "dtype"
    network = f"{fingerprint(loaded.model)} {loaded.model.config} {loaded.tokenizer.fingerprint}"
    items = {"--data_path, --limit, --shots_path or --shots": asked.hexdigest()}
    return {"network": network} | items | {f"--{name}": getattr(args, name) for name in names}


def result_of(args, source: str, positions: int) -> dict:
    """What a result says of the network and of how it was asked."""
    asked = {"max_seq_len": positions, "max_new_tokens": args.max_new_tokens, "bos": args.bos, "dtype": args.dtype}
    names = "lora_scale", "tokenizer_path", "rope_scaling_factor", "limit"
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return {"weight": source, "lora": args.lora, **asked, **given}


def refuse_replacing(args, path: Path) -> None:
    """Raises `UsageError` if the result would replace anything but an earlier result, or a file that is read."""
    refuse_inputs("--save_file", path, [*args.data_path, *args.shots_path, *(args.check_overlap or ())])
    refuse_strangers("--save_file", path, has_keys(path, "weight", "tasks"), "a result of scripts/benchmark_model.py")


def refuse_other_weights(args, source: str, path: Path) -> None:
    """Raises `UsageError` if the result there is of another weight or other adapters that have the same name."""
    if path.exists():
        earlier = json.loads(path.read_bytes())
        for before, now in ((earlier["weight"], source), (earlier.get("lora"), args.lora)):
            if before != now and os.path.realpath(str(before)) != os.path.realpath(str(now)):
                raise UsageError(f"{path} is the result of {before}, not of {now}: name another file by --save_file")


def find_overlaps(args, tasks) -> dict[str, set[int]]:
    """Which entries of each task stand in the training data; {} where nobody asked."""
    if not args.check_overlap:
        return {}
    from inference.benchmark.overlap import overlapping

    found = {}
    for task, (seen, judged) in zip(
        tasks, overlapping([[entry.item.own for entry in task.entries] for task in tasks], args.check_overlap)
    ):
        found[task.name] = seen
        short = len(task.entries) - judged
        say(
            f"{task.name}: {len(seen):,} of {judged:,} items stand in the training data"
            + (f"; {short:,} are too short to tell" if short else "")
        )
    return found


if __name__ == "__main__":
    run_main(main)
