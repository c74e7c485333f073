"""What other programs make of texts by an exported folder: they begin and fall apart as in training."""

import json
import os

import pytest
from packaging.version import Version

from model.config import TransformerConfig
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.hf_import import import_folder
from model.text.exported import MODULE, beginning_texts
from model.text.tokenizer import Tokenizer
from scripts.export_hf import main
from tests.fixtures import samples
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

SMALL = TransformerConfig(vocab_size=6400, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
SHAPES = {"llama": SMALL, "qwen2": SMALL.replace(attention_bias=True), "qwen3": SMALL.replace(qk_norm=True)}
ACCENTS = ["cafe\u0301 na\u0131\u0308ve", "A\u030a \u00c5 \u212b", "\u1112\u1161\u11ab", "\u0915\u093c", "12\u00bd 3"]


def real_texts() -> list[str]:
    """The lines of the fixtures that spell no control token, which transformers would take for one."""
    lines = []
    for file in samples("pretrain_en.jsonl", "pretrain_zh.jsonl", "sft_zh.jsonl"):
        if "ours" in file.id:
            lines += file.values[0].read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "<think>" not in line and "<tool" not in line]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("trust", [False, True])
def test_auto_tokenizer_makes_our_ids(tmp_path, monkeypatch, shape, trust):
    ours = Tokenizer.load()
    export_folder(tmp_path / "hf", random_network(SHAPES[shape]), ours)
    assert (tmp_path / "hf" / MODULE).exists() == (shape == "qwen2")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf", trust_remote_code=trust)
    texts = [*ACCENTS, *real_texts()]
    assert theirs(texts)["input_ids"] == ours.encode_batch(texts)
    theirs.save_pretrained(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == ours.fingerprint


def test_a_tokenizer_of_qwen_is_left_as_it_is(tmp_path):
    ours = Tokenizer.load()
    content = json.loads(ours.files["tokenizer.json"]) | {"normalizer": {"type": "NFC"}}
    ours = Tokenizer.from_files(ours.files | {"tokenizer.json": json.dumps(content)})
    export_folder(tmp_path / "hf", random_network(SHAPES["qwen2"]), ours)
    assert not (tmp_path / "hf" / MODULE).exists()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert theirs(ACCENTS)["input_ids"] == ours.encode_batch(ACCENTS)


def test_a_folder_that_names_the_class_can_become_another_kind(tmp_path):
    export_folder(tmp_path / "hf", random_network(SHAPES["qwen2"]), Tokenizer.load())
    export_folder(tmp_path / "hf", random_network(SHAPES["llama"]), Tokenizer.load(tmp_path / "hf"))
    assert "auto_map" not in (tmp_path / "hf" / "tokenizer_config.json").read_text()
    assert not (tmp_path / "hf" / MODULE).exists()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stage", ["pretrain", "full_sft"])
def test_texts_of_a_base_model_begin_with_bos_and_chats_with_their_own(tmp_path, capsys, shape, stage):
    ours = Tokenizer.load()
    save_weights(tmp_path / "a.pth", random_network(SHAPES[shape]), ours, stage=stage)
    main(["--weight_path", str(tmp_path / "a.pth"), "--save_dir", str(tmp_path / "hf")])
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    begin = [ours.bos_id] if stage == "pretrain" else []
    assert theirs("Once")["input_ids"] == [*begin, *ours.encode("Once")]
    assert theirs(["a", "b"])["input_ids"] == [[*begin, *ours.encode(text)] for text in "ab"]
    chat = theirs.apply_chat_template([{"role": "user", "content": "Hi"}])["input_ids"]
    assert chat[:2] == [ours.bos_id, *ours.encode("user")[:1]] and chat.count(ours.bos_id) == 1
    # llama.cpp's converter reads the flag of the configuration.
    assert json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())["add_bos_token"] == (stage == "pretrain")
    again = Tokenizer.load(tmp_path / "hf")
    assert again.fingerprint == ours.fingerprint and again.encode("Once") == ours.encode("Once")


def test_bos_of_a_tokenizer_that_has_none_and_sets_offsets(small_tokenizer):
    content = json.loads(small_tokenizer.files["tokenizer.json"])
    content["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    files = {"tokenizer.json": json.dumps(content), "tokenizer_config.json": json.dumps(config)}
    begun = beginning_texts(Tokenizer.from_files(files))
    assert begun.config["bos_token"] == "<|endoftext|>" and begun.bos_id == 0
    parts = json.loads(begun.files["tokenizer.json"])["post_processor"]["processors"]
    assert [part["type"] for part in parts] == ["ByteLevel", "TemplateProcessing"]
    assert json.loads(beginning_texts(begun).files["tokenizer.json"])["post_processor"]["processors"] == parts


# Published folders name such classes beside a tokenizer.json whose way to split texts they do not look at.
@pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.24"), reason="earlier versions of transformers rebuild more classes"
)
@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ("llama", "GPT2Tokenizer"),
        ("llama", "LlamaTokenizerFast"),  # which AutoTokenizer overlooks, since the file has bytes
        ("qwen2", "LlamaTokenizerFast"),
        ("qwen3", "Qwen2TokenizerFast"),
        ("qwen3", None),
    ],
)
def test_a_class_that_rebuilds_the_tokenizer_is_noted_and_not_exported(tmp_path, capsys, shape, name):
    ours = Tokenizer.load()
    content = json.loads(ours.files["tokenizer.json"])
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"String": "e"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    }
    ours = Tokenizer.from_files(
        {"tokenizer.json": json.dumps(content), "tokenizer_config.json": json.dumps(ours.config)}
    )
    texts = [*ACCENTS, "There were three trees."]
    export_folder(tmp_path / "hf", random_network(SHAPES[shape]), ours)
    (tmp_path / "hf" / MODULE).unlink(missing_ok=True)
    named = {"tokenizer_class": name} if name else {}
    config = {key: value for key, value in ours.config.items() if key != "tokenizer_class"} | named
    (tmp_path / "hf" / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    same = theirs(texts, add_special_tokens=False)["input_ids"] == ours.encode_batch(texts)
    loaded = import_folder(tmp_path / "hf")[2]
    assert loaded.encode_batch(texts) == ours.encode_batch(texts)
    assert ("AutoTokenizer" in capsys.readouterr().err) != same
    export_folder(tmp_path / "again", random_network(SHAPES[shape]), loaded)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again(texts, add_special_tokens=False)["input_ids"] == ours.encode_batch(texts)
