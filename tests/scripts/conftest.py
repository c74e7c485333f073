"""Fixtures of the tests of scripts."""

import pytest

from tests.faults.scripts import python
from training.report.going_on import in_words


@pytest.fixture
def in_this_process(monkeypatch):
    """The commands that a script starts are run in this process: one of its own takes four seconds to import."""

    def call(command: tuple[str, ...], capture: bool = False) -> str:
        print(in_words(["python", *command]))
        ended = python(*(command[1:] if command[0] == "-m" else command))
        assert ended.code == 0, ended.err
        if not capture:
            print(ended.out)
        return ended.out

    monkeypatch.setattr("scripts.quickstart.call", call)
    monkeypatch.setattr("scripts.quickstart_way.call", call)
