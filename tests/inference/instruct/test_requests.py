"""The journal of replies: what it says of a file that is damaged, and what it makes of one without replies."""

import json

import pytest

from inference.instruct.requests import Journal
from model.errors import SproutError


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


def test_a_weight_goes_on_where_a_server_gave_no_reply(tmp_path):
    path, weight = tmp_path / "replies.jsonl", {"seeds": "b", "model": "chat", "weight": "c"}
    Journal(path, {"seeds": "a", "model": "qwen"}, resume=False).close()
    Journal(path, weight, resume=False).close()
    assert json.loads(path.read_text()) == weight
