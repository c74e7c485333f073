"""Weights by name: one is found, or it is said why not."""

import pytest

from inference.weights import find_weight
from model.errors import UsageError


def test_a_name_finds_one_weight_or_says_why_not(tmp_path):
    for name in ("pretrain_32.pth", "pretrain_32_resume.pth", "pretrain_32.previous.pth", "pretrain_x_64.pth"):
        (tmp_path / name).write_text("")
    assert find_weight("pretrain", str(tmp_path)) == str(tmp_path / "pretrain_32.pth")
    with pytest.raises(UsageError, match=r"there is no full_sft_<hidden>.pth"):
        find_weight("full_sft", str(tmp_path))
    with pytest.raises(UsageError, match=r"nowhere/a.pth does not exist"):
        find_weight("nowhere/a.pth", str(tmp_path))
    (tmp_path / "pretrain_64.pth").write_text("")
    assert find_weight("pretrain", str(tmp_path), hidden_size=64) == str(tmp_path / "pretrain_64.pth")
    with pytest.raises(UsageError, match=r"could be .*choose by --hidden_size") as error:
        find_weight("pretrain", str(tmp_path))
    assert "pretrain_32.pth" in str(error.value) and "pretrain_64.pth" in str(error.value)
