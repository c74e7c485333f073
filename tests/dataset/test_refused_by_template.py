"""A line that the template of an imported model refuses is a bad line: named where it stands, or left out."""

import json

import pytest

from dataset import preview
from dataset.records.chat_formats import CHAT
from dataset.rendering import ChatRenderer
from dataset.rows.chats import CHATS
from dataset.rows.first_turns import FIRST_TURNS
from dataset.rows.pairs import PAIRS
from dataset.rows.prompts import PROMPTS
from inference.evaluation import chat_rows
from inference.exact_match import read_questions
from inference.scoring import score_records
from model.errors import SproutError
from model.text.chat_template import with_chat_template

# Roles must alternate, behind a system message that is allowed, as many templates want it.
ALTERNATING = (
    "{% set first = 1 if messages and messages[0].role == 'system' else 0 %}{% for message in messages %}"
    "{% if not loop.first and message.role != 'tool' and (loop.index0 - first) % 2 != (message.role == 'assistant') %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def alternating(small_tokenizer):
    return with_chat_template(small_tokenizer, ALTERNATING)


def write_records(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def said(role, content):
    return {"role": role, "content": content}


def chat(number):
    return {"messages": [said("user", f"question {number}"), said("assistant", f"answer {number}")]}


def insisting(number):
    """A user who asks twice before there is an answer."""
    return {"messages": [said("user", "again"), *chat(number)["messages"]]}


def pair(number, asked):
    return {"prompt": asked["messages"][:-1], "chosen": f"good {number}", "rejected": f"bad {number}"}


def prompt(number, asked):
    return {"messages": asked["messages"][:-1], "solution": str(number)}


KINDS = {
    "chats": (CHATS, lambda number, asked: asked),
    "pairs": (PAIRS, pair),
    "prompts": (PROMPTS, prompt),
}


def written(folder, make, refused=(3, 7)):
    """A file of twelve records, of which the template refuses those in the lines `refused`."""
    asked = [insisting(number) if number in refused else chat(number) for number in range(1, 13)]
    return write_records(folder / "a.jsonl", [make(number, one) for number, one in enumerate(asked, 1)])


@pytest.mark.parametrize("name", KINDS)
def test_training_names_the_line_or_leaves_it_out(tmp_path, build, alternating, name):
    kind, make = KINDS[name]
    path = written(tmp_path, make)
    with pytest.raises(SproutError, match=r"a\.jsonl:3: the model's chat template .*roles must alternate") as error:
        build(path, tokenizer=alternating, kind=kind, val_ratio=0)
    assert "--on_bad_line skip" in str(error.value)

    cache = build(path, tokenizer=alternating, kind=kind, val_ratio=0, on_bad_line="skip")
    others = write_records(tmp_path / "others.jsonl", [make(n, chat(n)) for n in range(1, 13) if n not in (3, 7)])
    expected = build(others, tokenizer=alternating, kind=kind, val_ratio=0)
    assert cache.train.path.read_bytes() == expected.train.path.read_bytes()
    listed = [json.loads(line) for line in (cache.folder / "bad_lines.jsonl").read_text("utf-8").splitlines()]
    assert [entry["line"] for entry in listed] == [3, 7]


def test_a_turn_that_first_turn_leaves_out_may_be_refused(tmp_path, build, alternating):
    turns = [*chat(1)["messages"], said("user", "q"), said("user", "q"), said("assistant", "a")]
    path = write_records(tmp_path / "a.jsonl", [{"messages": turns}] * 2)
    assert build(path, tokenizer=alternating, kind=FIRST_TURNS, val_ratio=0).train.records == 2
    with pytest.raises(SproutError, match=r"a\.jsonl:1: .*roles must alternate"):
        build(path, tokenizer=alternating, kind=CHATS, val_ratio=0)


@pytest.mark.parametrize("name", ["chats", "pairs", "prompts"])
def test_the_preview_counts_such_lines(tmp_path, alternating, name, capsys):
    alternating.save(tmp_path / "tokenizer")
    path = written(tmp_path, KINDS[name][1])
    kind = {"chats": "chat", "pairs": "preference", "prompts": "prompt"}[name]
    preview.main([str(path), "--tokenizer_path", str(tmp_path / "tokenizer"), "--no_color", "--kind", kind])
    shown = capsys.readouterr().out
    assert "bad lines" in shown and "the model's chat template cannot write it (line 3: " in shown


@pytest.mark.parametrize("measure", ["evaluation", "answers", "rewards"])
def test_what_measures_a_file_names_the_line(tmp_path, alternating, measure):
    path, renderer = written(tmp_path, lambda number, asked: asked), ChatRenderer(alternating)
    counts = {"conversations": 0, "cut": 0, "left_out": 0}
    run = {
        "evaluation": lambda: list(chat_rows(path, CHAT, renderer, 64, None, counts)),
        "answers": lambda: read_questions(path, renderer),
        "rewards": lambda: list(score_records(path, CHAT, lambda every, show: [0.0] * len(every), renderer.spans)),
    }[measure]
    with pytest.raises(SproutError, match=r"a\.jsonl:3: the model's chat template .*roles must alternate"):
        run()
