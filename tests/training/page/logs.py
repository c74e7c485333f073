"""Log folders as runs leave them, without training any."""

import json
from pathlib import Path

from training.report.description import Description, write_description

FLAGS = {"data_path": ["文.jsonl"], "learning_rate": 0.02, "seed": 1, "out_dir": "out", "sample_interval": None}


def line_of(step: int, end: float = 4.0, **more) -> dict:
    times = {"time/seconds": 0.5, "time/tokens_per_second": 200.0, "time/memory": 2**29}
    losses = {"loss": end + 4 / step, "lr": 0.02, "grad_norm": 1.0 + step % 3}
    return {"step": step, "tokens": 100 * step, **losses, **times, **more}


def write_run(folder: Path, steps: int = 40, planned: int | None = None, end: float = 4.0, **flags) -> Path:
    """A run whose loss falls towards `end`, with three validations; returns its metrics.jsonl."""
    folder.mkdir(parents=True)
    held_out = {step: {"val_loss": end} for step in range(1, steps + 1) if step % max(1, steps // 3) == 0}
    lines = [line_of(step, end, **held_out.get(step, {})) for step in range(1, steps + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    described = Description(stage="pretrain", kind="text", steps=planned or steps, vocab_size=6400, learning_rate=0.02)
    environment = {"commit": "abc-dirty", "torch": "2.9", "device": "cpu, 2 cores"}
    facts = {"flags": FLAGS | flags, "said": ["model     4 M parameters"], "environment": environment}
    write_description(folder, described, **facts)
    samples = [{"step": step, "prompt": "从前", "answer": f"在第{step}步"} for step in (10, 20)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in samples))
    return folder / "metrics.jsonl"
