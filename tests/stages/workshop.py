"""How the tests run the stage scripts: on two small files each, with a network of 30,000 parameters.

Most runs are calls of `main` in this process, which take a second; a process of its own takes three more to import.
"""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from unittest import mock

import torch

from model.config import TransformerConfig
from model.files.checkpoint import save_weights
from model.files.reading import read_checkpoint
from model.reward import RewardModel
from tests.stages.table import SHAPE, SIZE, STAGES
from tests.support import make_tokenizer, random_network
from training.engine.machine import EXIT_CODES
from training.report.lines import read_metrics
from training.stages.arguments import run_main
from training.stages.reference import frozen_copy

ROOT = Path(__file__).parents[2]
SMALL = """--max_seq_len 32 --batch_size 2 --accumulation_steps 2 --sample_interval 0
--dtype float32 --compile off""".split()


REWARD = """def letters(prompts, completions, **columns):
    return [text.count("a") / 6 for text in completions]
"""


def write_texts(path: Path, documents: int, seed: int) -> Path:
    """Documents of words, English and Chinese, of 10 to 150 bytes."""
    rng = random.Random(seed)
    words = ["the ", "fox ", "ran ", "home. ", "新", "芽", "从前", "。"]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(documents):
            text = f"{number} " + "".join(rng.choices(words, k=rng.randint(3, 30)))
            file.write(json.dumps({"text": text}) + "\n")
    return path


def write_chats(path: Path, conversations: int, seed: int) -> Path:
    """Conversations of one or two turns of a few bytes: what is asked is given back."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(conversations):
            messages = []
            for _ in range(rng.randint(1, 2)):
                word = "".join(rng.choices("abc", k=rng.randint(1, 4)))
                messages += [{"role": "user", "content": word}, {"role": "assistant", "content": word}]
            file.write(json.dumps({"conversations": messages}) + "\n")
    return path


def write_thoughts(path: Path, conversations: int, seed: int) -> Path:
    """A word is said again, letter by letter in a thought first, half of them told apart from the answer."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(conversations):
            word = "".join(rng.choices("abc", k=rng.randint(1, 3)))
            if number % 2:
                reply = {"content": word, "reasoning_content": " ".join(word)}
            else:
                reply = {"content": f"<think>\n{' '.join(word)}\n</think>\n\n{word}"}
            messages = [{"role": "user", "content": word}, {"role": "assistant", **reply}]
            file.write(json.dumps({"conversations": messages}) + "\n")
    return path


def write_pairs(path: Path, pairs: int, seed: int) -> Path:
    """Preferences for an answer that says again what was asked, against one of other letters."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(pairs):
            word = "".join(rng.choices("abc", k=rng.randint(1, 4)))
            record = {"prompt": word, "chosen": word, "rejected": "".join(rng.choices("xyz", k=rng.randint(1, 4)))}
            file.write(json.dumps(record) + "\n")
    return path


def write_scored(path: Path, answers: int, seed: int) -> Path:
    """Answers of one letter, said once to three times; the letter is the score."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(answers):
            letter = rng.choice("abc")
            word = letter * rng.randint(1, 3)
            record = {"input": word, "output": f"{word}.", "score": "abc".index(letter) + 1}
            file.write(json.dumps(record) + "\n")
    return path


@dataclass(frozen=True)
class Workshop:
    """A folder with a tokenizer, data and a weight, in which runs write outputs of different names."""

    device: ClassVar[str] = "cpu"  # that all runs compute on; `pytest --device` sets it
    folder: Path
    stage: str = "pretrain"

    @classmethod
    def create(cls, folder: Path, stage: str = "pretrain") -> "Workshop":
        tokenizer = make_tokenizer()
        tokenizer.save(folder / "tokenizer")
        write_texts(folder / "a.jsonl", 24, seed=1)
        write_texts(folder / "b.jsonl", 16, seed=2)
        write_chats(folder / "chat_a.jsonl", 24, seed=1)
        write_chats(folder / "chat_b.jsonl", 16, seed=2)
        write_thoughts(folder / "thoughts_a.jsonl", 24, seed=1)
        write_thoughts(folder / "thoughts_b.jsonl", 16, seed=2)
        write_pairs(folder / "pairs_a.jsonl", 16, seed=1)
        write_pairs(folder / "pairs_b.jsonl", 12, seed=2)
        config = TransformerConfig(vocab_size=tokenizer.vocab_size, max_position_embeddings=64, **SHAPE)
        save_weights(folder / "start.pth", random_network(config), tokenizer, stage="pretrain")
        teacher = random_network(config.replace(hidden_size=40), seed=1)
        save_weights(folder / "teacher.pth", teacher, tokenizer, stage="full_sft")
        judge = RewardModel.of(random_network(config, seed=2))
        torch.nn.init.normal_(judge.score.weight, generator=torch.Generator().manual_seed(0))
        save_weights(folder / "reward.pth", judge, tokenizer, stage="reward")
        (folder / "my_reward.py").write_text(REWARD, encoding="utf-8")
        return cls(folder, stage)

    def command(self, out: str, *words, data=None, begins=None) -> list[str]:
        """The flags of a run; `begins` are those of the weight to begin with, where not those of the stage."""
        stage = STAGES[self.stage]
        paths = [str(self.folder / name) for name in data or stage.data]
        flags = (*(stage.begins if begins is None else begins), *stage.needs, *map(str, words))
        device = ["--device", self.device, *([] if self.device == "cpu" else ["--deterministic"])]
        fixed = [
            "--out_dir",
            str(self.folder / out),
            *SMALL,
            *device,
            *(flag.format(folder=self.folder) for flag in flags),
        ]
        return ["--data_path", *paths, *fixed]

    def main(self, arguments: list[str], draws: bool = False) -> None:
        """`draws`: the loss curve, too, which takes longer than training a small network."""
        with contextlib.nullcontext() if draws else mock.patch("training.report.loss_curve.draw_loss_curve"):
            STAGES[self.stage].script.main(arguments)

    def train(self, out: str, *words, draws: bool = False, **more) -> "Result":
        """Trains in this process; returns what it left."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.main(self.command(out, *words, **more), draws)
        return self.result(out, said.getvalue())

    def fails(self, out: str, *words, **more) -> tuple[int, str]:
        """Exit code and standard error of a run that ends early."""
        said, before = io.StringIO(), {number: signal.getsignal(number) for number in EXIT_CODES}
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                run_main(lambda: self.main(self.command(out, *words, **more)))
        except SystemExit as stopped:
            return stopped.code, said.getvalue()
        finally:  # a run that ends on a signal ignores further ones, and the next one in this process would do so, too
            for number, handler in before.items():
                signal.signal(number, handler)
        raise AssertionError("the run came to its end")

    def start(self, out: str, *words, launcher=(), **more) -> subprocess.Popen:
        """Trains in a process of its own."""
        command = [sys.executable, *launcher, f"train_{self.stage}.py", *self.command(out, *words, **more)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)

    def result(self, out: str, said: str = "") -> "Result":
        whole = Result(self.folder / out, self.stage, said)
        adapters = Result(self.folder / out / "lora", self.stage, said)
        return adapters if STAGES[self.stage].writes == "adapters" or adapters.weight_file.exists() else whole


@dataclass(frozen=True)
class Result:
    """What a run left in its output folder."""

    folder: Path
    stage: str
    said: str = ""

    @property
    def weight_file(self) -> Path:
        return self.folder / f"{self.stage}_{SIZE}.pth"

    @property
    def resume_file(self) -> Path:
        return self.folder / f"{self.stage}_{SIZE}_resume.pth"

    @property
    def logs(self) -> Path:
        return self.folder / "logs" / f"{self.stage}_{SIZE}"

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """What the weight file holds: a network, or adapters without theirs."""
        contents = read_checkpoint(self.weight_file)
        return contents["adapters" if "adapters" in contents else "model"]

    @property
    def facts(self) -> dict:
        return read_checkpoint(self.weight_file)["facts"]

    @property
    def metrics(self) -> list[dict]:
        """The lines of metrics.jsonl without what differs from run to run."""
        lines = read_metrics(self.logs / "metrics.jsonl")
        return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]

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
    for name in ("step", "tokens", "best", "networks", "updaters"):
        assert same(state[name], wanted[name]), name


@contextlib.contextmanager
def another_reference():
    """Context in which a reference has other weights than the network that a run begins with: else nothing would be
    seen of it in the first step. Gives a list, in which the reference then is."""
    found = []

    def changed(model):
        found.append(frozen_copy(model))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in found[0].parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
        return found[0]

    with mock.patch("training.stages.reference.frozen_copy", changed):
        yield found


@contextlib.contextmanager
def signal_at(owner, name: str, call: int, number: int = signal.SIGTERM):
    """Context in which this process gets a signal in the call number `call` of the function `owner.name`."""
    honest, calls = getattr(owner, name), []

    def watched(*args, **named):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return honest(*args, **named)

    with mock.patch.object(owner, name, watched):
        yield
