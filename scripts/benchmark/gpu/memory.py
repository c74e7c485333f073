"""What plans say of memory, and the peaks of real runs: one process for a preset, one line of JSON for a run.

python -m scripts.benchmark.gpu.memory OUT_DIR '["--preset tiny --batch_size 8"]' [FILE ...]
"""

import contextlib
import gc
import io
import json
import re
import runpy
from pathlib import Path

from scripts.benchmark.program import run_program

STEPS = 4  # moments are there from the second on, and a CUDA graph is recorded in the second


def main(out: str, runs: list[str], files: list[str]) -> None:
    """Makes each of `runs`, flags of train_pretrain.py, and prints `said` and `measured` in bytes, or an `error`."""
    for flags in runs:
        try:
            found = one_run(Path(out), flags.split(), files)
        except (Exception, SystemExit) as error:  # out of memory is a result too
            found = {"error": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
        print(json.dumps({"flags": flags, **found}), flush=True)


def one_run(out: Path, flags: list[str], files: list[str]) -> dict:
    import torch

    train = runpy.run_path("train_pretrain.py")["main"]
    gc.collect()  # the networks of the run before
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    data = ["--data_path", *files] if files else []
    quiet = f"--accumulation_steps 1 --max_steps {STEPS} --epochs 100 --eval_interval 0 --sample_interval 0"
    quiet += " --save_interval 1000000 --weight_name memory"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        train([*data, *quiet.split(), *flags, "--out_dir", str(out)])
    said = re.search(r"memory +about ([\d.]+) GB", printed.getvalue())
    (metrics,) = (out / "logs").glob("memory_*/metrics.jsonl")
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    for path in out.glob("memory_*"):
        path.unlink()  # a network of a billion numbers takes some room
    metrics.unlink()
    return {"said": float(said[1]) * 2**30, "measured": last["time"]["memory"]}


if __name__ == "__main__":
    run_program(__doc__, lambda out, flags, *files: main(out, json.loads(flags), list(files)))
