"""How fast a corpus is prepared: scripts/prepare.py from end to end, against datatrove's local pipeline if it is there.

Both read the same JSON lines with texts, on as many processes as there are cores, and take the same steps: Unicode
mended, rules of the kind of Gopher's, C4's and FineWeb's, MinHash of 14 bands of 8, and the result written. datatrove
shingles words and ours characters. It does not look for repeated lines, so ours does not here either. The time of
starting the processes counts.
"""

import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]
STEPS = "clean,judge,deduplicate"


def compare(args) -> None:
    """Prints seconds, megabytes a second and documents kept, for each of the two, and the memory that ours takes."""
    folder = Path(args.out_dir) / "prepare"
    size = sum(os.path.getsize(path) for path in args.data_path) / 1e6
    programs = {"ours": ours, "datatrove": datatrove}
    if importlib.util.find_spec("datatrove") is None:
        print("datatrove is not installed: pip install 'datatrove[io,processing]' spacy nltk to compare with it")
        del programs["datatrove"]
    for name, run in programs.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        began = time.perf_counter()
        kept = run(args.data_path, folder / name)
        seconds = time.perf_counter() - began
        print(f"{name:10} {seconds:7.1f} s  {size / seconds:6.2f} MB/s  {kept:,} documents kept", flush=True)
        if name == "ours":  # the first, so no process of the other counts
            used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            memory = used / (2**20 if sys.platform == "darwin" else 2**10)
            print(f"{name:10} the largest process took {memory:,.0f} MiB", flush=True)


def ours(paths: list[str], folder: Path) -> int:
    """Returns how many documents were kept."""
    command = [sys.executable, ROOT / "scripts" / "prepare.py", *paths, "--save_dir", folder, "--steps", STEPS]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["kept"]


def datatrove(paths: list[str], folder: Path) -> int:
    """The same by datatrove, which gives each process whole files: the lines are dealt out to one file for each."""
    (folder / "input").mkdir()
    lines = [line for path in paths for line in Path(path).read_bytes().splitlines(keepends=True)]
    for number in range(os.cpu_count()):
        (folder / "input" / f"{number}.jsonl").write_bytes(b"".join(lines[number :: os.cpu_count()]))
    subprocess.run(
        [sys.executable, "-m", "scripts.benchmark.datatrove_pipeline", str(folder), str(os.cpu_count())],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return sum(len(path.read_bytes().splitlines()) for path in (folder / "kept").glob("*.jsonl"))


if __name__ == "__main__":
    run_program(__doc__)
