"""Runs the tests that keep the promises of docs/reliability.md, and says how much they tried.

python -m tests.faults.report                              # all of them, which takes minutes
python -m tests.faults.report tests/faults/test_kills.py   # only these

Both tables of the page, and of its Chinese twin, are written again: of the promises, and of how soon `--help` answers.
"""

import argparse
import ast
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.page import PAGE, write_part

ROOT = PAGE.parents[1]

# Test modules that keep a promise of the page; what each promises is the first paragraph of its docstring. All of this
# folder but that about the page itself, and of other folders:
ELSEWHERE = (
    "tests/stages/test_train_pretrain_resume.py",
    "tests/training/engine/test_update.py",
    "tests/training/engine/test_update_not_finite.py",
    "tests/training/engine/test_interrupts.py",
    "tests/model/files/test_checkpoint.py",
    "tests/model/files/test_damaged_saves.py",
    "tests/model/test_sweeping.py",
    "tests/dataset/cache/test_token_cache.py",
)

SCRIPTS = (
    *sorted(path.name for path in ROOT.glob("*.py")),
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("scripts/**/*.py")
        if "    run_main(" in path.read_text(encoding="utf-8")
    ),
    "-m dataset.preview",
    "-m dataset.sample",
)


def modules() -> list[str]:
    """The test modules of the page, in its order."""
    here = [path.relative_to(ROOT).as_posix() for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    return [*(module for module in here if not module.endswith("/test_report.py")), *ELSEWHERE]


def promise(module: str) -> str:
    text = ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8")))
    return " ".join(text.split("\n\n")[0].split())


class Figures:
    """A plugin of pytest that adds up, for each module, what came out and what tests gave to `record_property`."""

    def __init__(self):
        self.outcomes: dict[str, Counter] = {}
        self.figures: dict[str, Counter] = {}
        self.seconds: Counter = Counter()

    def pytest_runtest_logreport(self, report):
        module = report.nodeid.split("::")[0]
        self.seconds[module] += report.duration
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.setdefault(module, Counter())[report.outcome] += 1
        if report.when == "call" and report.passed:
            figures = self.figures.setdefault(module, Counter())
            for name, number in report.user_properties:
                figures[name] += number

    def line(self, module: str) -> str:
        outcomes, figures = self.outcomes[module], self.figures.get(module, Counter())
        said = [f"{number:,} {name}" for name, number in figures.items()]
        said.append(f"{outcomes['passed']:,} tests")
        said += [f"{outcomes[one]} {words}" for one, words in (("skipped", "not run here"), ("failed", "failed"))]
        said = [each for each in said if not each.startswith("0 ")]
        return f"{module}: {', '.join(said)}, {self.seconds[module]:.0f} s"


def row(module: str) -> str:
    return f"| {promise(module)} | [{Path(module).stem}](../{module}) |"


def seconds_to_help(script: str) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        started = time.monotonic()
        subprocess.run([sys.executable, *script.split(), "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.monotonic() - started)
    return best


def table(*head: str, rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", metavar="MODULE", help="test modules of the table (default: all)")
    chosen = parser.parse_args(argv).tests
    os.chdir(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off in what it runs behind
    figures = Figures()
    code = pytest.main(["-q", *(chosen or modules())], plugins=[figures])
    print("\n".join(map(figures.line, figures.outcomes)))
    write_part("promises", table("promise", "proved by", rows=list(map(row, modules()))))
    rows = [f"| `{script}` | {seconds_to_help(script):.2f} s |" for script in SCRIPTS]
    write_part("help", table("script", "`--help` answers after", rows=rows))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
