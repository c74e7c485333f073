"""What all measurements of one call share: files, folders, checkouts, sizes, and the time that is left."""

import json
import time
from pathlib import Path

from model.config import PRESETS
from model.errors import UsageError
from scripts.benchmark.gpu.programs import Failed, Program
from scripts.benchmark.gpu.rates import Rate, run_rate, weight_of
from scripts.benchmark.gpu.results import AGAINST, OURS, Row
from scripts.benchmark.gpu.sizes import CARD, REHEARSAL
from scripts.benchmark.program import run_program
from training.report.peak import operations_per_token

ROOT = Path(__file__).parents[3]


class Session:
    """`texts` and `chats` are the files of `--data_path`, told apart by their first line; without any, sample data."""

    def __init__(self, args):
        self.sizes = REHEARSAL if args.rehearse else CARD
        self.out = Path(args.out_dir).absolute() / "gpu"
        self.against = args.against and Path(args.against).absolute()
        self.minimind = args.minimind and Path(args.minimind).absolute()
        self.ends = time.monotonic() + 60 * args.minutes
        self.limit = self.ends  # of the measurement that is being made
        self.peak: float | None = None  # operations a second of the largest product
        paths = [Path(path).absolute() for path in args.data_path or ()]
        self.texts = [path for path in paths if "text" in _first_record(path)]
        self.chats = [path for path in paths if path not in self.texts]

    def checkouts(self) -> dict[str, Path]:
        return {OURS: ROOT} | ({AGAINST: self.against} if self.against else {})

    def folder(self, side: str) -> Path:
        return self.out / ("ours" if side == OURS else "against")

    def run(self, words: list, checkout: Path = ROOT) -> str:
        """What a program prints. Raises `programs.Failed`."""
        with Program(words, checkout, self.out / "printed.txt", self.limit) as program:
            return program.wait()

    def lines(self, words: list) -> list[str]:
        """The lines that a program of ours prints as JSON. Raises `Failed` only if it ends before the first."""
        with Program(words, ROOT, self.out / "printed.txt", self.limit) as program:
            try:
                program.wait()
            except Failed:
                if not any(line.startswith("{") for line in program.text().splitlines()):
                    raise
            return [line for line in program.text().splitlines() if line.startswith("{") and line.endswith("}")]

    def rate(self, side: str, script: str, words: str, steps: tuple[int, int], more: tuple = ()) -> Rate:
        """The speed of a stage of a checkout, with the network in `words`. Raises `programs.Failed`."""
        files = self.chats if "sft" in script else self.texts
        data = ["--data_path", *files] if files else []
        flags = [*data, *words.split(), *more, *self.sizes.flags.split()]
        return run_rate(self.checkouts()[side], self.folder(side), script, flags, *steps, self.limit)

    def weight(self, side: str) -> Path:
        words = f"{self.sizes.shapes['26m']} {self.sizes.flags} --device cpu"
        data = ["--data_path", *self.texts] if self.texts else []
        return weight_of(self.checkouts()[side], self.folder(side), [*words.split(), *data], self.limit)

    def share(self, preset: str, length: int, tokens_per_second: float) -> float | None:
        """The share of the product's rate, in per cent."""
        if self.peak is None or self.sizes is REHEARSAL:
            return None
        config = PRESETS[preset]
        return 100 * tokens_per_second * operations_per_token(config, length) / self.peak

    def both(self, measure: str, unit: str, value) -> list[Row]:
        """A row for each checkout: `value(side)`. One that fails does not keep the other from being measured."""
        rows = []
        for side in self.checkouts():
            try:
                rows.append(Row(measure, value(side), unit, side))
            except Failed as error:
                rows.append(Row(measure, None, unit, side, note=f"{side}: {error}"))
        return rows


def _first_record(path: Path) -> dict:
    if path.suffix != ".jsonl" or not path.exists():
        raise UsageError(f"{path}: the files of this benchmark are .jsonl, as they are")
    with open(path, encoding="utf-8") as file:
        return json.loads(file.readline())


if __name__ == "__main__":
    run_program(__doc__)
