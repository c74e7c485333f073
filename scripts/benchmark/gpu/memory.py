"""What plans say of memory, and the peaks of real runs: one process for a preset, one line of JSON for a run.

python -m scripts.benchmark.gpu.memory OUT_DIR '["--preset tiny --batch_size 8"]' [FILE ...]

On a GPU a peak is told in two ways. `allocated` is what tensors took at once. It does not count the memory of a CUDA
graph when the graph is replayed. `reserved` is what PyTorch held, that of graphs and free pieces included: what the
card must have.
"""

import contextlib
import gc
import io
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

from scripts.benchmark.gpu.programs import QUOTED, warnings_in
from scripts.benchmark.program import run_program

STEPS = 4  # moments are there from the second on, and a CUDA graph is recorded in the second


def main(out: str, runs: list[str], files: list[str]) -> None:
    """Makes each of `runs`, flags of train_pretrain.py, and prints in bytes what `one_run` finds, or an `error`."""
    save_nothing()
    for flags in runs:
        printed = io.StringIO()
        try:
            found = one_run(Path(out), flags.split(), files, printed)
        except (Exception, SystemExit) as error:  # out of memory is a result too
            found = {"error": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
        sys.stderr.write("".join(f"{QUOTED}{line}\n" for line in printed.getvalue().splitlines()))
        print(json.dumps({"flags": flags, **found, "warnings": warnings_in(printed.getvalue())}), flush=True)


def save_nothing() -> None:
    """Lets the runs of this process save nothing: a network of a billion numbers takes long, and 34 GB of room."""
    from training.engine.output import Output
    from training.engine.run import Run

    Run.save = lambda run: None
    Output.check_space = lambda output, *things, **named: None


def one_run(out: Path, flags: list[str], files: list[str], printed: io.StringIO) -> dict:
    """What the plan has `said`, the peaks `allocated` and `reserved`, and what was `left` from the run before.

    `said` and `reserved` are None where they are not known; on a CPU `allocated` is the peak of the process.
    """
    import torch

    train = runpy.run_path("train_pretrain.py")["main"]
    left = forget_the_run_before()
    shutil.rmtree(out / "logs", ignore_errors=True)
    data = ["--data_path", *files] if files else []
    quiet = f"--accumulation_steps 1 --max_steps {STEPS} --epochs 100 --eval_interval 0 --sample_interval 0"
    quiet += " --save_interval 1000000 --weight_name memory"
    with contextlib.redirect_stdout(printed):
        train([*data, *quiet.split(), *flags, "--out_dir", str(out)])
    reserved = torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else None
    (metrics,) = (out / "logs").glob("memory_*/metrics.jsonl")
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    said = re.search(r"memory +about ([\d.]+) GB", printed.getvalue())
    said = float(said[1]) * 2**30 if said else None
    return {"said": said, "allocated": last["time/memory"], "reserved": reserved, "left": left}


def forget_the_run_before() -> int:
    """Frees the networks, graphs and workspaces of the run before; returns the bytes on the GPU that could not be."""
    import torch

    gc.collect()
    torch._dynamo.reset()
    gc.collect()
    if not torch.cuda.is_initialized():
        return 0
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()  # each stream on which products ran has one, of 32 MB on recent cards
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


if __name__ == "__main__":
    run_program(__doc__, lambda out, flags, *files: main(out, json.loads(flags), list(files)))
