"""Training and generation beside busy programs: threads that soon sleep, as ours do, against GNU OpenMP's default.

A busy program is a loop that never waits. Each side has a process of its own, with as many threads as PyTorch chooses,
and the sides take turns. The processor time shows what waiting costs, since a thread that looks whether it may go on
is at work.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from dataset.command_line import run_main  # which lets threads sleep, unless the environment says otherwise
from model.errors import SproutError
from scripts.benchmark.program import run_program

ROOT = Path(__file__).parents[2]
OURS, DEFAULT = "ours", "OpenMP's default"
SPINS = {OURS: None, DEFAULT: "300000"}  # GOMP_SPINCOUNT; the default stands in libgomp's documentation
BESIDE = 0, 1, 2  # busy programs
SECONDS = 3.0  # of a measurement
PRESET, ROWS, LENGTH = "tiny", 8, 256  # of a step of training
# A busy program. It looks now and then whether the one that started it is there: one that is killed cannot end it.
LOOP = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


def compare(args) -> None:
    """Prints for each kind of work and number of busy programs what both sides reach, and the ratio.

    args: `rounds`.
    """
    print(f"units a second (processor seconds a unit), the median of {args.rounds} rounds, on {os.cpu_count()} cores")
    for what, unit in (("train", "steps"), ("write", "tokens")):
        sides = {side: _start(what, spins) for side, spins in SPINS.items()}
        try:
            for programs in BESIDE:
                with _busy(programs):
                    found = _take_turns(sides, args.rounds)
                _print(f"{what}, busy programs: {programs}", unit, found)
        finally:
            for process in sides.values():
                process.kill()  # it has nothing to save, and may be gone already
                process.wait()


def _start(what: str, spins: str | None) -> subprocess.Popen:
    """The process of a side, once it is ready: what it loads must not slow the other side."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    environment |= {"PYTHONPATH": str(ROOT)} | ({"GOMP_SPINCOUNT": spins} if spins else {})
    command = [sys.executable, "-P", str(Path(__file__).resolve()), what]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


@contextmanager
def _busy(number: int):
    """A context in which so many programs keep a core busy each."""
    programs = [subprocess.Popen([sys.executable, "-c", LOOP, str(os.getpid())]) for _ in range(number)]
    try:
        yield programs
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _take_turns(sides: dict[str, subprocess.Popen], rounds: int) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, process in sides.items():
            found[side].append(_measured(side, process))
    return found


def _measured(side: str, process: subprocess.Popen) -> dict:
    """What a side measures now. Raises `SproutError` if its process has ended."""
    try:
        print("go", file=process.stdin, flush=True)
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        raise SproutError(
            f"the process that measures {side} has ended with code {process.wait()}: see what it has said"
        )
    return json.loads(line)


def _print(name: str, unit: str, found: dict[str, list[dict]]) -> None:
    ratio = statistics.median(
        ours["a_second"] / other["a_second"] for ours, other in zip(found[OURS], found[DEFAULT], strict=True)
    )
    sides = []
    for side, results in found.items():
        speed, seconds = (statistics.median(one[key] for one in results) for key in ("a_second", "processor"))
        sides.append(f"{side} {speed:.2f} {unit}/s ({seconds:.4f} s)")
    print(f"{name}: {'; '.join(sides)}; ours is {ratio:.2f}x", flush=True)


def work(what: str) -> None:
    """The process of a side: says that it is ready; then answers each line of standard input by a measurement."""
    once = _step() if what == "train" else _token()
    once()
    print("ready", flush=True)
    for _ in sys.stdin:
        units, started, processor = 0, time.perf_counter(), time.process_time()
        while (seconds := time.perf_counter() - started) < SECONDS:
            units += once()
        processor = (time.process_time() - processor) / units
        print(json.dumps({"a_second": units / seconds, "processor": processor}), flush=True)


def _step():
    """A function that makes a step of training, and returns 1."""
    import torch

    from model.config import PRESETS
    from model.device import choose_device
    from model.transformer import Transformer
    from training.losses.next_token import next_token_loss

    device = choose_device("cpu", "auto")
    network = Transformer(PRESETS[PRESET])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    tokens = torch.randint(3, 6400, (ROWS, LENGTH))
    positions = torch.arange(LENGTH).expand(ROWS, LENGTH)

    def step() -> int:
        with device.autocast():
            features = network.features(tokens, positions)
            loss = next_token_loss(features, network.lm_head.weight, tokens)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return 1

    return step


def _token():
    """A function that writes a text of some tokens by the preset 26m in float32, and returns how many."""
    from scripts.benchmark.decode import OURS, writer

    write, tokens = writer(OURS, "cpu", "float32"), 16

    def text() -> int:
        write([[3] * 16], tokens)
        return tokens

    return text


if __name__ == "__main__":
    run_program(__doc__, lambda what: run_main(lambda: work(what)))
