"""How the words of a network are shown: as they are in a file, harmless and with dim thoughts in a terminal."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.terminal import DIM, PLAIN, Screen


@pytest.fixture
def shown(capsys, monkeypatch):
    """What a screen shows of some pieces."""

    def show(pieces, terminal: bool, **environment: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout.isatty", lambda: terminal)
            for name in ("TERM", "NO_COLOR"):
                patch.setenv(name, environment.get(name, ""))
            screen = Screen()
            for piece in pieces:
                screen.show(piece)
            screen.end()
        return capsys.readouterr().out

    return show


THOUGHT = "1 < 2 <think>\nwhy </thin <b>\n</think> yes <thi"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(THOUGHT)), max_size=12))
def test_thoughts_are_dim_wherever_the_pieces_end(shown, cuts):
    places = [0, *sorted(cuts), len(THOUGHT)]
    pieces = [THOUGHT[a:b] for a, b in itertools.pairwise(places)]
    dim = f"1 < 2 {DIM}<think>\nwhy </thin <b>\n</think>{PLAIN} yes <thi{PLAIN}\n"
    assert shown(pieces, terminal=True, TERM="xterm") == dim
    for plain in ({"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}, {}):
        assert shown(pieces, terminal=True, **plain) == THOUGHT + "\n"
    assert shown(pieces, terminal=False, TERM="xterm") == THOUGHT + "\n"


def test_control_characters_reach_files_but_no_terminal(shown):
    text = "a\tb\n\x1b]0;title\x07\x1b[2J\r\x9b 中文 é"
    assert shown([text], terminal=False, TERM="xterm") == text + "\n"
    assert shown([text], terminal=True, TERM="dumb") == "a\tb\n\ufffd]0;title\ufffd\ufffd[2J\ufffd\ufffd 中文 é\n"


def test_thoughts_that_end_nowhere_do_not_dim_what_follows(shown):
    assert shown(["<think>", "hm <"], terminal=True, TERM="xterm") == f"{DIM}<think>hm <{PLAIN}\n"
