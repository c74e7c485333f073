"""From what you have to what a stage trains on: read, cleaned, judged, without duplicates, mixed, and split.

    python scripts/prepare.py crawl/ notes.txt export.json wiki.parquet --save_dir out/data
    python scripts/prepare.py wiki.parquet code.jsonl --rules_for code=code --weights wiki=7 code=3 --save_dir out/data
    python scripts/prepare.py chats.jsonl pairs.jsonl --compare prompt --against gsm8k_test.jsonl --save_dir out/chats
    python scripts/prepare.py wiki.parquet --steps deduplicate --save_dir out/data

In --save_dir you find text.jsonl (chats.jsonl and preferences.jsonl where there are any), val.jsonl with --val_ratio,
dropped.jsonl with every document that was left out and why, and report.html. --resume goes on with a run that was
stopped.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, fraction, positive, positive_int, run_main, share
from dataset.prepare.flags import KINDS, RULES, settings_of, shown
from dataset.prepare.settings import STEPS
from dataset.unheard import to_its_end
from model.errors import SproutError, UsageError


def parse_arguments(argv=None):
    parser = CommandParser(__doc__)
    flag = parser.add_argument
    flag("sources", nargs="+", metavar="SOURCE", help="files, folders or patterns such as 'crawl/**/*.md'")
    flag("--save_dir", required=True, metavar="FOLDER", help="where to write; nothing is written elsewhere")

    flag = parser.add_argument_group("reading").add_argument
    flag("--text_column", metavar="NAME", help="the key or column of the text (default: looked for)")
    what = "what is one document: a whole .txt file, or each block between blank lines"
    flag("--txt", choices=("file", "blocks"), default="file", help=what)
    what = f"what its texts are: {', '.join(KINDS)}"
    flag("--kind_for", nargs="+", default=[], metavar="SOURCE=KIND", help=what)

    flag = parser.add_argument_group("steps").add_argument
    flag("--steps", metavar="NAME,...", help=f"only these of {','.join(STEPS)}")
    flag("--keep_markdown", action="store_true", help="texts keep their Markdown, as chats always do")
    flag("--personal", action="store_true", help="replace mail addresses, phone and identity numbers")
    flag("--rules", choices=RULES, default="prose", help="how texts are judged (%(default)s)")
    what = "other rules for a source; also for its chats"
    flag("--rules_for", nargs="+", default=[], metavar="SOURCE=RULES", help=what)
    what = "near-duplicates have this Jaccard similarity (%(default)s)"
    flag("--threshold", type=share, default=0.7, metavar="J", help=what)
    what = "what is alike in chats and pairs that are duplicates (%(default)s)"
    flag("--compare", choices=("both", "prompt", "answer"), default="both", help=what)
    what = "benchmarks that must not be in the result"
    flag("--against", nargs="+", default=[], metavar="FILE", help=what)

    flag = parser.add_argument_group("mixing and splitting").add_argument
    what = "the share of each source in the tokens of the result"
    flag("--weights", nargs="+", metavar="SOURCE=X", help=what)
    what = "instead of --weights: a source counts size ** (1 / T)"
    flag("--temperature", type=positive, metavar="T", help=what)
    what = "at most so many passes over a source (%(default)g)"
    flag("--max_epochs", type=positive, default=4.0, metavar="N", help=what)
    flag("--tokenizer_path", metavar="FOLDER", help="counts tokens (default: bytes are counted)")
    what = "the share that becomes validation (none)"
    flag("--val_ratio", type=fraction, default=0.0, metavar="X", help=what)

    flag = parser.add_argument_group("running").add_argument
    flag("--processes", type=positive_int, default=os.cpu_count(), metavar="N", help="default: all cores")
    flag("--resume", action="store_true", help="go on with a run that was stopped")
    return parser.parse_args(argv)


def main(argv=None) -> None:
    args = parse_arguments(argv)

    # Imported after the arguments, so that --help and a wrong flag answer at once.
    from dataset.prepare.contamination import passages_of
    from dataset.prepare.sources import check_columns, find_files, stamp
    from dataset.prepare.steps import PAGE, prepare
    from dataset.prepare.work import WorkFolder
    from dataset.prepare.writing import DROPPED, TRAINING, VALIDATION
    from model.text.tokenizer import Tokenizer

    # Everything that can be refused, before the work begins
    files, others = find_files(args.sources)
    check_columns(files, args.text_column)
    for path in args.against:
        passages_of([path])  # an unreadable benchmark
    if args.tokenizer_path:
        Tokenizer.load(args.tokenizer_path)
    settings = settings_of(args, files)
    save_dir = Path(args.save_dir)
    inside = [file.path for file in files if file.path.resolve().is_relative_to(save_dir.resolve())]
    if inside:
        raise UsageError(f"{inside[0]} is in --save_dir, where the results go: choose another folder")
    if others:
        print(f"files in folders that are not read: {len(others):,}, such as {shown(str(others[0]))}")
    save_dir.mkdir(parents=True, exist_ok=True)

    # What --resume compares; a finished run only says so again
    aside = [*args.against, *([args.tokenizer_path] if args.tokenizer_path else [])]
    run = {
        "settings": vars(settings),
        "input": [stamp(file.path) for file in files],
        "benchmarks or tokenizer": [stamp(Path(path)) for path in aside],
    }
    if args.resume and (finished := finished_report(save_dir, run)):
        print(f"this run is finished: see {save_dir / PAGE}", flush=True)
        return refuse_nothing(finished["files"], finished["kept"], finished["read"], save_dir)

    # The work
    work = WorkFolder(save_dir, run, args.resume)
    if args.resume:
        begins = f"there is no unfinished run of {save_dir}: begins"
        print("goes on with the unfinished run" if work.resumed else begins)
    try:
        report = prepare(settings, save_dir, work, args.processes, [str(path) for path in others])
    except KeyboardInterrupt:
        print("\nstopped: the same command with --resume goes on", file=sys.stderr)
        raise
    except (SproutError, OSError):
        if not work.holds_anything():
            work.remove()
        else:
            print("the work so far is kept: the same command with --resume goes on", file=sys.stderr)
        raise
    print(shown("\n".join(report.in_words())))
    written = [name for name in (*TRAINING.values(), *VALIDATION.values()) if (save_dir / name).exists()]
    print(f"written into {save_dir}: {', '.join(written) or 'nothing'}; what was dropped, and why: {DROPPED}")
    print(f"look at the report in a browser before you train: {save_dir / PAGE}", flush=True)
    refuse_nothing(written, report.kept, report.read, save_dir)


def finished_report(save_dir: Path, run: dict) -> dict | None:
    """The report that this very run has left in `save_dir`, if it is finished and all of its files are there."""
    from dataset.prepare.steps import REPORT
    from dataset.prepare.work import WorkFolder, fingerprint

    report = _report_in(save_dir / REPORT)
    if not report or not all((save_dir / name).exists() for name in report["files"]):
        return None
    if report.get("fingerprint") != fingerprint(run):
        return None
    if (save_dir / "unfinished").exists():  # it was killed when the results were in place
        with contextlib.suppress(SproutError):  # or it is of another run, which may go on
            WorkFolder(save_dir, run, resume=True).remove()
    return report


def refuse_nothing(written: list[str], kept: int, read: int, save_dir: Path) -> None:
    """Raises `SproutError` if nothing to train on was written."""
    from dataset.prepare.writing import DROPPED, TRAINING

    if not set(written) & set(TRAINING.values()):
        raise SproutError(
            f"no training file was written ({kept:,} of {read:,} documents kept):"
            f" {save_dir / DROPPED} says why each of the others was dropped"
        )


def _report_in(path: Path) -> dict:
    """The report of a finished run; empty where there is none, or it cannot be read."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) and {"files", "kept", "read"} <= report.keys() else {}


if __name__ == "__main__":
    run_main(to_its_end(main))
