"""`scripts/prepare.py` from end to end: everything is counted, and what is refused is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.prepare.flags import settings_of
from model.errors import SproutError
from scripts.prepare import parse_arguments
from tests.scripts.prepared import read, run, text, write, write_sources

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[str]:
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def result(sources, tmp_path_factory) -> Path:
    return run(sources, tmp_path_factory.mktemp("prepared"), "--rules", "none", "--val_ratio", "0.1")


def test_everything_is_counted(sources, result):
    report, dropped = json.loads((result / "report.json").read_text()), read(result / "dropped.jsonl")
    assert report["read"] == 65 + 3 + 8
    kept = sum(len(read(result / name)) for name in ("text.jsonl", "val.jsonl", "chats.jsonl", "val_chats.jsonl"))
    assert (report["kept"], report["dropped"]) == (kept, len(dropped)) and kept + len(dropped) == report["read"]
    for one in report["sources"].values():
        assert one["read"] == one["kept"] + sum(one["dropped"].values())
        assert one["kept"] == sum(one["languages"].values()) == sum(one["lengths_after"].values())
    assert {rule: found["documents"] for rule, found in report["rules"].items()} == {
        rule: sum(entry["rule"] == rule for entry in dropped) for rule in {entry["rule"] for entry in dropped}
    }


def test_what_was_dropped_is_named(sources, result):
    found = [(Path(each["file"]).name, each["line"], each["rule"]) for each in read(result / "dropped.jsonl")]
    assert found == [
        ("texts.jsonl", 61, "exact duplicate"),
        ("texts.jsonl", 62, "exact duplicate"),
        ("texts.jsonl", 63, "near-duplicate"),
        ("texts.jsonl", 64, "empty"),
        ("texts.jsonl", 65, "unreadable"),
        ("b.txt", 1, "near-duplicate"),
        ("chats.jsonl", 7, "exact duplicate"),
    ]
    assert read(result / "dropped.jsonl")[2]["kept"]["line"] == 7
    page = (result / "report.html").read_text()
    assert page.count("<svg") >= 3 and "near-duplicate" in page and not {"<script", "<link", "src="} & set(page.split())


def test_texts_come_in_the_order_of_the_input(result):
    kept = [each["text"] for each in read(result / "text.jsonl")]
    order = [text(seed) for seed in range(60)] + [text(100), text(102)]
    assert kept == [each for each in order if each in kept] and len(kept) + len(read(result / "val.jsonl")) == 62


def test_prepared_again_nothing_is_dropped(result, tmp_path):
    again = run([str(result / "text.jsonl")], tmp_path, "--rules", "none")
    assert (again / "text.jsonl").read_bytes() == (result / "text.jsonl").read_bytes()
    assert read(again / "dropped.jsonl") == []


def test_weights_and_benchmarks(sources, tmp_path):
    benchmark = write(tmp_path / "benchmark.jsonl", [{"question": text(10)}, {"question": text(11)}])
    flags = ["--weights", "texts=0.8", "crawl=0.2", "--against", str(benchmark), "--rules", "none"]
    report = json.loads((run(sources[:2], tmp_path / "out", *flags) / "report.json").read_text())
    assert report["rules"]["stands in a benchmark"]["documents"] >= 2
    texts = [each["text"] for each in read(tmp_path / "out" / "text.jsonl")]
    assert not {text(10), text(11)} & set(texts)
    assert texts.count(text(100)) >= 2, "the small source is repeated"
    written = [one["tokens_written"] for one in report["sources"].values()]
    assert abs(written[0] - 0.8 * sum(written)) <= 1500 and report["epochs"]["text"][sources[1]] <= 4


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_benchmark_is_looked_for_in_all_messages(role, tmp_path):
    turns = {each: text(number) for number, each in enumerate(("system", "user", "assistant"))}
    chat = {"messages": [{"role": each, "content": said} for each, said in turns.items()]}
    other = {"messages": [{"role": each, "content": text(9)} for each in ("user", "assistant")]}
    write(tmp_path / "a.jsonl", [chat, other])
    benchmark = write(tmp_path / "benchmark.jsonl", [{"question": turns[role]}])
    run([str(tmp_path / "a.jsonl")], tmp_path / "out", "--against", str(benchmark))
    assert read(tmp_path / "out" / "chats.jsonl") == [other]


def test_a_source_that_is_left_out_has_no_duplicates(tmp_path):
    files = [str(write(tmp_path / f"{name}.jsonl", [{"text": text(2)}])) for name in "ab"]
    run(files, tmp_path / "out", "--weights", "a=0", "b=1", "--rules", "none")
    assert [each["text"] for each in read(tmp_path / "out" / "text.jsonl")] == [text(2)]
    assert [(each["source"], each["rule"]) for each in read(tmp_path / "out" / "dropped.jsonl")] == [
        (files[0], "more than its weight")
    ]


def test_a_benchmark_that_is_not_whole_is_refused(sources, tmp_path):
    (tmp_path / "benchmark.jsonl").write_text(json.dumps({"question": text(10)}) + "\n{\n")
    with pytest.raises(SproutError, match="benchmark.jsonl:2: not valid JSON"):
        run(sources[:1], tmp_path / "out", "--against", str(tmp_path / "benchmark.jsonl"))
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_cannot_be_used_is_refused_before_the_work(sources, tmp_path):
    for wrong in ("gone", "texts.jsonl"):
        with pytest.raises(SproutError, match=f"{wrong}.*tokenizer|no tokenizer at .*{wrong}"):
            run(sources[:1], tmp_path / "out", "--tokenizer_path", str(tmp_path / wrong))
        assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_warned_of(tmp_path, capsys):
    (tmp_path / "a.csv").write_text(f'text\n{text(2)}\n"cut')
    run([str(tmp_path / "a.csv")], tmp_path / "out", "--rules", "none")
    assert "a.csv is damaged from line 2 on" in capsys.readouterr().out


def test_chats_are_compared_by_prompt(sources, tmp_path):
    run(sources[2:], tmp_path, "--compare", "prompt")
    assert [each["line"] for each in read(tmp_path / "dropped.jsonl")] == [7, 8]


@pytest.mark.parametrize("compare", ["both", "prompt", "answer"])
def test_all_answers_to_a_prompt_go_to_one_side_of_the_split(compare, tmp_path):
    """Whatever duplicates are compared by."""
    lines = [
        {"messages": [{"role": "user", "content": text(q)}, {"role": "assistant", "content": text(50 + 9 * a + q % 9)}]}
        for q in range(20)
        for a in range(3)
    ]
    write(tmp_path / "chats.jsonl", lines)
    run(
        [str(tmp_path / "chats.jsonl")], tmp_path / "out", "--compare", compare, "--val_ratio", "0.3", "--rules", "none"
    )
    trained, held_out = (
        {each["messages"][0]["content"] for each in read(tmp_path / "out" / name)}
        for name in ("chats.jsonl", "val_chats.jsonl")
    )
    assert trained and held_out and not trained & held_out
    answers = [
        each["messages"][1]["content"]
        for name in ("chats.jsonl", "val_chats.jsonl")
        for each in read(tmp_path / "out" / name)
    ]
    assert len(answers) == {"both": 60, "prompt": 20, "answer": len(set(answers))}[compare]


@pytest.mark.parametrize("begin", ["source", "folder"])
def test_a_name_that_is_not_utf_8_goes_through(begin, tmp_path):
    """Archives of old Chinese machines hold names in GBK."""
    name = b"\xc4\xe3.txt"
    os.makedirs(tmp_path / "in")
    for path in (os.fsencode(tmp_path / "in") + b"/" + name, os.fsencode(tmp_path / "in") + b"/\xc4.zip"):
        with open(path, "w") as file:
            file.write(text(2))
    (tmp_path / "in" / "empty.txt").touch()
    source = os.fsencode(tmp_path / "in") + (b"/" + name if begin == "source" else b"")
    flags = ["--save_dir", tmp_path / "out", "--processes", "1", "--rules", "none"]
    command = [sys.executable, "scripts/prepare.py", source, *flags]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=strict)
    assert done.returncode == 0, done.stderr.decode()
    assert len(read(tmp_path / "out" / "text.jsonl")) == 1
    report = (tmp_path / "out" / "report.json").read_text("utf-8")
    assert json.loads(report)["kept"] == 1 and (tmp_path / "out" / "report.html").read_text("utf-8")


def test_where_nothing_is_left_no_success_is_reported(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(SproutError, match=r"no training file was written \(0 of 2 documents kept\): \S+dropped"):
        run([str(tmp_path / "a.jsonl")], tmp_path / "out")
    assert "written into" in capsys.readouterr().out and read(tmp_path / "out" / "dropped.jsonl")
    with pytest.raises(SproutError, match="no training file was written"):
        run([str(tmp_path / "a.jsonl")], tmp_path / "out", "--resume")
    assert "this run is finished" in capsys.readouterr().out


def test_code_keeps_the_lines_that_many_files_have_and_pages_their_tags(tmp_path):
    def body(number: int) -> str:
        return "\n".join(f"    {line}" for line in text(2 * number).split(" The "))

    page = "<!doctype html>\n<html><body>\n<p>one</p>\n</body></html>"
    code = [f"import numpy as np\n\n\ndef function_{number}():\n{body(number)}" for number in range(10)]
    write(tmp_path / "code.jsonl", [{"content": each} for each in [*code, page]])
    write(tmp_path / "prose.jsonl", [{"text": f"Read more about it\n{text(100 + seed)}"} for seed in range(10)])
    run([str(tmp_path / "code.jsonl"), str(tmp_path / "prose.jsonl")], tmp_path / "out", "--rules_for", "code=code")
    kept = [each["text"] for each in read(tmp_path / "out" / "text.jsonl")]
    assert [each for each in kept if "def " in each or "<" in each] == [*code, page]
    assert len(kept) > 15 and not any("Read more" in each for each in kept)


def test_a_file_in_gbk_is_named_with_the_command_that_converts_it(tmp_path, capsys):
    lines = "".join(
        f'{{"text": "{one}"}}\n' for one in ("今天天气很好，我们去公园散步。", "看见了很多花，也看见了鸟。")
    )
    (tmp_path / "a.jsonl").write_bytes(lines.encode("gbk"))
    with pytest.raises(SproutError):
        run([str(tmp_path / "a.jsonl")], tmp_path / "out")
    how = f"it looks like GB18030; convert it: iconv -f GB18030 -t UTF-8 {tmp_path / 'a.jsonl'} > utf8_a.jsonl"
    assert capsys.readouterr().out.count(f"warning: {tmp_path / 'a.jsonl'}, line 1: not UTF-8 ({how})\n") == 1


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--weights a=1 b=1 a.txt=0", "gives a.txt both 1 and 0"),
        ("--rules_for a=code a=none", "gives a.txt both code and none"),
        ("--kind_for a=html a=text", "gives a.txt both html and text"),
        ("--steps cleen", "no step"),
        ("--weights x=1", "no source"),
        ("--weights a.txt", "SOURCE=VALUE"),
        ("--weights a=0 b=0", "all 0"),
        ("--weights a=1", "says nothing of b.txt"),
        ("--rules_for a=poem", "the rules are"),
        ("--weights a=1 b=1 --temperature 2", "give one of them"),
        ("--against x --steps clean", "needs the step"),
        ("--personal --steps lines,deduplicate", "--personal needs the step 'clean': add it to --steps"),
        ("--threshold 0.9 --steps clean", "--threshold needs the step 'deduplicate'"),
        ("--compare prompt --steps clean,split", "--compare needs the step 'deduplicate'"),
        ("--max_epochs 2", "--max_epochs limits how often a mixture repeats a source: give --weights or --temperature"),
        ("--weights a=1 b=1 --max_epochs 1e9", "--max_epochs 1e.09 writes a document more than 10,000 times"),
        ("--step clean", "did you mean --steps"),
    ],
)
def test_wrong_flags_are_named(flags, message):
    with pytest.raises(SproutError, match=message):
        settings_of(parse_arguments(["a.txt", "b.txt", "--save_dir", "out", *flags.split()]), [])
