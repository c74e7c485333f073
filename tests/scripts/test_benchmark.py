import os
import re

import pytest

from model.errors import UsageError
from scripts.benchmark import command
from scripts.benchmark import plan as benchmark_plan
from tests.stages.workshop import write_texts


@pytest.mark.skipif(os.name == "nt", reason="the peak is not known on Windows")
def test_memory_does_not_grow_with_the_corpus(tmp_path, capsys):
    command.main(["memory", "--megabytes", "1", "5", "--out_dir", str(tmp_path)])
    printed = capsys.readouterr().out
    peaks = [int(peak.replace(",", "")) for peak in re.findall(r"peak ([\d,]+) MB", printed)]
    assert len(peaks) == 4 and printed.count("second start") == 2
    assert peaks[2] < peaks[0] + 60 and peaks[3] < peaks[1] + 10  # MB; more threads at work in a first start
    assert list(tmp_path.iterdir()) == []


def test_the_others_need_data():
    with pytest.raises(UsageError, match="learn needs --data_path"):
        command.main(["learn"])


def test_the_plan_is_set_against_a_real_step(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark_plan, "BATCHES", {"tiny": (1,)})
    texts = write_texts(tmp_path / "a.jsonl", 200, seed=0)
    command.main(["plan", "--data_path", str(texts), "--out_dir", str(tmp_path / "out")])
    said, measured, difference = re.search(
        r"tiny +1 +([\d.]+) GB +([\d.]+) GB +([+-]\d+)%", capsys.readouterr().out
    ).groups()
    assert 0.3 < float(said) < 3 and 0.3 < float(measured) < 3
    assert int(difference) == pytest.approx(100 * (float(said) / float(measured) - 1), abs=1)
