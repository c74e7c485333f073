"""Fixtures of all tests."""

import signal
from pathlib import Path

import hypothesis
import pytest
import torch

from model.text.tokenizer import Tokenizer
from tests.support import make_tokenizer
from training.engine.machine import EXIT_CODES

# No test here is about speed, and a busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


# Whole stages, kills, real tools and the like, by measurement: the rest answers within 90 seconds on two cores
# (`pytest -m "not slow"`). Neither runs the kills of random seeds: `python -m tests.faults.kills --soak 200`.
SLOW = (
    *("stages/", "faults/", "scripts/", "test_documentation.py"),
    *(
        "dataset/cache/test_token_cache.py",
        "dataset/test_rendering.py",
        "dataset/test_sample",
        "dataset/test_preview.py",
    ),
    *("model/files/", "model/text/test_tokenizer.py", "training/stages/test_data"),
    *(
        "training/diagnosis/test_diagnosis.py",
        "training/engine/test_iteration.py",
        "training/losses/test_preference_oracle",
    ),
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker("slow")


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
