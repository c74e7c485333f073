"""A process of its own for tools, held from outside: it starts, answers one call after another, and is stopped in time.

The process is Python and nothing else: no shell, no network. One that takes too long, or ends by itself, is replaced at
the next call.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from model.errors import SproutError

START_SECONDS = 60.0  # for loading the tools: a file may import much

_ROOT = str(Path(__file__).resolve().parents[2])
# -P: what lies in the working directory hides no module of ours.
_PROGRAM = "import json, sys; sys.path.insert(0, sys.argv[1]); from inference.tools.worker import main; "
_COMMAND = (sys.executable, "-P", "-X", "utf8", "-c", _PROGRAM + "main(**json.loads(sys.argv[2]))", _ROOT)
# Ctrl-C at the terminal is for the parent alone.
_APART = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x200}  # CREATE_NEW_PROCESS_GROUP


class Worker:
    """Runs the tools of `sources` (`loading.load`). May be used by any thread, one call at a time.

    Attributes:
        schemas: of the tools, for the chat template.

    Raises `SproutError` for tools that cannot be loaded.
    """

    def __init__(self, sources: Sequence[str], seconds: float, characters: int):
        settings = {"start_seconds": START_SECONDS, "call_seconds": seconds, "characters": characters}
        self._command = [*_COMMAND, json.dumps({"sources": list(sources)} | settings)]
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self.schemas: list[dict] = self._start()

    def call(self, name: str, arguments: dict) -> tuple[str, bool]:
        """The result of a tool as text, and whether it failed. Starts the process where there is none."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            answer = self._exchange({"name": name, "arguments": arguments}, self._seconds)
        if "error" in answer:
            return f"{name} {answer['error']}", True
        return answer["text"], answer["failed"]

    def close(self) -> None:
        """Ends the process; a later call would start another."""
        with self._lock:
            self._stop()

    def _start(self) -> list[dict]:
        self._stop()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(self._command, **pipes, **_APART)
        self._end = weakref.finalize(self, _end, self._process)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # Reading with a time limit takes a thread: there is no other way on every system.
        threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True).start()
        answer = self._exchange(None, START_SECONDS)
        if "schemas" not in answer:
            self._stop()
            raise SproutError(answer.get("refused") or f"loading the tools {answer['error']}")
        return answer["schemas"]

    def _exchange(self, request: dict | None, seconds: float) -> dict:
        """Sends a request and waits for its answer. Without one in time, the process is stopped: {"error": why}."""
        line, why = b"", "ended the process of the tools"
        try:
            if request is not None:
                self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
                self._process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            why = f"took more than {seconds:g} seconds and was stopped"
        except OSError:
            pass  # the process has ended
        finally:
            if not line.endswith(b"\n"):  # also after Ctrl-C: a late answer must not be taken for that of the next call
                self._stop()
        return json.loads(line) if line.endswith(b"\n") else {"error": why}

    def _stop(self) -> None:
        if self._process is not None:
            self._end()
            self._process = None


def _read(pipe, lines: queue.SimpleQueue) -> None:
    """Passes on each line, and an empty one at the end."""
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def _end(process: subprocess.Popen) -> None:
    """Ends a process and what it has started."""
    if process.poll() is None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    with contextlib.suppress(OSError):  # what was not sent
        process.stdin.close()
