"""A conversation: what the network is shown of it, and what it forgets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.rendering import ChatRenderer
from inference.chat import Chat
from model.errors import SproutError
from tests.stages.talker import turns


@pytest.fixture(scope="module")
def renderer(small_tokenizer):
    return ChatRenderer(small_tokenizer)


@given(st.lists(st.integers(0, 120), max_size=12), st.integers(60, 300), st.integers(1, 400), st.booleans())
def test_whole_old_turns_are_forgotten_and_the_system_message_never(renderer, sizes, positions, most, with_system):
    chat = Chat(renderer, positions, most, system="S" if with_system else None)
    system = [{"role": "system", "content": "S"}] if with_system else []
    room = positions - min(most, positions // 2)
    pairs, gone = [], 0
    for number, size in enumerate(sizes):
        question = f"{number}?" + "q" * size
        shown = [
            system + [turn for pair in pairs[start:] for turn in pair] + turns(question)
            for start in range(len(pairs) + 1)
        ]
        fitting = [start for start in range(gone, len(pairs) + 1) if len(renderer.prompt(shown[start])) <= room]
        start = fitting[0] if fitting else len(pairs)
        if len(renderer.prompt(shown[start])) >= positions:
            with pytest.raises(SproutError, match="positions"):
                chat.prompt(question)
            continue
        assert chat.prompt(question) == (renderer.prompt(shown[start]), start - gone)
        chat.add(question, "a")
        pairs.append(turns(question, "a"))
        gone = start
    assert chat.messages == system + [turn for pair in pairs for turn in pair]  # what is saved is all of it
