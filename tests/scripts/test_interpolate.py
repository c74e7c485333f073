"""scripts/interpolate.py: a part of the way from one network to another."""

import json

import pytest
import torch

from model.errors import SproutError, UsageError
from model.experts import ExpertsConfig
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from model.rope_scaling import extended
from model.text.learn_bpe import learn
from model.text.tokenizer import Tokenizer
from scripts.interpolate import main
from tests.support import random_network
from tests.training.support import SMALL


def saved(folder, name, config=SMALL, text="one two three, one two three", **facts):
    tokenizer = learn([text], 300)
    network = random_network(config.replace(vocab_size=tokenizer.vocab_size), seed=ord(name[0]))
    facts |= {"arguments": {"max_seq_len": 48}}
    save_weights(folder / f"{name}_{config.hidden_size}.pth", network, tokenizer, stage=name, facts=facts)
    return load_model(folder / f"{name}_{config.hidden_size}.pth")


def interpolated(folder, share, name="mixed"):
    main(f"--from_weight a --to_weight b --share {share} --weight_name {name} --out_dir {folder}".split())
    return load_model(folder / f"{name}_{SMALL.hidden_size}.pth")


@pytest.mark.parametrize("tied", [True, False])
def test_every_number_goes_a_part_of_the_way_once(tmp_path, tied):
    config = SMALL.replace(tie_word_embeddings=tied)
    a, b = (saved(tmp_path, name, config) for name in "ab")
    mixed = interpolated(tmp_path, 0.9)
    ours, theirs = (dict(each.model.named_parameters()) for each in (a, b))
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours if ours[name].dim() > 1)
    for name, tensor in mixed.model.named_parameters():
        expected = 0.1 * ours[name].double() + 0.9 * theirs[name].double()
        assert (tensor - expected).abs().max() < 1e-6, name
    assert mixed.stage == "b" and mixed.trained_positions == 48
    assert mixed.tokenizer.fingerprint == b.tokenizer.fingerprint


def test_a_base_and_an_instruct_model_end_texts_otherwise(tmp_path):
    a, b = (saved(tmp_path, name) for name in "ab")
    config = json.dumps(a.tokenizer.config | {"bos_token": None, "eos_token": "<|endoftext|>"})
    base = Tokenizer.from_files(a.tokenizer.files | {"tokenizer_config.json": config})
    save_weights(tmp_path / f"a_{SMALL.hidden_size}.pth", a.model, base, stage="pretrain")
    assert load_model(tmp_path / f"a_{SMALL.hidden_size}.pth").model.config.eos_token_id == base.eos_id != 2
    mixed = interpolated(tmp_path, 0.5)
    assert mixed.tokenizer.fingerprint == b.tokenizer.fingerprint and mixed.model.config == b.model.config


def test_how_experts_were_balanced_in_training_may_differ(tmp_path):
    config = ExpertsConfig.of(SMALL)
    for name, weight in (("a", 0.01), ("b", 0.0)):
        saved(tmp_path, name, config.replace(router_aux_loss_coef=weight))
    assert interpolated(tmp_path, 0.5).model.config.router_aux_loss_coef == 0.0


def test_the_ends_of_the_way_are_the_two_networks(tmp_path, capsys):
    ends = [saved(tmp_path, name) for name in "ab"]
    for share, end in zip((0, 1), ends):
        mixed = interpolated(tmp_path, share, f"end{share}")
        for ours, theirs in zip(mixed.model.parameters(), end.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)
    size, way = 0.0, 0.0
    for ours, theirs in zip(*(end.model.parameters() for end in ends), strict=True):
        ours, theirs = ours.detach(), theirs.detach()
        size, way = size + ours.square().sum(), way + (theirs - ours).square().sum()
    assert f"{float((way / size).sqrt()):.1%} of the first one's weights apart" in capsys.readouterr().out


def test_networks_with_different_beginnings_are_told_by_how_far_apart_they_are(tmp_path, capsys):
    for name in "ab":
        saved(tmp_path, name)
    interpolated(tmp_path, 0.3)  # two networks drawn at random
    assert "warning: networks so far apart have usually different beginnings" in capsys.readouterr().out
    main(f"--from_weight a --to_weight mixed --share 0.5 --weight_name near --out_dir {tmp_path}".split())
    assert "warning" not in capsys.readouterr().out


def test_what_is_not_of_one_way_is_refused(tmp_path):
    saved(tmp_path, "a")
    for changes, named in (({"num_hidden_layers": 1}, "num_hidden_layers"), ({"rope_theta": 5e5}, "rope_theta")):
        saved(tmp_path, "b", SMALL.replace(**changes))
        with pytest.raises(UsageError, match=f"differ in {named}: give two of one origin"):
            interpolated(tmp_path, 0.5)
    saved(tmp_path, "b", text="something else altogether")
    with pytest.raises(UsageError, match="different tokenizers"):
        interpolated(tmp_path, 0.5)
    saved(tmp_path, "b")
    with pytest.raises(UsageError, match="is one of the two networks"):
        interpolated(tmp_path, 0.5, "b")
    with pytest.raises(SproutError, match="is not a folder: choose another --out_dir"):  # before networks are read
        interpolated(tmp_path / f"a_{SMALL.hidden_size}.pth", 0.5)
    broken = saved(tmp_path, "b")
    torch.nn.init.constant_(broken.model.model.norm.weight, torch.nan)
    save_weights(tmp_path / f"b_{SMALL.hidden_size}.pth", broken.model, broken.tokenizer, stage="b")
    with pytest.raises(UsageError, match="hold numbers that are not finite"):
        interpolated(tmp_path, 0.5)
    with pytest.raises(UsageError, match="1.5 is not between 0 and 1"):
        interpolated(tmp_path, 1.5)
    (tmp_path / f"b_{SMALL.hidden_size}.pth").write_bytes((tmp_path / f"a_{SMALL.hidden_size}.pth").read_bytes())
    with pytest.raises(UsageError, match="hold the same numbers"):
        interpolated(tmp_path, 0.5)


def test_what_the_second_learned_from_is_what_is_known_of_the_result(tmp_path, capsys):
    saved(tmp_path, "a"), saved(tmp_path, "b", imported=True, trained_on="texts")
    for name, way in (("there", "--from_weight a --to_weight b"), ("back", "--from_weight b --to_weight a")):
        main(f"{way} --share 0.5 --weight_name {name} --out_dir {tmp_path}".split())
        mixed, said = load_model(tmp_path / f"{name}_{SMALL.hidden_size}.pth"), capsys.readouterr().out
        assert mixed.imported == mixed.is_base == (name == "there")
        assert ("eval_model.py --model_mode 1 --weight_path" in said) == (name == "back")


def test_an_earlier_weight_is_moved_and_positions_are_those_of_the_second(tmp_path, capsys):
    loaded = saved(tmp_path, "a")
    extension = extended(loaded.model, 8, 32, "a")
    save_weights(tmp_path / f"b_{SMALL.hidden_size}.pth", extension, loaded.tokenizer, stage="b")
    before = saved(tmp_path, "mixed")
    with pytest.raises(UsageError, match="hold the same numbers"):
        interpolated(tmp_path, 0.5)
    torch.nn.init.ones_(extension.model.layers[0].mlp.up_proj.weight)
    save_weights(tmp_path / f"b_{SMALL.hidden_size}.pth", extension, loaded.tokenizer, stage="b")
    assert interpolated(tmp_path, 0.5).model.config == extension.config
    (moved,) = (tmp_path / "earlier").glob(f"*/mixed_{SMALL.hidden_size}.pth")
    for ours, theirs in zip(load_model(moved).model.parameters(), before.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert f"moves the earlier mixed_{SMALL.hidden_size}.pth to" in capsys.readouterr().out
