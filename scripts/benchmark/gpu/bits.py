"""Whether two equal runs are equal to the bit, and whether a run that was killed and resumed equals one that was not.

python -m scripts.benchmark.gpu.bits A.pth B.pth           # prints as JSON "equal", or how far the two weights differ
"""

import json
import shutil
from pathlib import Path

from scripts.benchmark.gpu.programs import Failed, Program, last_result
from scripts.benchmark.gpu.rates import Lines, weight_in
from scripts.benchmark.program import run_program

COMPARED = ("loss", "grad_norm")


def equality(checkout: Path, out: Path, script: str, words: list, steps: int, program: dict) -> dict[str, str]:
    """Makes a run of `steps` steps twice, and kills the second after two thirds, to resume it.

    program: what `Program` takes besides. Returns for `runs` and for `resumed` "equal", or where they differ. Raises
    `Failed`.
    """
    every = max(1, steps // 4)
    words = [script, *words, "--max_steps", steps, "--save_interval", every, "--log_interval", 1000]
    words += ["--eval_interval", 0, "--sample_interval", 0]
    whole, killed = folders = [out / name for name in ("whole", "killed")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    with Program([*words, "--out_dir", whole], checkout, **program) as running:
        running.wait()
    metrics = Lines(killed / "logs")
    with Program([*words, "--out_dir", killed], checkout, **program) as running:
        running.until(lambda: metrics.count() >= 2 * steps // 3)
        running.kill()
    if len(before := metrics.read()) >= steps:
        raise Failed(f"the run made its {steps} steps before it could be killed")
    runs = first_difference(Lines(whole / "logs").read(), before)
    with Program([*words, "--resume", "--out_dir", killed], checkout, **program) as running:
        running.wait()
    weights = list(map(weight_in, folders))
    with Program(["-m", __name__, *weights], Path(__file__).parents[3], **program) as running:
        return {"runs": runs, "resumed": last_result(running.wait())["weights"]}


def first_difference(one: list[dict], other: list[dict]) -> str:
    """ "equal", or the first step whose loss or gradient norm differs."""
    for a, b in zip(one, other):
        if any(a[name] != b[name] for name in COMPARED):
            return f"differ at step {a['step']}"
    if not (one and other):
        raise Failed("a run has made no step")
    return "equal"


def weights_difference(one: str, other: str) -> str:
    """ "equal", or the largest difference of a number in two weight files."""
    import torch

    from model.files.loading import load_model

    a, b = (load_model(path).model.state_dict() for path in (one, other))
    if a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a):
        return "equal"
    return f"differ by up to {max((a[name] - b[name]).abs().max().item() for name in a):.1e}"


if __name__ == "__main__":
    run_program(__doc__, lambda *paths: print(json.dumps({"weights": weights_difference(*paths)})))
