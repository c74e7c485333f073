"""The speed of MiniMind (https://github.com/jingyaogong/minimind): its own trainer in its own checkout, as it is.

python -m scripts.benchmark.gpu.minimind FOLDER FILE 768           # prints as JSON which share of positions is trained
"""

import importlib.util
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmark.gpu.programs import Failed, Program, last_result
from scripts.benchmark.gpu.results import Row
from scripts.benchmark.gpu.session import MINIMIND, Session
from scripts.benchmark.program import run_program

STAND_IN = Path(__file__).parent / "stand_in"
LINE = re.compile(r"\((\d+)/\d+\), loss")


def minimind(session: Session, script: str, compiling: int) -> Iterator[Row]:
    sizes, chats = session.sizes, "sft" in script
    files, length = (session.chats, sizes.chat_length) if chats else (session.texts, 512)
    file = its_data(files, session.out)
    words = [*sizes.peer.split(), "--use_compile", compiling, *(["--from_weight", "none"] if chats else [])]
    numbers = (sizes.peer_rows, length, *sizes.peer_steps)
    speed = positions_rate(session.minimind, session.out, script, file, words, numbers, session.program())
    what = f"{'fine-tuning' if chats else 'pretraining'}, {sizes.peer_rows} x {length}"
    how = "compiled" if compiling else "eager"
    yield Row(f"MiniMind, {what}, {how}, padding included", speed, "positions/s", MINIMIND)
    if chats:
        share = trained_share(session.minimind, file, length, session.program())
        yield Row(f"MiniMind, {what}, {how}, what is trained", speed * share, "trained/s", MINIMIND)


def positions_rate(folder: Path, out: Path, script: str, file: Path, words: list, sizes, program: dict) -> float:
    """Positions a second, padding included, of `sizes`: rows, row length, steps to warm up, steps to measure.

    program: what `Program` takes besides. Raises `Failed`.
    """
    rows, length, warm_up, steps = sizes
    every = max(1, steps // 4)  # each line that it prints waits for the device
    words = [script, *words, "--batch_size", rows, "--max_seq_len", length, "--data_path", file]
    words += ["--log_interval", every, "--save_interval", 10**9, "--save_dir", out, "--accumulation_steps", 1]
    with Program(words, folder / "trainer", **_with_modules(program, folder)) as running:

        def step() -> int:
            return max(map(int, LINE.findall(running.text())), default=0)

        begins = running.until(lambda: step() >= max(warm_up, every))
        started, first = time.monotonic(), step()
        if not begins or not running.until(lambda: step() >= first + steps):
            raise Failed("it ended before the measurement: give more data")
        return rows * length * (step() - first) / (time.monotonic() - started)


def _with_modules(program: dict, folder: Path) -> dict:
    """Its workers are forks, and a tokenizer that has used threads warns of them."""
    environment = program["environment"] | {"TOKENIZERS_PARALLELISM": "false"}
    return program | {"modules": (folder, *stand_in()), "environment": environment}


def stand_in() -> tuple[Path, ...]:
    """A folder with a `datasets` that reads JSON lines, where the library is not installed."""
    return () if importlib.util.find_spec("datasets") else (STAND_IN,)


def its_data(paths: list[Path], out: Path, most: int = 20_000) -> Path:
    """Its form of our files: one file, whose messages have all the fields that it asks for. Gives the file's path.

    Raises `Failed` for files without a line.
    """
    target = out / f"{'+'.join(path.stem for path in paths)}_minimind.jsonl"
    lines = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for line in itertools.islice(filter(str.strip, file), most):
                record = json.loads(line)
                if turns := record.get("conversations") or record.get("messages"):
                    record = {"conversations": list(map(_message, turns))}
                lines.append(json.dumps(record, ensure_ascii=False))
    if not lines:
        raise Failed(f"there is no line in {', '.join(map(str, paths))}")
    copies = max(1, most // len(lines))
    out.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines * copies) + "\n", encoding="utf-8")
    return target


def _message(turn: dict) -> dict:
    role, content = turn.get("role") or turn.get("from") or "user", turn.get("content") or turn.get("value")
    content = content if isinstance(content, str) else json.dumps(content) if content else ""  # none beside a call
    return {"role": role, "content": content, "reasoning_content": "", "tools": "", "tool_calls": ""}


def trained_share(folder: Path, file: Path, length: int, program: dict) -> float:
    """The share of its positions in fine-tuning that are trained, over its first conversations. Raises `Failed`."""
    words = ["-m", "scripts.benchmark.gpu.minimind", folder, file, length]
    program = _with_modules(program, Path(__file__).parents[3])
    with Program(words, folder, **program) as running:
        return last_result(running.wait())["share"]


def _print_share(folder: str, file: str, length: str, count: int = 300) -> None:
    sys.path.insert(0, folder)
    from dataset.lm_dataset import SFTDataset
    from transformers import AutoTokenizer

    rows = SFTDataset(file, AutoTokenizer.from_pretrained(f"{folder}/model"), max_length=int(length))
    labels = [rows[index][1] for index in range(min(count, len(rows)))]
    share = sum((each != -100).float().mean().item() for each in labels) / len(labels)
    print(json.dumps({"share": share}))


if __name__ == "__main__":
    run_program(__doc__, _print_share)
