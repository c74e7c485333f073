"""Activation checkpointing: both grades give the gradients of keeping everything, and "cheap" repeats no product."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.experts import ExpertsConfig
from model.lora import Lora, add_lora
from model.recomputation import Kept
from tests.support import random_network
from tests.training.support import SMALL
from training.losses.next_token import next_token_loss

TOKENS = torch.randint(3, SMALL.vocab_size, (2, 32), generator=torch.Generator().manual_seed(0))
PACKED = (torch.arange(32) % 13)[None].repeat(2, 1)  # documents that do not see each other
PRODUCTS = ("mm", "addmm", "bmm", "_scaled_dot_product_flash_attention_for_cpu")


class Calls(TorchDispatchMode):
    """How often each operation runs."""

    def __init__(self):
        super().__init__()
        self.of = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.of[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def trained(config, grade, half, positions=None, lora=None, passes=1, repeat=False):
    """Loss, gradients, and the calls in the backward pass."""
    network = random_network(config)
    if lora:
        torch.manual_seed(1)
        add_lora(network, lora)
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
    network.recomputes_layers = grade
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = [network.features(TOKENS, positions) for _ in range(passes)]
        loss = sum(next_token_loss(each, network.lm_head.weight, TOKENS) for each in features)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with Calls() as calls:
        gradients = torch.autograd.grad(loss, learning, retain_graph=repeat)
    if repeat:
        gradients = torch.autograd.grad(loss, learning)
    return loss.detach(), gradients, calls.of


def assert_same(grade, *args, **more):
    expected, found = trained(*args[:1], False, *args[1:], **more), trained(*args[:1], grade, *args[1:], **more)
    assert torch.equal(expected[0], found[0])
    for one, other in zip(expected[1], found[1], strict=True):
        assert torch.equal(one, other)
    return [sum(calls[name] for name in PRODUCTS) for calls in (expected[2], found[2])]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("packed", [None, PACKED], ids=["one document", "packed"])
@pytest.mark.parametrize("changes", [{}, {"qk_norm": True}, {"attention_bias": True}], ids=["llama", "qwen3", "qwen2"])
def test_gradients_are_the_same_to_the_bit(changes, packed, half):
    config = SMALL.replace(**changes)
    once, cheap = assert_same("cheap", config, half, packed)
    assert cheap == once  # no product and no attention is computed again
    assert assert_same("layers", config, half, packed)[1] > once


@pytest.mark.parametrize("half", [False, True])
def test_dropout_of_adapters_is_the_same_again(half):
    once, cheap = assert_same("cheap", SMALL, half, lora=Lora(4, 8.0, dropout=0.3))
    thin = 7 * SMALL.num_hidden_layers  # the second product of each adapter
    assert cheap == once + thin


@pytest.mark.parametrize("half", [False, True])
def test_experts_are_computed_once(half):
    config = ExpertsConfig.of(SMALL).replace(num_experts=4)
    once, cheap = assert_same("cheap", config, half)
    assert cheap == once


def test_a_second_pass_whose_weights_are_cast_already_and_a_second_gradient():
    assert_same("cheap", SMALL, True, passes=2)
    assert_same("cheap", SMALL, True, repeat=True)


def test_what_is_kept_is_given_back_during_the_backward_pass():
    from scripts.benchmark.scale.tensors import LiveBytes

    def kept(grade):
        network = random_network(SMALL.replace(num_hidden_layers=6))
        network.recomputes_layers = grade
        with LiveBytes(*network.parameters()) as live:
            before = live.now
            with torch.autocast("cpu", torch.bfloat16):
                features = network.features(TOKENS)
            kept = live.now - before
            features.sum().backward()
            del features
            gradients = sum(parameter.nbytes for parameter in network.parameters() if parameter.grad is not None)
            assert live.now - before <= gradients + 10_000
        return kept

    everything, cheap, layers = kept(False), kept("cheap"), kept("layers")
    assert layers < cheap < 0.6 * everything


def test_what_is_kept_holds_no_graph_and_is_given_back_in_order_once():
    kept, leaf = Kept(needs_last=True), torch.ones(2, requires_grad=True)
    results = [kept.keep(lambda factor=factor: factor * leaf) for factor in (2, 3)]
    kept.complete()
    assert all(result.requires_grad for result in results)
    back = [kept.take(lambda: pytest.fail("it was kept")) for _ in range(2)]
    assert [one.tolist() for one in back] == [[2, 2], [3, 3]] and not any(one.requires_grad for one in back)
    assert kept.take(lambda: "computed") == "computed"


def test_the_last_product_is_kept_only_where_its_result_is_read_and_nothing_beyond_one_repetition():
    kept = Kept(needs_last=False)
    for value in (1.0, 2.0):
        kept.keep(lambda value=value: torch.tensor(value))
    kept.complete()
    assert kept.take(lambda: "computed") == 1 and kept.take(lambda: "computed") == "computed"
    kept = Kept(needs_last=True)
    kept.keep(lambda: torch.tensor(1.0))
    kept.complete()
    kept.discard()
    assert kept.take(lambda: "computed") == "computed"


def test_a_result_that_was_changed_in_place_is_not_given_back():
    kept = Kept(needs_last=True)
    kept.keep(lambda: torch.ones(2)).add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        kept.take(lambda: None)
