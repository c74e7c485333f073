"""What a run computes on: device and precision, torch.compile, other processes, and the signals that end it."""

import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which

import torch

from model.device import choose_device, reuse_freed_memory
from training.engine import distributed

# A shell reports 128 + the signal's number. Windows has no SIGHUP.
EXIT_CODES = {each: 128 + each for name in ("SIGINT", "SIGTERM", "SIGHUP") if (each := getattr(signal, name, None))}

# Under torchrun, one Ctrl-C arrives twice: the terminal signals every process, and torchrun passes it on.
ECHO_SECONDS = 2.0

INSTALLED = {"site-packages", "dist-packages"}  # folders of code that nobody edits

FEW_OPERATIONS = 3e11  # a run of so few takes seconds on any machine


class Interrupted(SystemExit):
    """A signal asks the run to end. The run saves before it exits, with the exit code of the signal."""


class Interrupts:
    """A context that remembers signals, so that the loop can react to them between micro-batches.

    Before `defer` is called there is nothing to save: a signal then ends the program at once, by `SystemExit`, so
    that files being written are cleaned up.
    """

    def __init__(self, several_processes: bool = False):
        self._echo = ECHO_SECONDS if several_processes else 0.0
        self.received: int | None = None
        self._received_at = 0.0
        self._defers = False
        self.before = {}

    def __enter__(self):
        for number in EXIT_CODES:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks for
                self.before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def defer(self) -> None:
        """From here on a first signal is only remembered; a second one still ends the program at once."""
        self._defers = True

    def _handle(self, number, frame):
        again = self.received is not None
        if not again:
            self.received, self._received_at = number, time.monotonic()
        if not self._defers:  # Python drops what is raised in a callback; the first step then sees the signal
            raise SystemExit(EXIT_CODES[number])
        if again and time.monotonic() - self._received_at >= self._echo:
            os._exit(EXIT_CODES[number])

    @property
    def exit_code(self) -> int:
        """The exit code of the signal received; that of SIGTERM if another process received it."""
        return EXIT_CODES[self.received or signal.SIGTERM]


def loaded_code() -> dict[str, str]:
    """The files of this checkout that are loaded, each with a digest of its content: what an experiment may edit."""
    root, found = Path(__file__).parents[2], {}
    for module in list(sys.modules.values()):
        name = os.path.abspath(getattr(module, "__file__", None) or root)  # a Path of each would take 30 ms
        if name.startswith(f"{root}{os.sep}") and not INSTALLED & {*(file := Path(name)).parts} and file.is_file():
            found[file.relative_to(root).as_posix()] = hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    return dict(sorted(found.items()))


class Machine:
    """The device, precision and processes of a run; passed to every function that computes.

    Attributes: `device`, a torch.device; `choice`, the device and its precision (`model.device.Device`); `say`, which
    prints a line; `is_main`; `world_size`; `compiles`, whether networks are compiled.
    """

    def __init__(self, args, say: Callable[[str], None]):
        self.choice = choose_device(args.device, args.dtype)
        if args.optimizer_memory == "compact" and args.dtype == "auto" and self.choice.device.type == "cpu":
            self.choice = choose_device("cpu", "bfloat16", "as --optimizer_memory compact needs")  # any CPU can
        self.device, self.say = self.choice.device, say
        self.autocast, self.move, self.peak_memory = self.choice.autocast, self.choice.move, self.choice.peak_memory
        if self.device.type == "cpu":
            reuse_freed_memory()
        self.is_main, self.world_size = distributed.is_main(), distributed.world_size()
        self.interrupts = Interrupts(several_processes=self.world_size > 1)
        self.ends = False  # whether all processes know that one of them was asked to end
        self.compiles, self.why_compiles = False, ""
        self.run_seconds: float | None = None  # how long the run takes, where that was measured
        self.recorded_passes = self.batches_ahead = None  # on a CUDA GPU: see training/engine/on_cuda.py
        self.compile_choice, self._deterministic = args.compile, args.deterministic
        self._contexts, self._lenient = contextlib.ExitStack(), contextlib.nullcontext
        self.shards = None  # with --shard
        if args.shard != "none":
            from training.engine.sharded import Shards  # only with the flag

            self.shards = Shards(args, self)

    def start(self) -> None:
        self._contexts.enter_context(self.interrupts)
        if self._deterministic:
            from training.engine.determinism import lenient, strict  # only with the flag

            self._contexts.enter_context(strict())
            self._lenient = lenient
        distributed.start(self.device)

    def stop(self, failed: bool = False) -> None:
        if self.batches_ahead:
            self.batches_ahead.close()
        distributed.stop(failed)
        self._contexts.close()

    @property
    def is_asked_to_end(self) -> bool:
        """Whether this process must end. Several processes end together, once all know of the signal (`ends`)."""
        return self.ends or (self.world_size == 1 and self.interrupts.received is not None)

    def described(self) -> dict:
        """What the run computes with, for run.json; `commit`: that of our code, None where it is no checkout of git."""
        root, commit = Path(__file__).parents[2], None
        if which("git") and (root / ".git").exists():
            ask = ["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
            commit = subprocess.run(ask, capture_output=True, text=True).stdout.strip() or None
        device = f"{self.device}, {os.cpu_count()} cores"
        if self.device.type == "cuda":
            device = torch.cuda.get_device_name(self.device)
        versions = {"torch": torch.__version__, "python": platform.python_version(), "system": platform.platform()}
        return {"commit": commit, **versions, "device": device}

    def poll(self) -> None:
        """Raises `Interrupted` after a signal. Called between micro-batches, validation batches and sampled tokens.

        Several processes go on to the end of the update, where all of them learn of the signal.
        """
        if self.world_size == 1 and self.interrupts.received is not None:
            raise Interrupted(self.interrupts.exit_code)

    def prepare(self, model, plan, resume_file=None) -> None:
        """Compiles the layers of `model` if that is worth it for a run of this plan, and makes a GPU ready for it.

        resume_file: the state of the run that goes on, which keeps to its choice.
        """
        self.why_compiles = "the run is too short to pay for it"
        operations = 6 * model.config.active_parameters() * plan.steps * plan.tokens_per_step
        if self.shards or operations > FEW_OPERATIONS or self.compile_choice != "auto" or self.device.type != "cpu":
            from training.engine.speed import decide  # a run of seconds does not load it

            self.compiles, self.why_compiles, self.run_seconds = decide(self, model, plan, resume_file)
        self.compile(model)
        if self.device.type == "cuda":
            from training.engine.on_cuda import equip  # no other device loads it

            equip(self, model, plan)

    def compile(self, model) -> None:
        """Compiles the layers of `model` if the run compiles: layer by layer, since all share one function."""
        if self.compiles:
            for layer in model.model.layers:
                layer.compile()

    @contextlib.contextmanager
    def inference(self):
        """A context for validation and samples: autocast with uncompiled layers, since every new shape would compile
        them again."""
        eager = torch.compiler.set_stance("force_eager") if self.compiles else contextlib.nullcontext()
        with self.autocast(), eager, self._lenient(), self.shards.whole() if self.shards else contextlib.nullcontext():
            yield
