"""What the user names, as documents in a fixed order."""

import csv
import gzip
import json
import lzma

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from dataset.prepare.sources import check_columns, find_files, read_file
from dataset.records.formats import BadLine
from model.errors import SproutError, UsageError

SCHEMA = pyarrow.schema([("text", pyarrow.string())])


def documents(path, **how):
    return [(each.line, each.text, each.kind) for each in read_file(path, **how)]


def test_folder_is_read_in_order_of_names_and_hidden_files_are_not(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.md", "b/1.html", "a.txt", ".hidden.txt", "picture.png"):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty.txt").touch()
    files, others = find_files([str(tmp_path)])
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == ["a.txt", "b/1.html", "b/2.md"]
    assert [path.name for path in others] == ["empty.txt", "picture.png"]
    assert [file.path.name for file in find_files([str(tmp_path / "**" / "*.md")])[0]] == ["2.md"]


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "a.xyz").write_text("x")
    for name, error in (("none.jsonl", SproutError), ("a.xyz", UsageError), ("*.md", UsageError)):
        with pytest.raises(error):
            find_files([str(tmp_path / name)])
    with pytest.raises(UsageError, match=r"\.jsonl, .*\.html"):  # a folder of none of these types
        find_files([str(tmp_path)])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="same file"):
        find_files([str(tmp_path / "a.txt"), str(tmp_path / "*.txt")])


def test_documents_of_whole_files(tmp_path):
    (tmp_path / "a.md").write_text("# Title\n\ntext")
    (tmp_path / "a.html").write_text("<p>text</p>")
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8-sig")
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write("春眠不觉晓，处处闻啼鸟。".encode("gb18030"))
    (tmp_path / "c.txt").write_bytes("häßlich".encode("latin-1"))
    assert documents(tmp_path / "a.md") == [(1, "# Title\n\ntext", "markdown")]
    assert documents(tmp_path / "a.html") == [(1, "<p>text</p>", "html")]
    assert documents(tmp_path / "a.txt") == [(1, "one\n\ntwo\n", "text")]
    assert documents(tmp_path / "a.txt", txt="blocks") == [(1, "one", "text"), (3, "two", "text")]
    assert documents(tmp_path / "b.txt.gz") == [(1, "春眠不觉晓，处处闻啼鸟。", "text")]
    assert isinstance(next(read_file(tmp_path / "c.txt")), BadLine)


def test_column_of_the_text(tmp_path):
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("title", "content"), ("t", "one"), ("t", "two")])
    assert documents(tmp_path / "a.csv") == [(1, "one", "text"), (2, "two", "text")]
    assert documents(tmp_path / "a.csv", text_column="Title") == [(1, "t", "text"), (2, "t", "text")]
    pyarrow.parquet.write_table(pyarrow.table({"html": ["<p>x</p>"], "id": [1]}), tmp_path / "a.parquet")
    assert documents(tmp_path / "a.parquet") == [(1, "<p>x</p>", "html")]
    with pytest.raises(UsageError, match="no column 'words'"):
        check_columns(find_files([str(tmp_path / "a.csv")])[0], "words")
    (tmp_path / "b.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UsageError, match="--text_column"):
        check_columns(find_files([str(tmp_path / "b.jsonl")])[0], None)


def test_bad_lines_and_pages_inside_records(tmp_path):
    lines = ['{"text": "good"}', "broken", '{"text": 5}', json.dumps({"text": "<!DOCTYPE html><body>x</body>"})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = list(read_file(tmp_path / "a.jsonl"))
    assert [(each.line, getattr(each, "kind", None)) for each in found] == [
        (1, "text"),
        (2, None),
        (3, None),
        (4, "html"),
    ]


def test_chats_and_pairs(tmp_path):
    chat = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    (tmp_path / "a.jsonl").write_text(json.dumps({"instruction": "q", "output": "a"}))
    (tmp_path / "b.jsonl").write_text(json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}))
    (tmp_path / "c.jsonl").write_text(json.dumps({"question": "q"}))
    (line, text, kind), *none = documents(tmp_path / "a.jsonl")
    assert (line, json.loads(text), kind, none) == (1, chat, "chat", [])
    assert documents(tmp_path / "b.jsonl")[0][2] == "preference"
    assert documents(tmp_path / "a.jsonl", text_column="output") == [(1, "a", "text")]
    with pytest.raises(UsageError, match="only texts, chats and pairs"):
        documents(tmp_path / "c.jsonl")


def test_kind_of_a_source(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "# x"}\n{"text": "<html><body>x</body></html>"}')
    assert [kind for _, _, kind in documents(tmp_path / "a.jsonl", kind="markdown")] == ["markdown", "html"]
    assert [kind for _, _, kind in documents(tmp_path / "a.jsonl", kind="text")] == ["text", "text"]


@pytest.mark.parametrize("name", ["crawled", "notes.txt", "page.html"])
def test_what_is_not_there_is_called_missing(tmp_path, name):
    with pytest.raises(SproutError, match=f"{name}: there is no such file or folder"):
        find_files([str(tmp_path / name)])


def test_links_in_a_folder_are_followed_once_and_what_is_left_out_is_listed(tmp_path):
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("x")
    (tmp_path / "out.txt").write_text("y")
    for name, target in {"alias.txt": "a.txt", "gone.txt": "none", "up": "..", "z.txt": "../out.txt"}.items():
        (tmp_path / "in" / name).symlink_to(target)
    saved = tmp_path / "in" / "b" / "saved"
    saved.mkdir()
    with pyarrow.OSFile(str(saved / "data.arrow"), "wb") as file, pyarrow.ipc.new_stream(file, SCHEMA) as writer:
        writer.write_table(pyarrow.table({"text": ["one"]}))
    (saved / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    files, others = find_files([str(tmp_path / "in")])
    assert [file.path.name for file in files] == ["a.txt", "saved", "z.txt"]
    assert [path.name for path in others] == ["alias.txt", "gone.txt", "up"]
    assert documents(saved) == [(1, "one", "text")]


@pytest.mark.parametrize("end", [".gz", ".xz"])
def test_half_a_file_is_no_document(tmp_path, end):
    whole = {".gz": gzip, ".xz": lzma}[end].compress("\n".join(map(str, range(500_000))).encode())
    (tmp_path / f"a.txt{end}").write_bytes(whole[: len(whole) - 100])
    (bad,) = read_file(tmp_path / f"a.txt{end}")
    assert isinstance(bad, BadLine) and bad.line == 1 and "cut short" in bad.reason


def test_text_in_utf_32(tmp_path):
    (tmp_path / "a.txt").write_text("春眠😀", encoding="utf-32")
    assert documents(tmp_path / "a.txt") == [(1, "春眠😀", "text")]


def test_a_table_that_is_damaged_ends_there(tmp_path):
    (tmp_path / "a.csv").write_text('text\none\ntwo\n"three\n')
    *good, bad = read_file(tmp_path / "a.csv")
    assert [each.text for each in good] == ["one", "two"]
    assert bad.line == 3 and bad.reason.endswith("from here on") and "unexpected end of data" in bad.detail
    (tmp_path / "b.csv").write_text('text\n"three\n')
    with pytest.raises(SproutError, match="unexpected end"):
        list(read_file(tmp_path / "b.csv"))


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_texts(tmp_path, indent):
    (tmp_path / "a.json").write_text(json.dumps(["one", 2, {"text": "three"}], indent=indent))
    found = list(read_file(tmp_path / "a.json"))
    assert [getattr(each, "text", None) for each in found] == ["one", None, "three"]


def test_records_in_a_file_with_another_ending_are_no_text(tmp_path):
    path = tmp_path / "a.jsonl.txt"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    (found,) = read_file(path)
    assert isinstance(found, BadLine) and "end its name in .jsonl" in found.reason
    path.write_text('\n\n{"text": "a"}\n{"text": "b"}\n\n')
    (found,) = read_file(path)
    assert isinstance(found, BadLine) and "end its name in .jsonl" in found.reason
    path.write_text('{"text": "a"}\nis how a record begins\n')
    (found,) = read_file(path)
    assert found.text.endswith("begins\n")
