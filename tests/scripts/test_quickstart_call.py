"""What scripts/quickstart.py calls: as one would type it, and a signal reaches it once."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scripts.quickstart_way import call
from tests.faults.scripts import ROOT
from tests.scripts.test_quickstart import python
from tests.support import wait_until


def test_commands_are_printed_as_one_would_type_them(capfd):
    assert call(python("print('a  b')"), capture=True) == "a  b\n"
    assert "python -c 'print('\"'\"'a  b'\"'\"')'" in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_stage_once_which_ends_by_itself(tmp_path, number):
    """The stage counts signals and takes a second to save; ours waits for it."""
    inner = (
        "import signal, time, sys\n"
        "seen = []\n"
        "for each in (signal.SIGINT, signal.SIGTERM): signal.signal(each, lambda n, f: seen.append(n))\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        f"open({str(tmp_path / 'saved')!r}, 'w').write(str(len(seen)))\n"
        "sys.exit(128 + seen[0])\n"
    )
    outer = f"from scripts.quickstart_way import call; call(('-c', {inner!r}))"
    process = subprocess.Popen([sys.executable, "-c", outer], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_until((tmp_path / "ready").exists)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (tmp_path / "saved").read_text() == "1"
    assert said.splitlines()[-1].startswith(f"stopped; go on with: {sys.executable} -c ")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows closes a terminal without a signal")
def test_a_signal_that_nohup_ignores_ends_no_stage():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ours = f"import os, signal; os.kill({os.getpid()}, signal.SIGHUP); os.kill(os.getpid(), signal.SIGHUP); print(1)"
    assert call(python(ours), capture=True) == "1\n"


def test_a_signal_that_comes_while_a_stage_begins_reaches_it(monkeypatch):
    begun, begin = [], subprocess.Popen

    def interrupted(*words, **named):
        begun.append(begin(*words, **named))
        signal.raise_signal(signal.SIGINT)
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt), match="130"):
            call(python("import time; time.sleep(60)"))
        assert begun[0].returncode in (-signal.SIGINT, 1, 130)
    finally:
        for process in begun:
            process.kill()


def test_a_signal_that_comes_when_a_stage_has_just_begun_reaches_it_once(monkeypatch):
    """Between two lines of `call`: that by which it has the process, and that which sends on what came before."""
    sent = []
    process = SimpleNamespace(send_signal=sent.append, communicate=lambda: ("", None), returncode=130)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: process)

    def trace(frame, event, argument):
        if frame.f_code is call.__code__ and frame.f_locals.get("process") is process and not sent:
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(SystemExit, match="130"):
            call(python("pass"))
    finally:
        sys.settrace(before)
    assert sent == [signal.SIGINT]
