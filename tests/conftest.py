"""Fixtures of all tests."""

import signal
from pathlib import Path

import hypothesis
import pytest
import torch

from dataset.sample import files
from model.text.tokenizer import Tokenizer
from tests.stages.workshop import Workshop
from tests.support import make_tokenizer
from training.engine.machine import EXIT_CODES

# The same examples every time, so that a test fails by what was changed and never by chance. New ones are searched for
# by `pytest --hypothesis-profile random`. No test here is about speed, and a busy machine is no failure.
patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("same", patient, derandomize=True, database=None)
hypothesis.settings.register_profile("random", patient, derandomize=False, max_examples=500)
hypothesis.settings.load_profile("same")


# What takes long, by measurement: runs of whole stages, kills, a sample world, other people's tools. The rest answers
# within 90 seconds on two cores (`pytest -m "not slow"`). Neither is a soak of kills at random moments:
# `python -m tests.faults.kills --soak 200`.
SLOW = """
dataset/test_sample dataset/cache/test_token_cache model/files/test_checkpoint model/files/test_hf_import
training/diagnosis/test_diagnosis training/engine/test_iteration training/engine/test_interrupts
training/stages/test_data.py stages/ faults/ scripts/ test_documentation test_course
""".split()
QUICK = """
stages/test_train_pretrain.py stages/test_train_full_sft stages/test_train_lora
faults/test_report faults/test_skipping faults/test_hostile_weights scripts/test_diagnose scripts/test_score
""".split()


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="what the runs of stages compute on; a GPU --deterministic")


def pytest_configure(config):
    Workshop.device = config.getoption("--device")


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        if name.startswith(tuple(SLOW)) and not name.startswith(tuple(QUICK)):
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are slower on many threads, and the order of sums is the same on every machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def logs_of_torchrun(tmp_path_factory):
    """torchrun makes a folder for each start and never removes it, in the folder for temporary files unless told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PET_LOG_DIR", str(tmp_path_factory.mktemp("torchrun")))
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard():
    """A shell turns Ctrl-C off in what it runs behind, and what begins so leaves it off."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """A run that ends on a signal ignores all further ones, and a process of the next test would inherit that."""
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def few_samples(monkeypatch):
    """Of the sample data only texts and conversations, two thousand of each: to make and read all takes seconds."""
    few = {name: lambda world, make=files.FILES[name]: list(make(world))[:2000] for name in ("pretrain", "sft")}
    monkeypatch.setattr(files, "FILES", few)


@pytest.fixture(scope="session")
def small_tokenizer() -> Tokenizer:
    return make_tokenizer()
