"""Chats and pairs: compared by prompt or answer, cleaned message by message."""

import json
from collections import Counter
from types import SimpleNamespace

from dataset.prepare.conversations import clean_record, reader_of_conversations, said_in
from dataset.records.chat_formats import CHAT
from dataset.records.preferences import PREFERENCE


def turns(*said):
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(said)]


def test_compared_by_prompt_or_answer():
    chat = {"messages": turns("q1", "a1", "q2", "a2")}
    pair = {"chosen": turns("q", "good"), "rejected": turns("q", "bad")}
    assert [said_in(chat, by) for by in ("prompt", "answer", "all")] == ["q1\na1\nq2", "a2", "q1\na1\nq2\na2"]
    assert [said_in(pair, by) for by in ("prompt", "answer", "all")] == ["q", "good\nbad", "q\ngood\nbad"]


def test_record_is_read_again_as_what_it_was():
    weighted = {"conversations": [*turns("q"), {"role": "assistant", "content": "a", "weight": 0}, *turns("p", "b")]}
    weighted["tools"] = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    ((text, kind),) = reader_of_conversations(weighted)(weighted)
    again = json.loads(text)
    assert kind == "chat"
    assert CHAT.find_format(again).read(again) == CHAT.find_format(weighted).read(weighted)
    pair = {"prompt": "q", "chosen": "a", "rejected": "b", "margin": 0.5}
    ((text, kind),) = reader_of_conversations(pair)(pair)
    assert PREFERENCE.find_format(json.loads(text)).read(json.loads(text)) == PREFERENCE.find_format(pair).read(pair)


def test_every_message_is_cleaned_and_an_emptied_one_is_told():
    record = {"messages": turns(" q ", " a ")}
    changes, whole = clean_record(record, lambda text: SimpleNamespace(text=text.strip(), changes=Counter(space=1)))
    assert record == {"messages": turns("q", "a")} and whole and changes == {"space": 2}
    _, whole = clean_record(record, lambda text: SimpleNamespace(text=text.replace("a", ""), changes=Counter()))
    assert not whole
