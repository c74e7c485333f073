"""The walls of the house: imports run downwards and in no circle, a room holds one idea, a stage loads what it uses."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stages.workshop import write_texts

ROOT = Path(__file__).parent.parent
LAYERS = ("model", "dataset", "inference", "training", "scripts")  # each imports only those before it, and itself
PARTS = {  # of the layers with an order of their own, from below
    "model": ("text", "files"),
    "dataset": ("records", "rendering", "cache", "rows", "prepare"),
    "training": ("losses", "rewards", "report", "diagnosis", "page", "watch", "engine", "stages"),
}
SOURCES = sorted([*ROOT.glob("*.py"), *(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))])
MOST_LINES, MOST_FILES_LOADED, MOST_LINES_LOADED = 350, 55, 6000
EXCEPTION = ("train_lora", "train_full_sft")  # the same stage, with adapters

# Runs a script, then prints which of our files are loaded.
LOADED = """
import json, os, runpy, sys
root, script = os.getcwd(), sys.argv[1]
sys.path.insert(0, root)
sys.argv = sys.argv[1:]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
files = {module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
ours = [os.path.relpath(file, root) for file in files if file.startswith(root + os.sep) and "site-packages" not in file]
print(json.dumps({"files": sorted({script, *ours}), "torch": "torch" in sys.modules}))
"""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in SOURCES}


def imports_of(path: Path, at_import: bool) -> set[str]:
    """The modules of ours that a file imports: at its top only, or in its functions as well."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), set()
    for node in tree.body if at_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used here"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in NAMES else node.module for name in whole}
    return found & NAMES.keys() - {name_of(path)}


def height(name: str) -> int:
    layer = name.split(".")[0]
    return LAYERS.index(layer) if layer in LAYERS else len(LAYERS)


def test_no_import_runs_upwards():
    wrong = []
    for name, path in NAMES.items():
        for other in imports_of(path, at_import=False):
            layer, *rest = name.split(".")
            parts, inside = PARTS.get(layer, ()), other.split(".")
            if height(other) > height(name):
                wrong.append(f"{name} imports {other}")
            elif inside[0] == layer and rest and rest[0] in parts and len(inside) > 1 and inside[1] in parts:
                if parts.index(inside[1]) > parts.index(rest[0]):
                    wrong.append(f"{name} imports {other}")
    assert not wrong


def test_nothing_imports_a_stage_script():
    stages = {name for name in NAMES if "." not in name and name not in LAYERS}
    found = {(name, other) for name, path in NAMES.items() for other in imports_of(path, False) & stages}
    assert found == {EXCEPTION}


def test_no_import_runs_in_a_circle():
    needs = {name: imports_of(path, at_import=False) for name, path in NAMES.items()}
    while free := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in free:
            del needs[name]
    assert not needs


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_holds_one_idea(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    body = ast.parse(text).body
    assert ast.get_docstring(ast.parse(text)), "it begins by saying what it is"
    if path.name == "__init__.py":
        assert len(body) == 1, "a folder's __init__ says what lives there, and does nothing"


def loaded_by(*words: str) -> dict:
    result = subprocess.run([sys.executable, "-c", LOADED, *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_pretraining_loads_what_it_uses(tmp_path):
    texts = write_texts(tmp_path / "a.jsonl", 60, seed=1)
    shape = "--hidden_size=32 --num_hidden_layers=1 --num_attention_heads=2 --num_key_value_heads=1 --device=cpu"
    words = (
        f"--data_path={texts} --out_dir={tmp_path} --max_steps=2 --batch_size=2 --accumulation_steps=1 --max_seq_len=64"
    )
    found = loaded_by("train_pretrain.py", *words.split(), *shape.split())
    sizes = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in found["files"]}
    listed = "\n".join(f"{lines:5} {file}" for file, lines in sizes.items())
    assert len(sizes) <= MOST_FILES_LOADED and sum(sizes.values()) <= MOST_LINES_LOADED, (
        f"{listed}\n{sum(sizes.values())}"
    )
    strangers = re.compile(r"sample|conversations|preferences|scored|rendering|chats|pairs|lora|hf_|^inference")
    assert not [file for file in sizes if strangers.search(file)]


SCRIPTS = [path.relative_to(ROOT).as_posix() for path in SOURCES if "    run_main(" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("script", [one for one in SCRIPTS if not one.startswith("dataset/")])
def test_help_answers_without_torch(script):
    assert not loaded_by(script, "--help")["torch"]
