"""A command that a message proposes can be pasted where the user stands."""

import errno
import os
import shlex
import subprocess
import sys

import pytest

from training.report.going_on import GO_ON, ROOT, cannot_append, command_of

SAYS = """
import sys
from training.report.going_on import command_to_go_on
if "--resume" not in sys.argv:
    print(command_to_go_on("--resume"))
else:
    print(sys.argv[1:])
"""


def said_by(command, folder, **environment) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_command_goes_on_as_it_was_typed_with_blanks_and_quotes(tmp_path):
    (tmp_path / "a b").mkdir()
    script, flags = os.path.join("a b", "it's.py"), ["--data_path", "my texts.jsonl", "$HOME", '"']
    (tmp_path / script).write_text(SAYS)
    line = said_by([sys.executable, script, *flags], tmp_path)
    assert shlex.split(line) == [sys.executable, script, *flags, "--resume"]
    assert said_by(["sh", "-c", line], tmp_path) == f"{[*flags, '--resume']}\n"
    whole = said_by([sys.executable, script], tmp_path, **{GO_ON: "python quickstart.py --out_dir 'a b'"})
    assert whole == "python quickstart.py --out_dir 'a b'\n"
    torchrun = said_by([sys.executable, script], tmp_path, TORCHELASTIC_RUN_ID="none", LOCAL_WORLD_SIZE="2")
    assert shlex.split(torchrun) == ["torchrun", "--nproc_per_node", "2", script, "--resume"]


def test_a_script_is_named_so_that_it_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert command_of("eval_model.py", "--out_dir", "a b") == "python eval_model.py --out_dir 'a b'"
    monkeypatch.chdir(tmp_path)
    assert command_of("eval_model.py") == f"python {shlex.quote(str(ROOT / 'eval_model.py'))}"


@pytest.mark.parametrize("number, advice", [(errno.ENOSPC, "make room"), (errno.EACCES, "allow writing there")])
def test_a_file_that_cannot_grow_says_what_helps(number, advice, tmp_path):
    said = str(cannot_append(tmp_path / "metrics.jsonl", OSError(number, "why")))
    assert f"the last checkpoint is intact; {advice}, and go on with: " in said
