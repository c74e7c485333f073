"""The speed of MiniMind (https://github.com/jingyaogong/minimind): its own trainer in its own checkout, as it is.

python -m scripts.benchmark.gpu.minimind FOLDER FILE 768           # prints which share of its positions is trained
"""

import importlib.util
import json
import re
import sys
import time
from pathlib import Path

from scripts.benchmark.gpu.programs import Failed, Program
from scripts.benchmark.program import run_program

STAND_IN = Path(__file__).parent / "stand_in"
LINE = re.compile(r"\((\d+)/\d+\), loss")


def positions_rate(folder: Path, out: Path, script: str, file: Path, words: list, sizes, deadline: float) -> float:
    """Positions a second, padding included, of `sizes`: rows, row length, steps to warm up, steps to measure.

    Raises `Failed`.
    """
    rows, length, warm_up, steps = sizes
    every = max(1, steps // 4)  # each line that it prints waits for the device
    words = [script, *words, "--batch_size", rows, "--max_seq_len", length, "--data_path", file]
    words += ["--log_interval", every, "--save_interval", 10**9, "--save_dir", out, "--accumulation_steps", 1]
    with Program(words, folder / "trainer", out / "minimind.txt", deadline, (folder, *stand_in())) as program:

        def step() -> int:
            return max(map(int, LINE.findall(program.text())), default=0)

        begins = program.until(lambda: step() >= max(warm_up, every))
        started, first = time.monotonic(), step()
        if not begins or not program.until(lambda: step() >= first + steps):
            raise Failed("it ended before the measurement: give more data")
        return rows * length * (step() - first) / (time.monotonic() - started)


def stand_in() -> tuple[Path, ...]:
    """A folder with a `datasets` that reads JSON lines, where the library is not installed."""
    return () if importlib.util.find_spec("datasets") else (STAND_IN,)


def its_data(paths: list[Path], out: Path, most: int = 20_000) -> Path:
    """Its form of our files: one file, whose messages have all the fields that it asks for. Gives the file's path."""
    target = out / f"{'+'.join(path.stem for path in paths)}_minimind.jsonl"
    lines = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines()[:most]:
            record = json.loads(line)
            if "conversations" in record:
                empty = {"reasoning_content": "", "tools": "", "tool_calls": ""}
                turns = [{"role": m["role"], "content": m["content"], **empty} for m in record["conversations"]]
                record = {"conversations": turns}
            lines.append(json.dumps(record, ensure_ascii=False))
    copies = max(1, most // len(lines))
    out.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines * copies) + "\n", encoding="utf-8")
    return target


def trained_share(folder: Path, out: Path, file: Path, length: int, deadline: float) -> float:
    """The share of its positions in fine-tuning that are trained, over its first conversations. Raises `Failed`."""
    words = ["-m", "scripts.benchmark.gpu.minimind", folder, file, length]
    modules = (Path(__file__).parents[3], *stand_in())
    with Program(words, folder, out / "minimind.txt", deadline, modules) as program:
        return float(program.wait().split()[-1])


def _print_share(folder: str, file: str, length: str, count: int = 300) -> None:
    sys.path.insert(0, folder)
    from dataset.lm_dataset import SFTDataset
    from transformers import AutoTokenizer

    rows = SFTDataset(file, AutoTokenizer.from_pretrained(f"{folder}/model"), max_length=int(length))
    labels = [rows[index][1] for index in range(min(count, len(rows)))]
    print(sum((each != -100).float().mean().item() for each in labels) / len(labels))


if __name__ == "__main__":
    run_program(__doc__, _print_share)
