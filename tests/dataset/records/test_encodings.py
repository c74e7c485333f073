"""A file that is not UTF-8: it is named, with the command that converts it."""

import gzip
import json
import shlex
import shutil
import subprocess

import pytest

from dataset.records.formats import BadLine
from dataset.records.odd_lines import refused
from dataset.records.reading import read_records
from model.errors import SproutError


@pytest.mark.parametrize("encoding", ["gb18030", "big5"])
@pytest.mark.parametrize("name, before", [("a.jsonl", '{"text": "'), ("a b.csv", "text\n")])
def test_chinese_text_in_another_encoding_is_told_how_to_convert(tmp_path, encoding, name, before):
    path = tmp_path / name
    after = '"}' if name == "a.jsonl" else ""
    path.write_bytes(f"{before}從前有一個小女孩，她很喜歡讀書。{after}\n".encode(encoding))
    (bad,) = read_records(path)
    command = shlex.split(bad.detail.partition("convert it: ")[2])
    assert command == ["iconv", "-f", encoding.upper(), "-t", "UTF-8", str(path), ">", f"utf8_{name}"]


@pytest.mark.skipif(not shutil.which("iconv") or not shutil.which("gzip"), reason="there is no iconv or no gzip")
def test_a_compressed_file_is_converted_by_the_command_that_is_told(tmp_path):
    path, line = tmp_path / "a b.jsonl.gz", '{"text": "从前有一个小女孩，她很喜欢读书。"}\n'
    path.write_bytes(gzip.compress(line.encode("gbk")))
    (bad,) = read_records(path)
    subprocess.run(bad.detail.partition("convert it: ")[2], shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "utf8_a b.jsonl").read_text("utf-8") == line


@pytest.mark.parametrize("name, before, after", [("a.jsonl", '{"text": "', '"}'), ("a.csv", "text,id\n", ",1")])
def test_a_line_of_few_characters_is_in_the_encoding_of_its_file(tmp_path, name, before, after):
    texts = "好", "今天天气很好，我们去公园散步。"
    lines = before + f"{after}\n{before if name == 'a.jsonl' else ''}".join(texts) + f"{after}\n"
    (tmp_path / name).write_bytes(lines.encode("gbk"))
    assert ["iconv -f GB18030" in bad.detail for bad in read_records(tmp_path / name)] == [True, True]
    (tmp_path / name).write_bytes(lines.replace(texts[1], "fine").encode("gbk"))
    assert ["iconv" in getattr(each, "detail", "") for each in read_records(tmp_path / name)] == [False, False]


def test_one_short_line_in_gbk_does_not_make_a_file_in_utf_8_another(tmp_path):
    good = '{"text": "今天天气很好，我们去公园散步。"}\n'.encode()
    (tmp_path / "a.jsonl").write_bytes(5 * good + '{"text": "好"}\n'.encode("gbk") + good)
    (bad,) = [each for each in read_records(tmp_path / "a.jsonl") if isinstance(each, BadLine)]
    assert bad.line == 6 and "byte 11 of the line" in bad.detail
    assert ": correct it, save the file as UTF-8, or leave such lines out" in str(refused(bad))


@pytest.mark.parametrize("before", ["", " "])
def test_a_long_array_in_gbk_is_told_how_to_convert(tmp_path, before):
    """Whatever byte of a character the first part of the file ends with."""
    text = json.dumps([{"text": "今天天气很好，我们去公园散步。" * 40_000}], ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(before.encode() + text.encode("gbk"))
    (bad,) = read_records(tmp_path / "a.json")
    assert "iconv -f GB18030" in bad.detail


@pytest.mark.parametrize(
    "content, why",
    [
        (
            "内容,来源\nplain,web\n".encode("gbk"),
            r"it looks like GB18030; convert it: iconv -f GB18030 .* > utf8_a\.csv",
        ),
        ("标题,text\n好,今天天气很好\n".encode("gbk"), "iconv -f GB18030"),
        ("text,id\n一,1\n".encode("utf-16"), "it is UTF-16 or UTF-32: save it as UTF-8"),
        ("Größe,text\n1,a\n".encode("latin-1"), r"byte 3 of the line is 0xf6\): save the file as UTF-8"),
    ],
)
def test_names_of_columns_in_another_encoding_are_refused_with_what_converts_them(tmp_path, content, why):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(SproutError, match=f"a.csv:1: not .*{why}"):
        list(read_records(tmp_path / "a.csv"))
