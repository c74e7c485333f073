"""Made-up sources for `scripts/prepare.py`, and what a run of it leaves."""

import json
import random
from pathlib import Path

from scripts.prepare import main

SYLLABLES = [first + second for first in "bdfgklmnprstvw" for second in "aeiou"]
HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方"


def text(seed: int) -> str:
    """A made-up text of a few sentences, English or Chinese."""
    draw = random.Random(seed)
    if seed % 2:
        return "".join("".join(draw.choices(HAN, k=draw.randint(8, 20))) + "。" for _ in range(draw.randint(8, 14)))
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(draw.randint(60, 140))]
    return " ".join(f"The {' '.join(words[start : start + 8])} and that have." for start in range(0, len(words), 8))


def write(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_sources(folder: Path) -> list[str]:
    """A file of texts with every fault, a folder, a file of chats with a copy."""
    texts = [{"text": text(seed)} for seed in range(60)]
    near = text(6)[:-20] + "something else."
    lines = [*texts, {"text": text(3)}, {"text": f"  {text(4).upper()}"}, {"text": near}, {"text": " "}, {"text": 5}]
    write(folder / "texts.jsonl", lines)
    (folder / "crawl").mkdir()
    (folder / "crawl" / "a.txt").write_text(text(100))
    (folder / "crawl" / "b.txt").write_text(f"A title\n\n{text(8)}\n")
    (folder / "crawl" / "c.txt").write_text(text(102))
    chats = [{"instruction": f"What is {seed}?", "output": text(200 + seed)} for seed in range(6)]
    write(folder / "chats.jsonl", [*chats, chats[2], {"instruction": "What is 1?", "output": text(301)}])
    return [str(folder / name) for name in ("texts.jsonl", "crawl", "chats.jsonl")]


def run(sources, folder, *flags) -> Path:
    main([*sources, "--save_dir", str(folder), "--processes", "1", *flags])
    return folder
