"""What is measured, the most important first. Each gives rows of the table, and may fail for itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmark.gpu.bits import equality
from scripts.benchmark.gpu.minimind import its_data, positions_rate, trained_share
from scripts.benchmark.gpu.results import OURS, Row
from scripts.benchmark.gpu.session import ROOT, Session
from scripts.benchmark.program import run_program


@dataclass(frozen=True)
class Measurement:
    """`make(session)` gives rows, or raises `programs.Failed`. least, most: seconds that it needs, and may take."""

    name: str
    least: int
    most: int
    make: Callable[[Session], list[Row]]


def own_plan(session: Session, compiling: str = "") -> list[Row]:
    words = f"{session.sizes.shapes['26m']} {compiling}"
    kind = "compiled" if compiling else "as shipped"
    found = {}

    def steps(side):
        found[side] = session.rate(side, "train_pretrain.py", words, session.sizes.own_steps)
        return found[side].steps

    rows = session.both(f"26m, its own plan, {kind}", "steps/s", steps)
    for side, rate in found.items():
        rows.append(Row(f"26m, its own plan, {kind}: until the first step", rate.first, "s", side))
        rows.append(Row(f"26m, its own plan, {kind}: speed", rate.tokens, "tokens/s", side))
    return rows


def fixed_rows(session: Session, preset: str, batch: int, length: int) -> list[Row]:
    words = f"{session.sizes.shapes[preset]} --batch_size {batch} --accumulation_steps 1 --epochs 100"
    words += f" --max_seq_len {length}"
    more = ()
    if preset in session.sizes.vocabulary:
        more = ("--tokenizer_path", large_tokenizer(session, session.sizes.vocabulary[preset]))
    found = {}

    def speed(side):
        found[side] = session.rate(side, "train_pretrain.py", words, session.sizes.steps, more)
        return found[side].tokens

    measure = f"{preset}, {batch} rows of {length}"
    rows = session.both(measure, "tokens/s", speed)
    for side, rate in found.items():
        rows.append(
            Row(f"{measure}: share of the product's rate", session.share(preset, length, rate.tokens), "%", side)
        )
        rows.append(Row(f"{measure}: peak memory", rate.memory / 2**30, "GB", side))
    return [row for row in rows if row.value is not None or row.note]


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


def fine_tuning(session: Session) -> list[Row]:
    def speed(side):
        words = f"--max_seq_len {session.sizes.chat_length}"
        weight = ("--from_weight", session.weight(side))
        return session.rate(side, "train_full_sft.py", words, session.sizes.own_steps, weight).tokens

    return session.both("26m, fine-tuning at 768, its own plan", "trained/s", speed)


def decoding(session: Session, dtype: str, rows: int) -> list[Row]:
    sizes, measure = session.sizes, f"decoding, {dtype}, {rows} at once"
    words = [
        "-P",
        ROOT / "scripts/benchmark/gpu/decode.py",
        sizes.device,
        dtype,
        rows,
        16,
        sizes.new_tokens,
        sizes.writer,
    ]
    again = {}

    def first(side):
        found = json.loads(session.run(words, session.checkouts()[side]).splitlines()[-1])
        again[side] = found["again"]
        return found["first"]

    rows_of_table = session.both(f"{measure}: the first call", "tokens/s", first)
    return rows_of_table + [Row(f"{measure}: again", value, "tokens/s", side) for side, value in again.items()]


def peer_decoding(session: Session, dtype: str, rows: int) -> list[Row]:
    sizes = session.sizes
    words = [
        "-P",
        ROOT / "scripts/benchmark/gpu/decode.py",
        sizes.device,
        dtype,
        rows,
        16,
        sizes.new_tokens,
        sizes.writer,
    ]
    found = json.loads(session.run([*words, "peer"]).splitlines()[-1])
    side = "transformers, greedy, static cache"
    return [Row(f"decoding, {dtype}, {rows} at once: again", found["again"], "tokens/s", side)]


def bits(session: Session, flags: str = "") -> list[Row]:
    words = f"{session.sizes.shapes['26m']} --batch_size 8 --accumulation_steps 1 {flags} {session.sizes.flags}"
    data = ["--data_path", *session.texts] if session.texts else []
    out = session.out / "bits"
    found = equality(ROOT, out, "train_pretrain.py", [*words.split(), *data], session.sizes.bits_steps, session.limit)
    kind = f"26m, 8 rows{', ' if flags else ''}{flags}"
    return [Row(f"{kind}: two equal runs", found["runs"]), Row(f"{kind}: killed and resumed", found["resumed"])]


def deterministic(session: Session) -> list[Row]:
    return bits(session, "--deterministic") if has_flag(session, "--deterministic") else []


def cost_of_deterministic(session: Session) -> list[Row]:
    preset, batch, length = session.sizes.fixed[0]
    words = f"{session.sizes.shapes[preset]} --batch_size {batch} --accumulation_steps 1 --epochs 100"
    words += f" --max_seq_len {length} --deterministic"
    if not has_flag(session, "--deterministic"):
        return []
    speed = session.rate(OURS, "train_pretrain.py", words, session.sizes.steps).tokens
    return [Row(f"{preset}, {batch} rows of {length}, --deterministic", speed, "tokens/s")]


def has_flag(session: Session, flag: str) -> bool:
    return flag in session.run(["train_pretrain.py", "--help"])


def checks(session: Session) -> list[Row]:
    """Their share of a run with its own plan has 20 validations and 5 samples: see `training/engine/run.py`."""
    words = f"{session.sizes.shapes['26m']} {session.sizes.checks} {session.sizes.flags}"
    data = ["--data_path", *session.texts] if session.texts else []
    words = ["-m", "scripts.benchmark.gpu.checks", *words.split(), *data, "--out_dir", session.out / "checks"]
    found = json.loads(session.run(words).splitlines()[-1])
    return [
        Row("26m: a validation", found["validation"], "s"),
        Row("26m: samples", found["samples"], "s"),
        Row("26m: 20 validations and 5 samples", 20 * found["validation"] + 5 * found["samples"], "s a run"),
    ]


def memory(session: Session, preset: str) -> list[Row]:
    """Each run is a line of what the process prints, so that a limit of time keeps those before it."""
    small, large, length = session.sizes.memory_rows[preset]
    runs = [
        f"{session.sizes.shapes[preset]} --max_seq_len {length} --batch_size {rows} --optimizer {optimizer}{more}"
        f" {session.sizes.flags}"
        for rows, optimizer, more in (
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
    ]
    words = ["-m", "scripts.benchmark.gpu.memory", session.out / "memory", json.dumps(runs), *session.texts]
    rows = []
    for line in session.lines(words):
        found = json.loads(line)
        flags = found["flags"].removesuffix(session.sizes.flags).split(f"--max_seq_len {length} ")[1].strip()
        measure = f"{preset}, memory, {flags.replace('--', '').replace('batch_size', 'rows').replace('optimizer ', '')}"
        if "error" in found:
            rows.append(Row(measure, None, "GB", note=found["error"]))
            continue
        said, measured = found["said"] / 2**30, found["measured"] / 2**30
        rows.append(Row(measure, measured, "GB", note=f"{100 * (said / measured - 1):+.0f} %"))
        rows.append(Row(measure, said, "GB", "plan"))
    return rows


def minimind(session: Session, script: str, compiling: int) -> list[Row]:
    if not session.minimind:
        return []
    sizes, chats = session.sizes, "sft" in script
    files, length = (session.chats, sizes.chat_length) if chats else (session.texts, 512)
    if not files:
        return []
    file = its_data(files, session.out)
    words = [*sizes.peer.split(), "--use_compile", compiling, *(["--from_weight", "none"] if chats else [])]
    numbers = (sizes.peer_rows, length, *sizes.peer_steps)
    speed = positions_rate(session.minimind, session.out, script, file, words, numbers, session.limit)
    what = f"{'fine-tuning' if chats else 'pretraining'}, {sizes.peer_rows} x {length}"
    how = "compiled" if compiling else "eager"
    rows = [Row(f"MiniMind, {what}, {how}, padding included", speed, "positions/s", "MiniMind")]
    if chats:
        share = trained_share(session.minimind, session.out, file, length, session.limit)
        rows.append(Row(f"MiniMind, {what}, {how}, what is trained", speed * share, "trained/s", "MiniMind"))
    return rows


def quickstart(session: Session) -> list[Row]:
    import time

    started = time.monotonic()
    session.run(["scripts/quickstart.py", "--out_dir", session.out / "quickstart"])
    return [Row("quickstart, whole", time.monotonic() - started, "s")]


def all_measurements(session: Session, with_quickstart: bool) -> list[Measurement]:
    """The order is that of importance, since the minutes may not be enough for all."""
    sizes = session.sizes
    fixed = [
        Measurement(f"{preset} {rows}x{length}", 20, 150, lambda s, a=(preset, rows, length): fixed_rows(s, *a))
        for preset, rows, length in sizes.fixed
    ]
    decode = [
        Measurement(f"decoding {dtype} {rows}", 10, 60, lambda s, a=(dtype, rows): decoding(s, *a))
        for dtype, rows in sizes.decoding
    ]
    peers = [
        Measurement(f"transformers {dtype} {rows}", 15, 60, lambda s, a=(dtype, rows): peer_decoding(s, *a))
        for dtype, rows in sizes.decoding
        if dtype == sizes.decoding[0][0] and rows != 64
    ]
    of_memory = [
        Measurement(f"memory {preset}", 15, 90, lambda s, preset=preset: memory(s, preset))
        for preset in sizes.memory_rows
    ]
    return [
        Measurement("own plan", 15, 90, own_plan),
        *fixed[:2],
        *decode[:3],
        Measurement("fine-tuning", 25, 120, fine_tuning),
        *of_memory[1:2],
        Measurement("bits", 20, 60, bits),
        Measurement("bits deterministic", 20, 60, deterministic),
        *fixed[2:4],
        Measurement("checks", 10, 40, checks),
        Measurement("own plan compiled", 20, 100, lambda s: own_plan(s, "--compile on") if not s.sizes.flags else []),
        Measurement("cost of deterministic", 20, 60, cost_of_deterministic),
        *peers,
        Measurement("minimind pretraining", 30, 80, lambda s: minimind(s, "train_pretrain.py", 0)),
        Measurement("minimind fine-tuning", 30, 80, lambda s: minimind(s, "train_full_sft.py", 0)),
        *of_memory[:1],
        *of_memory[2:],
        *decode[3:],
        *fixed[4:],
        Measurement(
            "minimind compiled", 50, 120, lambda s: minimind(s, "train_pretrain.py", 1) if not s.sizes.flags else []
        ),
        *([Measurement("quickstart", 60, 600, quickstart)] if with_quickstart else []),
    ]


if __name__ == "__main__":
    run_program(__doc__)
