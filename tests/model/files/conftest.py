"""What the tests of saves share."""

from pathlib import Path

import pytest

from model.files.checkpoint import save_checkpoint
from tests.model.files.saves import contents


@pytest.fixture
def two_saves(tmp_path) -> Path:
    path = tmp_path / "pretrain_512.pth"
    save_checkpoint(path, contents(100))
    save_checkpoint(path, contents(200))
    return path
