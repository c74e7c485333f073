"""Data files that cannot be used, in the order in which people come to them: slips first, then malice.

A row names the file, what is in it, the line at fault (None: the whole file), and a part of the sentence. Every file
whose line is above 1 begins with a good record, so that its format is known.
"""

import gzip
import io
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pyarrow.parquet
import torch

TEXT = b'{"text": "a good line"}\n'
CHAT = b'{"conversations": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'
MANY = b"".join(b'{"text": "line %d"}\n' % number**5 for number in range(300))


@dataclass(frozen=True)
class Hostile:
    name: str  # of the row
    file: str
    content: bytes | Callable[[Path], None]
    words: str
    line: int | None = None
    code: int = 1

    def make(self, folder: Path) -> Path:
        """The file, in a folder of its own."""
        folder = folder / self.name.replace(" ", "_").replace("/", "_")
        folder.mkdir(exist_ok=True)
        path = folder / self.file
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


def line_of_text(name: str, line: bytes, words: str) -> Hostile:
    return Hostile(name, "texts.jsonl", TEXT + line + b"\n" + TEXT, words, line=2)


def text(name: str, value: str, words: str) -> Hostile:
    """A record with the JSON `value` under "text"."""
    return line_of_text(name, b'{"text": %s}' % value.encode(), words)


def turns(name: str, words: str, *messages, **beside) -> Hostile:
    """A conversation of these turns."""
    line = json.dumps({"conversations": list(messages), **beside}).encode()
    return Hostile(name, "chats.jsonl", CHAT + line + b"\n" + CHAT, words, line=2)


def records(name: str, words: str, *values, line: int = 1) -> Hostile:
    lines = "".join(json.dumps(value) + "\n" for value in values)
    return Hostile(name, "chats.jsonl", lines.encode(), words, line=line)


def user(content="hi") -> dict:
    return {"role": "user", "content": content}


def assistant(content="ho", **more) -> dict:
    return {"role": "assistant", "content": content, **more}


def table(**columns) -> Callable[[Path], None]:
    return lambda path: pyarrow.parquet.write_table(pyarrow.table(columns), path)


def table_bytes(**columns) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def weight_bytes() -> bytes:
    file = io.BytesIO()
    torch.save({"model.embed_tokens.weight": torch.zeros(4, 2)}, file)
    return file.getvalue()


SHAPE = "the shape is unknown"
KIND = "the record is of another kind"
NOT_JSON = "not valid JSON"

# Files in which not even the first line is what it should be, or that are no files at all.
WHOLE = (
    Hostile("missing", "texts.jsonl", lambda path: None, "there is no such file"),
    Hostile("a pattern the shell did not expand", "*.jsonl", lambda path: None, "there is no such file"),
    Hostile("a name too long", "x" * 300 + ".jsonl", lambda path: None, "cannot be opened (File name too long)"),
    Hostile("a folder", "data", Path.mkdir, "is a folder: name the files in it"),
    Hostile("a folder with the name of a file", "a.jsonl", Path.mkdir, "is a folder: name the files in it"),
    Hostile("a pipe", "a.jsonl", os.mkfifo, "is not a regular file"),
    Hostile("a link to a device", "a.jsonl", lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    Hostile("a link to nothing", "a.jsonl", lambda path: path.symlink_to("gone"), "there is no such file"),
    Hostile("a link to itself", "a.jsonl", lambda path: path.symlink_to(path), "cannot be opened (Too many levels"),
    Hostile("an empty array", "a.json", b"[]", "holds no document"),
    Hostile("a PDF", "a.jsonl", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "not a text file (it is a PDF", 1),
    Hostile("a PDF as text", "a.txt", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "not a text file (it is a PDF", 1),
    Hostile("a web page", "a.jsonl", b"<!DOCTYPE html>\n<html>\n", "not a data file (it is a web page", 1),
    Hostile("a pointer of Git LFS", "a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "by git lfs pull", 1),
    Hostile("a table of something else", "a.csv", b"id,name\n1,x\n", "the shape is unknown", 1),
    Hostile("xlsx", "a.xlsx", b"PK\3\4", "save the table as CSV", code=2),
    Hostile("xlsx named csv", "a.csv", weight_bytes(), "or a workbook: save that as CSV", 1),
    Hostile("zip", "a.jsonl.zip", b"PK\3\4", "unpack it", code=2),
    Hostile("records with another ending, hidden", "a.jsonl.txt", MANY, "it holds JSON: end its name in .jsonl", 1),
    Hostile("an array with another ending", "a.txt", b'[\n  {\n    "text": "a"\n  }\n]\n', "or in .json if", 1),
    Hostile("a weight as data", "pretrain_512.pth", weight_bytes(), "must end in .jsonl", code=2),
    Hostile("no ending", "data", TEXT, "must end in .jsonl", code=2),
    Hostile("empty", "a.jsonl", b"", "is empty"),
    Hostile("only blank lines", "a.jsonl", b"\n \r\n\n", "holds no"),
    Hostile("only a BOM", "a.jsonl", b"\xef\xbb\xbf", "holds no"),
    Hostile("blank text", "a.txt", b"\n\n \n", "holds no"),
    Hostile("empty gz", "a.jsonl.gz", gzip.compress(b""), "holds no"),
    Hostile("parquet without rows", "a.parquet", table(text=pyarrow.array([], pyarrow.string())), "holds no"),
    Hostile("an array of numbers", "a.jsonl", b"[1, 2]", "not a JSON object (found a number)", 1),
    Hostile("an array of numbers over lines", "a.jsonl", b"[\n1,\n2\n]\n", "found a number", 1),
    Hostile("an array cut short", "a.json", b'[\n{"text": "a"},\n{"text": "b"}', "is the file cut short?", 3),
    Hostile("a JSON object over lines", "a.jsonl", b'{\n  "text": "a"\n}\n', "write one object a line", 1),
    Hostile("csv named jsonl", "a.jsonl", b"id,text\n1,hello\n", NOT_JSON, 1),
    Hostile("plain text named jsonl", "a.jsonl", b"Once upon a time\n", NOT_JSON, 1),
    Hostile("gz named jsonl", "a.jsonl", gzip.compress(MANY), "compressed by gzip: end its name in .gz", 1),
    Hostile("parquet named jsonl", "a.jsonl", table_bytes(text=["a", "b"]), "a parquet file: end its name in", 1),
    Hostile("a weight named jsonl", "a.jsonl", weight_bytes(), "a zip archive or a weight", 1),
    Hostile("UTF-16", "a.jsonl", '{"text": "中"}\n'.encode("utf-16"), "UTF-16 or UTF-32: save it as UTF-8", 1),
    Hostile("UTF-16 without mark", "a.jsonl", '{"text": "a"}\n'.encode("utf-16-be"), "contains a NUL byte", 1),
    Hostile("UTF-32", "a.jsonl", '{"text": "a"}\n'.encode("utf-32"), "save it as UTF-8", 1),
    Hostile("jsonl named gz", "a.jsonl.gz", TEXT, "the compressed data are damaged or cut short from here on", 1),
    Hostile("gz of four bytes", "a.jsonl.gz", gzip.compress(TEXT)[:4], "the compressed data are damaged", 1),
    Hostile("jsonl named bz2", "a.jsonl.bz2", TEXT, "the compressed data are damaged", 1),
    Hostile("jsonl named zst", "a.jsonl.zst", TEXT, "the compressed data are damaged", 1),
    Hostile("jsonl named arrow", "a.arrow", TEXT, "cannot be read as arrow"),
    Hostile("jsonl named parquet", "a.parquet", TEXT, "cannot be read as parquet", 1),
    Hostile("parquet cut short", "a.parquet", table_bytes(text=["a"] * 500)[:200], "cannot be read as parquet", 1),
    Hostile("parquet with a wild footer", "a.parquet", b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1", "parquet", 1),
    Hostile("parquet without texts", "a.parquet", table(body=["a"]), SHAPE, 1),
    Hostile("parquet with numbers", "a.parquet", table(text=[1, 2]), '"text" is not a string', 1),
    Hostile("parquet with a null", "a.parquet", table(text=["a", None]), '"text" is not a string', 2),
    Hostile(
        "parquet not UTF-8",
        "a.parquet",
        table(text=pyarrow.array([b"a", b"\xff"]).view(pyarrow.string())),
        "not UTF-8",
        2,
    ),
    Hostile(
        "chats for texts",
        "a.jsonl",
        CHAT,
        "the record is of another kind (this is a conversation, for train_full_sft.py; keys:",
        1,
    ),
    Hostile("another key", "a.jsonl", b'{"content": "a"}\n', 'accepted: {"text": "..."}', 1),
    Hostile("a record without keys", "a.jsonl", b"{}\n", "keys: none", 1),
    Hostile("keys that steer the terminal", "a.jsonl", b'{"\\u001b[2J\\u0085": 1}\n', SHAPE, 1),
)

# A bad line among good ones.
LINES = (
    line_of_text("a trailing comma", b'{"text": "a"},', NOT_JSON),
    line_of_text("a comma before the brace", b'{"text": "a",}', NOT_JSON),
    line_of_text("single quotes", b"{'text': 'a'}", NOT_JSON),
    line_of_text("no quotes", b"{text: a}", NOT_JSON),
    line_of_text("no brace", b'{"text": "a"', NOT_JSON),
    line_of_text("no value", b'{"text": }', NOT_JSON),
    line_of_text("two records", b'{"text": "a"} {"text": "b"}', "Extra data"),
    line_of_text("Python's True", b'{"text": "a", "good": True}', NOT_JSON),
    line_of_text("a comment", b"// the second chapter", NOT_JSON),
    line_of_text("a tab in a text", b'{"text": "a\tb"}', "Invalid control character"),
    line_of_text("a wrong escape", b'{"text": "C:\\data"}', "escape"),
    line_of_text("not a number", b'{"text": "a", "score": NaN}', "NaN is not a JSON value"),
    line_of_text("an endless number", b'{"text": "a", "n": ' + b"9" * 5000 + b"}", NOT_JSON),
    line_of_text("nesting", b'{"text": ' + b"[" * 200_000, "nested too deeply"),
    line_of_text("an array", b'["a"]', "not a JSON object (found an array)"),
    line_of_text("a string", b'"a"', "not a JSON object (found a string)"),
    line_of_text("a number", b"3", "not a JSON object (found a number)"),
    line_of_text("null", b"null", "not a JSON object (found null)"),
    line_of_text("GBK", '{"text": "中文"}'.encode("gbk"), "not UTF-8 (byte 11 of the line is 0xd6)"),
    line_of_text("Latin-1", '{"text": "café"}'.encode("latin-1"), "not UTF-8"),
    line_of_text("a NUL byte", b'{"text": "a\0b"}', "contains a NUL byte"),
    line_of_text("12 MB", b'{"text": "' + b"x" * 12_000_000 + b'"}', "the line is longer than 10 MiB"),
    Hostile("cut short", "texts.jsonl", TEXT + b'{"text": "the e', "is the file cut short?", 2),
    Hostile("gz cut short", "a.jsonl.gz", gzip.compress(MANY)[:-9], "cut short from here on", 301),
    Hostile("gz with a wrong sum", "a.jsonl.gz", gzip.compress(MANY)[:-8] + b"\1" * 8, "damaged", 301),
    Hostile("gz with a tail", "a.jsonl.gz", gzip.compress(MANY) + b"tail", "damaged", 301),
    Hostile("a text block not UTF-8", "a.txt", b"good\n\nbad\xff\n\ngood\n", "not UTF-8", 3),
    Hostile("a text block with NUL", "a.txt", b"good\n\nb\0d\n\ngood\n", "contains a NUL byte", 3),
    Hostile("an endless text block", "a.txt", b"good\n\n" + (b"x" * 2**19 + b"\n") * 21, "separated by blank lines", 3),
    text("a number for a text", "3", '"text" is not a string (found int)'),
    text("null for a text", "null", '"text" is not a string'),
    text("a list for a text", '["a"]', '"text" is not a string (found list)'),
    text("an object for a text", '{"text": "a"}', '"text" is not a string (found dict)'),
    text("an empty text", '""', '"text" is empty'),
    text("a blank text", '" \\n\\u3000"', '"text" is empty'),
    text("an escaped NUL", '"a\\u0000b"', '"text" contains a NUL character'),
    text("half a surrogate pair", '"a\\ud83d"', '"text" contains half a surrogate pair (character 2)'),
    line_of_text("the key is missing", b'{"txt": "a"}', 'the key "text" is missing (keys: txt)'),
)

TEXTS = (*WHOLE, *LINES)

CHATS = (
    Hostile(
        "texts for chats",
        "a.jsonl",
        TEXT,
        "the record is of another kind (this is a text, for train_pretrain.py; keys:",
        1,
    ),
    Hostile("plain text for chats", "a.txt", b"Once upon a time\n", KIND, 1),
    Hostile("chats cut short", "a.jsonl", CHAT + CHAT[:-9], "is the file cut short?", 2),
    Hostile("parquet of texts", "a.parquet", table(text=["a"]), KIND, 1),
    Hostile("empty chats", "a.jsonl", b"", "is empty"),
    records("preferences", KIND, {"chosen": [user(), assistant()], "rejected": [user(), assistant()]}),
    records("an instruction without output", SHAPE, {"instruction": "a", "input": "b"}),
    records("a prompt without answer", SHAPE, {"prompt": "hi"}),
    records("strings for turns", SHAPE, {"messages": ["hi", "ho"]}),
    records(
        "another format below", '"conversations" is not a list of turns', json.loads(CHAT), {"messages": []}, line=2
    ),
    records(
        "pairs that are no pairs",
        '"history" is not a list of pairs',
        {"instruction": "a", "output": "b", "history": [["a"]]},
    ),
    records("an output that is a number", '"output" is not a string', {"instruction": "a", "output": 4}),
    records("an empty output", '"output" is empty', {"instruction": "a", "output": ""}),
    records("an empty completion", '"completion" is empty', {"prompt": "a", "completion": " "}),
    records("an unknown tag", "the role is unknown", {"prompt": "<|user|>hi<|robot|>ho"}),
    records("a rendered chat", "assistant, tool; give turns by role", {"text": "<|im_start|>user\nhi<|im_end|>"}),
    records("tags without answer", "no turn is the assistant's", {"prompt": "<|user|>hi"}),
    records("an unknown speaker", "the role is unknown", {"conversations": [{"from": "alien", "value": "hi"}]}),
    records("a speaker without value", '"value" is missing', {"conversations": [{"from": "human"}]}),
    turns("no turns", "the conversation is empty"),
    records("turns as text", '"conversations" is not a list', json.loads(CHAT), {"conversations": "hi"}, line=2),
    turns("a turn that is a list", "a turn is not a JSON object (turn 1, found list)", ["user", "hi"]),
    turns("a turn that is null", "a turn is not a JSON object", user(), None),
    turns("an unknown role", "the role is unknown (turn 1, robot;", {"role": "robot", "content": "hi"}),
    turns("a role that is a list", "the role is unknown", {"role": ["user"], "content": "hi"}),
    turns("a role that steers the terminal", "the role is unknown", {"role": "\x1b[31m\r", "content": "hi"}),
    turns("no role", "the role is unknown", {"content": "hi"}),
    turns("no content", 'the key "content" is missing', {"role": "user"}, assistant()),
    turns("content that is null", 'the key "content" is missing', user(None), assistant()),
    turns("content that is a number", '"content" is not a string (turn 2, found int)', user(), assistant(4)),
    turns("a picture", "a part that is not text", user([{"type": "image_url", "image_url": {}}]), assistant()),
    turns("a blank question", '"content" is empty (turn 1)', user(" "), assistant()),
    turns("a blank answer", '"content" is empty (turn 2)', user(), assistant("\n")),
    turns("no answer", "no turn is the assistant's (roles: user)", user()),
    turns("NUL in a turn", "contains a NUL character", user("a\0"), assistant()),
    turns("half a pair in a turn", "half a surrogate pair", user(), assistant("\ud800")),
    turns("tools that are no JSON", '"tools" is not valid JSON', user(), assistant(), tools="{oops"),
    turns("tools that are a number", '"tools" is not a list of JSON objects', user(), assistant(), tools=3),
    turns("tools in endless depth", '"tools" is nested too deeply', user(), assistant(), tools="[" * 200_000),
    turns("a call without name", "a tool call has no name", user(), assistant(tool_calls=[{"arguments": {}}])),
    turns("arguments in a list", '"arguments"', user(), assistant(tool_calls=[{"name": "f", "arguments": [1]}])),
    turns("thoughts of the user", '"reasoning_content"', user() | {"reasoning_content": "hm"}, assistant()),
    turns("thoughts that are a number", '"reasoning_content" is not a string', user(), assistant(reasoning_content=3)),
)
