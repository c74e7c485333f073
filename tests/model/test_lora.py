"""Adapters: the formula, what learns, and files of ours."""

import copy
import math
import os

import pytest
import torch

from model.attention import KVCache
from model.errors import SproutError, UsageError
from model.files.adapters import open_lora, save_lora
from model.files.checkpoint import save_weights
from model.files.hf_export import export_folder
from model.files.loading import load_model
from model.fingerprint import fingerprint
from model.lora import TARGETS, Lora, LoRALinear, add_lora, load_lora, lora_state_dict, merge_lora, targets_called
from model.transformer import initialize
from model.whole import adapters_of, is_adapter
from tests.model.small_lora import NETWORKS, POSITIONS, SMALL, TOKENS, adapted, logits
from tests.support import random_network
from training.engine.optimizers import build_optimizers

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(params=NETWORKS, name="model")
def network(request):
    return random_network(NETWORKS[request.param])


# --- what it computes -------------------------------------------------------------------------------


def test_the_layer_is_its_formula_and_so_is_its_gradient():
    torch.manual_seed(0)
    layer = LoRALinear(torch.nn.Linear(6, 5), Lora(rank=3, alpha=7.5)).double()
    torch.nn.init.normal_(layer.lora_B.weight)
    x, y_grad = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    y = layer(x)
    y.backward(y_grad)
    w, b, a, bb = (p.detach() for p in (layer.weight, layer.bias, layer.lora_A.weight, layer.lora_B.weight))
    for n in range(4):
        for o in range(5):
            delta = sum(bb[o, r] * a[r, i] * x[n, i] for r in range(3) for i in range(6))
            expected = sum(w[o, i] * x[n, i] for i in range(6)) + b[o] + 7.5 / 3 * delta
            assert abs(y[n, o] - expected) < 1e-12
    for r in range(3):
        for i in range(6):
            wanted = sum(2.5 * y_grad[n, o] * bb[o, r] * x[n, i] for n in range(4) for o in range(5))
            assert abs(layer.lora_A.weight.grad[r, i] - wanted) < 1e-12
    torch.testing.assert_close(layer.lora_B.weight.grad, 2.5 * y_grad.T @ (x @ a.T), rtol=0, atol=1e-12)


def test_the_layer_makes_no_copy_of_its_result():
    """What is freed between results that the backward pass reads is a hole in the heap of a CPU."""
    layer, made = LoRALinear(torch.nn.Linear(6, 5), Lora(rank=3, alpha=7.5)), []
    layer.lora_B.register_forward_hook(lambda module, inputs, result: made.append(result.data_ptr()))
    assert layer(torch.randn(4, 6)).data_ptr() == made[0]


def test_before_the_first_step_nothing_has_changed_to_the_bit(model):
    before = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = logits(model)
    add_lora(model, Lora(4, 8.0))
    assert torch.equal(logits(model), before)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(logits(model), rounded)
    a = model.model.layers[0].mlp.down_proj.lora_A.weight
    assert a.dtype == torch.float32 and 0.9 * 48**-0.5 < a.abs().max() <= 48**-0.5  # uniform in this range


def test_merged_it_computes_the_same_and_is_a_plain_network(model):
    before, names = logits(model), {name for name, _ in model.named_parameters()}
    expected = logits(adapted(model))
    assert (expected - before).abs().max() > 0.1  # or the comparison would say nothing
    merge_lora(model)
    torch.testing.assert_close(logits(model), expected, rtol=0, atol=1e-5)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == names
    assert adapters_of(model) is None and not any(isinstance(module, LoRALinear) for module in model.modules())


def test_on_a_bfloat16_network_adapters_are_float32_and_their_sum_with_it_is_rounded_once():
    model = random_network(SMALL).bfloat16()
    before = model.model.layers[1].mlp.up_proj.weight.double()
    layer = adapted(model).model.layers[1].mlp.up_proj
    a, b = layer.lora_A.weight, layer.lora_B.weight
    assert a.dtype == b.dtype == torch.float32
    merge_lora(model)
    expected = before + 2 * b.double() @ a.double()
    assert torch.equal(model.model.layers[1].mlp.up_proj.weight, expected.bfloat16())


def test_token_by_token_with_a_cache_is_the_same(model):
    adapted(model)
    cache = KVCache(model.config, 1, 20, torch.device("cpu"), torch.float32)
    with torch.no_grad():
        steps = [model(TOKENS[1:, i : i + 1], cache=cache) for i in range(20)]
        torch.testing.assert_close(torch.cat(steps, dim=1), model(TOKENS[1:]), rtol=0, atol=1e-5)


def test_dropout_is_for_training_alone_and_reaches_the_adapter_alone():
    model = adapted(random_network(SMALL), dropout=0.5)
    calm = logits(model)
    assert torch.equal(logits(model), calm)
    assert not torch.equal(logits(model.train()), calm)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B.weight"):
            torch.nn.init.zeros_(parameter)
    assert torch.equal(logits(model), logits(random_network(SMALL)))


# --- what learns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [TARGETS, ("q_proj",), ("v_proj", "down_proj")])
def test_adapters_alone_get_gradients_and_each_is_in_one_group(model, targets):
    frozen = copy.deepcopy(model.state_dict())
    adapted(model, targets=targets).train()
    learns = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(learns) == 2 * 2 * len(targets) and all(is_adapter(name) for name in learns)
    (adamw,) = build_optimizers(model, "adamw", 0.01, 0.1)
    ids = [id(p) for group in adamw.param_groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for name, p in model.named_parameters() if name in learns)
    for precision in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            model(TOKENS, POSITIONS).float().square().mean().backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()} == learns
    adamw.step()
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in frozen.items())


def test_what_cannot_be_adapted_is_refused(model):
    for lora, words in (
        (Lora(4, 8.0, ("q_proj", "lm_head")), "no linear layer 'lm_head'"),
        (Lora(33, 8.0), "rank 33 .* give 1 to 32"),
        (Lora(4, 8.0, ()), "at least one"),
    ):
        with pytest.raises(UsageError, match=words):
            add_lora(model, lora)
    assert all(p.requires_grad for p in model.parameters())
    add_lora(model, Lora(4, 8.0))
    with pytest.raises(UsageError, match="has adapters already"):
        add_lora(model, Lora(4, 8.0))
    assert targets_called(["mlp", "q_proj"]) == ("q_proj", "gate_proj", "up_proj", "down_proj")


# --- files ------------------------------------------------------------------------------------------


def test_a_file_gives_back_the_same_adapters_and_holds_no_more(model, tmp_path):
    adapted(model, targets=("q_proj", "up_proj"), dropout=0.1, base_path="here")
    path = tmp_path / "medic_32.pth"
    save_lora(path, model, stage="reason", facts={"arguments": {"tokenizer_path": "my"}})
    opened = open_lora(path)
    assert (opened.lora, opened.stage, opened.tokenizer_path) == (adapters_of(model), "reason", "my")
    assert all(is_adapter(name) for name in opened.weights) and len(opened.weights) == 8
    other = random_network(model.config).eval()
    opened.attach(other)
    assert torch.equal(logits(other), logits(model))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.5])
def test_scaled_it_is_that_share_of_the_way_from_network_to_adapters(model, tmp_path, share):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    save_lora(tmp_path / "medic_32.pth", adapted(model), stage="lora")
    other = random_network(model.config)
    open_lora(tmp_path / "medic_32.pth").scaled(share).attach(other)
    for network in (model, other):
        merge_lora(network)
    whole, moved = model.state_dict(), False
    for name, weight in other.state_dict().items():
        expected = before[name] + share * (whole[name] - before[name])
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)
        moved |= not torch.equal(whole[name], before[name])
    assert moved


def test_another_network_another_rank_and_damage_are_one_sentence(tmp_path, small_tokenizer):
    model = adapted(random_network(SMALL))
    path = tmp_path / "medic_32.pth"
    save_lora(path, model, stage="lora")
    with pytest.raises(SproutError, match="was trained on another network and means nothing on this one"):
        open_lora(path).attach(random_network(SMALL, seed=5))
    plain = random_network(SMALL)
    add_lora(plain, Lora(5, 8.0))
    with pytest.raises(SproutError, match=r"mine does not fit.*lora_A.weight has shape \[4, 32\], not .* more"):
        load_lora(plain, lora_state_dict(model), "mine")
    with pytest.raises(SproutError, match=r"mine does not fit.*q_proj.lora_A.weight is missing"):
        load_lora(plain, {}, "mine")
    assert not plain.model.layers[0].self_attn.q_proj.lora_B.weight.any()

    contents = torch.load(path, weights_only=True)
    wrong = [
        {"rank": "4"},
        {"rank": True},
        {"stage": "a\x1b[2J"},
        {"targets": [1]},
        {"base": {}},
        {"adapters": None},
        {"dropout": 1.0},
    ]
    for change in (*wrong, *({"alpha": alpha} for alpha in (0, math.inf, math.nan))):
        torch.save(contents | change, tmp_path / "odd.pth")
        with pytest.raises(SproutError, match=f"its {next(iter(change))} is missing or wrong"):
            open_lora(tmp_path / "odd.pth")
    fewer = {name: tensor for name, tensor in contents["adapters"].items() if ".1.self_attn.q_proj" not in name}
    for change, words in (
        ({"rank": 64}, "odd.pth: adapters of rank 64"),
        ({"rank": 0}, "of rank 0"),
        ({"version": 2}, "by a newer Sprout"),
        ({"adapters": fewer}, "A.weight is missing"),
    ):
        torch.save(contents | change, tmp_path / "odd.pth")
        with pytest.raises(SproutError, match=words):
            open_lora(tmp_path / "odd.pth").attach(random_network(SMALL))
    save_weights(tmp_path / "whole.pth", random_network(SMALL), small_tokenizer, stage="pretrain")
    with pytest.raises(SproutError, match="holds no adapters"):
        open_lora(tmp_path / "whole.pth")
    with pytest.raises(SproutError, match="adapters without their network: give it with --lora"):
        load_model(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SproutError, match="damaged"):
        open_lora(path)


def test_a_fingerprint_is_of_the_numbers_and_not_of_adapters(small_tokenizer, tmp_path):
    model = random_network(SMALL)
    name = fingerprint(model)
    export_folder(tmp_path / "hf", model, small_tokenizer)
    assert fingerprint(load_model(tmp_path / "hf").model) == name
    assert fingerprint(adapted(model)) == name
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-6
    assert fingerprint(model) != name


def test_a_new_network_is_initialised_as_ever():
    """The names of adapters are not among those that a new network may have."""
    model = random_network(SMALL)
    add_lora(model, Lora(4, 8.0))
    with pytest.raises(ValueError, match="lora_A"):
        initialize(model)
