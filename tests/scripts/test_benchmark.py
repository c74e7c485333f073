import io
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.errors import SproutError, UsageError
from scripts.benchmark import busy, command, decode, duplicates, learn, memory
from scripts.benchmark import muon as benchmark_muon
from scripts.benchmark import plan as benchmark_plan
from scripts.benchmark.scale.experts import price_of_steps
from tests.dataset.prepare.duplicates.texts import pair_at
from tests.faults.processes import Running
from tests.stages.workshop import write_texts
from training.engine import muon


def main(words: list[str]) -> None:
    """What a process of the next test prints."""
    print(json.dumps(memory.use(Path(*words))))


def in_a_fork(path: Path) -> dict:
    """`memory.in_another_process`, without the imports of a new one."""
    ended = Running("tests.scripts.test_benchmark", [path]).end()
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.mark.skipif(os.name == "nt", reason="the peak is not known on Windows")
def test_memory_does_not_grow_with_the_corpus(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "in_another_process", in_a_fork)
    command.main(["memory", "--megabytes", "1", "5", "--out_dir", str(tmp_path)])
    printed = capsys.readouterr().out
    peaks = [int(peak.replace(",", "")) for peak in re.findall(r"peak ([\d,]+) MB", printed)]
    assert len(peaks) == 4 and printed.count("second start") == 2
    assert peaks[2] < peaks[0] + 60 and peaks[3] < peaks[1] + 10  # MB; more threads at work in a first start
    assert list(tmp_path.iterdir()) == []


def test_the_others_need_data():
    with pytest.raises(UsageError, match="learn needs --data_path"):
        command.main(["learn"])


def test_a_run_that_was_killed_has_no_value_and_is_run_again(tmp_path):
    metrics, value = tmp_path / "metrics.jsonl", '{"step": 2, "val_bits_per_byte": 1.5}\n'
    for content, found in ((None, None), ("", None), ('{"step": 1, "lo', None), (value, 1.5), (value + "{", 1.5)):
        if content is not None:
            metrics.write_text(content)
        assert learn._final_value(metrics) == found


def test_the_plan_is_set_against_a_real_step(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark_plan, "BATCHES", {"tiny": (1,)})
    texts = write_texts(tmp_path / "a.jsonl", 200, seed=0)
    command.main(["plan", "--data_path", str(texts), "--out_dir", str(tmp_path / "out")])
    said, measured, difference = re.search(
        r"tiny +1 +([\d.]+) GB +([\d.]+) GB +([+-]\d+)%", capsys.readouterr().out
    ).groups()
    assert 0.3 < float(said) < 3 and 0.3 < float(measured) < 3
    assert int(difference) == pytest.approx(100 * (float(said) / float(measured) - 1), abs=1)


def test_muon_is_measured_in_two_ways(capsys, monkeypatch):
    monkeypatch.setattr(benchmark_muon, "CHOSEN", ("tiny",))
    monkeypatch.setattr(benchmark_muon, "ROUNDS", 1)
    before = muon.TALL
    command.main(["muon"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("tiny")]
    assert [row[1:4] for row in rows] == [["704", "x", "256"], ["256", "x", "704"]] and muon.TALL == before
    for *_, by_steps, at_once in rows:  # they differ, since each way was taken
        assert 0 < float(by_steps) < 2e-5 < float(at_once) < 2e-3


def test_decoding_is_measured_and_set_against_others(capsys, monkeypatch):
    monkeypatch.setattr(decode, "PRESET", "tiny")
    decode.writer.cache_clear()
    assert decode.measure("cpu", "float32", 2, 5, 6) > 0
    monkeypatch.setattr(sys, "stdin", io.StringIO('["float32", 2, 5, 6]\n'))
    decode.work(decode.OURS, "cpu", "")
    result = json.loads(capsys.readouterr().out)
    assert [len(first) for first in result["first_tokens"]] == [6, 6]
    slower = SimpleNamespace(run=lambda *case: {**result, "tokens_per_second": result["tokens_per_second"] / 4})
    ours, failed = SimpleNamespace(run=lambda *case: result), SimpleNamespace(run=lambda *case: None)
    decode._compare_one({decode.OURS: ours, decode.PEER: slower, decode.AGAINST: failed}, 2, "float32", 2)
    printed = capsys.readouterr().out
    assert "ours is 4.00x; first tokens alike in 100% of the rows" in printed and "against" in printed
    assert printed.count("failed") == 1
    decode.writer.cache_clear()


def test_an_earlier_checkout_decodes_with_this_file(tmp_path):
    """Its scripts/benchmark is no package, and has none of the modules of today."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/benchmark.py").write_text("")
    for package in ("model", "inference"):
        (tmp_path / package).symlink_to(decode.ROOT / package)
    side = decode.Side(decode.AGAINST, tmp_path, "cpu", 1)
    assert side.run("float32", 1, 4, 3)["tokens_per_second"] > 0
    side.end()


def test_duplicates_are_set_against_datasketch_and_brute_force(tmp_path, capsys, monkeypatch):
    rng = random.Random(0)
    texts = [text for similarity in (0.95, 0.95, 0.4) for text in pair_at(similarity, rng)]
    texts += [texts[0] + "。", "短", "短。", texts[5]]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(UsageError, match="pip install datasketch"):
        command.main(["duplicates", "--data_path", str(path)])

    made = []

    class MinHash:
        def __init__(self, num_perm, hashfunc=None):
            assert num_perm == 112

        def update_batch(self, shingles):
            made.append(shingles)

    monkeypatch.setitem(sys.modules, "datasketch", SimpleNamespace(MinHash=MinHash))
    command.main(["duplicates", "--data_path", str(path), "--labelled", str(path), "--rounds", "1"])
    printed = capsys.readouterr().out
    assert [len(shingles) > 290 for shingles in made[:10]] == [True] * 7 + [False] * 2 + [True]
    assert "10 documents: 4 merged into another" in printed and printed.count("  J 1.000") == 2
    assert "precision 1.0000, recall 1.0000, F1 1.0000" in printed and "does not have: 0" in printed
    assert duplicates.lowest_of_clusters([[0, 3], [1], [2, 3], [0, 2, 3]]).tolist() == [0, 1, 0, 0]


def test_the_price_of_experts_is_taken_at_equal_active_parameters():
    found = price_of_steps(1)
    dense, experts = found["dense"], found["experts"]
    assert dense["active"] == dense["parameters"] < experts["active"] < 1.01 * dense["active"] < experts["parameters"]
    assert all(len(each[kind]) == 1 and each[kind][0] > 0 for each in found.values() for kind in ("clock", "processor"))


def test_a_busy_program_ends_with_the_one_that_started_it():
    assert (
        subprocess.run([sys.executable, "-c", busy.LOOP, "0"], timeout=60).returncode == 0
    )  # no process is its parent
    with busy._busy(1) as (program,):
        with pytest.raises(subprocess.TimeoutExpired):
            program.wait(0.5)
    assert program.returncode is not None


def test_a_side_that_has_ended_is_named():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(3)"], **pipes) as process:
        process.wait()
        with pytest.raises(SproutError, match="the process that measures ours has ended with code 3"):
            busy._take_turns({busy.OURS: process}, 1)
        process.stdin = None  # its buffer still has what nobody read
