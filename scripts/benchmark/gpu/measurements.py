"""What is measured, the most important first. Each yields rows of the table, and may fail for itself."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from scripts.benchmark.gpu.bits import equality
from scripts.benchmark.gpu.generation import decoding, peer_decoding
from scripts.benchmark.gpu.minimind import minimind
from scripts.benchmark.gpu.programs import last_result
from scripts.benchmark.gpu.rates import Rate
from scripts.benchmark.gpu.results import OURS, Row
from scripts.benchmark.gpu.session import ROOT, Session
from scripts.benchmark.gpu.stages import stages
from scripts.benchmark.program import run_program

COMPILED = 75  # seconds that a run needs which compiles with nothing compiled before, and its start


@dataclass(frozen=True)
class Measurement:
    """`make(session)` yields rows as they become known, and may raise anything. least: seconds without which it is not
    begun, those of a side on a fast card until it has its first rows; most: seconds that each side of it may take."""

    name: str
    least: int
    most: int
    make: Callable[[Session], Iterable[Row]]


def own_plan(session: Session, compiling: str = "") -> Iterator[Row]:
    words = f"{session.sizes.shapes['26m']} {compiling}"
    measure = f"26m, its own plan, {'compiled' if compiling else 'as shipped'}"

    def rows_of(side: str) -> Iterator[Row]:
        rate = session.rate(side, "train_pretrain.py", words, session.sizes.own_steps)
        yield Row(measure, rate.steps, "steps/s", side, rate.plan)
        yield Row(f"{measure}: until the first step", rate.first, "s", side)
        yield Row(f"{measure}: speed", rate.tokens, "tokens/s", side)
        yield from of_steps(measure, rate, side)

    yield from session.sides(measure, "steps/s", rows_of)


def fixed_rows(session: Session, preset: str, batch: int, length: int) -> Iterator[Row]:
    measure = f"{preset}, {batch} rows of {length}"
    vocabulary = session.sizes.vocabulary.get(preset)

    def rows_of(side: str) -> Iterator[Row]:
        words = f"{session.sizes.shapes[preset]} --batch_size {batch} --accumulation_steps 1 --epochs 100"
        words += f" --max_seq_len {length}"
        more = ("--tokenizer_path", large_tokenizer(session, vocabulary)) if vocabulary else ()
        rate = session.rate(side, "train_pretrain.py", words, session.sizes.steps, more, large=vocabulary is not None)
        yield Row(measure, rate.tokens, "tokens/s", side, rate.plan)
        if (share := session.share(preset, length, rate.tokens)) is not None:
            yield Row(f"{measure}: share of the product's rate", share, "%", side)
        yield from of_steps(measure, rate, side)

    yield from session.sides(measure, "tokens/s", rows_of)


def of_steps(measure: str, rate: Rate, side: str) -> Iterator[Row]:
    yield Row(f"{measure}: a step, by its own clock", 1000 * rate.within_steps, "ms", side)
    yield Row(f"{measure}: peak memory, allocated", rate.memory / 2**30, "GB", side)
    if rate.reserved is not None:
        yield Row(f"{measure}: peak memory, reserved", rate.reserved / 2**30, "GB", side)


def large_tokenizer(session: Session, size: int):
    """A folder with the shipped tokenizer and as many entries that never occur as a vocabulary of `size` needs."""
    folder = session.out / f"tokenizer_{size}"
    folder.mkdir(parents=True, exist_ok=True)
    source = ROOT / "model" / "default_tokenizer"
    contents = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = contents["model"]["vocab"]
    added = {token["content"] for token in contents["added_tokens"]} - vocabulary.keys()
    for index in range(len(vocabulary) + len(added), size):
        vocabulary[f"<never {index}>"] = index
    (folder / "tokenizer.json").write_text(json.dumps(contents, ensure_ascii=False), encoding="utf-8")
    config = "tokenizer_config.json"
    (folder / config).write_text((source / config).read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def fine_tuning(session: Session) -> Iterator[Row]:
    measure = "26m, fine-tuning at 768, its own plan"

    def rows_of(side: str) -> Iterator[Row]:
        words = f"--max_seq_len {session.sizes.chat_length}"
        weight = ("--from_weight", session.weight(side))
        rate = session.rate(side, "train_full_sft.py", words, session.sizes.own_steps, weight)
        yield Row(measure, rate.tokens, "trained/s", side, rate.plan)
        yield from of_steps(measure, rate, side)

    yield from session.sides(measure, "trained/s", rows_of)


def bits(session: Session, flags: str = "") -> Iterator[Row]:
    words = f"{session.sizes.shapes['26m']} --batch_size 8 --accumulation_steps 1 {flags} {session.sizes.flags}"
    words = [*words.split(), *session.data(session.few_texts)]
    steps, out = session.sizes.bits_steps, session.out / "bits"
    found = equality(ROOT, out, "train_pretrain.py", words, steps, session.program())
    kind = f"26m, 8 rows{', ' if flags else ''}{flags}"
    yield Row(f"{kind}: two equal runs", found["runs"])
    yield Row(f"{kind}: killed and resumed", found["resumed"])


def cost_of_deterministic(session: Session) -> Iterator[Row]:
    preset, batch, length = session.sizes.fixed[0]
    words = f"{session.sizes.shapes[preset]} --batch_size {batch} --accumulation_steps 1 --epochs 100"
    words += f" --max_seq_len {length} --deterministic"
    rate = session.rate(OURS, "train_pretrain.py", words, session.sizes.steps)
    yield Row(f"{preset}, {batch} rows of {length}, --deterministic", rate.tokens, "tokens/s", note=rate.plan)


def checks(session: Session) -> Iterator[Row]:
    """Validations and samples in a whole run, as often as its own plan makes them."""
    words = f"{session.sizes.shapes['26m']} {session.sizes.checks} {session.sizes.flags}".split()
    words += [*session.data(session.texts), "--out_dir", session.out / "checks"]
    found = last_result(session.run(["-m", "scripts.benchmark.gpu.checks", *words]))
    yield Row("26m: a validation", found["validation"], "s")
    yield Row("26m: samples", found["samples"], "s")
    note = f"{found['validations']} validations and {found['times']} sets of samples in {found['seconds']:.0f} s"
    yield Row("26m, own plan: validations and samples", 100 * found["share"], "% of the time", note=note)


def memory(session: Session, preset: str) -> Iterator[Row]:
    """Each run is a line of what the process prints, so that a limit of time keeps those before it."""
    small, large, length = session.sizes.memory_rows[preset]
    kinds = (
        (large, "muon", ""),
        (large, "muon", " --activation_checkpointing"),
        (small, "muon", ""),
        (small, "adamw", " --activation_checkpointing"),
        (small, "adamw", ""),
        (small, "muon", " --activation_checkpointing"),
        (large, "adamw", ""),
        (large, "adamw", " --activation_checkpointing"),
        (large, "muon", " --compile on"),
    )
    runs = [
        f"{session.sizes.shapes[preset]} --max_seq_len {length} --batch_size {rows} --optimizer {optimizer}{more}"
        f" {session.sizes.flags}"
        for rows, optimizer, more in kinds
    ]
    names = [f"{preset}, memory, {rows} rows, {how}{more.replace(' --', ', ')}" for rows, how, more in kinds]
    words = ["-m", "scripts.benchmark.gpu.memory", session.out / "memory", json.dumps(runs)]
    results, failure = session.results([*words, *session.few_texts])
    results = [found for found in results if "flags" in found]
    for name, found in zip(names, results):
        yield from memory_rows(name, found)
    for name in names[len(results) :]:
        yield Row(f"{name}: allocated", None, "GB", note=failure)


def memory_rows(name: str, found: dict) -> Iterator[Row]:
    """A run's peaks beside what its plan says, and by how much that is more or less than each."""
    notes = found["warnings"]
    if "error" in found:
        yield Row(f"{name}: allocated", None, "GB", note="; ".join([found["error"], *notes]))
        return
    if found["left"] > 2**26:
        notes = [f"{found['left'] / 2**30:.2f} GB were left from the run before", *notes]
    said = found["said"]
    for kind in ("allocated", "reserved"):
        if (peak := found[kind]) is not None:
            compared = [f"plan {100 * (said / peak - 1):+.0f} %"] if said and peak else []
            yield Row(f"{name}: {kind}", peak / 2**30, "GB", note="; ".join(compared + notes))
    if said:
        yield Row(f"{name}: allocated", said / 2**30, "GB", "plan")


def quickstart(session: Session) -> Iterator[Row]:
    started = time.monotonic()
    session.run(["scripts/quickstart.py", "--out_dir", session.out / "quickstart"])
    yield Row("quickstart, whole", time.monotonic() - started, "s")


def all_measurements(session: Session, with_quickstart: bool) -> list[Measurement]:
    """The order is that of importance, since the minutes may not be enough for all."""
    sizes = session.sizes
    large = dict.fromkeys(sizes.vocabulary, 300)  # seconds
    fixed = [
        Measurement(
            f"{preset} {rows}x{length}",
            100 if preset in large else COMPILED,
            large.get(preset, 180),
            lambda s, a=(preset, rows, length): fixed_rows(s, *a),
        )
        for preset, rows, length in sizes.fixed
    ]
    decode = [
        Measurement(f"decoding {dtype} {rows}", 25, 90, lambda s, a=(dtype, rows): decoding(s, *a))
        for dtype, rows in sizes.decoding
    ]
    peers = [
        Measurement(f"transformers {dtype} {rows}", 40, 120, lambda s, a=(dtype, rows): peer_decoding(s, *a))
        for dtype, rows in sizes.decoding
        if dtype == sizes.decoding[0][0] and rows != 64
    ]
    of_memory = [
        Measurement(
            f"memory {preset}", 50 if preset in large else 30, large.get(preset, 150), lambda s, p=preset: memory(s, p)
        )
        for preset in sizes.memory_rows
    ]
    of_minimind = [
        Measurement(f"minimind {name}", least, most, lambda s, script=script, how=how: minimind(s, script, how))
        for name, least, most, script, how, files in (
            ("pretraining", 40, 100, "train_pretrain.py", 0, session.texts),
            ("fine-tuning", 40, 100, "train_full_sft.py", 0, session.chats),
            ("compiled", 80, 150, "train_pretrain.py", 1, session.texts if not sizes.flags else ()),
        )
        if session.minimind and files
    ]
    not_compiled = [each for each in of_minimind if each.name != "minimind compiled"]
    compiled = Measurement("own plan compiled", COMPILED, 120, lambda s: own_plan(s, "--compile on"))
    return [
        Measurement("own plan", COMPILED, 120, own_plan),
        *decode[:1],
        Measurement("stages", 45, 240, stages),
        *fixed[:2],
        *decode[1:3],
        Measurement("fine-tuning", COMPILED, 120, fine_tuning),
        *of_memory[1:2],
        Measurement("bits", 80, 150, bits),
        Measurement("bits deterministic", 80, 150, lambda s: bits(s, "--deterministic")),
        *fixed[2:3],
        Measurement("checks", COMPILED, 150, checks),
        *([] if sizes.flags else [compiled]),
        Measurement("cost of deterministic", COMPILED, 150, cost_of_deterministic),
        *peers,
        *not_compiled,
        *of_memory[:1],
        *fixed[3:4],
        *of_memory[2:4],
        *decode[3:],
        *fixed[4:],
        *of_memory[4:],
        *(each for each in of_minimind if each not in not_compiled),
        *([Measurement("quickstart", 200, 600, quickstart)] if with_quickstart else []),
    ]


if __name__ == "__main__":
    run_program(__doc__)
