"""Where a conversation is cut that is longer than a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.rendering import Rendered, cut_length
from tests.dataset.chats import kept_by_hand

END = 2


@given(
    st.lists(st.tuples(st.sampled_from([END, 7, 8]), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 32),
)
def test_cutting_equals_the_definition(tokens, limit):
    ids, trained = zip(*tokens)
    kept = cut_length(np.array(ids, np.uint16), np.array(trained), limit, END)
    assert kept == kept_by_hand(ids, trained, limit, END)
    assert kept <= limit
    assert kept == 0 or trained[kept - 1]  # the last target is always trained


#        user  ----  assistant  user  assistant
IDS = [1, 9, 9, 2, 1, 8, 8, 2, 1, 9, 2, 1, 8, 8, 8, 2, 7]
FLAGS = [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    "limit, kept, why",
    [
        (99, 16, "all up to the last trained token"),
        (16, 16, "all, as what follows the last trained token teaches nothing"),
        (15, 8, "the second answer does not fit: all up to the end of the first"),
        (8, 8, "just the first answer"),
        (7, 7, "even the first answer does not fit: as much as does"),
        (6, 6, "one trained token"),
        (5, 0, "nothing trained"),
    ],
)
def test_cutting_by_hand(limit, kept, why):
    assert cut_length(np.array(IDS), np.array(FLAGS, bool), limit, END) == kept, why


def test_the_first_token_is_never_predicted():
    assert cut_length(np.array([8, 9, 9]), np.array([True, False, False]), 9, END) == 0


@pytest.mark.parametrize("trained, kept", [([1, 0, 1, 0], 3), ([1, 0, 0, 0], 0), ([0, 0, 0, 1], 4)])
def test_what_follows_the_last_trained_token_is_left_out(trained, kept):
    whole = Rendered(np.arange(4, dtype=np.int32), np.array(trained, bool))
    short = whole.without_untrained_end()
    assert short.ids.tolist() == list(range(kept)) and short.trained.tolist() == whole.trained[:kept].tolist()
    assert cut_length(whole.ids, whole.trained, 4, END) == kept
