"""The items of --data_path."""

import pytest

from dataset.command_line import Source, parse_sources
from model.errors import SproutError, UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n')
    return tmp_path


def pairs(sources: list[Source]):
    return [(str(source.path), source.weight) for source in sources]


def test_files_with_and_without_weights(folder):
    assert pairs(parse_sources(["a.jsonl", "b.jsonl"])) == [("a.jsonl", None), ("b.jsonl", None)]
    assert pairs(parse_sources(["a.jsonl:0.7", "b.jsonl:3e-1"])) == [("a.jsonl", 0.7), ("b.jsonl", 0.3)]
    assert pairs(parse_sources([folder / "a.jsonl"])) == [(str(folder / "a.jsonl"), None)]


def test_colons_in_names(folder):
    (folder / "a.jsonl:2.jsonl").write_text("{}")
    assert pairs(parse_sources(["a.jsonl:2.jsonl"])) == [("a.jsonl:2.jsonl", None)]
    assert pairs(parse_sources(["a.jsonl:2.jsonl:5", "a.jsonl:1"])) == [
        ("a.jsonl:2.jsonl", 5),
        ("a.jsonl", 1),
    ]
    (folder / "C:").mkdir()
    (folder / "C:" / "x.jsonl").write_text("{}")
    assert pairs(parse_sources(["C:/x.jsonl"])) == [("C:/x.jsonl", None)]
    (folder / r"C:\x.jsonl").write_text("{}")  # on Windows a drive, elsewhere a strange name
    assert pairs(parse_sources([r"C:\x.jsonl:0.5"])) == [(r"C:\x.jsonl", 0.5)]


@pytest.mark.parametrize(
    "items, message",
    [
        (["a.jsonl:0.7", "b.jsonl"], "b.jsonl has no weight"),
        (["a.jsonl:0"], "greater than zero"),
        (["a.jsonl:-1"], "greater than zero"),
        (["a.jsonl:nan"], "greater than zero"),
        (["a.jsonl:inf"], "greater than zero"),
        (["a.jsonl:much"], "'much' is not a number"),
        (["a.jsonl:"], "'' is not a number"),
        (["a.jsonl", "./a.jsonl"], "the same file"),
        (["a.jsonl:1", "a.jsonl:2"], "the same file"),
    ],
)
def test_items_that_make_no_sense(folder, items, message):
    with pytest.raises(UsageError, match=message):
        parse_sources(items)


def test_a_link_to_the_same_file(folder):
    (folder / "c.jsonl").symlink_to("a.jsonl")
    with pytest.raises(UsageError, match="the same file"):
        parse_sources(["a.jsonl", "c.jsonl"])


@pytest.mark.parametrize("item", ["missing.jsonl", "missing.jsonl:0.5", r"C:\missing.jsonl"])
def test_a_missing_file_is_found_before_any_is_read(folder, item):
    with pytest.raises(SproutError, match="no such file"):
        parse_sources([item])
