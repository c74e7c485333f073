"""What all commands do alike with their flags."""

import pytest

from dataset.command_line import CommandParser
from model.errors import UsageError


@pytest.mark.parametrize(
    "flag, words",
    [
        ("--out_dir", ["--out_dir", ""]),
        ("--out_dir", ["--out_dir="]),
        ("--out_dir", ["--save_dir", ""]),  # MiniMind's name
        ("--save_dir", ["--save_dir", ""]),
    ],
)
def test_no_folder_is_named_by_an_unset_variable(flag, words):
    parser = CommandParser()
    parser.add_argument(flag, default="out")
    assert parser.parse_args([flag, "."]) and parser.parse_args([])
    with pytest.raises(UsageError, match=f"{flag} is empty"):
        parser.parse_args(words)
