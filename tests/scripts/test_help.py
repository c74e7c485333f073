"""What a user may start says what it is for, and the README names all of it."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import eval_model
import train_dpo

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *(ROOT / "scripts").rglob("*.py")))
SCRIPTS = [str(path) for path in SCRIPTS if path.name != "__init__.py"]
MODULES = ["dataset.preview", "dataset.sample", "dataset.sample.manners"]


@pytest.mark.parametrize("name", [*SCRIPTS, *MODULES])
def test_it_answers_when_asked_for_help(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    try:
        if name in MODULES:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / name), run_name="__main__")
    except SystemExit as end:
        assert not end.code
    output, errors = capsys.readouterr()
    assert len(output.split()) > 8 and not errors
    assert "shared/" not in output


def test_the_readme_names_every_script_in_both_languages():
    for page in ("README.md", "README_zh.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        missing = [name for name in SCRIPTS if name.count("/") < 2 and f"`{name}`" not in text]
        missing += [name for name in MODULES if f"python -m {name}`" not in text]
        assert not missing, page


def test_no_page_sends_a_user_to_files_that_only_developers_have():
    pages = [ROOT / "README.md", ROOT / "README_zh.md", *(ROOT / "docs").glob("*.md")]
    code = [
        path
        for folder in ("dataset", "inference", "model", "scripts", "training")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for path in (*pages, *code, *ROOT.glob("*.py")):
        assert "../shared" not in path.read_text(encoding="utf-8"), path


def test_help_says_how_a_switch_is_turned_off(capsys):
    for parse, flag in (
        (train_dpo.parse_arguments, "--no_tie_word_embeddings"),
        (eval_model.parse_arguments, "--no_think"),
    ):
        with pytest.raises(SystemExit):
            parse(["--help"])
        assert f"; or {flag}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("script", sorted(ROOT.glob("train_*.py")), ids=lambda path: path.stem)
def test_a_stage_says_in_which_mode_its_network_chats(script):
    """Without --model_mode a network goes on with texts, whatever it has learned."""
    commands = re.findall(r"`(python eval_model\.py[^`]*)`", script.read_text(encoding="utf-8"))
    assert all("--model_mode" in command for command in commands)
