"""A tokenizer that takes the place of another one: what the folder holds at every moment, and after Ctrl-C."""

import os

import pytest

from model.text import replace
from model.text.replace import replace_tokenizer
from model.text.tokenizer import Tokenizer
from tests.support import make_tokenizer

TEMPLATE = "chat_template.jinja"


@pytest.fixture
def folder(tmp_path):
    """With a tokenizer that has a chat template in a file of its own."""
    make_tokenizer().save(tmp_path)
    (tmp_path / TEMPLATE).write_text("{{ messages }}")
    return tmp_path


def content_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("is_written", [False, True])
def test_ctrl_c_leaves_the_tokenizer_that_was_there(folder, monkeypatch, name, is_written):
    before, write = content_of(folder), replace.write_atomically

    def interrupted(path, *arguments):
        assert Tokenizer.load(folder), "at every moment there is one"
        if path.name != name:
            return write(path, *arguments)
        if is_written:
            write(path, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(replace, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_tokenizer(folder, make_tokenizer(("ab",)))
    assert content_of(folder) == before


def test_ctrl_c_in_an_empty_folder_leaves_no_part(tmp_path, monkeypatch):
    def interrupted(path, *arguments):
        path.write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(replace, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_tokenizer(tmp_path, make_tokenizer())
    assert not content_of(tmp_path)


def test_the_old_files_are_kept_and_temporaries_swept(folder):
    before, new = content_of(folder), make_tokenizer(("ab",))
    (folder / ".tokenizer.json.99999999.tmp").write_text("{")
    kept = replace_tokenizer(folder, new)
    after = content_of(folder)
    assert {path.name: path.read_bytes() for path in kept} == {
        "tokenizer.previous.json": before["tokenizer.json"],
        "tokenizer_config.previous.json": before["tokenizer_config.json"],
        "chat_template.previous.jinja": before[TEMPLATE],
    }
    assert after.keys() == {path.name for path in kept} | new.files.keys()
    assert Tokenizer.load(folder).fingerprint == new.fingerprint
    assert replace_tokenizer(folder, new) == [] and content_of(folder) == after


@pytest.mark.parametrize("moment", range(1, 6))
def test_a_killed_run_that_is_run_again_keeps_the_old_tokenizer(folder, monkeypatch, moment):
    """The process goes before a renaming: nothing of it tidies up."""
    before, new = content_of(folder), make_tokenizer(("ab",))
    new.files["tokenizer_config.json"] += "\n"
    rename, renamed = os.replace, []

    def killed(*paths):
        renamed.append(paths)
        if len(renamed) >= moment:
            raise KeyboardInterrupt
        rename(*paths)

    with monkeypatch.context() as dead:
        dead.setattr(os, "replace", killed)
        for module, name in (("model.disk", "_remove"), ("model.text.replace", "put_back")):
            dead.setattr(f"{module}.{name}", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            replace_tokenizer(folder, new)
    replace_tokenizer(folder, new)
    after = content_of(folder)
    assert {name: after[name.replace(".", ".previous.")] for name in before} == before
    assert {name: after[name].decode() for name in new.files} == new.files
    assert len(after) == len(before) + len(new.files)
