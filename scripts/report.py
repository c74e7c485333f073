"""One page about a run, or about several side by side: plan, data, curves, samples, verdict, flags, environment.

    python scripts/report.py out/logs/pretrain_512
    python scripts/report.py out/logs/seed1_512 out/logs/seed2_512 out/logs/other_512   # what differs, and by how much
    python scripts/report.py out                                         # all runs in it
    python scripts/report.py                                             # all runs where the newest run is

Takes log folders, their metrics.jsonl, weights (out/pretrain_512.pth) or names of weights in out (pretrain), and only
reads them. Writes one HTML file without links to anything outside: of one run beside its metrics.jsonl, of several
beside their weights. docs/report.md tells what is on the page.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout as it stands

from dataset.command_line import CommandParser, run_main  # not training.stages.arguments: this needs no torch
from inference.replaced import refuse_strangers
from model.disk import sweep_temporaries, write_atomically
from model.errors import UsageError
from model.files.writable import refuse_unwritable
from scripts.diagnose import logs_in, metrics_in


def main(argv=None) -> None:
    parser = CommandParser(__doc__)
    parser.add_argument("logs", nargs="*", metavar="FOLDER", help="log folders, weights, or names in out (the newest)")
    parser.add_argument("--save_path", metavar="FILE", help="where the page is written (beside what it is about)")
    args = parser.parse_args(argv)
    found = [metrics_in(log) for each in args.logs or [newest()] for log in logs_in(each)]
    found = list({path.resolve(): path for path in found}.values())
    if not args.logs:
        found.sort(key=os.path.getmtime)
    path = Path(args.save_path) if args.save_path else place_of(found)
    if path.is_dir():
        raise UsageError(f"--save_path {path} is a folder: name the file in it, such as {path / 'report.html'}")
    refuse_strangers("--save_path", path, is_page(path), "a page of scripts/report.py")
    refuse_unwritable(path.parent, "--save_path")

    from training.page.page import page_of  # matplotlib takes a second

    content = page_of(found).encode("utf-8", "backslashreplace")  # a path may be not UTF-8
    sweep_temporaries(path.parent)
    write_atomically(path, lambda file: file.write(content))
    runs = "1 run" if len(found) == 1 else f"{len(found)} runs"
    print(f"{path}: {runs}, {len(content) / 1e6:.2f} MB; open it in a browser")


def is_page(path: Path) -> bool:
    """Whether the file is a page that this script wrote: its last line says so."""
    content = path.read_bytes() if path.is_file() else b""
    return content.startswith(b"<!doctype html>") and b" by scripts/report.py</p>" in content[-100:]


def newest(folder: str = "out") -> str:
    """The output folder in which the newest run lies. Raises `UsageError` where there is none."""
    places = ("logs/*", "lora/logs/*", "*/logs/*", "*/lora/logs/*")
    found = [path for place in places for path in Path(folder).glob(f"{place}/metrics.jsonl")]
    found = [path for path in found if "earlier" not in path.parts]
    if not found:
        raise UsageError("there is no run in out: give the log folder of one, such as out/logs/pretrain_512")
    folder = max(found, key=os.path.getmtime).parents[2]
    return str(folder.parent if folder.name == "lora" else folder)


def place_of(found: list[Path]) -> Path:
    """Where the page goes: into the log folder of the only run, else into the folder of the weights of the first."""
    return found[0].with_name("report.html") if len(found) == 1 else found[0].parents[2] / "report.html"


if __name__ == "__main__":
    run_main(main)
