"""Runs that are killed at random moments and resumed, against runs that never were.

python -m tests.faults.kills --soak 200        # by hand: so many kills, over every stage and optimizer
"""

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.stages.workshop import Result, Workshop, assert_same_run

# Several epochs, with the rows of two files mixed by weight, and two micro-batches a step.
RUN = {
    "pretrain": ("--epochs=2", "--save_interval=7", "--eval_interval=10"),
    "full_sft": ("--epochs=4", "--save_interval=7", "--eval_interval=10", "--learning_rate=0.005"),
}
OPTIMIZERS = ("adamw", "muon")


def lines_in(metrics: Path) -> int:
    """0 where there is no file: a run that begins anew keeps that of the run before aside."""
    try:
        return metrics.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def kill_at(process, metrics: Path, line: int, delay: float) -> bool:
    """Kills the process `delay` seconds after its metrics have `line` lines; False if it ended before."""
    while process.poll() is None:
        if lines_in(metrics) >= line:
            time.sleep(delay)
            break
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def survives(workshop: Workshop, out: str, expected: Result, words: tuple[str, ...], kills: int, rng) -> int:
    """Kills a run that often, each time resuming it, and lets it end; returns how often it was killed in time.

    Raises AssertionError unless it ends as `expected`, to the bit.
    """
    steps = expected.facts["step"]
    moments = sorted(rng.choices(range(steps - 1), k=kills))
    result, hits = workshop.result(out), 0

    def start():
        again = ("--resume",) if result.resume_file.exists() else ()
        return workshop.start(out, *words, *again)

    for line in moments:
        hits += kill_at(start(), result.logs / "metrics.jsonl", line, delay=rng.uniform(0, 0.05))
    process = start()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, (moments, errors)
    assert_same_run(result, expected)
    assert not list(result.folder.rglob("*.tmp"))
    return hits


def soak(kills: int, seed: int) -> None:
    """Prints a line for each round of four kills, until there were so many."""
    rng, done, number = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        workshops, expected = {}, {}
        for stage in RUN:
            (Path(folder) / stage).mkdir()
            workshops[stage] = Workshop.create(Path(folder) / stage, stage)
            for optimizer in OPTIMIZERS:
                words = (f"--optimizer={optimizer}", *RUN[stage])
                expected[stage, optimizer] = words, workshops[stage].train(f"whole_{optimizer}", *words)
        while done < kills:
            stage, optimizer = list(expected)[number % len(expected)]
            words, whole = expected[stage, optimizer]
            done += survives(workshops[stage], f"killed_{number}", whole, words, 4, rng)
            number += 1
            print(f"{done} kills survived in {number} runs, the last of {stage} by {optimizer}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, required=True, metavar="N", help="kills")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    soak(arguments.soak, arguments.seed)
