"""Any record, whatever stands under the keys of the formats, is a conversation that can be rendered, or a bad one."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.formats import BadRecord
from dataset.rendering import ChatRenderer
from tests.support import examples

CALL = {"name": "weather", "arguments": {"city": "北京"}}

# Records as they might come: the keys of all formats, with anything under them.

KEYS = sorted({key for candidate in CHAT.formats for key in candidate.keys})
KEYS += ["role", "content", "from", "value", "tools", "tool_calls", "reasoning_content", "function", "name"]
KEYS += ["arguments", "system", "history", "input", "skill"]
TEXTS = st.sampled_from(
    [
        "a",
        "新芽",
        "[]",
        "<|user|>a<|assistant|>b",
        "用户：a\n助手：b",
        json.dumps([CALL]),
        "<think>",
        " ",
        "\0",
        "\ud800",
    ]
) | st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXTS}, optional={"arguments": VALUES})) | VALUES
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "assistant", "tool"]), "content": TEXTS},
    optional={"tool_calls": CALLS, "reasoning_content": TEXTS, "tools": VALUES},
)
SHAREGPT_TURNS = st.fixed_dictionaries(
    {"from": st.sampled_from(["human", "gpt", "function_call", "observation", "narrator"]), "value": TEXTS}
)
BESIDE = {"tools": st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=2) | VALUES, "system": TEXTS}
RECORDS = st.one_of(
    st.dictionaries(st.sampled_from(KEYS), VALUES),
    st.fixed_dictionaries({"messages": st.lists(TURNS, max_size=4)}, optional=BESIDE),
    st.fixed_dictionaries({"conversations": st.lists(TURNS | SHAREGPT_TURNS, max_size=4)}, optional=BESIDE),
    st.fixed_dictionaries({"instruction": TEXTS, "output": TEXTS}, optional=BESIDE | {"history": VALUES}),
    st.fixed_dictionaries({"prompt": TEXTS | st.lists(TURNS, max_size=2), "completion": TEXTS | VALUES}),
    st.fixed_dictionaries({"text": TEXTS | VALUES}),
)


@settings(max_examples=examples(500))
@given(RECORDS)
def test_any_record_is_a_conversation_or_bad(small_tokenizer, fields):
    for candidate in CHAT.formats:
        try:
            candidate.looks_right(fields)
            conversation = candidate.read(fields)
        except BadRecord as error:
            assert error.reason and "\n" not in f"{error.reason} {error.detail}"
            continue
        assert isinstance(conversation, Conversation) and json.loads(conversation.to_json())
        (rendered,) = ChatRenderer(small_tokenizer).render([conversation])
        assert rendered.trained.any()
