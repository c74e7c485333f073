"""What is opened as a weight is refused in a sentence, and no code in it is ever run."""

import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.disk import previous_path
from model.files.checkpoint import save_checkpoint
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from tests.faults.hostile_files import TEXT
from tests.faults.scripts import python
from tests.stages.workshop import Workshop


def openers(folder: Path, weight: Path, tmp_path: Path) -> dict[str, list]:
    """The command line of every script that opens a weight."""
    words = ("--from_weight", weight, "--dry_run")
    return {
        # The command line of fine-tuning names no sizes, which could contradict the weight.
        f"train_{stage}.py": Workshop(folder, "full_sft").command("out", *words, data=(data,))
        for stage, data in (("pretrain", "a.jsonl"), ("full_sft", "chat_a.jsonl"))
    } | {
        "eval_model.py": ["--weight_path", weight, "--device", "cpu", "--prompt", "a", "--max_new_tokens", "1"],
        "scripts/export_hf.py": ["--weight_path", weight, "--save_dir", tmp_path / "exported"],
    }


def saved(contents) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


def zipped(**records: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def changed(**changes):
    """The good weight with other contents."""
    return lambda good: saved(read_checkpoint(good) | changes)


NOT_SAVED = "not a file of torch.save"
OTHER_NETWORK = {"model.layers.0.mlp.experts.0.gate_proj.weight": torch.zeros(2, 2)}
WEIGHTS = {
    "empty": (b"", NOT_SAVED),
    "data": (TEXT, NOT_SAVED),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), NOT_SAVED),
    "a page of HTML": (b"<!DOCTYPE html><title>404</title>", NOT_SAVED),
    "a pointer of git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", NOT_SAVED),
    "a zip archive": (zipped(readme=b"hello"), "torch.save"),
    "half of it": (lambda good: good.read_bytes()[: good.stat().st_size // 2], "is damaged"),
    "a byte changed": (lambda good: flipped(good.read_bytes()), "is damaged"),
    "a list": (saved([torch.zeros(2)]), "holds a list, not the weights of a model"),
    "a tensor": (saved(torch.zeros(2)), "holds a Tensor, not the weights of a model"),
    "a number": (saved(3), "holds a int"),
    "nothing in it": (saved({}), "is not a weight of Sprout"),
    "the state of a run": (saved({"format": "sprout-resume", "step": 3}), "not the state that --resume reads"),
    "another network": (saved({"conv1.weight": torch.zeros(2, 2)}), "is not a Llama, Qwen2 or Qwen3"),
    "a mixture of experts": (saved(OTHER_NETWORK), "is a mixture of experts"),
    "of a newer version": (changed(version=99), "was written by a newer Sprout"),
    "without tokenizer": (changed(tokenizer={"files": {}}), "A tokenizer needs a tokenizer.json"),
    "without weights": (changed(model={}), "is missing"),
    "with whole numbers": (lambda good: saved(cast(good, torch.int32)), "not a tensor of floating point numbers"),
    "with a stage that steers the terminal": (changed(stage="\x1b]0;mine\x07"), "its stage is missing or wrong"),
    "of an impossible shape": (
        lambda good: saved(reshaped(good, num_attention_heads=2, num_key_value_heads=3)),
        "not divisible by",
    ),
    "of another shape": (lambda good: saved(reshaped(good, intermediate_size=7)), "has shape"),
}


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def cast(good: Path, dtype) -> dict:
    contents = read_checkpoint(good)
    return contents | {"model": {name: tensor.to(dtype) for name, tensor in contents["model"].items()}}


def reshaped(good: Path, **sizes) -> dict:
    contents = read_checkpoint(good)
    return contents | {"config": contents["config"] | sizes}


@pytest.mark.parametrize("content, words", WEIGHTS.values(), ids=WEIGHTS)
def test_no_weight(folder, tmp_path, content, words):
    path = tmp_path / "pretrain_32.pth"
    path.write_bytes(content if isinstance(content, bytes) else content(folder / "start.pth"))
    for script, arguments in openers(folder, path, tmp_path).items():
        ended = python(script, *arguments)
        assert words in ended.sentence and str(path) in ended.sentence and ended.code == 1, script
    assert not (tmp_path / "exported").exists()


# --- code in pickles ----------------------------------------------------------------------------------


class Trap:
    """An object whose unpickling makes a file, by calling `call`."""

    def __init__(self, path: Path, call=open):
        arguments = {open: (str(path), "w"), eval: (f"open({str(path)!r}, 'w')",), os.system: (f"touch '{path}'",)}
        self.reduced = call, arguments[call]

    def __reduce__(self):
        return self.reduced


def traps(path: Path, good: Path) -> dict[str, bytes]:
    """Files that make the file `path` if they are unpickled."""
    contents, trap = read_checkpoint(good), Trap(path)
    return {
        "a bare pickle": pickle.dumps(trap),
        "an old pickle": pickle.dumps({"model": trap}, protocol=0),
        "torch.save": saved(trap),
        "torch.save as it was": legacy(contents | {"facts": {"step": trap}}),
        "among the facts": saved(contents | {"facts": {"step": trap}}),
        "as a weight": saved(contents | {"model": contents["model"] | {"model.norm.weight": trap}}),
        "as a name": saved(contents | {"model": {trap: torch.zeros(2)}}),
        "in the tokenizer": saved(contents | {"tokenizer": {"files": {"tokenizer.json": trap}}}),
        "in a state dict": saved(OrderedDict(contents["model"], extra=trap)),
        "a module": saved(torch.nn.Linear(2, 2)),
        "by a shell": saved({"model": Trap(path, os.system)}),
        "by eval": saved({"model": Trap(path, eval)}),
    }


def legacy(contents) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def test_the_traps_work(folder, tmp_path):
    for name, content in traps(tmp_path / "sprung", folder / "start.pth").items():
        if name != "a module":  # which is only code of torch's own
            unpickled_without_care(content)
            assert (tmp_path / "sprung").exists(), name
            (tmp_path / "sprung").unlink()


def unpickled_without_care(content: bytes) -> None:
    """What a program does that trusts what it opens."""
    try:
        loaded = torch.load(io.BytesIO(content), weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, TypeError):
        loaded = pickle.loads(content)
    close = getattr(loaded, "close", None)
    if close:
        close()


def test_no_trap_is_sprung_by_a_weight(folder, tmp_path):
    sprung = tmp_path / "sprung"
    for name, content in traps(sprung, folder / "start.pth").items():
        path = tmp_path / "pretrain_32.pth"
        path.write_bytes(content)
        for script, arguments in openers(folder, path, tmp_path).items():
            ended = python(script, *arguments)
            assert ended.code == 1 and str(path) in ended.sentence, (name, script)
            assert not sprung.exists(), (name, script)
        # The same as the earlier generation of a damaged file, and as data.
        path.replace(previous_path(path))
        path.write_bytes(b"damaged")
        data = tmp_path / "a.jsonl"
        data.write_bytes(content)
        commands = openers(folder, path, tmp_path) | {"dataset.preview": [data]}
        for script in ("eval_model.py", "dataset.preview"):
            assert python(script, *commands[script]).code == 1 and not sprung.exists(), (name, script)
        previous_path(path).unlink()


def test_no_trap_is_sprung_by_resuming(folder, tmp_path):
    workshop = Workshop(folder)
    run = workshop.train("resumed", "--max_steps", "2")
    good = run.resume_file.read_bytes()
    state = torch.load(io.BytesIO(good), weights_only=True)
    sprung = tmp_path / "sprung"
    more = {"in the state": saved(state | {"memory": Trap(sprung)})}
    for name, content in (traps(sprung, folder / "start.pth") | more).items():
        run.resume_file.write_bytes(content)
        ended = python("train_pretrain.py", *workshop.command("resumed", "--max_steps", "2", "--resume"))
        assert ended.code == 1 and str(run.resume_file) in ended.sentence, name
        assert not sprung.exists(), name
        assert run.weight_file.exists()


# --- Hugging Face folders -----------------------------------------------------------------------------

CODE = "from pathlib import Path\nPath({path!r}).touch()\nclass Evil: pass\n"
MODULES = (
    "modeling_evil.py",
    "configuration_evil.py",
    "tokenization_evil.py",
    "__init__.py",
    "setup.py",
    "conftest.py",
)
AUTO_MAP = {"AutoConfig": "configuration_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}


def with_code(hf: Path, sprung: Path) -> Path:
    """The folder with modules in it that make the file `sprung` when they are imported."""
    for name in MODULES:
        (hf / name).write_text(CODE.format(path=str(sprung)))
    return hf


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_network_that_brings_its_own_code_is_refused(folder, hf, tmp_path):
    with_code(hf, tmp_path / "sprung")
    edit(hf / "config.json", auto_map=AUTO_MAP)
    for script, arguments in openers(folder, hf, tmp_path).items():
        assert "brings code of its own (auto_map)" in python(script, *arguments).sentence, script
    edit(hf / "config.json", auto_map=AUTO_MAP, model_type="evil", architectures=["Evil"], trust_remote_code=True)
    for script, arguments in openers(folder, hf, tmp_path).items():
        assert "model_type evil" in python(script, *arguments).sentence, script
    assert not (tmp_path / "sprung").exists() and not {"modeling_evil", "configuration_evil"} & set(sys.modules)


def test_code_beside_a_plain_network_is_left_alone(folder, hf, tmp_path):
    with_code(hf, tmp_path / "sprung")
    tokenizer = {"AutoTokenizer": ["tokenization_evil.Evil", None]}
    edit(hf / "tokenizer_config.json", auto_map=tokenizer, tokenizer_class="Evil", trust_remote_code=True)
    for script, arguments in openers(folder, hf, tmp_path).items():
        assert python(script, *arguments).code == 0, script
    assert not (tmp_path / "sprung").exists() and "tokenization_evil" not in sys.modules
    assert not set(MODULES) & {path.name for path in (tmp_path / "exported").iterdir()}


def test_a_chat_template_is_never_carried_out(folder, hf, tmp_path):
    sprung = tmp_path / "sprung"
    template = "{{ cycler.__init__.__globals__.os.system('touch " + str(sprung) + "') }}"
    edit(hf / "tokenizer_config.json", chat_template=template)
    openings = openers(folder, hf, tmp_path)
    openings["eval_model.py"] += ["--model_mode", "1"]
    for script, arguments in openings.items():
        assert python(script, *arguments).code == 0, script
    assert not sprung.exists()


def test_pickled_weights_of_a_folder_are_not_opened(folder, hf, tmp_path):
    (hf / "model.safetensors").unlink()
    (hf / "pytorch_model.bin").write_bytes(saved(Trap(tmp_path / "sprung")))
    for script, arguments in openers(folder, hf, tmp_path).items():
        assert "pytorch_model.bin could run code: convert it" in python(script, *arguments).sentence, script
    (hf / "model.safetensors").write_bytes(saved(Trap(tmp_path / "sprung")))
    for script, arguments in openers(folder, hf, tmp_path).items():
        assert "model.safetensors is damaged" in python(script, *arguments).sentence, script
    assert not (tmp_path / "sprung").exists()


# --- paths that lead elsewhere ------------------------------------------------------------------------


@pytest.mark.parametrize("shard", ["../elsewhere.safetensors", "/etc/passwd", "below/model.safetensors", "..", ""])
def test_weights_outside_of_the_folder_are_not_read(folder, hf, tmp_path, shard):
    save_file({"a": torch.zeros(1)}, tmp_path / "elsewhere.safetensors")
    (hf / "model.safetensors").unlink()
    (hf / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    for script, arguments in openers(folder, hf, tmp_path).items():
        ended = python(script, *arguments)
        assert ended.code == 1 and str(hf) in ended.sentence, script


def test_files_in_a_weight_are_written_nowhere_else(folder, tmp_path):
    names = ("../escaped.txt", "/tmp/escaped.txt", "tokenizer.json/../../escaped.txt", "modeling_evil.py", "")
    contents = read_checkpoint(folder / "start.pth")
    files = contents["tokenizer"]["files"] | dict.fromkeys(names, "escaped")
    home = tmp_path / "a" / "b"
    save_checkpoint(home / "pretrain_32.pth", contents | {"tokenizer": contents["tokenizer"] | {"files": files}})
    good = set(load_model(home / "pretrain_32.pth").tokenizer.files)
    assert not good & set(names)
    before = set(tmp_path.rglob("*"))
    ended = python("scripts/export_hf.py", "--weight_path", home / "pretrain_32.pth", "--save_dir", home / "hf")
    assert ended.code == 0
    new = set(tmp_path.rglob("*")) - before
    assert all(path == home / "hf" or path.parent == home / "hf" for path in new)
    assert not any("escaped" in path.name or path.suffix == ".py" for path in new)


def test_a_tokenizer_folder_of_links_is_copied_not_followed_when_written(folder, tmp_path):
    """What a link in the output points to stays as it is: files take their place by renaming."""
    precious = tmp_path / "precious.json"
    precious.write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "bad_lines.jsonl"):
        (out / name).symlink_to(precious)
    python("train_tokenizer.py", "--data_path", folder / "a.jsonl", "--vocab_size", 280, "--out_dir", out)
    assert precious.read_text() == "precious"


def test_names_in_records_lead_nowhere(folder, tmp_path):
    """No field of a record is taken for a path."""
    names = ("../../escaped", "/tmp/escaped_by_a_record", "~/escaped", "file:///etc/passwd", "$(touch escaped)")
    fields = ("id", "source", "path", "file", "skill", "language", "image", "name", "tools")
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    chats = [{"conversations": turns} | dict.fromkeys(fields[:-1], name) for name in names] * 4
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in chats))
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(folder / "start.pth", home / "start.pth")
    before = set(tmp_path.rglob("*"))
    chats = Workshop(home, "full_sft").command("out", "--max_steps", "1", data=(path,))
    assert python("train_full_sft.py", *chats).code == 0
    weight = ["--weight_path", home / "start.pth", "--device", "cpu", "--data_path", path, "--max_new_tokens", "2"]
    assert python("eval_model.py", *weight, "--answers").code == 0
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(home / "out") for path in new)
    assert not list(Path("/tmp").glob("escaped*"))
