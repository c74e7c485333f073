"""Whatever JSON a file holds, each line becomes a record that can be trained on, or a reason. Never anything else."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.corpus import texts_of
from dataset.records.chat_formats import CHAT
from dataset.records.conversations import ROLES, Conversation
from dataset.records.documents import detect_format
from dataset.records.formats import TEXT, BadLine, BadRecord, Record, RecordKind
from dataset.records.reading import read_records
from dataset.rendering import ChatRenderer
from model.errors import SproutError, on_one_line
from tests.support import examples

# The keys that mean something, so that random records come near to good ones.
KEYS = """text conversations messages role content from value tools tool_calls name arguments function system history
reasoning_content instruction input output prompt completion response chosen skill CONTENT Text""".split()
WORDS = [
    "user",
    "assistant",
    "system",
    "tool",
    "human",
    "gpt",
    "hi",
    "",
    " ",
    "\0",
    "\ud800",
    "\x1b[2J",
    "用户：a\n助手：b",
]
WORDS += ["<|user|>a<|assistant|>b", "<|im_end|>", "[{}]", '{"name": "f"}', "{", "null", "NaN", "[[[[", "<think>"]

characters = st.characters(exclude_categories=())  # halves of surrogate pairs too
words = st.sampled_from(WORDS) | st.text(characters, max_size=8)
numbers = st.none() | st.booleans() | st.integers() | st.floats()  # NaN and infinity too, which are no JSON
keys = st.sampled_from(KEYS) | st.text(characters, max_size=4)
values = st.recursive(
    words | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(ROLES) | values,
        "content": words | values,
        "from": st.sampled_from(["human", "gpt", "function_call", "observation"]) | values,
        "value": words | values,
        "tool_calls": values,
        "tools": values,
        "reasoning_content": words | values,
    },
)
turns = st.lists(messages | values, max_size=4)
records = (
    values
    | st.fixed_dictionaries({"text": words | values})
    | st.fixed_dictionaries({"conversations": turns | values}, optional={"tools": values, "system": values})
    | st.fixed_dictionaries({"messages": turns | values}, optional={"tools": values, "skill": values})
    | st.fixed_dictionaries({"instruction": values, "output": words}, optional={"input": values, "history": values})
    | st.fixed_dictionaries({"prompt": words | turns, "completion": words | turns})
    | st.fixed_dictionaries({"prompt": words | values}, optional={"response": words})
)
lines = st.lists(records.map(json.dumps).map(str.encode) | st.binary(max_size=40), min_size=1, max_size=6)
often = settings(max_examples=examples(250), suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("random") / "a.jsonl"


def read(path: Path, content: list[bytes], kind: RecordKind) -> list:
    """What training makes of each line: a document, or the reason that it is none."""
    path.write_bytes(b"\n".join(content) + b"\n")
    found = []
    try:
        items = list(read_records(path))
    except SproutError as error:  # it is about the whole file
        assert "is one JSON object with " in str(error) and str(error).isprintable()
        return []
    for item in items:
        if isinstance(item, Record):
            try:
                item = detect_format(item.fields, kind).read(item.fields)
            except BadRecord as error:
                item = BadLine(item.path, item.line, error.reason, error.detail)
        found.append(item)
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    assert len(found) <= len(text.split(b"\n")) or holds_a_list(text)  # whose elements may share a line
    return found


def holds_a_list(text: bytes) -> bool:
    """Whether the file is one array, or one object whose key may hold the list of all records."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text.lstrip().startswith(b"[")  # an array that is damaged
    members = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(member, list) for member in members)


def check_reason(bad: BadLine) -> None:
    assert bad.line >= 1 and bad.reason
    assert bad.reason.isprintable() and len(bad.reason) < 100  # one of few phrases, with nothing of the record
    shown = on_one_line(str(bad))
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(str(bad)) < 1500


def check_text(text) -> None:
    assert isinstance(text, str) and text.encode("utf-8") and "\0" not in text


@often
@given(lines)
def test_a_text_or_a_reason(path, content):
    for item in read(path, content, TEXT):
        if isinstance(item, BadLine):
            check_reason(item)
        else:
            check_text(item)
            assert item.strip()


@often
@given(lines)
def test_a_conversation_or_a_reason(path, small_tokenizer, content):
    renderer = ChatRenderer(small_tokenizer)
    for item in read(path, content, CHAT):
        if isinstance(item, BadLine):
            check_reason(item)
            continue
        check_conversation(item)
        (rendered,) = renderer.render([item])
        assert rendered.trained.any() and not rendered.trained[0]
        assert 0 <= rendered.ids.min() and rendered.ids.max() < small_tokenizer.vocab_size


def check_conversation(conversation: Conversation) -> None:
    """In the normal form, and able to say itself as JSON in UTF-8."""
    assert isinstance(conversation, Conversation) and conversation.to_json().encode("utf-8")
    assert any(message["role"] == "assistant" for message in conversation.messages)
    for message in conversation.messages:
        assert message["role"] in ROLES
        assert set(message) <= {"role", "content", "reasoning_content", "tool_calls"}
        assert isinstance(message["content"], str)
        assert message["content"].strip() or message["role"] != "user"
        for call in message.get("tool_calls", []):
            assert isinstance(call["name"], str) and isinstance(call["arguments"], dict | str)
    assert all(isinstance(tool, dict) for tool in conversation.tools)


@often
@given(st.dictionaries(keys, values, max_size=5))
def test_texts_for_a_tokenizer_or_a_reason(fields):
    try:
        for text in texts_of(json.loads(json.dumps(fields))):
            check_text(text)
    except BadRecord as error:
        assert error.reason.isprintable()
