"""What recurs only as long as there are duplicates, and what recurs without them."""

import functools
import itertools
import json
import random

import pytest

from dataset.prepare import judged, parts, settling, steps
from dataset.prepare.judging.judging import Verdict
from model.errors import SproutError
from scripts.prepare import main
from tests.dataset.prepare.duplicates.texts import random_text

MENU = "首页 | 关于我们 | 联系方式"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """As if there were more documents than are gone through at once."""
    monkeypatch.setattr(parts, "PART", 3)


@pytest.fixture
def crawl(tmp_path):
    """A folder of eight articles in eight versions each, all below one menu; and the first of each, without it."""
    rng, firsts = random.Random(0), []
    (tmp_path / "crawl").mkdir()
    for number in range(8):
        article = [random_text(rng, 50) for _ in range(6)]
        for version in range(8):
            text = "\n".join([MENU, *article, f"第 {number} 篇文章的第 {version} 个版本"])
            (tmp_path / "crawl" / f"{number}-{version}.txt").write_text(text, encoding="utf-8")
        firsts.append("\n".join([*article, f"第 {number} 篇文章的第 0 个版本"]))
    return tmp_path / "crawl", firsts


def prepared(source, folder, *flags) -> list[str]:
    main([str(source), "--save_dir", str(folder), "--rules", "none", "--processes", "1", *flags])
    return [json.loads(line)["text"] for line in (folder / "text.jsonl").read_text(encoding="utf-8").splitlines()]


def test_when_the_versions_are_gone_their_menu_goes(crawl, tmp_path):
    source, firsts = crawl
    assert prepared(source, tmp_path / "first") == firsts
    report = json.loads((tmp_path / "first" / "report.json").read_text())
    assert (report["read"], report["kept"], report["rules"]["near-duplicate"]["documents"]) == (64, 8, 56)
    (counted,) = report["sources"].values()
    assert counted["changed"]["repeated lines"] == 8
    assert len((tmp_path / "first" / "dropped.jsonl").read_text().splitlines()) == 56
    assert prepared(tmp_path / "first" / "text.jsonl", tmp_path / "second") == firsts
    assert (tmp_path / "second" / "dropped.jsonl").read_text() == ""


def test_killed_while_it_goes(crawl, tmp_path, monkeypatch):
    source, firsts = crawl
    monkeypatch.setattr(steps, "prepare", functools.partial(steps.prepare, chunk_characters=3000))
    written, write = [], settling.write_judged

    def killed(folder, stage, number, *given):
        written.append(number)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(folder, stage, number, *given)

    with monkeypatch.context() as patch:
        patch.setattr(settling, "write_judged", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            prepared(source, tmp_path / "killed")
    assert len(written) == 3
    assert prepared(source, tmp_path / "killed", "--resume") == prepared(source, tmp_path / "whole") == firsts
    dropped = [(tmp_path / name / "dropped.jsonl").read_text() for name in ("killed", "whole")]
    assert dropped[0] == dropped[1]


def test_what_changed_is_judged_again(crawl, tmp_path, monkeypatch):
    source, _ = crawl
    kept, out = Verdict(None, 0.0, 0.0), Verdict("length", 0.0, 1.0)
    monkeypatch.setattr(judged, "judge", lambda text, rules: kept if MENU in text else out)
    with pytest.raises(SproutError, match="no training file was written"):
        prepared(source, tmp_path / "judged", "--rules", "prose")
    report = json.loads((tmp_path / "judged" / "report.json").read_text())
    counts = {rule: found["documents"] for rule, found in report["rules"].items()}
    assert (report["read"], report["kept"], counts) == (64, 0, {"length": 64})


def test_a_version_that_stands_without_its_menu_takes_the_place_of_one_that_does_not(crawl, tmp_path, monkeypatch):
    source, firsts = crawl
    kept, out = Verdict(None, 0.0, 0.0), Verdict("length", 0.0, 1.0)
    good = ("的第 3 个版本", "的第 5 个版本")
    monkeypatch.setattr(judged, "judge", lambda text, rules: kept if MENU in text or text.endswith(good) else out)
    thirds = [text.replace("的第 0 个版本", good[0]) for text in firsts]
    assert prepared(source, tmp_path / "judged", "--rules", "prose") == thirds
    lines = (tmp_path / "judged" / "dropped.jsonl").read_text().splitlines()
    assert len(lines) == 56
    dropped = {json.loads(line)["file"] for line in lines}
    assert not {json.loads(line)["kept"]["file"] for line in lines if "kept" in json.loads(line)} & dropped


@pytest.mark.parametrize("steps", [(), ("--steps", "lines")])
def test_what_is_only_blank_without_its_lines_is_dropped(tmp_path, steps):
    common = [random_text(random.Random(number), 40) for number in range(6)]
    blank = [f"{a}\n{' ' * 200}\n{b}\n{c}" for a, b, c in itertools.combinations(common, 3)]
    own = "一篇没有重复行的文章，一共就这么一句。"
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*blank, own]), encoding="utf-8")
    assert prepared(path, tmp_path / "out", *steps) == [own]


def test_markers_that_come_to_the_edge_are_removed_at_once(tmp_path):
    rng = random.Random(1)
    path = tmp_path / "a.jsonl"
    texts = [f"{MENU}\n<s>{random_text(rng, 60)}\n{random_text(rng, 60)}" for _ in range(8)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    first = prepared(path, tmp_path / "first")
    assert not any(text.startswith("<s>") for text in first) and len(first) == 8
    assert prepared(tmp_path / "first" / "text.jsonl", tmp_path / "second") == first
