"""Training a tokenizer: train_tokenizer.py from end to end, against the trainer of `tokenizers` on the same texts.

For each size so much text is taken from the files, documents evenly spread; every hundredth document is held out, to
compare the results. Ours also reads everything twice and encodes a part of it at the end; the other side reads JSON
lines and trains, with the same words (ByteLevel after Qwen2's expression). The time of the processors says more than
that on the clock where others use the machine. A side that would need more memory than `MOST_MEMORY` is ended.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from dataset.command_line import Source
from dataset.corpus import Corpus
from model.text.learn_bpe import MAX_TOKEN_BYTES
from model.text.quality import round_trip
from model.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from model.text.vocabulary import QWEN2_PATTERN
from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]
VOCAB_SIZE = 6400
HELD_OUT = 100  # every hundredth document
MOST_MEMORY = 4 * 10**9  # bytes


def compare(args) -> None:
    """Prints a line for each file, each size of `args.megabytes` and each side."""
    out = Path(args.out_dir) / "tokenizer"
    out.mkdir(parents=True, exist_ok=True)
    for path in args.data_path:
        corpus = Corpus([Source(Path(path))], "skip", out / "bad_lines.jsonl")
        for megabytes in args.megabytes:
            learnt, held_out = deal_out(corpus, megabytes * 10**6, out)
            for name, command in (
                ("ours", ["train_tokenizer.py", "--data_path", learnt, "--vocab_size", VOCAB_SIZE]),
                ("tokenizers", ["-m", "scripts.benchmark.tokenizer", learnt]),
            ):
                words = [*command, *(["--out_dir"] if name == "ours" else []), out / name]
                used = measured([sys.executable, *map(str, words)])
                what = f"{Path(path).name} {megabytes:,} MB, {name:10}"
                if used is None:
                    print(f"{what}  ended: more than {MOST_MEMORY / 1e9:.0f} GB, or an error", flush=True)
                    continue
                tokenizer = Tokenizer.load(out / name)
                held = round_trip(tokenizer, texts_of(held_out))
                print(
                    f"{what}  {used['seconds']:7.1f} s  {used['processor']:7.1f} s of processors"
                    f"  peak {used['peak'] / 1e9:5.2f} GB  {held.bytes / held.tokens:.4f} bytes per held-out token",
                    flush=True,
                )
            learnt.unlink()


def deal_out(corpus: Corpus, size: int, folder: Path) -> tuple[Path, Path]:
    """JSON lines to learn from, about `size` bytes of text, and those held out."""
    paths = folder / "learnt.jsonl", folder / "held_out.jsonl"
    with open(paths[0], "w", encoding="utf-8") as learnt, open(paths[1], "w", encoding="utf-8") as held_out:
        for number, text in zip(count(), corpus.texts("dealing out", size)):
            file = held_out if number % HELD_OUT == 0 else learnt
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return paths


def texts_of(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def measured(command: list[str]) -> dict | None:
    """Seconds on the clock and of processors, and the peak of the largest process in bytes; None if it failed."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, preexec_fn=_bounded
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "processor": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * unit}


def _bounded() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))


def train_the_plain_way(path: Path, folder: Path) -> None:
    """What the documentation of `tokenizers` shows, with the settings of ours."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.Split(tokenizers.Regex(QWEN2_PATTERN), behavior="isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Sequence([words, in_bytes]), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_BYTES,
        show_progress=False,
    )
    backend.train_from_iterator(texts_of(path), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    run_program(__doc__, lambda path, folder: train_the_plain_way(Path(path), Path(folder)))
