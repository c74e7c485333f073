"""Folders of adapters for peft: it opens ours, and we open its own, or say what we cannot compute."""

import json
import math
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.errors import SproutError
from model.files.adapters import open_lora
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.files.peft import CONFIG, WEIGHTS, write_peft_folder
from model.fingerprint import fingerprint
from tests.model.small_lora import NETWORKS, SMALL, TOKENS, adapted, logits
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(params=NETWORKS, name="model")
def network(request):
    return random_network(NETWORKS[request.param])


@pytest.fixture
def peft():
    return pytest.importorskip("peft", reason="peft is not installed (pip install -e '.[test]')")


def test_peft_opens_ours(model, tmp_path, small_tokenizer, peft):
    transformers = pytest.importorskip("transformers")
    expected = logits(adapted(model, rank=3, alpha=7.5))[1]
    export_folder(tmp_path / "hf", model, small_tokenizer)  # without its adapters
    write_peft_folder(tmp_path / "peft", model, str(tmp_path / "hf"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "peft").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(TOKENS[1:]).logits[0], expected, rtol=0, atol=1e-5)
    again = load_model(tmp_path / "hf").model
    open_lora(tmp_path / "peft").attach(again)
    assert torch.equal(logits(again)[1], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["v_proj", "q_proj"], "use_rslora": True, "lora_dropout": 0.1},
        {"target_modules": r".*mlp\.(up|down)_proj"},
        {"target_modules": ["v_proj", "q_proj"], "layers_to_transform": [1]},
        {"target_modules": r".*(0.self_attn.q|1.mlp.up)_proj"},
    ],
    ids=["all", "rslora", "pattern", "one layer", "another in each layer"],
)
def test_we_open_what_peft_trained(model, tmp_path, small_tokenizer, peft, settings):
    transformers = pytest.importorskip("transformers")
    export_folder(tmp_path / "hf", model, small_tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=10, task_type="CAUSAL_LM", init_lora_weights=False, **settings)
    theirs = peft.get_peft_model(theirs, config).eval()
    theirs.save_pretrained(tmp_path / "peft")
    if settings["target_modules"] == "all-linear":  # as some save a network inside a wrapper
        weights = load_file(tmp_path / "peft" / WEIGHTS)
        weights = {f"module._orig_mod.{name}": tensor for name, tensor in weights.items()}
        save_file(weights, tmp_path / "peft" / WEIGHTS)
    opened = open_lora(tmp_path / "peft")
    opened.attach(model.eval())
    assert opened.lora.base_path == str(tmp_path / "hf")
    assert opened.lora.dropout == settings.get("lora_dropout", 0)
    assert set(opened.lora.targets) == {name.split(".")[-3] for name in opened.weights}
    with torch.no_grad():
        expected = theirs(TOKENS[1:]).logits[0]
    torch.testing.assert_close(logits(model)[1], expected, rtol=0, atol=1e-5)
    assert (expected - logits(random_network(model.config))[1]).abs().max() > 1e-3


def test_what_peft_can_do_and_we_cannot_is_refused(tmp_path):
    model, folder = adapted(random_network(SMALL)), tmp_path / "peft"
    write_peft_folder(folder, model)
    settings, weights = json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS)
    for change, words in (
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 0}, "r 0"),
        ({"r": 2.5}, "r 2.5"),
        ({"r": True}, "r True"),
        ({"lora_alpha": "x"}, "lora_alpha 'x'"),
        ({"lora_alpha": 0}, "lora_alpha 0"),
        ({"lora_alpha": math.inf}, "lora_alpha inf"),
        ({"lora_dropout": 1.0}, "lora_dropout 1.0"),
    ):
        (folder / CONFIG).write_text(json.dumps(settings | change))
        with pytest.raises(SproutError, match=words):
            open_lora(folder)
    for content, words in (("[" * 100_000, "cannot be read"), ("[]", "its peft_type is None")):
        (folder / CONFIG).write_text(content)
        with pytest.raises(SproutError, match=words):
            open_lora(folder)
    (folder / CONFIG).write_text(json.dumps(settings))
    for name, words in (
        ("base_model.model.lm_head.weight", "lm_head.weight, which is not an adapter"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "holds model.layers.0.*, which is not an adapter"),
        ("base_model.model.lm_head.lora_A.weight", "adapts lm_head: Sprout has adapters on q_proj"),
    ):
        save_file(weights | {name: torch.ones(2)}, folder / WEIGHTS)
        with pytest.raises(SproutError, match=words):
            open_lora(folder)
    first = next(name for name in weights if ".layers.1." in name)
    save_file({name: tensor for name, tensor in weights.items() if name != first}, folder / WEIGHTS)
    with pytest.raises(SproutError, match="is missing"):
        open_lora(folder).attach(random_network(SMALL))
    (folder / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(SproutError, match="is damaged"):
        open_lora(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(SproutError, match=r"holds notes.txt, which no export writes"):
        write_peft_folder(folder, model)


# Settings of peft that are read, and those that change nothing of what its plain adapters compute.
READ = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "base_model_name_or_path"}
IDLE = {"task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "megatron_core", "qalora_group_size"}
IDLE |= {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern"}  # the weights say where they are
IDLE |= {"ensure_weight_tying"}  # of embeddings with adapters


def test_every_other_setting_of_peft_is_refused(tmp_path, peft):
    folder = tmp_path / "peft"
    write_peft_folder(folder, adapted(random_network(SMALL)))
    settings, others = json.loads((folder / CONFIG).read_text()), peft.LoraConfig().to_dict().keys() - READ - IDLE
    assert {"use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "bias"} < others
    read_all_the_same = []
    for name in sorted(others):
        (folder / CONFIG).write_text(json.dumps(settings | {name: "another"}))
        try:
            open_lora(folder)
        except SproutError as error:
            assert f"has {name} 'another', which Sprout cannot compute" in str(error)
        else:
            read_all_the_same.append(name)
    assert not read_all_the_same, (
        f"peft {peft.__version__} has new settings, which a folder may hold and Sprout does not look at: put each into"
        " _OFF or _PLAIN of model/files/peft.py if it changes what adapters compute, else into IDLE above"
    )


def test_absent_settings_are_those_of_peft(tmp_path, peft):
    folder, usual = tmp_path / "peft", peft.LoraConfig()
    write_peft_folder(folder, adapted(random_network(SMALL), targets=("q_proj",), dropout=0.1))
    settings = json.loads((folder / CONFIG).read_text())
    assert (settings["target_modules"], settings["lora_dropout"]) == (["q_proj"], 0.1)
    for name in ("r", "lora_alpha", "lora_dropout"):
        del settings[name]
    (folder / CONFIG).write_text(json.dumps(settings))
    opened = open_lora(folder).lora
    assert (opened.rank, opened.alpha, opened.dropout) == (usual.r, usual.lora_alpha, usual.lora_dropout)
    for path in (None, "", 5):  # as of a network that has no place
        (folder / CONFIG).write_text(json.dumps(settings | {"base_model_name_or_path": path}))
        assert open_lora(folder).lora.base_path is None


def test_an_export_replaces_an_earlier_one_whole_and_no_adapters_of_others(tmp_path, small_tokenizer, monkeypatch):
    model, folder = adapted(random_network(SMALL)), tmp_path / "peft"
    assert {*write_peft_folder(folder, model, tokenizer=small_tokenizer)} == {*folder.iterdir()}
    (folder / f".{CONFIG}.99999999.tmp").touch()  # of an export that was killed
    assert {*write_peft_folder(folder, model)} == {*folder.iterdir()}
    assert open_lora(folder).lora.base == fingerprint(model)
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS}
    with monkeypatch.context() as patch, pytest.raises(OSError):  # as on a full disk
        patch.setattr("model.files.peft.write_atomically", lambda *_: open(tmp_path))
        write_peft_folder(folder, model)
    assert not (folder / CONFIG).exists()  # half an export is none
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, metadata={"format": "pt"})  # as peft itself writes it
    with pytest.raises(SproutError, match="not an earlier export of Sprout"):
        write_peft_folder(folder, model)
