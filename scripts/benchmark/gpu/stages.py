"""Whether each stage runs on the device and learns what a CPU learns, as rows of the table; see `stage_list.py`.

All runs share a process, since most of a short run is its start. One that ends the process, or does not end, costs only
itself: those after it get a fresh one.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict

from scripts.benchmark.gpu.programs import Failed, NoTime, Program, results_in
from scripts.benchmark.gpu.results import Row
from scripts.benchmark.gpu.session import ROOT, Session
from scripts.benchmark.gpu.stage_list import StageRun, stage_runs
from scripts.benchmark.program import run_program

EACH, COMPILING, FIRST = 45, 150, 60  # seconds that a run may take: any, one that compiles, and more for the first
LEAST_COMPILING = 60  # seconds without which none is begun that compiles
TOLERANCE = 0.02  # relative, of a loss in half precision after a few steps


def stages(session: Session) -> Iterator[Row]:
    """A row for each run: "ok", or why not."""
    shutil.rmtree(session.out / "stages", ignore_errors=True)
    left = stage_runs(session.sizes)
    while left:
        remaining = session.limit - time.monotonic()
        if remaining < (LEAST_COMPILING if left[0].compiles and not session.is_rehearsal else 0):
            yield from (row_of(run, {"error": f"skipped: {max(0, remaining):.0f} s are left"}) for run in left)
            return
        made = 0
        for found in in_one_process(session, left[: together(left)]):
            yield row_of(left[made], found)
            made += 1
        left = left[made:]


def together(runs: list[StageRun]) -> int:
    """How many of them, from the first on, one process makes."""
    alone = [number for number, run in enumerate(runs) if run.alone]
    return max(1, min(alone, default=len(runs)))


def in_one_process(session: Session, runs: list[StageRun]) -> Iterator[dict]:
    """What the runs have found, up to one that ends the process: at least one."""
    out, sizes = session.out / "stages", session.sizes
    files = {"folder": out / "files", "sample": session.out / "ours", "shape": sizes.shapes["tiny"]}
    files |= {"texts": list(map(str, session.texts)), "chats": list(map(str, session.chats))}
    words = {"runs": list(map(asdict, runs)), "device": sizes.device, "out": out / "run", "files": files}
    words = ["-m", "scripts.benchmark.gpu.stage_runs", json.dumps(words, default=str)]
    with Program(words, ROOT, **session.program()) as program:
        for number, run in enumerate(runs):
            seconds = (COMPILING if run.compiles else EACH) + (0 if number else FIRST)
            seconds *= 10 if session.is_rehearsal else 1
            program.deadline = min(session.limit, time.monotonic() + seconds)
            failure = "its process has ended before it"
            try:
                program.until(lambda n=number: len(results_in(program.text())) > n, every=0.05)
            except NoTime as error:
                is_slow = time.monotonic() < session.limit
                failure = f"it has not ended within {seconds:.0f} s ({error})" if is_slow else str(error)
            except Failed as error:
                failure = str(error)
            found = results_in(program.text())[number : number + 1]
            yield found[0] if found else {"error": failure}
            if not found or found[0].get("ends"):
                return


def row_of(run: StageRun, found: dict) -> Row:
    measure, warnings = f"stage: {run.name}", found.get("warnings", [])
    if "error" in found:
        return Row(measure, None, note="; ".join([found["error"], *warnings]))
    losses, notes = found["losses"], [f"{found['seconds']:.1f} s"]
    if losses and losses[-1] is not None:
        notes.append(f"loss {losses[-1]:.4g}")
    if found["graphs"]:
        notes.append(f"{found['graphs']} CUDA graph{'s' if found['graphs'] > 1 else ''}")
    wrong = fault(losses, found["expected"], run.skips)
    return Row(measure, None if wrong else "ok", note="; ".join([*filter(None, [wrong]), ", ".join(notes), *warnings]))


def fault(losses: list[float | None], expected: list[float | None] | None, skips: bool = False) -> str:
    """What is wrong about the losses of a run, in words; "" if nothing is. skips: all but the last may be missing."""
    for step, loss in enumerate(losses, 1):
        if loss is None and not (skips and step < len(losses)):
            return f"the loss of step {step} is not finite"
    if expected is None:
        return ""
    if len(losses) != len(expected):
        return f"it made {len(losses)} steps, and a CPU {len(expected)}"
    for step, (loss, wanted) in enumerate(zip(losses, expected), 1):
        wanted = math.nan if wanted is None else wanted
        if not abs(loss - wanted) <= TOLERANCE * abs(wanted):
            return f"the loss of step {step} is {loss:.4g}, and on a CPU in float32 {wanted:.4g}"
    return ""


if __name__ == "__main__":
    run_program(__doc__)
