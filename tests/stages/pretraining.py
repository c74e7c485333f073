"""How the tests run train_pretrain.py: on two small files, with a network of 30,000 parameters.

Most runs are calls of `main` in this process, which take a second; a process of its own takes three more to import.
"""

import contextlib
import io
import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

import train_pretrain
from model.checkpoint import read_checkpoint
from tests.support import make_tokenizer
from training.arguments import run_main
from training.metrics import read_metrics

ROOT = Path(train_pretrain.__file__).parent
SIZE = 32
SMALL = f"""--hidden_size {SIZE} --num_hidden_layers 2 --num_attention_heads 2 --num_key_value_heads 1
--intermediate_size 48 --max_seq_len 32 --batch_size 2 --accumulation_steps 2 --sample_interval 0
--device cpu --dtype float32 --compile off""".split()


def write_texts(path: Path, documents: int, seed: int) -> Path:
    """Documents of words, English and Chinese, of 10 to 150 bytes."""
    rng = random.Random(seed)
    words = ["the ", "fox ", "ran ", "home. ", "新", "芽", "从前", "。"]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(documents):
            text = f"{number} " + "".join(rng.choices(words, k=rng.randint(3, 30)))
            file.write(json.dumps({"text": text}) + "\n")
    return path


@dataclass(frozen=True)
class Workshop:
    """A folder with a tokenizer and data, in which runs write outputs of different names."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Workshop":
        make_tokenizer().save(folder / "tokenizer")
        write_texts(folder / "a.jsonl", 24, seed=1)
        write_texts(folder / "b.jsonl", 16, seed=2)
        return cls(folder)

    def command(self, out: str, *words: str, data=("a.jsonl:0.7", "b.jsonl:0.3")) -> list[str]:
        paths = [str(self.folder / name) for name in data]
        fixed = ["--out_dir", str(self.folder / out), "--tokenizer_path", str(self.folder / "tokenizer")]
        return ["--data_path", *paths, *fixed, *SMALL, *words]

    def train(self, out: str, *words: str, **more) -> "Result":
        """Trains in this process; returns what it left."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            train_pretrain.main(self.command(out, *words, **more))
        return self.result(out, said.getvalue())

    def fails(self, out: str, *words: str, **more) -> tuple[int, str]:
        """Exit code and standard error of a run that ends early."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                run_main(lambda: train_pretrain.main(self.command(out, *words, **more)))
        except SystemExit as stopped:
            return stopped.code, said.getvalue()
        raise AssertionError("the run came to its end")

    def start(self, out: str, *words: str, launcher=(), **more) -> subprocess.Popen:
        """Trains in a process of its own."""
        command = [sys.executable, *launcher, "train_pretrain.py", *self.command(out, *words, **more)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)

    def result(self, out: str, said: str = "") -> "Result":
        return Result(self.folder / out, said)


@dataclass(frozen=True)
class Result:
    """What a run left in its output folder."""

    folder: Path
    said: str = ""

    @property
    def weight_file(self) -> Path:
        return self.folder / f"pretrain_{SIZE}.pth"

    @property
    def resume_file(self) -> Path:
        return self.folder / f"pretrain_{SIZE}_resume.pth"

    @property
    def logs(self) -> Path:
        return self.folder / "logs" / f"pretrain_{SIZE}"

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return read_checkpoint(self.weight_file)["model"]

    @property
    def facts(self) -> dict:
        return read_checkpoint(self.weight_file)["facts"]

    @property
    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl without what differs from run to run."""
        return [{k: v for k, v in line.items() if k != "time"} for line in read_metrics(self.logs / "metrics.jsonl")]

    @property
    def losses(self) -> list[float]:
        return [line["loss"] for line in self.metrics]


def same(a, b) -> bool:
    """Equality to the bit of nested dictionaries, lists and tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def assert_same_run(result: Result, expected: Result) -> None:
    """The same curve, weights, optimizer state and counters, to the bit."""
    assert result.metrics == expected.metrics
    assert same(result.weights, expected.weights)
    state, wanted = read_checkpoint(result.resume_file), read_checkpoint(expected.resume_file)
    for name in ("step", "tokens", "best", "modules", "updater"):
        assert same(state[name], wanted[name]), name
