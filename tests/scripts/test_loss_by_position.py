"""`scripts/loss_by_position.py` as a user runs it: several weights, an extension without training, what it refuses."""

import json

import pytest

import eval_model
from model.errors import SproutError
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.rope_scaling import extended
from model.text.extend_bpe import extend
from model.text.tokenizer import Tokenizer
from scripts import loss_by_position
from tests.support import random_network
from tests.training.support import SMALL


@pytest.fixture
def folder(tmp_path, small_tokenizer):
    """Two weights trained on 32 positions, the second extended to 64, and a file of texts."""
    config = SMALL.replace(vocab_size=small_tokenizer.vocab_size, max_position_embeddings=32768)
    facts = {"arguments": {"max_seq_len": 32}}
    short = random_network(config)
    save_weights(tmp_path / "short_32.pth", short, small_tokenizer, stage="pretrain", facts=facts)
    longer = extended(short, 2, 32, "short")
    save_weights(tmp_path / "longer_32.pth", longer, small_tokenizer, stage="pretrain", facts=facts)
    texts = "".join(
        json.dumps({"text": f"{n} foxes ran home and {n} dogs ran after them. " * 3}) + "\n" for n in range(4)
    )
    (tmp_path / "texts.jsonl").write_text(texts)
    return tmp_path


def run(folder, *words: str) -> dict:
    files = ["--data_path", str(folder / "texts.jsonl"), "--save_file", str(folder / "by" / "p.png")]
    device = ["--device", "cpu", "--dtype", "float32", "--out_dir", str(folder)]
    loss_by_position.main(["--max_seq_len", "64", *files, *device, *words])
    assert (folder / "by" / "p.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / "by" / "p.json").read_text("utf-8"))


def test_an_untrained_extension_is_measured_beside_the_weight(folder, capsys):
    """And it is the network that a weight with the same extension holds, here with the same parameters."""
    found = run(folder, "--weight_path", "short", str(folder / "longer_32.pth"), "--rope_scaling_factor", "2")
    networks = found["networks"]
    assert list(networks) == ["short_32", "short_32, YaRN 2, untrained", "longer_32"]
    assert networks["short_32, YaRN 2, untrained"]["loss"] == networks["longer_32"]["loss"]
    assert networks["short_32"]["loss"] != networks["longer_32"]["loss"]
    assert all(each["known"] == 32 for each in networks.values())
    assert found["documents"] == 4 and found["positions"][-1] == [46, 64]
    said = capsys.readouterr().out
    assert "beyond 32:\n33-45 " in said and "wrote" in said


def test_what_cannot_be_compared_or_read_is_refused(folder, small_tokenizer, capsys):
    config = json.dumps(small_tokenizer.config | {"bos_token": "<|endoftext|>"})
    begins_otherwise = Tokenizer.from_files(small_tokenizer.files | {"tokenizer_config.json": config})
    for other in (begins_otherwise, extend(small_tokenizer, ["foxes"] * 4, 4, 16)):
        network = random_network(SMALL.replace(vocab_size=other.vocab_size))
        save_weights(folder / "other_32.pth", network, other, stage="pretrain")
        with pytest.raises(SproutError, match="other_32.pth has another tokenizer than .*short_32.pth"):
            run(folder, "--weight_path", "short", "other")
    assert "documents" not in capsys.readouterr().out, "nothing was read or measured before"
    with pytest.raises(SproutError, match="no document of .* has 5,000 tokens"):
        run(folder, "--weight_path", "short", "--max_seq_len", "5000")
    with pytest.raises(SproutError, match="let its name end in .png or .svg"):
        run(folder, "--weight_path", "short", "--save_file", "p.jpg")
    with pytest.raises(SproutError, match="names a weight twice"):
        run(folder, "--weight_path", "short", "short")
    with pytest.raises(SproutError, match="--rope_scaling_factor 1 extends nothing"):
        run(folder, "--weight_path", "short", "--rope_scaling_factor", "1")


def test_a_network_that_is_no_numbers_is_refused(folder):
    loaded = load_model(folder / "short_32.pth")
    loaded.model.state_dict()["model.norm.weight"][0] = float("nan")
    save_weights(folder / "nan_32.pth", loaded.model, loaded.tokenizer, stage="pretrain")
    with pytest.raises(SproutError, match="computes values that are not numbers"):
        run(folder, "--weight_path", "nan")
    assert not (folder / "by" / "p.json").exists()


def test_the_texts_are_not_replaced_by_the_figures(folder):
    texts = folder / "of_mine.json"
    texts.write_bytes((folder / "texts.jsonl").read_bytes())
    before = texts.read_bytes()
    words = ["--weight_path", "short", "--data_path", str(texts), "--save_file", str(texts.with_suffix(".png"))]
    with pytest.raises(SproutError, match="would replace .*of_mine.json"):
        run(folder, *words)
    assert texts.read_bytes() == before


def test_figures_replace_only_figures(folder):
    (folder / "notes.json").write_text('{"file": "mine"}')
    (folder / "photo.png").write_text("mine")
    words = ["--weight_path", "short", "--save_file"]
    for name, taken in (("notes.svg", "notes.json"), ("photo.png", "photo.png")):
        with pytest.raises(SproutError, match=f"{taken} exists already and is not a result of scripts/loss_by_posi"):
            run(folder, *words, str(folder / name))
        assert "mine" in (folder / taken).read_text() and not (folder / "notes.svg").exists()
    (folder / "by").mkdir()
    ours = {"file": "a", "documents": 1, "positions": [], "networks": {}}
    (folder / "by" / "p.json").write_text(json.dumps(ours))
    (folder / "by" / "p.png").write_text("an earlier picture")
    assert run(folder, "--weight_path", "short")["documents"] == 4


def test_eval_model_reads_with_the_extension(folder, capsys):
    """The loss of --rope_scaling_factor is that of the weight saved with the same extension."""
    words = ["--data_path", str(folder / "texts.jsonl"), "--json", "--device", "cpu", "--dtype", "float32"]
    words += ["--max_seq_len", "64", "--weight_path"]
    losses = []
    for more in (["short_32.pth"], ["short_32.pth", "--rope_scaling_factor", "2"], ["longer_32.pth"]):
        eval_model.main([*words, str(folder / more[0]), *more[1:]])
        losses.append(json.loads(capsys.readouterr().out)["loss"])
    assert losses[0] != losses[1] == losses[2]
    with pytest.raises(SproutError, match="longer_32.pth is extended already, by yarn and factor 2 to 64 positions"):
        eval_model.main([*words, str(folder / "longer_32.pth"), "--rope_scaling_factor", "2"])
    assert load_model(folder / "longer_32.pth").model.config.max_position_embeddings == 64
