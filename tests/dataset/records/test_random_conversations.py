"""Any record, whatever stands under the keys of the formats, is a conversation that can be rendered, or a bad one."""

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.records.chat_formats import CHAT
from dataset.records.conversations import Conversation
from dataset.records.formats import BadRecord
from dataset.records.preferences import PREFERENCE
from dataset.records.prompts import PROMPT_OR_CHAT
from dataset.records.scored import SCORED
from dataset.records.unpaired import UNPAIRED_OR_PAIRS
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


USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}
CALLING = ANSWER | {"content": "", "tool_calls": [CALL]}
ANYTHING = [
    None,
    True,
    0,
    0.5,
    10**400,
    "",
    "Hi",
    "[]",
    "\n\nHuman: a\n\nAssistant: b",
    USER,
    ANSWER,
    {},
    {"role": None},
]
ANYTHING += [
    [],
    [None],
    [[]],
    ["x", "y"],
    [USER],
    [ANSWER],
    [USER, ANSWER],
    [CALLING, CALLING],
    [[ANSWER], []],
    [["a", "b"]],
]
ANYTHING += [
    {"role": [], "content": []},
    {"role": ["user"], "content": ["a"]},
    {"messages": [USER]},
    {"messages": None},
]
ANYTHING += [[{"human": "a", "assistant": "b"}], [{"text": "a", "rank": 1}, {"text": "b", "rank": 2}]]
BESIDE_ANSWERS = ("system", "history", "tools", "label", "margin", "train", "prompt", "input", "reasoning")


def test_any_record_of_answers_or_prompts_is_read_or_bad():
    drawn = random.Random(0)
    for kind in (PREFERENCE, SCORED, UNPAIRED_OR_PAIRS, PROMPT_OR_CHAT):
        for one in kind.formats * 50:
            keys = sorted({*one.keys, *drawn.sample(BESIDE_ANSWERS, drawn.choice([0, 0, 1, 2]))})
            fields = {key: drawn.choice(ANYTHING) for key in keys}
            try:
                if one.looks_right(fields):
                    one.read(fields).to_json()
            except BadRecord as error:
                assert error.reason and "\n" not in f"{error.reason} {error.detail}"
