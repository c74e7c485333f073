"""A command whose reader has gone, as under `| head -1`: it ends in peace, and what it was to write is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = """
import sys
from dataset.command_line import run_main
from dataset.unheard import to_its_end

def main():
    for number in range(3):
        print(number)
    open(sys.argv[1], "w").close()

run_main(to_its_end(main) if sys.argv[2] == "writes" else main)
"""


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("kind", ["writes", "prints"])
def test_a_reader_that_has_gone(kind, buffered, tmp_path):
    written, (reader, writer) = tmp_path / "written", os.pipe()
    os.close(reader)
    words = [sys.executable, *([] if buffered else ["-u"]), "-c", COMMAND, str(written), kind]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert written.exists() == (kind == "writes" or buffered)
