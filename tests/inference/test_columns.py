"""Rows of cells as lines: what stands on the left, on the right, and how wide Chinese is."""

from inference.columns import in_columns


def test_words_stand_on_the_left_and_numbers_on_the_right():
    rows = [("task", "items", "metric", ""), ("blimp", "1,200", "acc", "chance"), ("中文", "7", "acc_norm", "")]
    assert in_columns(rows, left=(0, 2, 3)) == [
        "task   items  metric",
        "blimp  1,200  acc       chance",
        "中文       7  acc_norm",
    ]
    assert in_columns([["a", "b"], ["cc", "dd"]]) == ["a    b", "cc  dd"]


def test_a_mark_above_a_letter_takes_no_column_and_an_ambiguous_sign_one():
    assert in_columns([["cafe\u0301", "1"], ["été", "2"], ["中", "3"]]) == ["cafe\u0301  1", "été   2", "中    3"]
