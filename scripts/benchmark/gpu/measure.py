"""All that is to be known of a GPU, in one call of some minutes: a table, and the same in out/benchmark/gpu.json."""

import json
import subprocess
import time
from pathlib import Path

from model.errors import UsageError
from scripts.benchmark.gpu import results
from scripts.benchmark.gpu.measurements import Measurement, all_measurements
from scripts.benchmark.gpu.programs import Failed
from scripts.benchmark.gpu.results import OURS, Row
from scripts.benchmark.gpu.session import ROOT, Session
from scripts.benchmark.program import run_program

MARGIN = 5  # seconds to end the last program and to write


def compare(args) -> None:
    """Prints every row as it is measured, then the table. Raises `UsageError` where there is no GPU."""
    session = Session(args)
    rows: list[Row] = []
    skipped, failed = [], {}
    session.limit = min(session.ends, time.monotonic() + 60)
    try:
        words = ["-m", "scripts.benchmark.gpu.product", session.sizes.product, session.sizes.device]
        card = json.loads(session.run(words).splitlines()[-1])
    except Failed as error:
        raise UsageError(
            f"there is no CUDA GPU to measure ({error}); --rehearse shows that all runs, on a CPU"
        ) from None
    session.peak = card.pop("peak")
    rows.append(Row(f"bf16 product of {session.sizes.product} cubed", session.peak / 1e12, "TFLOP/s"))
    about = card | {"commit": commit_of(ROOT)} | ({"against": commit_of(session.against)} if session.against else {})
    if args.rehearse:
        about["rehearsal"] = True
    print(json.dumps(about), flush=True)
    chosen = all_measurements(session, args.quickstart)
    if args.only:
        chosen = pick(chosen, args.only)
    for measurement in chosen:
        left = session.ends - time.monotonic() - MARGIN
        if left < (0 if args.rehearse else measurement.least):
            skipped.append(measurement.name)
            continue
        session.limit = time.monotonic() + min(left, measurement.most * (10 if args.rehearse else 1))
        started = time.monotonic()
        try:
            found = measurement.make(session)
        except Failed as error:
            failed[measurement.name] = str(error)
            found = []
        rows += found
        print(
            f"{measurement.name}: {time.monotonic() - started:.0f} s{told(found, failed.get(measurement.name))}",
            flush=True,
        )
    print("\n" + results.as_table(rows))
    if skipped:
        print(f"\nskipped for lack of time: {', '.join(skipped)} (--only takes these names, --minutes more time)")
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}")
    path = Path(args.out_dir) / "gpu.json"
    results.write(path, about, rows, skipped, failed)
    print(f"written to {path}")


def pick(measurements: list[Measurement], names: list[str]) -> list[Measurement]:
    """Those whose names begin with one of `names`. Raises `UsageError` for a name of none."""
    for name in names:
        if not any(each.name.startswith(name) for each in measurements):
            known = ", ".join(each.name for each in measurements)
            raise UsageError(f"--only {name}: there are {known}")
    return [each for each in measurements if each.name.startswith(tuple(names))]


def told(rows: list[Row], reason: str | None) -> str:
    if reason:
        return f", failed: {reason}"
    values = [f"{row.measure}: {row.value} {row.unit}{'' if row.side == OURS else f' ({row.side})'}" for row in rows]
    return "".join(f"\n    {value}" for value in values)


def commit_of(folder: Path) -> str:
    """The commit of a checkout, with a + where files were changed since; "unknown" without git."""
    try:
        git = ["git", "-C", str(folder)]
        settings = {"capture_output": True, "text": True, "check": True}
        commit = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], **settings).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], **settings).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


if __name__ == "__main__":
    run_program(__doc__)
