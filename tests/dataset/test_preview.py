"""The preview says what training will do with a file, and no file steers the terminal."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataset import preview
from dataset.command_line import run_main
from dataset.rows.answers import ANSWERS
from dataset.rows.chats import CHATS
from dataset.rows.judged import JUDGED_PAIRS, SCORED_ANSWERS
from dataset.rows.pairs import PAIRS
from dataset.rows.rows import Rows
from dataset.rows.texts import TEXTS
from dataset.survey import survey
from model.errors import UsageError
from tests.dataset.support import random_documents, write_jsonl
from tests.fixtures import samples

ROOT = Path(__file__).parents[2]


def chat(*turns: str) -> dict:
    """A record of turns in which the user and the assistant alternate."""
    return {"messages": [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]}


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "a.jsonl"
        lines = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def show(tokenizer, tmp_path, capsys):
    """The output of the program, with a tokenizer of one token a byte."""
    tokenizer.save(tmp_path / "tokenizer")

    def show(path, *flags) -> str:
        preview.main([str(path), "--tokenizer_path", str(tmp_path / "tokenizer"), *map(str, flags)])
        return capsys.readouterr().out

    return show


def number(output: str, name: str) -> int:
    """The number in the line of that name."""
    (found,) = re.findall(rf"^ *{re.escape(name)} +([\d,]+)", output, re.MULTILINE)
    return int(found.replace(",", ""))


def test_a_small_file_by_hand(write, show):
    # <|im_start|>user\n = 6, a, <|im_end|>\n = 2, <|im_start|>assistant\n = 11, the answer, <|im_end|>\n = 2
    frame = 6 + 2 + 11 + 2
    output = show(write(chat("a", "bcd"), chat("a" * 10, "b")))
    assert "a.jsonl: chat, format messages\n" in output
    assert number(output, "conversations") == 2 and number(output, "answers") == 2
    assert number(output, "tokens") == 2 * frame + 4 + 11
    assert f"{(4 + 2) / (2 * frame + 15):.1%} of them trained" in output
    assert number(output, "10 % are at most") == frame + 4
    assert number(output, "90 % are at most") == number(output, "longest") == frame + 11
    assert number(output, "rows") == 1 and "nothing is cut" in output
    # The last line break is not needed, and a row of n positions holds n + 1 tokens.
    assert f"{1 - (2 * (frame - 2) + 15) / 768:.1%} of the positions empty" in output


@pytest.mark.parametrize("record, length", [({"text": "a"}, 512), (chat("a", "b"), 768)])
def test_rows_are_as_long_as_those_of_the_stage_that_reads_such_a_file(write, show, record, length):
    assert f"with --max_seq_len {length}\n" in show(write(record))


def test_cuts_by_hand(write, show):
    two_turns = chat("a", "b", "c", "d" * 20)  # the answers end with tokens 22 and 64
    long_answer = chat("a", "b" * 40)
    long_question = chat("a" * 40, "b")
    output = show(write(two_turns, long_answer, long_question, chat("a", "b")), "--max_seq_len", 30)
    assert number(output, "cut after a turn") == 1
    assert number(output, "cut inside a turn") == 1
    assert number(output, "nothing trained left") == 1
    # 21 of the first, 41 - (31 - 20) of the second, 2 of the third
    assert number(output, "trained tokens lost") == 21 + 30 + 2
    assert "none with --max_seq_len 63\n" in output
    path = write(two_turns, long_answer, long_question)
    assert "nothing is cut" in show(path, "--max_seq_len", 63)
    assert "nothing is cut" not in show(path, "--max_seq_len", 62)


def assert_same_as_training(path, tokenizer, build, row_length):
    """Figures of the survey against the rows that training makes of the file."""
    found = survey(path, tokenizer, "auto", row_length, examples=0)
    rows = Rows(CHATS, [(build(path, tokenizer=tokenizer, kind=CHATS, val_ratio=0.0), None)], row_length, seed=0)
    filled, empty = found.rows()
    assert filled == rows.rows_per_epoch and found.trained_kept == rows.tokens_per_epoch
    details = rows.summary()
    assert f" {found.after_turn:,} cut after a turn" in details
    assert f" {found.inside_turn:,} cut inside a turn" in details
    assert f" {found.left_out:,} left out" in details
    assert f" {empty:.1%} of the positions empty" in details


@pytest.mark.parametrize("row_length", [24, 60, 512])
def test_the_figures_are_those_of_training(write, tokenizer, build, row_length):
    texts = iter(random_documents(600))
    path = write(*(chat(*(next(texts) for _ in range(2 * (i % 4 + 1) + i % 2))) for i in range(100)))
    assert_same_as_training(path, tokenizer, build, row_length)


@pytest.mark.parametrize("path", samples("sft_tool_zh.jsonl"))
def test_the_figures_are_those_of_training_on_the_chats_of_a_file(tokenizer, build, path):
    assert_same_as_training(path, tokenizer, build, 2048)


def test_texts(tmp_path, tokenizer, build, show):
    documents = random_documents(200)
    path = write_jsonl(tmp_path / "a.jsonl", documents)
    output = show(path, "--max_seq_len", 32, "--examples", 1)
    size = sum(len(text.encode()) for text in documents)
    assert "a.jsonl: text, format text\n" in output
    assert number(output, "documents") == 200
    assert number(output, "bytes") == size and "1.00 bytes per token" in output
    assert number(output, "tokens") == size + 2 * 200
    cache = build(path, val_ratio=0.0)
    assert number(output, "rows") == Rows(TEXTS, [(cache, None)], 32, seed=0).rows_per_epoch
    longer = sum(len(text.encode()) + 2 > 32 for text in documents)
    assert f"{longer} documents" in output
    (line,) = re.findall(r"example 1 of 1: line (\d+)", output)
    assert documents[int(line) - 1] in output


def test_text_is_chat_when_asked_for(write, show):
    path = write({"text": "用户：你好\n助手：新芽"})
    assert "text, format text" in show(path, "--kind", "text")
    output = show(path, "--kind", "chat")
    assert "chat, format inline" in output and "⟦新芽<|im_end|>⟧" in output


def test_trained_tokens_are_marked(write, show):
    path = write(chat("Hi <|im_start|>assistant", "Hello!", "Bye"))
    plain = show(path)
    assert (
        "<|im_start|>user\nHi <|im_start|>assistant<|im_end|>\n<|im_start|>assistant\n⟦Hello!<|im_end|>⟧\n"
        "<|im_start|>user\nBye<|im_end|>\n"
    ) in plain
    assert "\x1b" not in plain
    coloured = show(path, "--color")
    assert "\x1b[32mHello!<|im_end|>\x1b[0m" in coloured and "⟦" not in coloured
    assert "\x1b" not in show(path, "--color", "--no_color")


def test_the_cut_is_shown(write, show):
    path = write(chat("a", "b", "c", "d" * 20))
    assert "⟦b<|im_end|>⟧\n✂ cut here\n" in show(path, "--max_seq_len", 30).replace("⟧\n\n✂", "⟧\n✂")
    output = show(path, "--max_seq_len", 10)
    assert "✂ left out" in output and "⟦b" not in output


def test_long_parts_are_abridged_and_keep_both_ends(write, show):
    output = show(write(chat("first" + "a" * 5000 + "last", "begin" + "新" * 500 + "end")), "--max_seq_len", 9999)
    assert "first" in output and "last<|im_end|>" in output
    assert "⟦begin" in output and "end<|im_end|>⟧" in output
    assert "\ufffd" not in output and len(output) < 2500


def test_examples_are_as_many_as_asked_and_always_the_same(write, show):
    path = write(*(chat(f"question {i}", f"answer {i}") for i in range(50)))
    output = show(path, "--examples", 5)
    assert output.count("── example") == 5 and output == show(path, "--examples", 5)
    lines = [int(line) for line in re.findall(r"line (\d+)", output)]
    assert lines == sorted(set(lines)) and f"answer {lines[0] - 1}" in output
    assert "── example" not in show(path, "--examples", 0)


def test_bad_lines_are_counted_with_the_first_of_each_reason(write, show):
    path = write(chat("a", "b"), "not JSON", chat("a", ""), chat("", "b"), {"text": "a"})
    output = show(path)
    assert number(output, "conversations") == 1 and number(output, "bad lines") == 4
    assert re.search(r'2   "content" is empty \(line 3: turn 2\)', output)
    assert re.search(r"1   not valid JSON \(line 2: ", output)


def test_a_file_cannot_steer_the_terminal(write, show):
    evil = "\x1b[2J\x07\r\x9b1m\u202e"
    output = show(write(chat(evil, evil), {"messages": [{"role": evil}]}, {evil: 1}))
    assert "\\x1b[2J\\x07" in output and not set(evil[0] + "\x07\r\x9b\u202e") & set(output)


def test_percentiles_are_lengths_that_occur(tokenizer, write, show):
    path = write(*({"text": "a" * i} for i in range(1, 101)))
    found = survey(path, tokenizer, "auto", 512, examples=0)
    assert found.lengths.tolist() == list(range(3, 103))
    assert number(show(path), "90 % are at most") == 92


@pytest.mark.parametrize(
    ("lines", "flags", "code", "message"),
    [
        ([{"chosen": 1, "rejected": 2}], [], 1, "no record that can be used, 1 bad line: the first is"),
        (["", ""], [], 1, "holds no record that can be used, it is empty"),
        ([{"text": "a"}], ["--kind", "chat"], 1, "the record is of another kind"),
        ([{"input": "a", "output": "b", "score": 1}], ["--kind", "chat"], 1, "this is an answer with a score"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}], ["--kind", "pairs"], 2, "invalid choice"),
        ([{"text": "a"}], ["--max_seq_len", "0"], 2, "--max_seq_len must be at least 1"),
        ([{"text": "a"}], ["--tokenizer_path", "nowhere"], 1, "there is no tokenizer"),
    ],
)
def test_errors_are_one_sentence(write, monkeypatch, capsys, lines, flags, code, message):
    monkeypatch.setattr(sys, "argv", ["preview", str(write(*lines)), *flags])
    with pytest.raises(SystemExit) as caught:
        run_main(preview.main)
    assert caught.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_preview_takes_no_weight(write):
    path = write({"text": "once"})
    with pytest.raises(UsageError, match=f"a preview is of one file, without a weight: give {re.escape(str(path))}$"):
        preview.main([f"{path}:0.5"])


def test_as_a_command(write):
    command = [sys.executable, "-m", "dataset.preview", str(write(chat("Hi", "你好")))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    assert "⟦你好<|im_end|>⟧" in done.stdout.decode("utf-8") and done.stderr == b""


LONG, LONGER = "a" * 30, "a" * 50
PAIRS_OF_ALL_SORTS = [
    {"prompt": "q", "chosen": "yes", "rejected": "no", "margin": 2},
    {"prompt": "q", "chosen": "b" * 60, "rejected": "c"},  # cut
    {"prompt": LONG, "chosen": "b", "rejected": "c"},  # begins beyond 40 tokens
    {"prompt": "q", "chosen": LONG + "b", "rejected": LONG + "c"},  # alike within 40
]
LABELLED = [
    {"prompt": "q", "completion": "yes", "label": True},
    {"prompt": "q", "completion": "b" * 60, "label": False},
    {"prompt": LONGER, "completion": "b", "label": False},
]
SCORES = [{"input": "q", "output": "b" * length, "score": length} for length in (1, 2, 60)]


@pytest.mark.parametrize(
    ("records", "kind"),
    [(PAIRS_OF_ALL_SORTS, PAIRS), (LABELLED, ANSWERS), (SCORES, SCORED_ANSWERS)],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
@pytest.mark.parametrize("row_length", [40, 400])
def test_what_becomes_of_other_kinds_is_what_training_makes_of_them(write, tokenizer, build, records, kind, row_length):
    path = write(*records)
    found = survey(path, tokenizer, "auto", row_length, examples=0)
    rows = Rows(kind, [(build(path, tokenizer=tokenizer, kind=kind, val_ratio=0.0), None)], row_length, seed=0)
    (kept,) = rows.packed.kept
    assert (found.left_out, found.alike) == (kept.left_out, kept.alike)
    assert (found.after_turn, found.inside_turn) == (kept.after_turn, kept.inside_turn)
    assert found.rows()[0] == rows.rows_per_epoch
    assert f" {found.rows()[1]:.1%} of the positions empty" in rows.summary()
    if kind is not SCORED_ANSWERS:  # which count whole conversations
        assert found.trained_kept == kept.targets
    assert (found.left_out > 0) == (row_length == 40)
    if kind is PAIRS:
        cache = build(path, tokenizer=tokenizer, kind=JUDGED_PAIRS, val_ratio=0.0)
        (judged,) = Rows(JUDGED_PAIRS, [(cache, None)], row_length, seed=0).packed.kept
        assert found.too_long == judged.left_out - judged.alike


def test_keys_that_are_not_read_are_named_as_in_training(write, show):
    lines = [{"instruction": "q", "output": "a", "remarks": "so", "id": i} for i in range(2)]
    assert '  keys that are not read: "remarks"' in show(write(*lines)).splitlines()
    assert "not read" not in show(write(chat("q", "a")))
    assert "not read" not in show(write({"prompt": "q", "right": "a"}))  # a reward may ask for it


def test_control_tokens_that_stay_text_are_named_as_in_training(write, show):
    """They look like tokens in the example, and are not."""
    said = show(write(chat("q", "<|reserved_0|> a")))
    assert "warning: " in said and "(<|reserved_0|>), which are text here" in said
    assert "warning" not in show(write(chat("q", "<think>so</think>a")))


def test_a_chat_whose_last_answer_is_blank_is_a_prompt(write, show):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}]
    output = show(write([{"conversations": turns}]))
    assert "prompt, format conversations" in output and "none of them trained" in output


def test_a_pair_shows_its_prompt_once_and_both_answers(write, show):
    output = show(write(PAIRS_OF_ALL_SORTS[0]))
    assert "preference, format prompt/chosen/rejected" in output and "margin 2" in output
    assert output.count("<|im_start|>user\nq<|im_end|>") == 1
    assert "── chosen\n⟦yes<|im_end|>⟧\n── rejected\n⟦no<|im_end|>⟧\n" in output
    assert "\x1b[31mno<|im_end|>" in show(write(PAIRS_OF_ALL_SORTS[0]), "--color")


def test_labels_and_scores_are_shown(write, show):
    output = show(write(*LABELLED))
    assert "unpaired, format prompt/completion/label" in output and "--kind chat" in output
    assert number(output, "good") == 1 and number(output, "bad") == 2 and ", bad ──" in output
    output = show(write(*SCORES))
    assert number(output, "scored answers") == 3 and "from 1 to 60, mean 21" in output and "score 60" in output


def test_questions_alone_are_shown_with_the_header_of_the_answer(write, show):
    output = show(write({"prompt": "q"}, {"prompt": [{"role": "user", "content": "r"}]}))
    assert number(output, "questions") == 2 and "none of them trained" in output
    assert "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n" in output


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"messages": chat("a", "b")["messages"], "rejected_response": "c"}, "preference"),
        ({"messages": chat("a", "b")["messages"], "label": "mathematics"}, "chat"),
        ({"messages": chat("a", "b")["messages"], "label": False}, "unpaired"),
        ({"instruction": "a", "input": "b", "output": "c", "score": 1}, "chat"),
        ({"prompt": "a", "text": "b"}, "text"),
    ],
)
def test_a_record_of_several_kinds_is_taken_for_the_likeliest(write, tokenizer, record, kind):
    assert survey(write(record), tokenizer, "auto", 64, examples=0).kind == kind


def test_prompts_that_are_chats_without_an_answer_are_shown_as_the_stages_that_sample_read_them(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "How many?"}], "solution": "3"}\n', encoding="utf-8")
    preview.main([str(path), "--kind", "prompt", "--no_color"])
    shown = capsys.readouterr().out
    assert "a.jsonl: prompt" in shown and "How many?" in shown and "bad lines" not in shown
