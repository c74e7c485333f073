"""Short real runs with faults: networks of 30,000 parameters on texts of the sample world, a byte a token."""

import contextlib
import io
import json
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import train_full_sft
import train_pretrain
from dataset.sample.conversations import fine_tuning
from dataset.sample.documents import documents
from dataset.sample.world import World
from model.errors import SproutError
from tests.support import make_tokenizer
from training.losses import next_token as losses
from training.report import loss_curve, metrics

NETWORK = """--hidden_size 32 --num_hidden_layers 2 --num_attention_heads 2 --num_key_value_heads 1
--intermediate_size 96""".split()
COMMON = """--max_seq_len 64 --batch_size 8 --accumulation_steps 1 --eval_interval 10 --sample_interval 0
--save_interval 1000 --device cpu --dtype float32 --compile off""".split()
STEPS = "--max_steps 100"

# name: (data, flags)
RUNS = {
    "healthy": ("texts", STEPS),
    "cut": ("texts", "--max_steps 240"),
    "overfitting": ("some", "--epochs 12"),
    "copies": ("copies", STEPS),
    "tiny": ("tiny", "--epochs 40"),
    "too high": ("texts", f"{STEPS} --learning_rate 0.5"),
    "too low": ("texts", f"{STEPS} --learning_rate 0.0003"),
    "diverged": ("texts", "--max_steps 60 --learning_rate 5"),
    "not finite": ("texts", STEPS),
    "once not finite": ("texts", STEPS),
    "adamw": ("texts", f"{STEPS} --optimizer adamw --learning_rate 0.002 --max_steps 140"),
    "adamw, too high": ("texts", f"{STEPS} --optimizer adamw --learning_rate 1"),
    "adamw, too low": ("texts", f"{STEPS} --optimizer adamw --learning_rate 0.00004"),
    "fine-tuning": ("chats", "--max_steps 80"),
    "fine-tuning, too high": ("chats", "--max_steps 80 --learning_rate 0.3"),
    "fine-tuning, too low": ("chats", "--max_steps 80 --learning_rate 0.00002"),
}
STOPPED_AT = 70  # the run that is cut
NOT_FINITE = {"not finite": (60, 61, 62), "once not finite": (60,)}  # steps


@dataclass
class FaultyRuns:
    """The log folders of `RUNS` under a folder, each run when it is first asked for; `said` is what they printed."""

    folder: Path
    said: dict = field(default_factory=dict)
    _done: dict = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path) -> "FaultyRuns":
        make_tokenizer().save(folder / "tokenizer")
        world = World(0)
        texts, chats = [{"text": text} for text in documents(world)], list(fine_tuning(world))
        random.Random(0).shuffle(texts)
        random.Random(0).shuffle(chats)
        data = {"texts": texts[:1500], "some": texts[:36], "copies": 40 * texts[:16], "tiny": texts[:10]}
        for name, records in {**data, "chats": chats[:1500]}.items():
            lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        return cls(folder)

    def logs(self, name: str, seed: int) -> Path:
        if (name, seed) not in self._done:
            self._done[name, seed] = self._run(name, seed)
        return self._done[name, seed]

    def _run(self, name: str, seed: int) -> Path:
        data, flags = RUNS[name]
        weight_name = f"{name.replace(' ', '_').replace(',', '')}_{seed}"
        out = self.folder / "out"
        words = [*COMMON, "--out_dir", str(out), "--weight_name", weight_name, "--seed", str(seed)]
        held_out = "0.03" if data in ("texts", "chats") else "0.2"
        words += ["--data_path", str(self.folder / f"{data}.jsonl"), "--val_ratio", held_out]
        if data == "chats":
            stage = train_full_sft
            self.logs("healthy", seed)
            words += ["--from_weight", str(out / f"healthy_{seed}_32.pth")]
        else:
            stage = train_pretrain
            words += ["--tokenizer_path", str(self.folder / "tokenizer"), *NETWORK]
        with contextlib.ExitStack() as around:
            said = around.enter_context(contextlib.redirect_stdout(io.StringIO()))
            around.enter_context(mock.patch.object(loss_curve, "draw_loss_curve"))  # takes as long as the run
            if name == "cut":
                around.enter_context(mock.patch.object(metrics.Metrics, "write", _then_stop(metrics.Metrics.write)))
                around.enter_context(contextlib.suppress(SystemExit))
            if name in NOT_FINITE:
                spoilt = _spoilt(losses.next_token_loss, NOT_FINITE[name])
                around.enter_context(mock.patch.object(losses, "next_token_loss", spoilt))
                around.enter_context(contextlib.suppress(SproutError))
            stage.main([*words, *flags.split()])
        self.said[name, seed] = said.getvalue()
        return out / "logs" / f"{weight_name}_32"


def _then_stop(write):
    """`Metrics.write` that is followed by a SIGTERM at step `STOPPED_AT`."""

    def write_and_stop(self, line):
        write(self, line)
        if line["step"] == STOPPED_AT:
            os.kill(os.getpid(), signal.SIGTERM)

    return write_and_stop


def _spoilt(loss, steps):
    """The loss of pretraining, which is not a number in these steps; a step is one micro-batch."""
    calls = 0

    def spoilt(*arguments):
        nonlocal calls
        calls += 1
        return loss(*arguments) * (float("nan") if calls in steps else 1.0)

    return spoilt
