"""What a user may start says what it is for, and the README names all of it."""

import runpy
import sys
from pathlib import Path

import pytest

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
