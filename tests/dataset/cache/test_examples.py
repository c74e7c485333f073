"""The cache of conversations holds what the renderer gives, and is right or absent as that of texts is."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dataset.cache import examples as example_cache
from dataset.cache.token_cache import content_number, is_held_out
from dataset.records.conversations import Conversation, from_conversations
from dataset.records.prompts import from_prompt
from dataset.rendering import ChatRenderer
from dataset.rows.answers import ANSWERS
from dataset.rows.chats import CHATS
from dataset.rows.judged import SCORED_ANSWERS
from dataset.rows.pairs import PAIRS
from dataset.rows.prompts import PROMPTS
from dataset.rows.rows import Rows
from model.errors import SproutError
from model.text import tokenizer as texts
from tests.dataset.chats import random_chats, turn, write_chats
from tests.dataset.support import leftovers


def rendered(chats, tokenizer) -> list[tuple[list[int], list[bool]]]:
    """Ids and flags of each conversation up to its last trained token."""
    examples = []
    for one in ChatRenderer(tokenizer).render([from_conversations({"conversations": turns}) for turns in chats]):
        end = np.flatnonzero(one.trained)[-1] + 1
        examples.append((one.ids[:end].tolist(), one.trained[:end].tolist()))
    return examples


def examples_of(stream) -> list[tuple[list[int], list[bool]]]:
    examples = stream.map()
    return [tuple(part.tolist() for part in examples[index]) for index in range(stream.size.documents)]


def test_conversations_are_stored_as_they_are_rendered(tmp_path, build, tokenizer):
    chats = random_chats(120)
    cache = build(write_chats(tmp_path / "a.jsonl", chats), kind=CHATS, val_ratio=0)
    expected = rendered(chats, tokenizer)
    assert examples_of(cache.train) == expected and examples_of(cache.validation) == []
    assert cache.train.lengths().tolist() == [len(ids) for ids, _ in expected]
    assert cache.train.records == 120 and cache.format == "conversations"
    assert cache.tokens == sum(len(ids) for ids, _ in expected)
    assert cache.train.size.trained == sum(sum(trained) for _, trained in expected)
    assert cache.end_id == ChatRenderer(tokenizer).end_id
    share = f"{cache.train.size.trained / cache.tokens:.1%}"
    assert f"120 conversations, {cache.tokens:,} tokens ({share} of them trained)" in cache.summary()


def test_the_first_token_of_an_example_is_not_counted_as_trained(tmp_path):
    """Nothing predicts it."""
    with example_cache.ExampleWriter(tmp_path / "train.bin", "<u2", "margin") as writer:
        writer.add([(np.array([5, 6, 7]), np.array([True, False, True])), (np.array([8]), np.array([True]))], [0.5])
        assert writer.finish() == example_cache.ExampleSize(documents=2, tokens=4, trained=1)


def test_many_small_batches_give_what_one_gives(tmp_path, build, monkeypatch):
    chats = random_chats(60)
    expected = examples_of(build(write_chats(tmp_path / "a.jsonl", chats), kind=CHATS).train)
    monkeypatch.setattr(texts, "MAX_CHARACTERS", 100)
    again = write_chats(tmp_path / "b.jsonl", [*chats, *random_chats(1, seed=1)])
    assert examples_of(build(again, kind=CHATS).train)[: len(expected)] == expected


def test_the_content_decides_what_is_held_out_whatever_the_format(tmp_path, build, tokenizer):
    chats = random_chats(300)
    held_out = [
        turns
        for turns in chats
        if is_held_out(content_number(from_conversations({"conversations": turns}).to_json().encode("utf-8")), 0.2)
    ]
    assert 30 < len(held_out) < 90
    names = {"human": "user", "gpt": "assistant", "system": "system"}
    speakers = {role: name for name, role in names.items()}
    sharegpt = [
        {"conversations": [{"from": speakers[one["role"]], "value": one["content"]} for one in turns]}
        for turns in chats * 2
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, sharegpt)))
    ours = build(write_chats(tmp_path / "a.jsonl", chats), kind=CHATS, val_ratio=0.2)
    theirs = build(tmp_path / "b.jsonl", kind=CHATS, val_ratio=0.2)
    assert (ours.format, theirs.format) == ("conversations", "sharegpt")
    assert examples_of(ours.validation) == rendered(held_out, tokenizer)
    assert examples_of(theirs.validation) == 2 * examples_of(ours.validation)
    assert examples_of(theirs.train) == 2 * examples_of(ours.train)


@pytest.mark.parametrize("kind, what", [(CHATS, "conversations"), (PAIRS, "pairs")], ids=["chats", "pairs"])
def test_what_is_said_of_a_file_is_of_both_its_parts(tmp_path, build, kind, what):
    path = write_chats(tmp_path / "a.jsonl", random_chats(60))
    if kind is PAIRS:
        pairs = ({"prompt": f"ask {n}", "chosen": "good" * n, "rejected": "bad"} for n in range(1, 61))
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    cache = build(path, kind=kind, val_ratio=0.4)
    parts = [examples_of(cache.train), examples_of(cache.validation)]
    tokens = [sum(len(ids) for ids, _ in part) for part in parts]
    trained = sum(sum(flags[1:]) for part in parts for _, flags in part)
    held_out = len(parts[1]) // cache.validation.per_record
    summary = cache.summary()
    assert f"60 {what}, {sum(tokens):,} tokens ({trained / sum(tokens):.1%} of them " in summary
    assert f"held out {held_out:,} {what}" in summary and 9 < held_out < 40
    assert kind is PAIRS or f"{what}, {tokens[1]:,} tokens" in summary


ASKED, SAID = {"role": "user", "content": "天气怎么样？" * 20}, {"role": "assistant", "content": "晴。" * 40}
CALL = SAID | {"content": "", "tool_calls": [{"name": "weather", "arguments": {"city": "巴黎" * 300}}]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "说天气" * 300, "parameters": {}}}


@pytest.mark.parametrize(
    "kind, record",
    [
        (CHATS, {"messages": [ASKED, SAID] * 5}),
        (CHATS, {"messages": [ASKED, SAID | {"reasoning_content": "想" * 90}]}),
        (CHATS, {"messages": [ASKED, CALL, {"role": "tool", "content": "晴天" * 40}, SAID], "tools": [TOOL]}),
        (PAIRS, {"prompt": ASKED["content"], "chosen": SAID["content"], "rejected": "雨。" * 50}),
        (PROMPTS, {"messages": [ASKED, SAID, ASKED]}),
    ],
    ids=["turns", "thought", "tools", "pair", "prompt"],
)
def test_a_token_stands_for_the_bytes_of_what_is_said(tmp_path, build, kind, record):
    """One byte with this tokenizer; what frames turns is left out."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(record) + "\n")
    assert build(path, kind=kind, val_ratio=0).bytes_per_token == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("count, held_out", [(1, 0), (9, 0), (10, 1)])
def test_a_small_file_gives_its_last_conversation(tmp_path, build, tokenizer, count, held_out):
    chats = random_chats(count)
    cache = build(write_chats(tmp_path / "a.jsonl", chats), kind=CHATS, val_ratio=1e-6)
    expected = rendered(chats, tokenizer)
    assert examples_of(cache.train) == expected[: count - held_out]
    assert examples_of(cache.validation) == expected[count - held_out :]


def test_text_and_chat_of_one_file_have_caches_of_their_own(tmp_path, build):
    turns = random_chats(1)[0]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a", "conversations": turns}))
    text, chat = build(tmp_path / "a.jsonl"), build(tmp_path / "a.jsonl", kind=CHATS)
    assert text.folder != chat.folder
    assert (text.format, chat.format) == ("text", "conversations")
    assert build(tmp_path / "a.jsonl") == text and build(tmp_path / "a.jsonl", kind=CHATS) == chat


@pytest.mark.parametrize("name, value", [("VERSION", 1000), ("CHAT_TEMPLATE", "another")])
def test_another_rendering_is_another_cache(tmp_path, build, monkeypatch, name, value):
    path = write_chats(tmp_path / "a.jsonl", random_chats(3))
    before = build(path, kind=CHATS)
    assert build(path, kind=CHATS) == before
    monkeypatch.setattr(example_cache, name, value)
    assert build(path, kind=CHATS).folder != before.folder


@pytest.mark.parametrize("kind", [CHATS, PAIRS], ids=["chats", "pairs"])
def test_a_rendering_that_was_edited_without_another_version_is_warned_of(tmp_path, build, kind, monkeypatch):
    """Else the edit would be without effect where the file was trained on before."""
    path = write_chats(tmp_path / "a.jsonl", random_chats(3)) if kind is CHATS else tmp_path / "a.jsonl"
    if kind is PAIRS:
        pairs = ({"prompt": f"ask {n}", "chosen": "good", "rejected": "bad"} for n in range(3))
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    def warnings() -> list[str]:
        packed = Rows(kind, [(build(path, kind=kind, val_ratio=0.0), None)], 64, seed=0).packed
        return [one for one in packed.warnings() if "rendering.py" in one]

    assert warnings() == warnings() == []
    monkeypatch.setattr(example_cache, "rendering_code", lambda: "another")
    assert warnings() == [
        f"the tokens of {path} were made before dataset/rendering.py changed, and are used as they are: if the change"
        " is one of tokens or masks, raise VERSION there, and they are made again"
    ]
    monkeypatch.setattr(example_cache, "VERSION", 1000)
    assert warnings() == []


def test_an_edit_that_changes_no_code_is_not_warned_of(tmp_path, monkeypatch):
    module, before = example_cache.rendering, example_cache.rendering_code()
    code = Path(module.__file__).read_text()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "rendering.py"))
    for old, new, same in (
        ("\n", "\r\n", True),
        ("\ndef ", "\n# What follows is a function.\ndef ", True),
        ("  # ", "  # Here: ", True),
        ('"""From a', '"""Here, from a', True),
        ("return ", "return 1 and ", False),
    ):
        assert old in code
        (tmp_path / "rendering.py").write_bytes(code.replace(old, new).encode())
        assert (example_cache.rendering_code() == before) == same, new


ANSWERS_OF = {
    "pairs": (PAIRS, lambda asked, n: {"prompt": asked, "chosen": f"good {n}", "rejected": f"bad {n}", "margin": n}),
    "labelled": (ANSWERS, lambda asked, n: {"prompt": asked, "completion": f"answer {n}", "label": n > 1}),
    "scored": (SCORED_ANSWERS, lambda asked, n: {"input": asked, "output": f"answer {n}", "score": n}),
}


@pytest.mark.parametrize("name", ANSWERS_OF)
@pytest.mark.parametrize("prompts, val_ratio", [(60, 0.2), (5, 1e-6)])
def test_all_answers_of_a_prompt_are_on_one_side(tmp_path, build, tokenizer, name, prompts, val_ratio):
    kind, record = ANSWERS_OF[name]
    path = tmp_path / "a.jsonl"
    records = [record(f"question {i}?", n) for i in range(prompts) for n in range(4)]
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    cache = build(path, kind=kind, val_ratio=val_ratio)

    def asked(stream) -> list[str]:
        texts = [tokenizer.decode(ids).split("?")[0] for ids, _ in examples_of(stream)]
        return texts[:: stream.per_record]

    trained, held_out = asked(cache.train), asked(cache.validation)
    assert len(trained) + len(held_out) == 4 * prompts and cache.copies == 0
    assert held_out and not set(trained) & set(held_out)
    if prompts == 5:  # as no hash is that small, the last one is held out, with all of its answers
        assert len(held_out) == 4


@pytest.mark.parametrize("prompt, answers", [("q", ["a", "b"]), ("q", ["a"])])
def test_what_an_answer_answers_is_the_same_in_all_kinds_of_records(prompt, answers):
    user = {"role": "user", "content": prompt}
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {}}]}
    turns = [user, call, {"role": "tool", "content": "r"}, *({"role": "assistant", "content": one} for one in answers)]
    expected = from_prompt({"prompt": prompt}).to_json()
    for begins in (0, 1, 3):  # a scored answer, one that is compared from its call on, and one behind the same call
        assert Conversation(tuple(turns), trained_from=begins).prompt_to_json() == expected


class CountingEncoder(example_cache.ExampleEncoder):
    encoded = 0

    def encode(self, conversations):
        CountingEncoder.encoded += len(conversations)
        return super().encode(conversations)


@pytest.fixture
def count(monkeypatch):
    monkeypatch.setattr(example_cache, "ExampleEncoder", CountingEncoder)
    CountingEncoder.encoded = 0
    return lambda: CountingEncoder.encoded


@pytest.mark.parametrize("end", ["", ".trained", ".offsets"])
@pytest.mark.parametrize("damage", ["short", "long", "missing"])
def test_a_damaged_cache_is_built_again_and_said_so(tmp_path, build, count, end, damage, capsys):
    path = write_chats(tmp_path / "a.jsonl", random_chats(20))
    cache = build(path, kind=CHATS)
    expected = examples_of(cache.train)
    file = cache.folder / f"train{end}.bin"
    size = file.stat().st_size
    {
        "short": lambda: os.truncate(file, size - 1),
        "long": lambda: os.truncate(file, size + 8),
        "missing": file.unlink,
    }[damage]()
    capsys.readouterr()
    assert examples_of(build(path, kind=CHATS).train) == expected and count() == 40
    assert capsys.readouterr().err == f"the token cache {cache.folder} is damaged: {path} is tokenised again\n"
    assert build(path, kind=CHATS) == cache and count() == 40


@pytest.mark.parametrize("is_stamped", [True, False], ids=["written to", "gone bad"])
@pytest.mark.parametrize(
    "name, place, value",
    [
        ("train.bin", 21, b"\xff"),
        ("train.offsets.bin", 0, b"\1"),
        ("train.offsets.bin", 16, b"\0" * 8),
        ("train.offsets.bin", 160, b"\xff\xff"),
    ],
)
def test_damage_within_files_is_reported_when_it_is_read(tmp_path, build, name, place, value, is_stamped):
    cache = build(write_chats(tmp_path / "a.jsonl", random_chats(20)), kind=CHATS, val_ratio=0)
    before = (cache.folder / name).stat()
    with open(cache.folder / name, "r+b") as file:
        file.seek(place)
        file.write(value)
    if not is_stamped:  # as a disk forgets a byte: then no checksum is looked at
        os.utime(cache.folder / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SproutError, match=rf"{re.escape(str(cache.folder))} is damaged: .* delete this folder"):
        rows = Rows(CHATS, [(cache, None)], 64, seed=0)
        rows.batch(0, range(rows.rows_per_epoch))


def test_bad_lines_stop_or_are_listed(tmp_path, build):
    bad = [
        {"conversations": []},
        {"conversations": [turn("user", "no answer")]},
        {"conversations": [turn("king", "a"), turn("assistant", "b")]},
        {"conversations": [turn("user", " "), turn("assistant", "b")]},
    ]
    good = random_chats(2)
    path = write_chats(tmp_path / "a.jsonl", good[:1])
    with open(path, "a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in bad) + "nonsense\n")
        file.write(json.dumps({"conversations": good[1]}))
    with pytest.raises(SproutError, match=r"a.jsonl:2: .*--on_bad_line skip"):
        build(path, kind=CHATS)
    assert leftovers(tmp_path / "cache") == []
    cache = build(path, kind=CHATS, on_bad_line="skip")
    assert cache.train.records + cache.validation.records == 2 and sum(cache.bad_lines.values()) == 5
    assert "left out 5 bad lines" in cache.summary()
    listed = (cache.folder / "bad_lines.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in listed] == [2, 3, 4, 5, 6]


def test_a_file_without_conversations(tmp_path, build):
    (tmp_path / "a.jsonl").write_text("\n\n")
    with pytest.raises(SproutError, match="holds no document"):
        build(tmp_path / "a.jsonl", kind=CHATS)
