"""Weights by name: one is found, or it is said why not."""

import os
import re

import pytest

from inference.weights import find_weight, name_of, network_of
from model.errors import UsageError
from model.files.adapters import Adapters
from model.lora import Lora


def test_a_name_finds_one_weight_or_says_why_not(tmp_path):
    for name in ("pretrain_32.pth", "pretrain_32_resume.pth", "pretrain_32.previous.pth", "pretrain_x_64.pth"):
        (tmp_path / name).write_text("")
    assert find_weight("pretrain", str(tmp_path)) == str(tmp_path / "pretrain_32.pth")
    with pytest.raises(UsageError, match=r"no weight called full_sft in .*"):
        find_weight("full_sft", str(tmp_path))
    with pytest.raises(UsageError, match=r"nowhere/a.pth does not exist"):
        find_weight("nowhere/a.pth", str(tmp_path))
    for name in ("pretrain_32", "pretrain_32.pth", str(tmp_path / "pretrain_32.pth")):
        assert find_weight(name, str(tmp_path)) == str(tmp_path / "pretrain_32.pth")
    (tmp_path / "pretrain_64.pth").write_text("")
    assert find_weight("pretrain", str(tmp_path), hidden_size=64) == str(tmp_path / "pretrain_64.pth")
    with pytest.raises(UsageError, match=r"could be .*choose by --hidden_size") as error:
        find_weight("pretrain", str(tmp_path))
    assert "pretrain_32.pth" in str(error.value) and "pretrain_64.pth" in str(error.value)


def test_a_size_that_is_not_there_is_not_another_one(tmp_path):
    """A single weight of the name was taken whatever --hidden_size said, and merged, scored or mixed."""
    (tmp_path / "full_sft_32.pth").write_text("")
    with pytest.raises(UsageError, match="full_sft_32.pth, not of --hidden_size 64: name its file, or leave the flag"):
        find_weight("full_sft", str(tmp_path), hidden_size=64)
    assert find_weight("full_sft", str(tmp_path), hidden_size=32) == str(tmp_path / "full_sft_32.pth")
    assert find_weight("full_sft_32", str(tmp_path), hidden_size=64) == str(tmp_path / "full_sft_32.pth")  # a file's


def test_a_folder_of_that_name_does_not_hide_the_weight(tmp_path, monkeypatch):
    """Users have folders of data, or exports, that are called pretrain or full_sft."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrain").mkdir()
    assert find_weight("pretrain", "out") == "pretrain"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pretrain_32.pth").write_text("")
    assert find_weight("pretrain", "out") == os.path.join("out", "pretrain_32.pth")
    assert find_weight("./pretrain", "out") == "./pretrain"
    (tmp_path / "pretrain_32").mkdir()
    assert find_weight("pretrain_32", "out") == os.path.join("out", "pretrain_32.pth")
    (tmp_path / "pretrain_32.pth").write_text("")  # a path, by its suffix
    assert find_weight("pretrain_32.pth", "out") == "pretrain_32.pth"
    (tmp_path / "out" / "pretrain_32.pth").rename(tmp_path / "out" / "dpo_32.pth")
    assert find_weight("pretrain", "out") == "pretrain"


def test_of_several_sizes_the_newest_is_taken_where_that_is_said(tmp_path):
    for age, name in enumerate(("pretrain_64.pth", "pretrain_32.pth")):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (100 - age, 100 - age))
    said = []
    assert find_weight("pretrain", str(tmp_path), say=said.append) == str(tmp_path / "pretrain_64.pth")
    assert said == [f"2 sizes of pretrain are in {tmp_path}; this is the newest (or choose by --hidden_size)"]


def test_of_those_that_were_moved_aside_the_newest_of_a_size_is_taken(tmp_path):
    """It was asked to choose between two of one size by --hidden_size."""
    for age, name in enumerate(("3/dpo_32", "1/dpo_32", "2/dpo_64")):
        path = tmp_path / "earlier" / f"{name}.pth"
        path.parent.mkdir(parents=True)
        path.write_text("")
        os.utime(path, (100 - age, 100 - age))
    newest = str(tmp_path / "earlier" / "3" / "dpo_32.pth")
    assert find_weight("dpo", str(tmp_path), hidden_size=32) == newest
    with pytest.raises(UsageError, match="could be .*earlier/3/dpo_32.pth or .*earlier/2/dpo_64.pth: name one"):
        find_weight("dpo", str(tmp_path))
    (tmp_path / "earlier" / "2" / "dpo_64.pth").unlink()
    assert find_weight("dpo", str(tmp_path)) == newest


def test_the_name_of_a_folder_is_whole_and_that_of_a_file_without_its_ending(tmp_path, monkeypatch):
    folder = tmp_path / "Qwen3-0.6B"
    folder.mkdir()
    (tmp_path / "dpo_512.pth").write_text("")
    monkeypatch.chdir(folder)
    assert [*map(name_of, (folder, ".", f"{folder}/", tmp_path / "dpo_512.pth"))] == ["Qwen3-0.6B"] * 3 + ["dpo_512"]


def test_a_folder_that_was_looked_in_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = re.escape(str(tmp_path / "out"))
    with pytest.raises(UsageError, match=f"there is no weight called dpo in out; there is no folder {out}"):
        find_weight("dpo", "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=f"out/a.pth does not exist; {out} holds no weight. Give"):
        find_weight("out/a.pth", "out")
    with pytest.raises(UsageError, match=f"a.pth does not exist; {re.escape(str(tmp_path))} holds no weight. Give"):
        find_weight("a.pth", "out")


def test_a_missing_weight_names_the_folder_what_lies_there_and_how_to_make_it(tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    def refusal(source: str, folder=out) -> str:
        with pytest.raises(UsageError) as error:
            find_weight(source, str(folder))
        return str(error.value)

    here = f"--out_dir {out} (on the sample data, or add --data_path FILE)"
    assert refusal("dpo") == (
        f"there is no weight called dpo in {out}; {out} holds no weight. This makes it: python train_dpo.py {here}"
    )
    for name in ("pretrain_32.pth", "pretrain_32_resume.pth", "pretrain_32.previous.pth"):
        (out / name).write_text("")
    assert refusal(f"{out}/full_sft_32.pth") == (
        f"{out}/full_sft_32.pth does not exist; {out} holds pretrain_32.pth."
        f" This makes it: python train_full_sft.py {here}"
    )
    assert "holds pretrain_32.pth. Give a .pth or a Hugging Face folder, or train" in refusal("mine")
    lora = out / "lora"
    assert refusal("m", lora).endswith(f"no folder {lora}. This makes it: python train_lora.py --lora_name m {here}")
    lora.mkdir()
    (lora / "medic_32.pth").write_text("")
    assert refusal("medic").endswith(f"{lora}/medic_32.pth holds adapters, which --lora takes")
    found = f"{out}/pretrain_32.pth is one: give its path, or --out_dir {out}"  # and no copy of it
    assert refusal("pretrain", tmp_path).endswith(f"{tmp_path} holds no weight. {found}")
    assert refusal("grpo").endswith(f"This makes it: python train_grpo.py {here}")


def test_the_network_of_adapters_is_found_where_both_were_moved(tmp_path, monkeypatch):
    def found(source="moved/out/lora/medic_32.pth", fingerprint="0", **settings):
        adapters = Adapters(Lora(4, 8.0, base=fingerprint, base_path="out/full_sft_32.pth"), {}, source)
        return network_of(adapters, "--weight_path", **settings)

    monkeypatch.chdir(tmp_path)
    for folder in ("moved/out", "two", "out"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UsageError, match="belongs to out/full_sft_32.pth, which is not here: give that network by --w"):
        found()
    moved = tmp_path / "moved" / "out" / "full_sft_32.pth"
    moved.write_text("")
    assert found() == str(moved.relative_to(tmp_path))
    assert found("two/medic_32.pth", out_dir="moved/out") == str(moved.relative_to(tmp_path))
    with pytest.raises(UsageError, match="which is not here"):
        found(fingerprint=None)  # nothing would tell another network of that name
    (tmp_path / "two" / "full_sft_32.pth").write_text("")
    assert found("two/medic_32.pth") == os.path.join("two", "full_sft_32.pth")
    (tmp_path / "out" / "full_sft_32.pth").write_text("")
    assert found() == "out/full_sft_32.pth"
