"""`eval_model.py` on a file of conversations with the talker (`tests/stages/talker.py`)."""

import json
from pathlib import Path

import eval_model
from tests.stages.talker import ENDLESS, turns


def run(capsys, out, path: Path, *flags) -> tuple[str, str]:
    """Standard output and standard error of scoring a file."""
    eval_model.main(["--model_mode", "1", "--out_dir", str(out), "--data_path", str(path), *map(str, flags)])
    return capsys.readouterr()


def write(path: Path, *records) -> Path:
    lines = (record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def record(messages, skill=None, language=None) -> dict:
    return {"conversations": messages, "skill": skill, "language": language}


# Every learned conversation, some asked with another answer, and one that the network never ends.
WRONG = (
    (turns("Capital of France?", "Lyon."), "capital", "en"),
    (turns("I am Bo.", "Hello!", "Who am I?", "You are Cy."), "memory", "en"),
    (ENDLESS, "endless", None),
    (turns("Who am I?", "No idea. None."), None, None),
)
