"""Runs that are killed at random moments and resumed, against runs that never were.

python -m tests.faults.kills --soak 200        # by hand: so many kills, over every kind of run
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.page import PAGE, write_part
from tests.faults.processes import Running, in_order, left_behind, no_curves, together
from tests.stages.table import STAGES
from tests.stages.workshop import Result, Workshop, assert_same_run
from tests.support import wait_until


@dataclass(frozen=True)
class Kind:
    """Several epochs, with the rows of two files mixed by weight, two micro-batches a step and a save every seven."""

    stage: str
    words: tuple[str, ...]
    processes: int = 1
    draws: bool = False  # the loss curve, too, which takes as long as all the rest, and is drawn alike in all stages


COMMON = ("--save_interval=7", "--eval_interval=10", "--val_ratio=0.2")
# As many rows a step as alone, half of them by each process, into the second epoch.
SHARED = ("--epochs=2", "--batch_size=1", "--max_steps=26")


def kind(stage: str, *words: str, **more) -> Kind:
    return Kind(stage, (*STAGES[stage].learns, *COMMON, *words), **more)


KINDS = {name: kind(name, draws=name in ("pretrain", "full_sft")) for name in STAGES} | {
    "pretrain by AdamW": kind("pretrain", "--optimizer=adamw"),
    "full_sft by AdamW": kind("full_sft", "--optimizer=adamw"),
    "distill of its own answers": kind("distill", *STAGES["distill"].variants["sampled"]),
    "pretrain in two processes": kind("pretrain", *SHARED, processes=2),
}


def start(workshop: Workshop, kind: Kind, out: str, before: dict[int, Callable] | None = None) -> list[Running]:
    """Begins or resumes a run; one process, or all of them. before: what the process of a rank does first."""
    again = ("--resume",) if workshop.result(out).resume_file.exists() else ()
    words = workshop.command(out, *kind.words, *again)
    environments = together(kind.processes) if kind.processes > 1 else [{}]
    firsts = [[] if kind.draws else [no_curves] for _ in range(kind.processes)]
    for rank, action in (before or {}).items():
        firsts[rank].append(action)
    return [
        Running(f"train_{kind.stage}", words, partial(in_order, *actions), environment)
        for actions, environment in zip(firsts, environments, strict=True)
    ]


def whole(workshop: Workshop, kind: Kind, out: str) -> Result:
    """A run that nothing happens to, from its beginning or from where it is to its end."""
    for running in start(workshop, kind, out):
        ended = running.end()
        assert ended.code == 0, ended.err
    return workshop.result(out)


def lines_in(metrics: Path) -> int:
    """0 where there is no file: a run that begins anew keeps that of the run before aside."""
    try:
        return metrics.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def kill_at(running: list[Running], metrics: Path, line: int, delay: float) -> bool:
    """Kills all processes `delay` seconds after the metrics have `line` lines; False if the run ended before."""
    wait_until(lambda: lines_in(metrics) >= line or not running[0].is_alive(), seconds=240)
    time.sleep(delay)
    hits = [each.kill() for each in running]
    return all(hits)


def survives(workshop: Workshop, kind: Kind, out: str, expected: Result, kills: int, rng: random.Random) -> int:
    """Kills runs that often in all, resuming after each kill, and lets them end; returns how many runs it took.

    One run is enough unless it ends before a kill arrives, as on a busy machine; another then takes what is left.
    Raises AssertionError unless each ends as `expected`, to the bit, or if ten runs were not enough.
    """
    hits = 0
    for number in range(10):
        run = f"{out}_{number}"
        metrics = workshop.result(run).logs / "metrics.jsonl"
        for line in sorted(rng.choices(range(expected.facts["step"] - 1), k=kills - hits)):
            hits += kill_at(start(workshop, kind, run), metrics, line, delay=rng.uniform(0, 0.05))
        assert_same_run(whole(workshop, kind, run), expected)
        assert not left_behind(workshop.folder / run)
        if hits == kills:
            return number + 1
    raise AssertionError(f"of {kills} kills only {hits} came in time")


def soak(kills: int, seed: int) -> str:
    """Prints a line for each round of four kills, until there were so many; returns what came out."""
    rng, done, rounds, runs, started = random.Random(seed), 0, 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workshops, expected = {}, {}
        kinds = {name: kind for name, kind in KINDS.items() if kind.processes == 1 or Workshop.device == "cpu"}
        for name, kind in kinds.items():
            (Path(folder) / name).mkdir()
            workshops[name] = Workshop.create(Path(folder) / name, kind.stage)
            expected[name] = whole(workshops[name], kind, "whole")
        while done < kills:
            name = list(kinds)[rounds % len(kinds)]
            least = min(4, kills - done)
            runs += survives(workshops[name], kinds[name], f"killed_{rounds}", expected[name], least, rng)
            done, rounds = done + least, rounds + 1
            print(f"{done} kills survived in {runs} runs, the last of {name}", flush=True)
    minutes = (time.monotonic() - started) / 60
    return (
        f"{done} kills survived, in {runs} runs of {min(rounds, len(kinds))} kinds: all ended as if never killed,"
        f" to the bit (`--seed {seed}`, {minutes:.1f} minutes)."
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, required=True, metavar="N", help="kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help=f"the result into {PAGE.name} and its twin")
    arguments = parser.parse_args()
    Workshop.device = arguments.device
    outcome = soak(arguments.soak, arguments.seed)
    print(outcome)
    if arguments.write:
        write_part("soak", outcome)
