"""The speed of generation, ours and that of transformers, as rows of the table; see `decode.py`."""

from collections.abc import Iterable, Iterator

from scripts.benchmark.gpu.results import Row
from scripts.benchmark.gpu.session import ROOT, TRANSFORMERS, Session
from scripts.benchmark.program import run_program

CALLS = {
    "first": "the first call",
    "again": "again",
    "steady": "again, its second half",
    "longer": "longer prompts",
}


def decoding(session: Session, dtype: str, rows: int) -> Iterator[Row]:
    def rates(side: str) -> Iterable[Row]:
        found, failure = session.results(_words(session, dtype, rows), session.checkouts()[side])
        return _rows(found[-1], failure, dtype, rows, side)

    yield from session.sides(f"decoding, {dtype}, {rows} at once: the first call", "tokens/s", rates)


def peer_decoding(session: Session, dtype: str, rows: int) -> Iterator[Row]:
    found, failure = session.results([*_words(session, dtype, rows), "peer"])
    yield from _rows(found[-1], failure, dtype, rows, TRANSFORMERS)


def _words(session: Session, dtype: str, rows: int) -> list:
    sizes = session.sizes
    file = ROOT / "scripts/benchmark/gpu/decode.py"
    return ["-P", file, sizes.device, dtype, rows, 16, sizes.new_tokens, sizes.writer]


def _rows(found: dict, failure: str, dtype: str, rows: int, side: str) -> Iterator[Row]:
    for name, call in CALLS.items():
        note = "" if name in found else failure
        yield Row(f"decoding, {dtype}, {rows} at once: {call}", found.get(name), "tokens/s", side, note)


if __name__ == "__main__":
    run_program(__doc__)
