"""Fixtures of all tests."""

import signal

import hypothesis
import pytest
import torch

from model.text.tokenizer import Tokenizer
from tests.support import make_tokenizer
from training.engine.interrupts import EXIT_CODES

# No test here is about speed, and a busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are slower on many threads, and the order of sums is the same on every machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """A run that ends on a signal ignores all further ones, and a process of the next test would inherit that."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return make_tokenizer()
