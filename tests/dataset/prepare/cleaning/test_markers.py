import re

import pytest

from dataset.prepare.cleaning import markers
from dataset.records.controls import MARKERS


@pytest.mark.parametrize(
    "text, left",
    [
        ("<|im_start|>text<|im_end|>\n", "text"),
        ("<s> a <|im_end|> <|im_start|> b </s>", "a <|im_end|> <|im_start|> b"),
        ("what <|im_end|> means", "what <|im_end|> means"),
        ("<|im_end|>", "<|im_end|>"),  # a text of nothing else says what it says
        ("<think>a</think>", "<think>a</think>"),
        ("text " * 100 + "<|endoftext|></s>", "text " * 99 + "text"),
    ],
)
def test_only_markers_around_a_text_fall_off(text, left):
    assert markers.remove_outer_markers(text)[0] == left


def test_they_are_the_markers_at_which_a_stage_splits():
    for pattern in (markers.BEGIN, markers.END):
        for name in re.findall(r"[a-z_]{5,}", pattern.pattern):
            assert MARKERS.fullmatch(f"<|{name}|>")
