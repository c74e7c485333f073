"""What a signal does, before and while a run has something to save."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.engine.machine import Interrupts

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize("number, code", CODES)
def test_a_run_that_defers_signals_remembers_the_first(number, code):
    with Interrupts() as interrupts:
        interrupts.defer()
        assert interrupts.received is None
        os.kill(os.getpid(), number)
        assert interrupts.received == number
        assert interrupts.exit_code == code


@pytest.mark.parametrize("number, code", CODES)
def test_with_nothing_to_save_it_ends_at_once_and_cleans_up(number, code):
    cleaned = []
    with pytest.raises(SystemExit) as stopped, Interrupts():
        try:
            os.kill(os.getpid(), number)
        finally:
            cleaned.append(True)
    assert stopped.value.code == code and cleaned


def test_under_torchrun_the_echo_of_a_signal_is_the_same_request():
    with Interrupts(several_processes=True) as interrupts:
        interrupts.defer()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM


@pytest.mark.parametrize("number, code", CODES)
def test_a_second_signal_ends_it_at_once(number, code):
    program = f"""
import os
from training.engine.machine import Interrupts
with Interrupts() as interrupts:
    interrupts.defer()
    os.kill(os.getpid(), {number})
    print("first", flush=True)
    try:
        os.kill(os.getpid(), {number})
    finally:
        print("cleaned up", flush=True)
"""
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (code, "first\n", "")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows closes a terminal without a signal")
def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)  # not deferred yet: it would end at once
        interrupts.defer()
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number, _ in CODES]
    with Interrupts():
        assert [signal.getsignal(number) for number, _ in CODES] != before
    assert [signal.getsignal(number) for number, _ in CODES] == before


@pytest.mark.parametrize("number, code", CODES)
def test_a_signal_that_is_lost_while_modules_are_imported_is_seen_by_the_first_step(number, code):
    """Python prints and drops what is raised in a callback, such as those of its import system."""
    with Interrupts() as interrupts:
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), number)
        interrupts.defer()
        assert (interrupts.received, interrupts.exit_code) == (number, code)
