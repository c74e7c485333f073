"""Runs of the scripts in processes of their own, to be killed, signalled and starved.

They are forked by a server that has imported everything, so that one begins in a tenth of a second instead of four.
"""

import contextlib
import functools
import importlib
import io
import multiprocessing
import os
import resource
import secrets
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from tests.faults.scripts import Ended
from tests.stages.table import STAGES
from tests.stages.workshop import Workshop
from tests.support import wait_until
from training.stages.arguments import run_main

# What the scripts import when they are at work; a module that is not here only costs time.
IMPORTED = (
    "tests.faults.processes",
    *(f"train_{name}" for name in STAGES),
    "train_tokenizer",
    "scripts.export_hf",
    "training.engine.run",
    "training.stages.data",
    "training.stages.checks",
    "training.stages.starting_point",
    "training.stages.given_weight",
    "training.stages.rollouts",
    "training.stages.rated_answers",
    "training.stages.mixed_in",
    "training.stages.kinds",
    "training.stages.odd_texts",
    "training.rewards.loading",
    "training.engine.muon",
    "training.engine.speed",
    "inference.weights",
    "dataset.rendering",
    "dataset.rows.chats",
    "jinja2.ext",
    "safetensors.torch",
    "torch._dynamo",  # by the first optimizer
    "torch.utils.tensorboard",
    "matplotlib.pyplot",
)


@functools.cache
def _server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    return context


class Running:
    """`module.main(words)` in a process of its own, ending as the script would.

    before: called in the process first, a function of a module (or a partial of one).
    environment: variables that the process has besides ours.
    """

    def __init__(self, module: str, words: Sequence[str], before: Callable | None = None, environment=()):
        self._answer, theirs = _server().Pipe(duplex=False)
        arguments = (theirs, module, list(map(str, words)), before, dict(environment))
        self._process = _server().Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: int) -> None:
        if self.is_alive():
            os.kill(self.pid, number)

    def end(self, timeout: float = 60) -> Ended:
        """Waits for the end; the code is -9 where it was killed, and nothing it said is left then."""
        out = err = ""
        # What it said comes first: the process does not end before that is taken.
        with contextlib.suppress(EOFError):
            if not self._answer.poll(timeout):
                self.send(signal.SIGKILL)
                raise AssertionError(f"the process did not end within {timeout} s")
            out, err = self._answer.recv()
        self._process.join(timeout)
        return Ended(self._process.exitcode, out, err)

    def __del__(self):
        """What nobody waits for any more, as after a failure, would go on, and could hold up the end of the tests."""
        self.send(signal.SIGKILL)

    def kill(self) -> bool:
        """kill -9; False if it had ended before."""
        self.send(signal.SIGKILL)
        return self.end().code == -signal.SIGKILL


def _work(answer, module: str, words: list[str], before, environment: dict) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off in what it runs behind
    tqdm.set_lock(threading.RLock())  # its own is between processes, and a killed one would leave it behind
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if before is not None:
                before()
            run_main(lambda: importlib.import_module(module).main(words))
        except SystemExit as stopped:
            code = stopped.code or 0
        except BaseException:  # what a user would see, to be refused by `Ended.sentence`
            traceback.print_exc()
            code = 1
    answer.send((out.getvalue(), err.getvalue()))
    answer.close()
    raise SystemExit(code)


def together(count: int) -> list[dict]:
    """The environments of `count` processes of one run, as torchrun would set them; skips a test without the GPUs."""
    if Workshop.device != "cpu" and torch.cuda.device_count() < count:
        pytest.skip(f"{count} processes need as many GPUs")
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def free_port() -> int:
    """A port for a process that begins to listen in a moment. It is below those that the system gives to whoever asks
    for any: one of these could be given to another test meanwhile."""
    for _ in range(100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", 20_000 + secrets.randbelow(10_000)))
            return free.getsockname()[1]
    raise AssertionError("no port is free")


# --- what may be done in a process first ------------------------------------------------------------


def at_call(number: int, place: str, do: Callable[[], None]) -> None:
    """Calls `do` before the call number `number` of a function, given as `module:name` or `module:Class.name`."""
    module, names = place.split(":")
    owner = importlib.import_module(module)
    *path, name = names.split(".")
    for part in path:
        owner = getattr(owner, part)
    honest, calls = getattr(owner, name), []

    @functools.wraps(honest)
    def watched(*args, **named):
        calls.append(name)
        if len(calls) == number:
            do()
        return honest(*args, **named)

    setattr(owner, name, watched)


def pause_in_step(number: int, paused: Path, until: Path | None = None) -> None:
    """At the end of that step a run makes the file `paused` and waits for `until`, a minute at most; then it fails."""
    at_call(number, "training.engine.run:Run._finish", functools.partial(_pause, paused, until))


def _pause(paused: Path, until: Path | None) -> None:
    paused.touch()
    wait_until(lambda: until is not None and until.exists())


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def signal_itself(number: int, delay: float = 0) -> None:
    if delay:
        threading.Timer(delay, os.kill, (os.getpid(), number)).start()
    else:
        os.kill(os.getpid(), number)


def fill_the_disk(room: int = 1000) -> None:
    """From here on no file can be written beyond its first `room` bytes: writes fail as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def in_order(*actions: Callable[[], None]) -> None:
    for action in actions:
        action()


def left_behind(folder: Path) -> list[str]:
    """Temporary files and folders, of whatever part of a run."""
    names = (path.name for path in folder.rglob("*"))
    return [name for name in names if ".tmp" in name or name.endswith((".building", ".kept"))]


def no_curves() -> None:
    """Leaves out `loss.png`, which takes longer to draw than a small network to train."""
    importlib.import_module("training.report.loss_curve").draw_loss_curve = lambda *drawn: None
