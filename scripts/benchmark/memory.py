"""Memory of reading a corpus: the peak of processes that tokenise a file and take rows from it, by its size.

The files are synthetic (random words, 2 kB a document) and removed afterwards. Each size is opened by two processes,
one that builds the token cache and one that finds it; both then take the same number of rows, as training does.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]
ROWS, ROW_LENGTH, BATCH_SIZE = 20_000, 512, 32
WORDS_PER_DOCUMENT = 300


def compare(args) -> None:
    """Prints a line for each size of `args.megabytes` and each start."""
    out = Path(args.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    for megabytes in args.megabytes:
        with tempfile.TemporaryDirectory(dir=out) as folder:
            path = write_corpus(Path(folder) / "corpus.jsonl", megabytes * 10**6)
            for start in ("first start", "second start"):
                used = in_another_process(path)
                print(
                    f"{megabytes:>6,} MB, {start:<12}  peak {used['peak'] / 1e6:,.0f} MB,"
                    f" opened in {used['seconds']:.2f} s, {used['tokens'] / 1e6:,.1f} M tokens",
                    flush=True,
                )


def write_corpus(path: Path, size: int) -> Path:
    """Documents of random words, about `size` bytes of JSON lines; the same every time."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(20_000)]
    written = 0
    with open(path, "w", encoding="utf-8") as file:
        while written < size:
            written += file.write(json.dumps({"text": " ".join(rng.choices(words, k=WORDS_PER_DOCUMENT))}) + "\n")
    return path


def in_another_process(path: Path) -> dict:
    command = [sys.executable, "-m", "scripts.benchmark.memory", str(path.absolute())]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def use(path: Path) -> dict:
    """Opens the file and takes rows from it; returns the peak of this process in bytes and the seconds of opening."""
    import torch

    from dataset.cache.token_cache import build_or_open
    from dataset.rows.rows import Rows
    from dataset.rows.texts import TEXTS
    from model.device import Device
    from model.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load()
    started = time.perf_counter()
    cache = build_or_open(path, tokenizer, TEXTS.cache, cache_dir=path.parent / "cache", progress=False)
    seconds = time.perf_counter() - started
    rows = Rows(TEXTS, [(cache, None)], ROW_LENGTH, seed=0)
    for first in range(0, ROWS, BATCH_SIZE):
        epoch, position = divmod(first, rows.rows_per_epoch)
        rows.batch(epoch, range(position, min(position + BATCH_SIZE, rows.rows_per_epoch)))
    peak = Device(torch.device("cpu"), torch.float32, "").peak_memory()
    return {"peak": peak, "seconds": seconds, "tokens": cache.tokens}


if __name__ == "__main__":
    run_program(__doc__, lambda path: print(json.dumps(use(Path(path)))))
