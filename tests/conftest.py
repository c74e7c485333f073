"""Fixtures of all tests."""

import pytest
import torch

from model.tokenizer import Tokenizer
from tests.support import make_tokenizer


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are slower on many threads, and the order of sums is the same on every machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return make_tokenizer()
