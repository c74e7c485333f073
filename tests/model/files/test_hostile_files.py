"""Files that are not what they should be are refused in a sentence that names them, whatever is in them."""

import json
from collections import OrderedDict

import pytest
import torch

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.checkpoint import save_checkpoint, save_weights
from model.files.hf_export import export_folder
from model.files.hf_import import import_folder
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.text.chat_template import template_of
from model.text.tokenizer import Tokenizer
from tests.support import random_network

SMALL = TransformerConfig(
    vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=1, max_position_embeddings=256
)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.fixture
def folder(tmp_path, small_tokenizer):
    export_folder(tmp_path / "hf", random_network(SMALL), small_tokenizer)
    return tmp_path / "hf"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(added_tokens=None),
        lambda c: c.update(added_tokens={"a": 1}),
        lambda c: c.update(added_tokens=["<s>"]),
        lambda c: c["added_tokens"][0].pop("special"),
        lambda c: c["added_tokens"][0].pop("id"),
        lambda c: c["added_tokens"][0].update(content=None),
        lambda c: c["added_tokens"][0].update(content=""),
        lambda c: c.update(decoder="x"),
        lambda c: c.update(decoder={"type": "Sequence", "decoders": [3]}),
        lambda c: c.update(model=None),
        lambda c: (c["model"].update(vocab={}, merges=[]), c.update(added_tokens=[])),
    ],
)
def test_tokenizer_json(small_tokenizer, change):
    content = json.loads(small_tokenizer.files["tokenizer.json"])
    change(content)
    with pytest.raises(SproutError, match=r"tokenizer\.json cannot be used"):
        Tokenizer.from_files({**small_tokenizer.files, "tokenizer.json": json.dumps(content)})


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("text", ["[]", "3", "{", "[" * 100_000])
def test_files_of_a_tokenizer_that_are_no_json_object(small_tokenizer, name, text):
    files = {"tokenizer.json": small_tokenizer.files["tokenizer.json"], name: text}
    with pytest.raises(SproutError, match=r"is not (a )?JSON"):
        Tokenizer.from_files(files)


@pytest.mark.parametrize("token", [["a"], 3, {"content": ["a"]}, {"content": None}, "<nowhere>"])
def test_a_token_that_tokenizer_config_json_declares(small_tokenizer, token):
    files = {**small_tokenizer.files, "tokenizer_config.json": json.dumps({"eos_token": token})}
    with pytest.raises(SproutError, match="eos_token is .* not in its tokenizer.json"):
        Tokenizer.from_files(files)


@pytest.mark.parametrize("template", [3, {"a": 1}, [{"name": "default", "template": 3}]])
def test_a_chat_template_that_is_no_text(small_tokenizer, template):
    settings = {"eos_token": "<|im_end|>", "chat_template": template}
    tokenizer = Tokenizer.from_files({**small_tokenizer.files, "tokenizer_config.json": json.dumps(settings)})
    with pytest.raises(SproutError, match="chat_template .* is not a text"):
        template_of(tokenizer)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_scaling": "yarn"}, "rope_scaling is 'yarn', but must be an object"),
        ({"rope_scaling": None, "rope_parameters": [1]}, "rope_parameters is"),
        ({"rope_theta": "x"}, "rope_theta is 'x', but must be a finite number above 0"),
        ({"rope_theta": 10**400}, "rope_theta"),
        ({"rope_scaling": YARN, "rope_theta": 1}, "rope_theta is 1.0"),
        ({"rope_scaling": YARN | {"original_max_position_embeddings": 0}}, "original_max_position_embeddings is 0"),
        ({"rope_scaling": {"rope_type": "yarn"}, "max_position_embeddings": "x"}, "max_position_embeddings is 'x'"),
        ({"rope_scaling": YARN | {"factor": float("inf")}}, "factor is inf"),
        ({"rope_scaling": YARN | {"factor": 0.5}}, "factor of at least 1"),
        ({"rope_scaling": YARN | {"beta_fast": "32"}}, "beta_fast is '32'"),
        ({"rope_scaling": {"rope_type": ["yarn"]}}, "type"),
        ({"layer_types": 3}, "layer_types is 3, but must be a list"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps is '1e-5'"),
        ({"rms_norm_eps": None}, "rms_norm_eps is None"),
        ({"head_dim": "8"}, "head"),
        ({"num_key_value_heads": [2]}, r"num_key_value_heads is \[2\]"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no', but must be true or false"),
        ({"model_type": ["llama"]}, "model_type"),
    ],
)
def test_config_json(folder, changes, words):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))
    with pytest.raises(SproutError, match=words) as error:
        import_folder(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("weight_map", [[1], {"a": 3}, None, "model.safetensors"])
def test_an_index_of_weights(folder, weight_map):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(SproutError, match=r"index\.json has no weight_map"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *((lambda c, key=key: c.pop(key), f"its {key} is") for key in ("config", "tokenizer", "version", "stage")),
        (lambda c: c.update(version="1"), "its version is"),
        (lambda c: c.update(model=[]), "its model is"),
        (lambda c: c.update(model={3: torch.zeros(2)}), "its model is"),
        (lambda c: c.update(tokenizer={}), "its tokenizer is"),
        (lambda c: c["tokenizer"].update(files={"tokenizer.json": 3}), "its tokenizer is"),
        (lambda c: c["tokenizer"]["files"].update({"tokenizer.json": "{"}), "is not JSON"),
        (lambda c: c["config"].update({3: 4}), "unknown configuration keys 3"),
        (lambda c: c["config"].update(head_dim="8"), "each attention head has '8' dimensions"),
        (lambda c: c["config"].update(rope_scaling="yarn"), "rope_scaling yarn is not supported"),
        (lambda c: c["config"].update(rope_scaling=YARN | {"factor": 10**400}), "and a finite factor"),
        (
            lambda c: c["config"].update(rope_scaling=YARN | {"beta_fast": 10**400}),
            "must be a finite number above 0",
        ),
    ],
)
def test_a_weight_of_ours(tmp_path, small_tokenizer, change, words):
    path = tmp_path / "pretrain_32.pth"
    save_weights(path, random_network(SMALL), small_tokenizer, stage="pretrain")
    contents = read_checkpoint(path)
    change(contents)
    save_checkpoint(path, contents)
    with pytest.raises(SproutError, match=words) as error:
        load_model(path)
    assert str(path) in str(error.value) and error.value.exit_code == 1


def test_tensors_without_names_are_no_state_dict(tmp_path):
    torch.save(OrderedDict({0: torch.zeros(2)}), tmp_path / "a.pth")
    with pytest.raises(SproutError, match="not a weight of Sprout"):
        load_model(tmp_path / "a.pth")
