"""A data file that changed before a run was resumed is named, with what it held and holds."""

import gzip
import json

import pytest

from dataset.cache.folder import open_or_build, read_meta
from dataset.cache.token_cache import build_or_open
from dataset.rows.chats import CHATS
from dataset.rows.texts import TEXTS
from training.engine.changed_data import changes_of_data, same_tokens

OLD, GROWN = "300 records with 30,000 bytes of text", "305 records with 30,500 bytes of text"
META = {
    "source": "a.jsonl",
    "content": "c1",
    "file_kind": ".jsonl",
    "tokenizer": "t",
    "kind": "text",
    "val_ratio": 0.01,
    "on_bad_line": "stop",
}


@pytest.fixture
def caches(tmp_path):
    def add(name, documents=300, **more):
        parts = {"train": {"documents": documents - 3}, "validation": {"documents": 3}, "text_bytes": 100 * documents}
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text(json.dumps(META | parts | more))

    add("old")
    add("grown", 305, content="c2")
    add("split", val_ratio=0.2)
    add("anew", tokenizer="u", on_bad_line="skip", kind="chat")
    add("renamed", source="a.ndjson", file_kind=".ndjson")
    sealed = {"train": {"documents": 297, "seal": [1, 5]}, "validation": {"documents": 3, "seal": [2, 5]}}
    add("sealed", **sealed)
    add("compressed", content="c6", source="a.jsonl.gz", **json.loads(json.dumps(sealed).replace("5", "6")))
    add("twin", content="c8", source="t.jsonl", **sealed)
    add("compressed_twin", content="c9", source="t.jsonl.gz", **sealed)
    add("edited", content="c7", **json.loads(json.dumps(sealed).replace("[2", "[3")))
    add("other", 7, source="b.jsonl", content="c3")
    return tmp_path


@pytest.mark.parametrize(
    "before, now, said",
    [
        (
            ["old:"],
            ["grown:"],
            f"a.jsonl has changed: it had {OLD}, and has {GROWN}",
        ),
        (["old"], ["split"], "a.jsonl is read otherwise: --val_ratio was 0.01, is 0.2"),
        (
            ["old"],
            ["anew"],
            "a.jsonl is read otherwise: the tokenizer is another, --on_bad_line was stop, is skip, the kind was text,"
            " is chat",
        ),
        (["old"], ["renamed"], "a.ndjson is read otherwise: the end of its name was .jsonl, is .ndjson"),
        (["sealed:0.5"], ["compressed:0.7"], "the weight of a.jsonl.gz was 0.5, is 0.7"),
        (["sealed:", "old:"], ["compressed:", "grown:"], f"a.jsonl has changed: it had {OLD}, and has {GROWN}"),
        (["sealed"], ["edited"], f"a.jsonl has changed: as before it has {OLD}, but not the same"),
        (
            ["old:0.5", "other:0.5"],
            ["grown:0.5", "other:0.5"],
            f"a.jsonl has changed: it had {OLD}, and has {GROWN}",
        ),
        (["old:"], ["old:", "other:"], "b.jsonl (7 records with 700 bytes of text) is new"),
        (["old:", "other:"], ["old:"], "b.jsonl (7 records with 700 bytes of text) is not among the files any more"),
        (["old:0.5", "other:0.5"], ["old:0.5", "other:0.9"], "the weight of b.jsonl was 0.5, is 0.9"),
        (["old:", "other:"], ["other:", "old:"], "the files are given in another order"),
        (
            ["deleted:"],
            ["grown:"],
            f"a.jsonl is not the file that it was (it has {GROWN} now)",
        ),
        (["old:"], ["deleted:"], None),
        (
            ["old:", "other:"],
            ["compressed:"],
            f"a.jsonl ({OLD}) is not among the files any more; b.jsonl (7 records with 700 bytes of text) is not among"
            f" the files any more; a.jsonl.gz ({OLD}) is new",
        ),
        (
            ["old:"],
            ["grown:", "pairs left out as alike: 3"],
            f"a.jsonl has changed: it had {OLD}, and has {GROWN}",
        ),
        (
            ["old:"],
            ["old:", "pairs left out as alike: 3"],
            "the run was begun with no pairs left out as alike, as by an earlier version, and now it has pairs left out"
            " as alike: 3",
        ),
        ("a sentence", ["old:"], None),
    ],
)
def test_what_changed_is_said_in_words(caches, before, now, said):
    assert changes_of_data(before, now, caches) == said


@pytest.mark.parametrize(
    "before, now, is_same",
    [
        (["sealed:0.5", "old:0.5"], ["compressed:0.5", "old:0.5"], True),
        (["sealed:0.5", "old:0.5"], ["old:0.5", "compressed:0.5"], False),
        (["sealed:0.5"], ["compressed:0.7"], False),
        (["sealed:1", "twin:1"], ["compressed:1", "compressed_twin:1"], True),
        (["sealed:1", "twin:1"], ["compressed_twin:1", "compressed:1"], True),
        (["twin:1", "sealed:1"], ["twin:1", "compressed:1"], True),
        (["sealed:1", "twin:2"], ["compressed:1", "compressed_twin:1"], False),
        (["sealed:1", "twin:1"], ["compressed:1"], False),
        (["sealed"], ["edited"], False),
        (["sealed"], ["sealed", "compressed"], False),
        (["old"], ["renamed"], False),  # of an early version: nothing is known of its tokens
        (["deleted"], ["compressed"], False),
    ],
)
def test_a_cache_of_the_same_tokens_is_the_same_data(caches, before, now, is_same):
    found = same_tokens({"data.training": before}, {"data.training": now}, caches)
    assert found == ({"data.training": now} if is_same else {})


@pytest.mark.parametrize("fact", ["kind", "tokenizer", "dtype", "bos_id", "eos_id", "pad_id", "end_id"])
def test_the_same_bytes_with_another_meaning_are_other_data(caches, fact):
    meta = json.loads((caches / "sealed" / "meta.json").read_text())
    for name, means in (("again", meta), ("otherwise", meta | {fact: "another"})):
        (caches / name).mkdir()
        (caches / name / "meta.json").write_text(json.dumps(means))
    data = {name: {"data.training": [name]} for name in ("sealed", "again", "otherwise")}
    assert same_tokens(data["sealed"], data["again"], caches) == data["again"]
    assert same_tokens(data["sealed"], data["otherwise"], caches) == {}


@pytest.mark.parametrize(
    "change, data, is_same",
    [
        ({"data": ["compressed:"], "seals": {"ids": [1, 6]}}, "compressed", True),
        ({"k": 5}, "compressed", False),
        ({"teacher": "u"}, "compressed", False),
        ({}, "edited", False),  # the same lessons are none of other data
        (None, "compressed", False),  # what the teacher said before was deleted
    ],
)
def test_what_a_teacher_said_of_the_same_tokens_is_the_same(caches, change, data, is_same):
    lessons = {"teacher": "t", "k": 4, "data": ["sealed:"], "seals": {"ids": [1, 5]}}
    for name, meta in (("before", lessons if change is not None else None), ("now", lessons | (change or {}))):
        if meta:
            folder = caches / "teacher" / name
            open_or_build(folder, read_meta, lambda _, meta=meta: dict(meta), caches, what="cache", verb="asked")
    before = {"data.training": ["sealed:"], "data.teacher": "before"}
    now = {"data.training": [f"{data}:"], "data.teacher": "now"}
    assert ("data.teacher" in same_tokens(before, now, caches)) == is_same


@pytest.mark.parametrize(
    "kind, record",
    [(TEXTS, {"text": "Hello."}), (CHATS, {"instruction": "Hi", "output": "Hello."})],
    ids=["texts", "chats"],
)
def test_a_file_that_was_compressed_is_the_same_data(tmp_path, small_tokenizer, kind, record):
    content = json.dumps(record).encode() + b"\n"
    names = []
    for file, written in (("a.jsonl", content), ("a.jsonl.gz", gzip.compress(content)), ("b.jsonl", 2 * content)):
        (tmp_path / file).write_bytes(written)
        settings = {"val_ratio": 0, "cache_dir": tmp_path / "cache", "progress": False}
        names.append(build_or_open(tmp_path / file, small_tokenizer, kind.cache, **settings).folder.name)
    before, compressed, doubled = ({"data.training": [f"{name}:0.5"]} for name in names)
    assert before != compressed and same_tokens(before, compressed, tmp_path / "cache") == compressed
    assert same_tokens(before, doubled, tmp_path / "cache") == {}


def test_of_preferences_the_answers_are_counted(caches):
    """A cache knows no pairs: ranked answers make several of one record."""
    meta = json.loads((caches / "old" / "meta.json").read_text())
    for name, content in (("pairs", "c4"), ("more_pairs", "c5")):
        (caches / name).mkdir()
        (caches / name / "meta.json").write_text(json.dumps(meta | {"kind": "preference", "content": content}))
    said = changes_of_data(["pairs:"], ["more_pairs:"], caches)
    assert "has changed: as before it has 300 answers with" in said and said.endswith(", but not the same")
