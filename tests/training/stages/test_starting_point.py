"""Where a stage begins: a new network, a weight by name or path, stretched or partly frozen."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from model.config import PRESETS
from model.disk import exclusive
from model.errors import UsageError
from model.experts import ExpertsConfig
from model.files.checkpoint import save_weights
from model.text.tokenizer import Tokenizer
from tests.support import random_network
from tests.training.support import SMALL
from training.stages.arguments import StageParser, add_data_arguments, add_model_arguments
from training.stages.given_weight import SHAPE
from training.stages.starting_point import Origin, starting_point
from training.watch.locks import owner_of


@pytest.fixture
def begin(tmp_path, small_tokenizer):
    """`starting_point` with flags; out_dir holds the weight pretrain_32.pth, the shipped tokenizer is replaced."""
    config = SMALL.replace(vocab_size=small_tokenizer.vocab_size)
    small_tokenizer.save(tmp_path / "tokenizer")
    model = random_network(config)
    save_weights(tmp_path / "pretrain_32.pth", model, small_tokenizer, stage="pretrain")

    def call(*words, chats=False, usual=None):
        parser = StageParser()
        add_data_arguments(parser, "texts")
        add_model_arguments(parser, start_from=usual)
        parser.add_argument("--out_dir", default=str(tmp_path))
        parser.add_argument("--resume", action="store_true")
        parser.add_argument("--weight_name", default="pretrain")
        return starting_point(parser.parse_args(["--max_seq_len", "64", *words]), chats)

    return SimpleNamespace(call=call, model=model, folder=tmp_path)


@pytest.mark.parametrize("words", ["", "--from_weight none --num_hidden_layers 1 --num_key_value_heads 1"])
def test_a_new_network_has_the_vocabulary_and_special_tokens_of_its_tokenizer(begin, words):
    path = str(begin.folder / "tokenizer")
    model, tokenizer, origin = begin.call("--preset", "tiny", "--tokenizer_path", path, *words.split())
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": 272}
    expected = PRESETS["tiny"].replace(**ids)
    assert model.config == (expected.replace(num_hidden_layers=1, num_key_value_heads=1) if words else expected)
    assert origin == Origin("a new network") and tokenizer.vocab_size == 272


def test_a_new_network_is_the_default_one_and_has_not_been_extended(begin, monkeypatch):
    monkeypatch.setitem(PRESETS, "26m", SMALL)
    words = ("--tokenizer_path", str(begin.folder / "tokenizer"))
    assert begin.call(*words)[0].config.hidden_size == SMALL.hidden_size
    with pytest.raises(UsageError, match="--rope_scaling_factor extends a network that is trained: name it with"):
        begin.call(*words, "--rope_scaling_factor", "4")


def test_a_new_network_that_does_not_fit_into_memory_is_refused(begin, monkeypatch):
    words = ("--preset", "tiny", "--tokenizer_path", str(begin.folder / "tokenizer"))
    needed = 4 * begin.call(*words)[0].config.num_parameters()
    for free in (0, 1):
        sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": needed - 1 + free}
        with monkeypatch.context() as patch:
            patch.setattr("os.sysconf", sizes.__getitem__)
            with nullcontext() if free else pytest.raises(UsageError, match="memory"):
                begin.call(*words)


@pytest.mark.parametrize("imported", [False, True])
def test_that_a_network_came_from_elsewhere_is_known_and_its_template_is_said_to_be_replaced(begin, capsys, imported):
    tokenizer = Tokenizer.load(begin.folder / "tokenizer")
    config = json.dumps(tokenizer.config | {"chat_template": "{{ messages[0].content }}"})
    tokenizer = Tokenizer.from_files(tokenizer.files | {"tokenizer_config.json": config})
    path = begin.folder / "other.pth"
    save_weights(path, begin.model, tokenizer, stage="full_sft", facts={"imported": imported})
    origin = begin.call("--from_weight", str(path), chats=True)[2]
    assert (origin.stage, origin.source, origin.imported) == ("full_sft", str(path), imported)
    assert ("note: the model's own chat template is replaced" in capsys.readouterr().err) == imported


@pytest.mark.parametrize(
    "words",
    ["--router_aux_loss_coef 0.5", "--no_norm_topk_prob", "--num_experts_per_tok 2", "--moe_intermediate_size 2"],
)
def test_flags_of_experts_are_not_for_a_new_dense_network(begin, words):
    path, (flag, *_) = str(begin.folder / "tokenizer"), words.split()
    with pytest.raises(UsageError, match=f"{flag} is for a network with experts.*--num_experts or --preset moe"):
        begin.call("--preset", "tiny", "--tokenizer_path", path, *words.split())


@pytest.mark.parametrize("words", ["--from_weight pretrain", "--weight_path {}/pretrain_32.pth"])
def test_a_weight_opens_by_name_and_by_path(begin, words):
    """Each goes before the name that is usual for a stage."""
    model, _, origin = begin.call(*words.format(begin.folder).split(), usual="full_sft")
    assert all(map(torch.equal, model.parameters(), begin.model.parameters()))
    assert "pretrain_32.pth (pretrain)" in origin.description and origin.stage == "pretrain"


def test_a_weight_that_another_run_is_writing_is_taken_with_a_warning(begin, capsys):
    with exclusive(lock := begin.folder / ".pretrain_32.lock", lambda: None):
        if owner_of(lock) is None:
            pytest.skip("this system does not tell who holds a lock")
        begin.call("--from_weight", "pretrain")
    said = capsys.readouterr().err
    assert said.startswith(f"warning: another run is writing {begin.folder / 'pretrain_32.pth'}, and its next save")
    begin.call("--from_weight", "pretrain")  # the file of the lock stays behind
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["tiny", "moe"])
def test_a_preset_of_the_size_that_the_weight_has_is_taken(begin, small_tokenizer, monkeypatch, name):
    small = SMALL.replace(num_hidden_layers=1)
    monkeypatch.setitem(PRESETS, name, small)  # a weight of the true one would be large
    config = (small if name == "tiny" else ExpertsConfig.of(small)).replace(vocab_size=small_tokenizer.vocab_size)
    save_weights(begin.folder / "again_32.pth", random_network(config), small_tokenizer, stage="pretrain")
    model, _, origin = begin.call("--from_weight", "again", "--preset", name)
    assert model.config == config and origin.stage == "pretrain"

    other = "moe" if name == "tiny" else "tiny"  # the other one has experts, or none
    monkeypatch.setitem(PRESETS, other, small)
    said = rf"--preset {other} makes a new network \(.*\), but .* or give --from_weight none$"
    with pytest.raises(UsageError, match=said) as refused:
        begin.call("--from_weight", "again", "--preset", other)
    named = [f"(num_experts {number}, " in str(refused.value) for number in (8, "none")]
    assert named == 2 * [other == "moe"]


@pytest.mark.parametrize("size", SHAPE)
def test_a_preset_of_any_other_size_than_the_weight_has_is_refused(begin, small_tokenizer, monkeypatch, size):
    """And what differs is said: a dense network and one with experts may be as wide and as deep."""
    config = ExpertsConfig.of(SMALL).replace(vocab_size=small_tokenizer.vocab_size)
    save_weights(begin.folder / "again_32.pth", random_network(config), small_tokenizer, stage="pretrain")
    own = getattr(config, size)
    other = SMALL if size == "model_type" else ExpertsConfig.of(SMALL)
    if size != "model_type":
        object.__setattr__(other, size, 2 * own)
    monkeypatch.setitem(PRESETS, "tiny", other)
    name = getattr(other, size)
    with pytest.raises(UsageError, match=rf"new network \({size} {name}\).* has its own size \({size} {own}\)"):
        begin.call("--from_weight", "again", "--preset", "tiny")


def test_a_weight_and_a_shape_that_contradict_are_refused(begin):
    for words, said in (("--hidden_size 64", "not of --hidden_size 64"), ("--num_hidden_layers 3", "which has 2")):
        with pytest.raises(UsageError, match=said):
            begin.call("--from_weight", "pretrain", *words.split())


@pytest.mark.parametrize("words", [("--preset", "tiny"), ("--from_weight", "pretrain")])
def test_rows_longer_than_the_positions_are_refused(begin, words):
    positions = 64 if "--from_weight" in words else 32768
    begin.call(*words, "--max_seq_len", str(positions))
    with pytest.raises(UsageError, match=f"more than the network's {positions} positions"):
        begin.call(*words, "--max_seq_len", str(positions + 1))


def test_a_loaded_network_is_extended_and_the_plan_says_so(begin):
    model, _, origin = begin.call("--from_weight", "pretrain", "--rope_scaling_factor", "4", "--max_seq_len", "256")
    assert model.config.max_position_embeddings == 256
    assert model.config.rope_scaling["factor"] == 4
    assert all(map(torch.equal, model.parameters(), begin.model.parameters()))
    assert not torch.equal(model.rotary_frequencies, begin.model.rotary_frequencies)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert origin.description.endswith("pretrain_32.pth (pretrain), extended by YaRN from 64 to 256 positions")


def test_it_is_extended_from_the_rows_that_it_was_trained_on(begin):
    """Not from all positions that its configuration allows: 32,768 in every network of ours."""

    def original(facts: dict, *words: str) -> int:
        path = str(begin.folder / "trained.pth")
        save_weights(path, begin.model, Tokenizer.load(begin.folder / "tokenizer"), stage="full_sft", facts=facts)
        words = ("--from_weight", path, "--rope_scaling_factor", "4", "--max_seq_len", "96", *words)
        return begin.call(*words)[0].config.rope_scaling["original_max_position_embeddings"]

    trained = {"arguments": {"max_seq_len": 32}}
    assert original(trained) == 32
    assert original(trained, "--max_position_embeddings", "48") == 48
    assert original(trained | {"imported": True}) == 64
    assert original({}) == 64
    with pytest.raises(UsageError, match="more than the network's 80 positions: shorten it$"):
        original(trained, "--max_position_embeddings", "20")


def test_a_run_that_extends_its_own_weight_goes_on_with_it(begin):
    words = ("--from_weight", "pretrain", "--rope_scaling_factor", "4", "--max_position_embeddings", "32")
    model, tokenizer, _ = begin.call(*words, "--max_seq_len", "128")
    save_weights(begin.folder / "pretrain_32.pth", model, tokenizer, stage="pretrain")
    again, _, _ = begin.call(*words, "--max_seq_len", "128", "--resume")
    assert again.config == model.config and again.config.max_position_embeddings == 128


@pytest.mark.parametrize(
    "words, said",
    [
        (("--rope_scaling_factor", "1.001"), "--rope_scaling_factor 1.001 extends nothing"),
        (("--max_seq_len", "64"), "from 64 to 256 positions, and rows of --max_seq_len 64 reach none of the new"),
        (("--max_seq_len", "257"), "--max_seq_len 257 is more than the network's 256 positions: shorten it"),
        (("--rope_scaling_factor", "1"), "--rope_scaling_factor 1 extends nothing"),
    ],
)
def test_an_extension_that_cannot_be_meant_is_refused(begin, words, said):
    with pytest.raises(UsageError, match=said):
        begin.call("--from_weight", "pretrain", "--rope_scaling_factor", "4", *words)


def test_freezing_leaves_the_last_layers_norm_and_nothing_else(begin):
    model, _, _ = begin.call("--from_weight", "pretrain", "--freeze_layers", "1")
    for name, parameter in model.named_parameters():
        learns = name.startswith("model.layers.1.") or name == "model.norm.weight"
        assert parameter.requires_grad == learns, name
    with pytest.raises(UsageError, match="leaves nothing to train: the network has 2 layers"):
        begin.call("--from_weight", "pretrain", "--freeze_layers", "2")
