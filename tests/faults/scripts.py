"""Runs the scripts as a user does, in this process: a hundred failures then take seconds."""

import contextlib
import io
import runpy
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import train_pretrain

ROOT = Path(train_pretrain.__file__).parent


@dataclass(frozen=True)
class Ended:
    """How a script ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence of a script that failed: the last line of standard error, the only `error: ` there."""
        assert self.code in (1, 2), f"exit code {self.code}: {self.err}"
        lines = self.err.splitlines()
        assert self.err.endswith("\n") and [line for line in lines if "error:" in line] == lines[-1:], self.err
        assert lines[-1].startswith("error: ") and "Traceback" not in self.err
        assert lines[-1].isprintable(), repr(lines[-1])  # nothing steers the terminal
        return lines[-1].removeprefix("error: ")


def python(script: str, *arguments) -> Ended:
    """`python script arguments`; a script without .py is a module. An exception that reaches the user is raised."""
    path = ROOT / script
    words = [str(path if script.endswith(".py") else script), *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as around:
        around.enter_context(mock.patch.object(sys, "argv", words))
        around.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        around.enter_context(contextlib.redirect_stdout(out))
        around.enter_context(contextlib.redirect_stderr(err))
        around.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "'.*' found in sys.modules", RuntimeWarning)  # runpy's
        try:
            if script.endswith(".py"):
                runpy.run_path(str(path), run_name="__main__")
            else:
                runpy.run_module(script, run_name="__main__", alter_sys=True)
        except SystemExit as stopped:
            return Ended(stopped.code or 0, out.getvalue(), err.getvalue())
    return Ended(0, out.getvalue(), err.getvalue())
