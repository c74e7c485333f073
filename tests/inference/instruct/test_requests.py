"""The journal of replies: what it says of a file that is damaged, and what it makes of one without replies."""

import errno
import json
import os
from dataclasses import replace

import pytest

from inference.instruct.requests import Journal, Reply, Request
from model.errors import SproutError, UsageError


@pytest.mark.parametrize("damage", [{"text": 5}, {"finish": None}, {"tokens_in": "many"}, {"other": 1}])
def test_a_reply_with_a_value_of_another_type_is_damage(damage, tmp_path):
    path = tmp_path / "replies.jsonl"
    reply = {"key": "a", "text": "Yes.", "finish": "stop"}
    path.write_text('{"seed": 1}\n' + json.dumps(reply) + "\n")
    journal = Journal(path, {"seed": 1}, resume=True)
    assert len(journal) == 1
    journal.close()
    path.write_text('{"seed": 1}\n' + json.dumps(reply | damage) + "\n")
    with pytest.raises(SproutError, match="replies.jsonl is damaged: remove it, and begin anew"):
        Journal(path, {"seed": 1}, resume=True)


def test_every_reply_is_known_to_the_next_run_of_the_same_settings(tmp_path):
    path, settings = tmp_path / "replies.jsonl", {"model": "m", "seeds": "x"}
    one = Request("你好", 1.0, 0.9, 8, 0)
    changes = ({}, {"message": None}, {"temperature": 0.5}, {"top_p": 1.0}, {"max_tokens": 9}, {"seed": 1})
    replies = {replace(one, **change): Reply(f"好 \ud800 {change}", "stop", 3, 2) for change in changes}
    journal = Journal(path, settings, resume=False)
    for request, reply in replies.items():
        assert journal.get(request) is None
        journal.add(request, reply)
        assert journal.get(request) == reply
    with pytest.raises(SproutError, match="another run writes .*replies.jsonl: wait for it"):
        Journal(path, settings, resume=True)
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "cut o')
    with pytest.raises(UsageError, match="holds the replies of an earlier run: go on with --resume"):
        Journal(path, settings, resume=False)
    with pytest.raises(UsageError, match="began with another model: give the same, or choose another file"):
        Journal(path, settings | {"model": "n"}, resume=True)
    for known in (len(replies), len(replies) + 1):
        journal = Journal(path, settings, resume=True)
        assert len(journal) == known and all(journal.get(request) == reply for request, reply in replies.items())
        journal.add(replace(one, seed=known), Reply("", "length"))
        journal.close()
    assert path.read_bytes().startswith(whole) and b"cut o" not in path.read_bytes()


@pytest.mark.parametrize("content", ["my notes", "my notes\nwithout an end"])
def test_a_file_of_another_origin_stays_as_it_is(content, tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text(content)
    with pytest.raises(SproutError, match="replies.jsonl is damaged"):
        Journal(path, {"seed": 1}, resume=True)
    assert path.read_text() == content


def test_a_first_line_that_a_kill_cut_off_is_written_again(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text('{"se')
    Journal(path, {"seed": 1}, resume=False).close()
    assert path.read_text() == '{"seed": 1}\n'


def test_a_reply_that_cannot_be_written_ends_in_a_sentence(tmp_path, monkeypatch):
    def fails(descriptor):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    journal = Journal(tmp_path / "replies.jsonl", {"seed": 1}, resume=False)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(SproutError, match="cannot write .*replies.jsonl .*Read-only.*go on with --resume"):
        journal.add(Request("Hello", 1.0, 1.0, 8, 0), Reply("Hi", "stop"))
    journal.close()


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files stands for a full disk")
def test_a_disk_that_takes_only_a_part_of_a_reply_ends_the_run_and_loses_no_other(tmp_path):
    import resource

    path, before = tmp_path / "replies.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    first, second = (Request(text, 1.0, 1.0, 8, 0) for text in ("Hello", "Bye"))
    journal = Journal(path, {"seed": 1}, resume=False)
    journal.add(first, Reply("Hi", "stop"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(SproutError, match="cannot write .*replies.jsonl.*go on with --resume"):
            journal.add(second, Reply("Bye", "stop"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.close()
    journal = Journal(path, {"seed": 1}, resume=True)
    assert (journal.get(first), journal.get(second)) == (Reply("Hi", "stop"), None)
    journal.close()


def test_a_weight_goes_on_where_a_server_gave_no_reply(tmp_path):
    path, weight = tmp_path / "replies.jsonl", {"seeds": "b", "model": "chat", "weight": "c"}
    Journal(path, {"seeds": "a", "model": "qwen"}, resume=False).close()
    Journal(path, weight, resume=False).close()
    assert json.loads(path.read_text()) == weight
