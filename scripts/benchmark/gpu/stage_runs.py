"""Makes short runs of stages one after the other: a line of JSON for each, as soon as it has ended.

python -m scripts.benchmark.gpu.stage_runs '{"runs": [...], "device": "cuda", ...}'        # see `main`

What a run prints goes on at once, so that the last words of a run that ends the whole process are known.
"""

import contextlib
import io
import json
import math
import runpy
import shutil
import sys
import time
import traceback
from pathlib import Path

from model.errors import SproutError
from scripts.benchmark.gpu import stage_files
from scripts.benchmark.gpu.memory import forget_the_run_before
from scripts.benchmark.gpu.programs import QUOTED, warnings_in
from scripts.benchmark.program import run_program


def main(runs: list[dict], device: str, out: str, files: dict) -> None:
    """Prints for each of `runs`, fields of `stage_list.StageRun`, what `one_run` finds, or an `error`, and `warnings`.

    out: a folder for what they write. files: what `stage_files.make` takes, its folder as a word.
    After an error from which the device does not recover it says that it `ends`, and ends.
    """
    folder = Path(files.pop("folder"))
    stage_files.make(folder, Path(files.pop("sample")), **files)
    choose_odd_batches()
    draw_nothing()
    references: dict[tuple, list[float]] = {}
    for run in runs:
        printed = Quoting()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                found = one_run(run, device, Path(out), folder, references)
        except (Exception, SystemExit) as error:
            found = {"error": f"{type(error).__name__}: {error}".split("\n")[0][:300]}
            found["ends"] = not answers(device)
            if not isinstance(error, (SproutError, SystemExit)):  # the words of these say it all
                traceback.print_exception(error, file=printed)
        printed.write("\n")  # ends its last line
        print(json.dumps({**found, "warnings": warnings_in(printed.text)}), flush=True)
        if found.get("ends"):
            return


def one_run(run: dict, device: str, out: Path, files: Path, references: dict) -> dict:
    """`seconds`, `graphs` that were recorded, and the `losses` of the steps; beside them those `expected`.

    references: what was expected so far.
    """
    forget_the_run_before()
    expected = None
    if run["compared"]:
        key = run["script"], run["words"]
        if key not in references:
            plain = run | {"variant": "--dtype float32 --compile off"}
            references[key] = losses_of(plain, "cpu", out, files)
        expected = references[key]
    with counted_graphs() as graphs:
        started = time.perf_counter()
        losses = losses_of(run, device, out, files)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "graphs": len(graphs), "losses": losses, "expected": expected}


def losses_of(run: dict, device: str, out: Path, files: Path) -> list[float | None]:
    """Makes the run. Of a script that trains nothing there is no loss; None stands for one that is not finite."""
    global odd
    odd = run["odd"]
    shutil.rmtree(out, ignore_errors=True)
    words = [word.format(files=files) for word in f"{run['words']} {run['variant']}".split()]
    runpy.run_path(run["script"])["main"]([*words, "--out_dir", str(out), "--device", device])
    found = []
    for path in out.glob("**/metrics.jsonl"):
        found = [json.loads(line)["loss"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [loss if loss is not None and math.isfinite(loss) else None for loss in found]


odd = False  # whether an epoch of the present run shall end with a smaller micro-batch


def choose_odd_batches() -> None:
    """Lets plans have the micro-batch of `odd_batch` where that is asked for."""
    from training.engine import plan

    honest = plan.plan_for

    def plan_for(args, machine, model, rows, *others, **named):
        if odd:
            args.batch_size = odd_batch(rows.rows_per_epoch)
        return honest(args, machine, model, rows, *others, **named)

    plan.plan_for = plan_for


def odd_batch(rows: int) -> int:
    """A micro-batch of which an epoch has two, and then a smaller one: a graph is recorded in the second."""
    if rows < 7:
        raise SproutError(f"an epoch of {rows} rows has no odd end after two micro-batches: give more data")
    return (rows - 1) // 2


def draw_nothing() -> None:
    """Lets these runs draw no curve, which takes longer than they do."""
    from training.report import loss_curve

    loss_curve.draw_loss_curve = lambda *things, **named: None


@contextlib.contextmanager
def counted_graphs():
    """A context in which the CUDA graphs that are recorded add to the list that it returns."""
    from model import cuda_graphs

    honest, recorded = cuda_graphs.record, []

    def record(*things, **named):
        result = honest(*things, **named)
        recorded.append(None)
        return result

    cuda_graphs.record = record
    try:
        yield recorded
    finally:
        cuda_graphs.record = honest


def answers(device: str) -> bool:
    """Whether the device still computes. After an illegal access, say, a GPU does nothing more for this process."""
    import torch

    try:
        return bool((torch.ones(2, device=device) + 1).sum().item() == 4)
    except RuntimeError:
        return False


class Quoting(io.TextIOBase):
    """Passes lines on to standard error, as those of a program within this one. text: all of them."""

    def __init__(self):
        self.text, self._line = "", ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self.text += f"{line}\n"
            sys.__stderr__.write(f"{QUOTED}{line}\n")
        sys.__stderr__.flush()
        return len(text)


if __name__ == "__main__":
    run_program(__doc__, lambda words: main(**json.loads(words)))
