"""All that is to be known of a GPU, in one call of some minutes: a table, and the same in out/benchmark/gpu.json."""

import contextlib
import json
import signal
import time
from pathlib import Path

from model.errors import SproutError, UsageError
from scripts.benchmark.gpu import results
from scripts.benchmark.gpu.measurements import Measurement, all_measurements
from scripts.benchmark.gpu.programs import Failed, NoTime
from scripts.benchmark.gpu.results import AGAINST, OURS, Record, Row
from scripts.benchmark.gpu.session import MINIMIND, Session
from scripts.benchmark.program import run_program

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not there on Windows
ENDING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
BRIEF = 100  # characters of a note in the progress; the table has all of them
FIRST = 150  # seconds for the first program on a machine, which reads PyTorch from a cold disk


class Stopped(SystemExit):
    """A signal ends this call. What it has measured is in the file already."""


def compare(args) -> None:
    """Prints every row as it is measured, then the table; the file has each row at once. A signal ends it in order.

    Raises `UsageError` where there is no GPU, for a name that is none and for a folder that is no checkout.
    """
    session = Session(args)
    chosen = pick(all_measurements(session, args.quickstart), args.only)
    with stopping():
        facts, product = card(session)
        about = facts | {"commit": session.commits[OURS]}
        about |= {"against": session.commits[AGAINST]} if session.against else {}
        about |= {"minimind": session.commits[MINIMIND]} if session.minimind else {}
        about |= {"rehearsal": True} if args.rehearse else {}
        print(json.dumps(about), flush=True)
        record = Record(Path(args.out_dir) / "gpu.json", about)
        if record.moved:
            print(f"{record.path} is of another card, torch or commit: it is now {record.moved}", flush=True)
        try:
            for row in product:
                keep(record, session.complete(row))
            for measurement in chosen:
                make(measurement, session, record)
        except Stopped as stopped:
            print(f"\nstopped by a signal in {session.measurement}", flush=True)
            done = {*record.made, *record.skipped}
            record.skipped += [each.name for each in chosen if each.name not in done]
            raise stopped
        finally:
            conclude(record)


def card(session: Session) -> tuple[dict, list[Row]]:
    """Facts about the card, and the rate of its product as rows. Raises `UsageError` where there is none."""
    session.begin("product", FIRST)
    size, started = session.sizes.product, time.monotonic()
    try:
        (facts, *rest), failure = session.results(["-m", "scripts.benchmark.gpu.product", size, session.sizes.device])
    except NoTime as error:
        raise UsageError(
            f"the first program, which imports PyTorch and looks for the GPU, has not answered after"
            f" {time.monotonic() - started:.0f} s ({error}): call again, since it is quicker the second time"
        ) from None
    except Failed as error:
        raise UsageError(f"{error}; --rehearse shows that all runs, on a CPU") from None
    measure = f"bf16 product of {size} cubed"
    if not rest:
        return facts, [Row(measure, None, "TFLOP/s", note=failure)]
    session.peak = rest[0]["peak"]
    taken = Row("memory of the card taken at the start, with one context of CUDA", rest[0]["taken"] / 2**30, "GB")
    return facts, [Row(measure, session.peak / 1e12, "TFLOP/s"), *([taken] if rest[0]["taken"] else [])]


def make(measurement: Measurement, session: Session, record: Record) -> None:
    """Makes a measurement if there is time for it. What goes wrong in it is a row, and ends nothing but it."""
    if not session.has_time(measurement.least):
        return record.skipped.append(measurement.name)
    session.begin(measurement.name, measurement.most, least=measurement.least)
    record.made.add(measurement.name)
    started = time.monotonic()
    print(f"{measurement.name}:", flush=True)
    try:
        for row in measurement.make(session):
            keep(record, session.complete(row))
    except Exception as error:
        keep(record, session.complete(Row(measurement.name, None, note=session.cause(error))))
    print(f"    {time.monotonic() - started:.0f} s", flush=True)


def keep(record: Record, row: Row) -> None:
    words = [row.measure + ":", results.shown(row.value), row.unit, "" if row.side == OURS else f"({row.side})"]
    note = row.note if len(row.note) <= BRIEF or row.value is None else f"{row.note[:BRIEF]} ..."
    record.rows.append(row)
    write(record)
    print("    " + " ".join(filter(None, [*words, note])), flush=True)


def write(record: Record) -> None:
    try:
        record.write()
    except SproutError as error:  # a full disk must not end what can still be printed
        print(f"    not written: {error}", flush=True)


def conclude(record: Record) -> None:
    """Prints the table, and writes once more what a signal may have kept from being written."""
    write(record)
    print("\n" + results.as_table(record.rows))
    if record.skipped:
        print(
            f"\nskipped for lack of time: {', '.join(record.skipped)} (--only takes these names, --minutes more time)"
        )
    for name, reason in record.failed().items():
        print(f"failed: {name}: {reason}")
    print(
        f"written to {record.path}; what the programs printed is in {record.path.parent / 'gpu' / 'printed'}",
        flush=True,
    )


@contextlib.contextmanager
def stopping():
    """A context in which the signals that ask for an end raise `Stopped`, so that programs are ended, too."""

    def stop(number, frame):
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)  # a second one must not keep the table from being printed
        raise Stopped(128 + number)  # as a shell reports it

    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pick(measurements: list[Measurement], names: list[str] | None) -> list[Measurement]:
    """Those whose names begin with one of `names`, or all. Raises `UsageError` for a name of none."""
    for name in names or ():
        if not any(each.name.startswith(name) for each in measurements):
            known = ", ".join(each.name for each in measurements)
            raise UsageError(f"--only {name}: with these flags there are {known}")
    return [each for each in measurements if not names or each.name.startswith(tuple(names))]


if __name__ == "__main__":
    run_program(__doc__)
