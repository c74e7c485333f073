"""Texts for a base model begin with BOS, however the network came here."""

from types import SimpleNamespace

import pytest

from inference.server.exchange import completion_prompts
from inference.server.shelf import serve
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from scripts.export_hf import main as export_hf
from tests.inference.server.conftest import CPU, save_network


def begins_with_bos(source) -> bool:
    served = serve("served", load_model(source), CPU, "auto", 512)
    (prompt,) = completion_prompts(served, SimpleNamespace(prompts=["ab"], echo=False, top=None))
    return prompt.ids == [served.tokenizer.bos_id, *served.tokenizer.encode("ab")]


@pytest.mark.parametrize(
    ("stage", "facts", "expected"),
    [
        ("pretrain", {}, True),
        ("distill", {"trained_on": "texts"}, True),
        ("distill", {"trained_on": "chats"}, False),
        ("full_sft", {}, False),
    ],
)
def test_here_and_from_the_folder_that_it_is_exported_to(stage, facts, expected, tmp_path):
    save_network(tmp_path / "a.pth", 0, stage)
    loaded = load_model(tmp_path / "a.pth")
    save_weights(tmp_path / "a.pth", loaded.model, loaded.tokenizer, stage=stage, facts=facts)
    export_hf(["--weight_path", str(tmp_path / "a.pth"), "--save_dir", str(tmp_path / "hf")])
    assert begins_with_bos(tmp_path / "a.pth") is begins_with_bos(tmp_path / "hf") is expected
