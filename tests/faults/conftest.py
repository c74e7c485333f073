"""A folder with good files of every kind, beside which bad ones are put."""

import shutil
from pathlib import Path

import pytest

from model.files.hf_export import export_folder
from model.files.loading import load_model
from tests.stages.workshop import Workshop


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Texts, chats, a tokenizer, and a weight as a file and as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("faults")
    Workshop.create(folder)
    loaded = load_model(folder / "start.pth")
    export_folder(folder / "hf", loaded.model, loaded.tokenizer)
    return folder


@pytest.fixture
def hf(folder, tmp_path) -> Path:
    """A copy of the Hugging Face folder, to be spoilt."""
    return Path(shutil.copytree(folder / "hf", tmp_path / "hf"))
