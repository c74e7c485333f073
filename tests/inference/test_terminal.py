"""How the words of a network are shown: as they are in a file, harmless and with dim thoughts in a terminal."""

import subprocess
import sys

import pytest

from inference.terminal import DIM, PLAIN, Screen
from tests.stages.workshop import ROOT


@pytest.fixture
def shown(capsys, monkeypatch):
    """What a screen shows of some pieces."""

    def show(pieces, terminal: bool, **environment: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout.isatty", lambda: terminal)
            for name in ("TERM", "NO_COLOR"):
                patch.setenv(name, environment.get(name, ""))
            screen = Screen()
            for piece, thought in pieces:
                screen.show(piece, thought)
            screen.end()
        return capsys.readouterr().out

    return show


PIECES = [("3 <", True), (" 4\n", True), ("so", True), ("Yes", False), (".\n", False)]


def test_thoughts_are_dim_or_their_lines_say_what_they_are(shown):
    dim = f"{DIM}3 < 4\nso{PLAIN}\nYes.\n\n"
    assert shown(PIECES, terminal=True, TERM="xterm") == dim
    plain = "thinking: 3 < 4\nthinking: so\nYes.\n\n"
    for environment in ({"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}, {}):
        assert shown(PIECES, terminal=True, **environment) == plain
    assert shown(PIECES, terminal=False, TERM="xterm") == plain


def test_control_characters_reach_files_but_no_terminal(shown):
    text = "a\tb\n\x1b]0;title\x07\x1b[2J\r\x9b 中文 é"
    assert shown([(text, False)], terminal=False, TERM="xterm") == text + "\n"
    assert (
        shown([(text, False)], terminal=True, TERM="dumb") == "a\tb\n\ufffd]0;title\ufffd\ufffd[2J\ufffd\ufffd 中文 é\n"
    )


def test_thoughts_that_end_nowhere_do_not_dim_what_follows(shown):
    assert shown([("hm", True)], terminal=True, TERM="xterm") == f"{DIM}hm{PLAIN}\n"
    assert shown([("hm", True)], terminal=False) == "thinking: hm\n"


def test_a_pipe_and_a_file_are_read_and_a_device_is_not(tmp_path):
    (tmp_path / "lines.txt").write_text("a")
    command = [sys.executable, "-c", "from inference.terminal import is_piped_in; print(is_piped_in())"]
    with open(tmp_path / "lines.txt") as file:
        for stdin, piped in ((subprocess.PIPE, "True"), (file, "True"), (subprocess.DEVNULL, "False")):
            process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            assert process.communicate()[0].strip() == piped
