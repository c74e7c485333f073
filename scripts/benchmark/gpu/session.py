"""What all measurements of one call share: files, folders, checkouts, sizes, and the time that is left."""

import contextlib
import functools
import importlib.metadata
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from model.config import PRESETS
from model.errors import UsageError
from scripts.benchmark.gpu.checkouts import checked, commit_of
from scripts.benchmark.gpu.programs import Failed, NoTime, Program, results_in, warnings_in
from scripts.benchmark.gpu.rates import Rate, run_rate, weight_of
from scripts.benchmark.gpu.results import AGAINST, OURS, Row
from scripts.benchmark.gpu.sizes import CARD, REHEARSAL, Steps
from scripts.benchmark.program import run_program
from training.report.peak import operations_per_token

ROOT = Path(__file__).parents[3]
MARGIN = 5  # seconds to end the last program and to write
ROOM = 40e9  # bytes that a run of a billion parameters wants to see free for its saves, although it makes none
MINIMIND = "MiniMind"
TRANSFORMERS = "transformers, greedy, static cache"


class Session:
    """`texts` and `chats` are the files of `--data_path`, told apart by their first line; without any, sample data."""

    def __init__(self, args):
        self.sizes, self.is_rehearsal = (REHEARSAL if args.rehearse else CARD), args.rehearse
        self.out = Path(args.out_dir).absolute() / "gpu"
        self.against = checked(args.against, "--against", "train_pretrain.py")
        self.minimind = checked(args.minimind, "--minimind", "trainer/train_pretrain.py")
        self.ends = time.monotonic() + 60 * args.minutes
        self.peak: float | None = None  # operations a second of the largest product
        paths = [Path(path).absolute() for path in args.data_path or ()]
        self.texts = [path for path in paths if "text" in _first_record(path)]
        self.chats = [path for path in paths if path not in self.texts]
        self.begin("start", 60)

    def has_time(self, least: float) -> bool:
        """Whether what needs so many seconds may begin."""
        return self.is_rehearsal or self.left() >= least

    def begin(self, measurement: str, most: float, side: str = OURS, least: float = 0) -> None:
        """From here on programs belong to a side of a measurement: it has its own limit of time, file for what they
        print, and folder for what they compile, which is empty, as at a user's first run. least: seconds that each side
        needs."""
        self.measurement, self.most, self.least = measurement, most, least
        self.limit = time.monotonic() + max(0.0, min(self.left(), most * (10 if self.is_rehearsal else 1)))
        suffix = "" if side == OURS else ", against"
        self.printed = self.out / "printed" / f"{measurement.replace(' ', '_')}{suffix.replace(', ', '.')}.txt"
        self.printed.unlink(missing_ok=True)
        shutil.rmtree(self.out / "compiled", ignore_errors=True)

    def left(self) -> float:
        """Seconds until this call has to end."""
        return self.ends - time.monotonic() - MARGIN

    def checkouts(self) -> dict[str, Path]:
        return {OURS: ROOT} | ({AGAINST: self.against} if self.against else {})

    @functools.cached_property
    def commits(self) -> dict[str, str]:
        """What is measured on each side."""
        folders = self.checkouts() | ({MINIMIND: self.minimind} if self.minimind else {})
        return {side: commit_of(folder) for side, folder in folders.items()}

    def commit(self, side: str) -> str:
        if side == TRANSFORMERS:
            return importlib.metadata.version("transformers")
        return self.commits.get(side, self.commits[OURS])

    # --- programs -----------------------------------------------------------------------------------

    def program(self) -> dict:
        """What `Program` takes besides words and folder, for the measurement that is being made."""
        environment = {"TORCHINDUCTOR_CACHE_DIR": str(self.out / "compiled")}
        return {"printed": self.printed, "deadline": self.limit, "environment": environment}

    def run(self, words: list, checkout: Path = ROOT) -> str:
        """What a program prints. Raises `programs.Failed`."""
        with Program(words, checkout, **self.program()) as program:
            return program.wait()

    def results(self, words: list, checkout: Path = ROOT) -> tuple[list[dict], str]:
        """The objects that a program prints as JSON, and why it failed after them. Raises `programs.Failed` if it has
        printed none."""
        with Program(words, checkout, **self.program()) as program:
            failure = ""
            try:
                program.wait()
            except Failed as error:
                failure = str(error)
                if not results_in(program.text()):
                    raise
            if not (found := results_in(program.text())):
                raise Failed("it printed no result")
            return found, failure

    def rate(self, side: str, script: str, words: str, steps: Steps, more: tuple = (), large: bool = False) -> Rate:
        """The speed of a stage of a checkout, with the network in `words`. Raises `programs.Failed`.

        large: the network is of a billion parameters, and gets few texts.
        """
        files = self.chats if "sft" in script else self.few_texts if large else self.texts
        flags = [*self.data(files), *words.split(), *more, *self.sizes.flags.split()]
        with self.room(side) if large else contextlib.nullcontext(self.folder(side)) as out:
            return run_rate(self.checkouts()[side], out, script, flags, steps, self.program())

    def weight(self, side: str) -> Path:
        words = f"{self.sizes.shapes['26m']} {self.sizes.flags} --device cpu"
        flags = [*words.split(), *self.data(self.few_texts)]
        return weight_of(self.checkouts()[side], self.folder(side), flags, self.program())

    # --- files --------------------------------------------------------------------------------------

    def folder(self, side: str) -> Path:
        return self.out / ("ours" if side == OURS else "against")

    @contextlib.contextmanager
    def room(self, side: str) -> Iterator[Path]:
        """A folder where a large network may be saved: elsewhere, for the time being, if there is too little here."""
        self.out.mkdir(parents=True, exist_ok=True)
        places = [path for path in (tempfile.gettempdir(), "/dev/shm") if Path(path).is_dir()]
        elsewhere = next((path for path in places if shutil.disk_usage(path).free >= ROOM), None)
        if self.is_rehearsal or shutil.disk_usage(self.out).free >= ROOM or elsewhere is None:
            yield self.folder(side)
            return
        with tempfile.TemporaryDirectory(dir=elsewhere, prefix="sprout_") as folder:
            yield Path(folder)

    @staticmethod
    def data(files: list[Path]) -> list:
        return ["--data_path", *files] if files else []

    @functools.cached_property
    def few_texts(self) -> list[Path]:
        """The first lines of each of the texts, for runs that ask little of them."""
        folder, most = self.out / "few", self.sizes.few_bytes // max(1, len(self.texts))
        folder.mkdir(parents=True, exist_ok=True)
        for index, path in enumerate(self.texts):
            with open(path, "rb") as source, open(folder / f"{index}_{path.name}", "wb") as target:
                target.writelines(source.readlines(most))
        return [folder / f"{index}_{path.name}" for index, path in enumerate(self.texts)]

    # --- rows ---------------------------------------------------------------------------------------

    def share(self, preset: str, length: int, tokens_per_second: float) -> float | None:
        """The share of the product's rate, in per cent."""
        if self.peak is None or self.is_rehearsal:
            return None
        config = PRESETS[preset]
        return 100 * tokens_per_second * operations_per_token(config, length) / self.peak

    def sides(self, measure: str, unit: str, rows_of: Callable[[str], Iterable[Row]]) -> Iterator[Row]:
        """The rows of each checkout, as soon as they are known. One that fails is a row without a value, and does not
        keep the other from being measured."""
        for side in self.checkouts():
            if side != OURS:
                self.begin(self.measurement, self.most, side, self.least)
            try:
                if side != OURS and not self.has_time(self.least):
                    raise NoTime(f"skipped: it needs {self.least:.0f} s, and {max(0, self.left()):.0f} s are left")
                yield from rows_of(side)
            except Exception as error:
                yield Row(measure, None, unit, side, note=self.cause(error))

    def cause(self, error: Exception) -> str:
        """Why a measurement failed, in one line. What nobody expected is also written to the file of what it prints."""
        if isinstance(error, Failed):
            return str(error)
        with contextlib.suppress(OSError):  # a full disk, say, which may well be the cause
            self.printed.parent.mkdir(parents=True, exist_ok=True)
            with open(self.printed, "a", encoding="utf-8") as file:
                file.write("".join(traceback.format_exception(error)))
        words = str(error).strip().split("\n")[0]
        return f"{type(error).__name__}: {words}" if words else type(error).__name__

    def complete(self, row: Row) -> Row:
        """The row with what is known of all: measurement, commit, and what its programs warned of."""
        warned = (
            warnings_in(self.printed.read_text(encoding="utf-8", errors="replace")) if self.printed.exists() else []
        )
        note = "; ".join([*filter(None, [row.note]), *(each for each in warned if each not in row.note)])
        return replace(row, note=note, measurement=self.measurement, commit=self.commit(row.side))


def _first_record(path: Path) -> dict:
    if path.suffix != ".jsonl" or not path.exists():
        raise UsageError(f"{path}: the files of this benchmark are .jsonl, as they are")
    with open(path, encoding="utf-8") as file:
        try:
            return json.loads(file.readline())
        except ValueError as error:
            raise UsageError(f"{path}: its first line is no record of JSON ({error})") from error


if __name__ == "__main__":
    run_program(__doc__)
