"""Fixtures of all tests."""

import hypothesis
import pytest
import torch

from model.tokenizer import Tokenizer
from tests.support import make_tokenizer

# No test here is about speed, and a busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are slower on many threads, and the order of sums is the same on every machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return make_tokenizer()
