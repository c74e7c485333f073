"""What a record is taken for where a command reads several kinds, and how --format overrides that."""

import json
from contextlib import nullcontext

import pytest

from dataset.command_line import Source
from dataset.corpus import Corpus
from dataset.records.chat_formats import CHAT
from dataset.records.formats import TEXT
from dataset.records.kinds import KINDS, find_kind, only, unknown_shape
from dataset.records.measured import all_documents, kind_of_file, parts_of
from dataset.records.preferences import PREFERENCE
from dataset.records.prompts import PROMPT, PROMPT_OR_CHAT
from dataset.records.scored import SCORED
from dataset.records.unpaired import UNPAIRED
from model.errors import SproutError, UsageError

ALPACA = {"instruction": "Hi", "input": "", "output": "Hello!"}
RECORDS = (
    (TEXT, {"text": "once"}),
    (CHAT, ALPACA),
    (CHAT, {"messages": [{"role": "user", "content": "Hi"}]}),
    (PREFERENCE, {"prompt": "a", "chosen": "b", "rejected": "c"}),
    (PREFERENCE, {"input": "a", "choices": [{"text": "b", "rank": 1}]}),
    (UNPAIRED, {"prompt": "a", "completion": "b", "label": True}),
    (SCORED, {"input": "a", "output": "b", "score": 1}),
    (PROMPT, {"prompt": "a"}),
)


@pytest.mark.parametrize(
    "fields, kind, name",
    [
        ({"text": "once"}, "text", "text"),
        (ALPACA | {"text": "Hi Hello!"}, "chat", "alpaca"),
        ({"text": "用户：Hi\n助手：Hello!"}, "chat", "inline"),
        ({"messages": [{"role": "user", "content": "Hi"}], "text": "Hi"}, "chat", "messages"),
    ],
)
def test_turns_win_over_a_text_beside_them(fields, kind, name):
    for kinds in ((TEXT, CHAT), (CHAT, TEXT)):  # whatever a script prefers
        found, one = find_kind(fields, kinds)
        assert (found.name, one.name) == (kind, name)


def test_a_format_that_is_asked_for_is_the_one_that_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ALPACA | {"text": "Hi Hello!", "prompt": "Yo", "response": "Hey"}) + "\n")
    for name, expected in ((None, "Hello!"), ("prompt/response", "Hey")):
        kind, _ = kind_of_file(path, ("text", "chat"), name)
        (document,) = all_documents(path, kind, "reading")
        assert document.content.messages[-1]["content"] == expected
    kind, _ = kind_of_file(path, ("text", "chat"), "text")
    assert next(all_documents(path, kind, "reading")).content == "Hi Hello!"
    with pytest.raises(UsageError, match="--format nonsense"):
        kind_of_file(path, ("text", "chat"), "nonsense")
    with pytest.raises(UsageError, match="give one of conversations"):
        only(CHAT, "nonsense")
    assert only(CHAT, "alpaca").name != CHAT.name  # so its caches are others


@pytest.mark.parametrize(
    "kinds, name", [(["text", "chat"], "text"), (["text", "chat"], "messages"), (["chat"], "messages")]
)
def test_a_format_that_does_not_fit_is_to_be_left_out(kinds, name, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ALPACA) + "\n")
    expected = "this is a conversation, for train_full_sft.py, in the format alpaca: leave out --format"
    with pytest.raises(SproutError, match=rf"a\.jsonl:1: .* \({expected}\)$"):
        kind_of_file(path, kinds, name)


def test_a_line_that_the_format_asked_for_does_not_fit_says_the_same():
    expected = "this is a conversation, for train_full_sft.py, in the format alpaca: leave out --format"
    assert unknown_shape(ALPACA, [only(CHAT, "messages")]).detail == expected
    for name in ("prompt", "messages"):  # prompts are read of chats, too
        said = unknown_shape(ALPACA, [only(PROMPT_OR_CHAT, name)]).detail
        assert said.startswith("this is a prompt, ") and said.endswith("in the format alpaca: leave out --format")


WANTED = [(TEXT,), (CHAT,), (PREFERENCE,), (UNPAIRED,), (SCORED,), (TEXT, CHAT)]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda kinds: " or ".join(kind.name for kind in kinds))
def test_a_record_of_another_kind_is_called_what_it_is_first(wanted):
    for kind, fields in RECORDS:
        if not any(one.find_format(fields) for one in wanted):
            assert unknown_shape(fields, wanted).detail.startswith(f"this is {kind.what}; ")
    assert "this is" not in unknown_shape({"id": 1}, wanted).detail
    assert {kind for kind, _ in RECORDS} == set(KINDS)


def test_a_text_under_another_key_is_recognised():
    fields = {"title": "A short one", "content": "A long text of many words.", "id": 3}
    assert 'a text with "content" in place of "text"' in unknown_shape(fields, (TEXT,)).detail
    assert "in place of" not in unknown_shape(fields, (CHAT,)).detail


def test_columns_named_in_chinese_are_said_by_the_names_that_are_read():
    asked = unknown_shape({"问题": "Where does the text of this begin?", "答案": "Here."}, (TEXT,)).detail
    assert asked.startswith('with "question" and "answer" in place of "问题" and "答案" this is a conversation')
    assert 'with "text" in place of "内容" this is a text' in unknown_shape({"内容": "once"}, (CHAT,)).detail
    assert "in place of" not in unknown_shape({"标题": "once"}, (CHAT,)).detail
    both = unknown_shape({"正文": "once", "内容": "upon"}, (CHAT,)).detail  # one column can be the text, not both
    assert both.startswith('with "text" in place of "正文" this is a text')


def test_formats_of_all_wanted_kinds_are_named():
    found = unknown_shape({"id": 1}, (PREFERENCE, CHAT)).detail
    assert "chosen" in found and "sharegpt" in found


def test_advice_for_a_table_is_to_name_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Hi,Hello!\nHow?,So.\n")
    with pytest.raises(SproutError, match="name its columns so in the first line, or give another file"):
        next(all_documents(path, CHAT, "reading"))


def test_advice_for_a_wholly_different_file_is_not_to_skip_its_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"id": 1}\n{"id": 2}\n')  # a blank line comes first
    for read in (lambda: next(all_documents(path, CHAT, "reading")), lambda: kind_of_file(path, ("text", "chat"))):
        with pytest.raises(SproutError, match="the shape is unknown.*: give another file"):
            read()
    path.write_text('{"id": 1}\n')
    with pytest.raises(SproutError, match='there is no text .*accepted: {"text": "..."}.*: give another file'):
        Corpus([Source(path)], "stop", tmp_path / "bad.jsonl")


def test_parts_of_a_file_move_the_bar_as_they_are_dealt_with(tmp_path, monkeypatch):
    """Reading a part takes no time: what counts is the share of it that a network has scored."""
    path, places = tmp_path / "a.jsonl", []
    path.write_text(json.dumps({"text": "a b"}) + "\n")

    class Bar(nullcontext):
        n = 0

        def update(self, more):
            self.n += more
            places.append(self.n)

    monkeypatch.setattr("dataset.records.measured.bar_over", lambda total, doing: nullcontext(Bar()))
    kind, _ = kind_of_file(path, ("text",))
    for documents, show in parts_of(path, kind, "scoring"):
        assert [document.content for document in documents] == ["a b"] and places == []
        show(0.5)
    assert places == [8, 16]  # bytes


def test_an_unknown_shape_points_at_the_list_of_its_records():
    unknown = unknown_shape({"version": "1", "rows": [{"row": {"text": "a"}}]}, [CHAT])
    assert 'if its records are the list "rows", save that list as the file' in unknown.detail
    assert unknown.detail.endswith(", ...") and unknown.detail.count("/") < 12


def test_turns_that_do_not_say_who_speaks_are_no_list_of_records():
    unknown = unknown_shape({"conversations": [{"speaker": "a", "text": "Hi"}]}, [CHAT])
    assert 'the first turn of "conversations" says by no "role" or "from" who speaks' in unknown.detail
    assert "save that list" not in unknown.detail
