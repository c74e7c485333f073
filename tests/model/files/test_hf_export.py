"""Export: `transformers` opens our folders without code, and an earlier export is never lost."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file

from model.config import TransformerConfig
from model.disk import HOST
from model.errors import SproutError
from model.files.gguf.writing import write_gguf
from model.files.hf_export import export_folder
from model.files.hf_import import import_folder
from model.files.loading import load_model
from model.files.minimind import write_bare
from model.files.peft import write_peft_folder
from model.lora import Lora, add_lora
from model.text.tokenizer import Tokenizer
from tests.support import random_network

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")

ROOT = Path(__file__).parents[3]
SMALL = TransformerConfig(
    vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2, max_position_embeddings=256
)
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
FAMILIES = {
    "llama": SMALL,
    "llama, untied": SMALL.replace(tie_word_embeddings=False, vocab_size=300, rms_norm_eps=1e-6),
    "qwen2": SMALL.replace(attention_bias=True),
    "qwen3, yarn": SMALL.replace(qk_norm=True, num_attention_heads=6, head_dim=16, rope_scaling=YARN),
}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(params=FAMILIES, ids=str)
def exported(request, tmp_path, small_tokenizer):
    network = random_network(FAMILIES[request.param]).eval()
    export_folder(tmp_path / "hf", network, small_tokenizer)
    return network, tmp_path / "hf"


@pytest.fixture
def folder(tmp_path, small_tokenizer) -> Path:
    """An exported Llama, to be spoilt."""
    export_folder(tmp_path / "hf", random_network(SMALL), small_tokenizer)
    return tmp_path / "hf"


@pytest.fixture
def warnings_of_transformers(caplog):
    """What it logs; its loggers do not pass records on to pytest's."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 1.0, "repetition_penalty": 1.05}, 3),
        ({"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05}, 1),
        ({"do_sample": True, "temperature": "0.7", "top_k": None, "min_p": 0.0}, 0),
        ([], 0),
    ],
)
def test_what_a_folder_asks_for_in_sampling_is_not_dropped_without_a_word(folder, settings, asked, capsys):
    path = folder / "generation_config.json"
    path.write_text(json.dumps(settings and json.loads(path.read_text()) | settings))
    import_folder(folder)
    said = capsys.readouterr().err
    every = ["temperature 0.7", "top_k 20", "repetition_penalty 1.05"]
    note = f"note: {path} asks for {', '.join(every[-asked:])}; Sprout samples by its own flags, and an export of this"
    assert said == (f"{note} network leaves them out\n" if asked else "")


def test_transformers_opens_the_folder_without_code_or_warning(exported, small_tokenizer, warnings_of_transformers):
    network, folder = exported
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    assert not warnings_of_transformers()
    assert model.dtype == torch.float32
    assert model.config.tie_word_embeddings == network.config.tie_word_embeddings
    assert model.config.rope_parameters["rope_theta"] == 1e6
    for ids, ends in (
        (model.config, 2),
        (tokenizer, 2),
        (model.generation_config, [2, 0]),
    ):  # as Sprout's own texts end
        assert (ids.pad_token_id, ids.bos_token_id, ids.eos_token_id) == (0, 1, ends)
    text = "Sprout 新芽, 12 km"
    assert tokenizer(text)["input_ids"] == small_tokenizer.encode(text)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "user: Hi\n"


def test_generating_ends_with_the_turn_where_that_is_not_the_end_of_a_text(tmp_path, small_tokenizer):
    settings = json.loads(small_tokenizer.files["tokenizer_config.json"]) | {"eos_token": "<|endoftext|>"}
    base = Tokenizer.from_files(small_tokenizer.files | {"tokenizer_config.json": json.dumps(settings)})
    for end_of_turn, ends in ((None, [0, 2]), (base.encode("a")[0], 0)):  # an ordinary token ends nothing
        export_folder(tmp_path / "hf", random_network(SMALL), base, end_of_turn=end_of_turn)
        values = json.loads((tmp_path / "hf" / "generation_config.json").read_text())
        assert values["eos_token_id"] == ends


def test_config_json_serves_readers_of_both_generations(exported):
    network, folder = exported
    values = json.loads((folder / "config.json").read_text())
    scaling = network.config.rope_scaling
    assert values["torch_dtype"] == values["dtype"] == "float32"
    assert values["rope_theta"] == values["rope_parameters"]["rope_theta"] == 1e6
    assert values["rope_scaling"] == scaling
    assert values["rope_parameters"] == {"rope_theta": 1e6} | (scaling or {"rope_type": "default"})
    assert values["head_dim"] == network.config.head_dim
    assert "auto_map" not in values


@pytest.mark.parametrize(
    "positions, scaling",
    [(64, YARN), (100, YARN), (512, YARN), (64, {"rope_type": "yarn", "factor": 4.0})],  # the last: of all positions
)
def test_the_three_numbers_of_yarn_agree_in_the_folder(
    tmp_path, small_tokenizer, positions, scaling, warnings_of_transformers
):
    # Qwen2.5's documentation has one add a factor of 4 without changing max_position_embeddings.
    network = random_network(SMALL.replace(rope_scaling=scaling, max_position_embeddings=positions))
    export_folder(tmp_path / "hf", network, small_tokenizer)
    values = json.loads((tmp_path / "hf" / "config.json").read_text())
    scaling = values["rope_scaling"]
    assert values["max_position_embeddings"] == scaling["factor"] * scaling["original_max_position_embeddings"] == 256
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert torch.equal(theirs.model.rotary_emb.inv_freq, network.rotary_frequencies)
    assert not warnings_of_transformers()


def test_export_then_import_gives_the_same_bytes(exported, tmp_path, small_tokenizer):
    network, folder = exported
    config, weights, tokenizer = import_folder(folder)
    assert config == network.config
    assert tokenizer.fingerprint == small_tokenizer.fingerprint
    state = network.state_dict()
    assert weights.keys() | {"lm_head.weight"} == state.keys()
    for name, tensor in weights.items():
        assert tensor.numpy().tobytes() == state[name].numpy().tobytes()
    loaded = load_model(folder)
    export_folder(tmp_path / "again", loaded.model, loaded.tokenizer, loaded.stored_dtype)
    assert bytes_of(tmp_path / "again") == bytes_of(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_export_in_half_precision(tmp_path, small_tokenizer, dtype):
    network = random_network(SMALL)
    export_folder(tmp_path / "hf", network, small_tokenizer, dtype)
    assert {tensor.dtype for tensor in load_file(tmp_path / "hf" / "model.safetensors").values()} == {dtype}
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").dtype == dtype
    loaded = load_model(tmp_path / "hf")
    assert loaded.stored_dtype == dtype
    assert torch.equal(loaded.model.model.norm.weight, network.model.norm.weight.to(dtype).float())


def test_a_folder_is_replaced_only_if_it_is_an_export(folder, small_tokenizer):
    network = random_network(SMALL, seed=1)
    export_folder(folder, network, small_tokenizer)
    assert torch.equal(import_folder(folder)[1]["model.norm.weight"], network.model.norm.weight)
    assert os.listdir(folder.parent) == ["hf"]

    (folder / "thesis.tex").write_text("years of work")
    before = bytes_of(folder)
    with pytest.raises(SproutError, match=r"holds thesis\.tex.*choose another folder"):
        export_folder(folder, random_network(SMALL), small_tokenizer)
    assert bytes_of(folder) == before
    with pytest.raises(SproutError, match="is a file"):
        export_folder(folder / "thesis.tex", network, small_tokenizer)


def test_a_network_that_sprout_did_not_write_is_left_as_it_is(folder, small_tokenizer):
    config = json.loads((folder / "config.json").read_text())
    for change in ({"written_by": None}, {"transformers_version": "5.0"}):  # downloaded; trained on by transformers
        (folder / "config.json").write_text(json.dumps(config | change))
        before = bytes_of(folder)
        with pytest.raises(SproutError, match="not an earlier export of Sprout"):
            export_folder(folder, random_network(SMALL), small_tokenizer)
        assert bytes_of(folder) == before
    (folder.parent / "tokenizer").mkdir()
    small_tokenizer.save(folder.parent / "tokenizer")
    with pytest.raises(SproutError, match="not an earlier export of Sprout"):
        export_folder(folder.parent / "tokenizer", random_network(SMALL), small_tokenizer)


@pytest.mark.skipif(os.name != "posix", reason="needs umask")
def test_all_files_may_be_read_by_those_the_umask_lets(tmp_path, small_tokenizer):
    for umask, mode in ((0o022, 0o644), (0o027, 0o640)):
        before = os.umask(umask)
        try:
            paths = export_folder(tmp_path / "hf", random_network(SMALL), small_tokenizer)
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in paths} == {mode}


def test_a_failed_export_leaves_nothing_behind(tmp_path, small_tokenizer, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("model.files.hf_export.save_file", full)
    with pytest.raises(SproutError, match=r"cannot write .*No space left"):
        export_folder(tmp_path / "hf", random_network(SMALL), small_tokenizer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["hf", "peft", "minimind", "gguf"])
def test_what_a_killed_export_left_goes_with_the_next(kind, tmp_path, small_tokenizer):
    """And is not taken for a file of others, which would refuse the folder."""
    if kind == "gguf":
        pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")
        small_tokenizer = Tokenizer.load()  # llama.cpp knows how it splits texts
    network = random_network(SMALL.replace(vocab_size=small_tokenizer.vocab_size))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    if kind == "peft":
        add_lora(network, Lora(2, 4.0))
    write = {
        "hf": lambda: export_folder(tmp_path / "out" / "hf", network, small_tokenizer),
        "peft": lambda: write_peft_folder(tmp_path / "out", network),
        "minimind": lambda: write_bare(tmp_path / "out", network, small_tokenizer, "m"),
        "gguf": lambda: write_gguf(tmp_path / "out" / "m.gguf", network, small_tokenizer, "f16"),
    }[kind]
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / f".m.{HOST}-{dead.pid}.tmp"
    if kind == "hf":
        left.mkdir()
        (left / "model.safetensors").write_bytes(b"half")
    else:
        left.write_bytes(b"half")
    write()
    assert not left.exists() and not list((tmp_path / "out").glob(".*"))


def test_a_failed_replacement_leaves_the_earlier_export(folder, small_tokenizer, monkeypatch):
    before, rename, calls = bytes_of(folder), os.replace, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("model.files.hf_export.os.replace", second_fails)
    with pytest.raises(SproutError, match="Input/output error"):
        export_folder(folder, random_network(SMALL, seed=1), small_tokenizer)
    assert bytes_of(folder) == before
    assert os.listdir(folder.parent) == ["hf"]


def test_an_earlier_export_that_a_kill_left_beside_goes_once_there_is_a_whole_one(folder, small_tokenizer, monkeypatch):
    dead, alive = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2))
    dead.communicate(b"\n")
    names = [f"hf.earlier.{HOST}-{dead.pid}", f"hf.earlier.{HOST}-{alive.pid}", "hf.earlier.mine", "hf.earlier"]
    for name in names:
        (folder.parent / name).mkdir()
    with monkeypatch.context() as patch, pytest.raises(SproutError):
        patch.setattr("model.files.hf_export.save_file", Mock(side_effect=OSError(28, "No space left on device")))
        export_folder(folder, random_network(SMALL, seed=1), small_tokenizer)
    assert sorted(os.listdir(folder.parent)) == sorted(["hf", *names])
    export_folder(folder, random_network(SMALL, seed=1), small_tokenizer)
    assert sorted(os.listdir(folder.parent)) == sorted(["hf", *names[1:]])  # a living process may put its own back
    alive.communicate(b"\n")


def test_the_folder_one_is_in_and_a_link_can_be_exported_to(tmp_path, small_tokenizer, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    export_folder(".", random_network(SMALL), small_tokenizer)
    monkeypatch.chdir(tmp_path)
    export_folder("link", random_network(SMALL, seed=1), small_tokenizer)
    assert (tmp_path / "link").is_symlink() and sorted(os.listdir()) == ["here", "link"]
    assert import_folder("here")[0] == SMALL


def test_a_shape_that_transformers_cannot_open_is_refused(tmp_path, small_tokenizer):
    network = random_network(SMALL.replace(num_attention_heads=6, num_key_value_heads=2, head_dim=8))
    with pytest.raises(SproutError, match="divisible"):
        export_folder(tmp_path / "hf", network, small_tokenizer)


def test_the_shipped_tokenizer_travels(tmp_path):
    ours = Tokenizer.load()
    export_folder(tmp_path / "hf", random_network(SMALL.replace(vocab_size=ours.vocab_size)), ours)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    text = "The quick brown fox. 春天来了，小草发芽。 3.14 x = [1, 2]\n"
    assert theirs(text)["input_ids"] == ours.encode(text)
    assert theirs.decode(ours.encode(text)) == text
    assert (theirs.pad_token, theirs.bos_token, theirs.eos_token) == (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
    )
    chat = theirs.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat == "<|im_start|>user\nHi<|im_end|>\n"
    assert import_folder(tmp_path / "hf")[2].fingerprint == ours.fingerprint


def test_room_is_not_what_a_folder_that_may_not_be_written_lacks(tmp_path, small_tokenizer, monkeypatch):
    network = random_network(SMALL)
    for error, advice in (
        (PermissionError(errno.EACCES, "no", ".hf.tmp"), "allow writing"),
        (OSError(errno.ENOSPC, "full", ".hf.tmp"), "room"),
    ):
        monkeypatch.setattr("model.files.hf_export.save_file", Mock(side_effect=error))
        with pytest.raises(SproutError, match=f"cannot write .*hf .*{advice}") as raised:
            export_folder(tmp_path / "hf", network, small_tokenizer)
        assert ("make room" in str(raised.value)) == (advice == "room")
        assert f"hf ({error.strerror}): " in str(raised.value)  # no name that was not given
