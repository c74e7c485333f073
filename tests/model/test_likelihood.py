"""How well a network predicts targets, against the formula in float64."""

import math
from functools import partial

import pytest
import torch

from dataset.rows.rows import Batch
from model.config import TransformerConfig
from model.errors import SproutError
from model.likelihood import IGNORE, Evaluation, compute_type, evaluate, next_token_scores
from tests.support import random_network
from tests.training.losses.test_next_token import example, formula, many


@pytest.fixture(scope="module")
def network():
    return random_network(
        TransformerConfig(
            vocab_size=272,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )


@pytest.mark.parametrize("logits_at_once", [1, 2**24])
def test_scores_are_the_loss_and_the_targets_with_the_largest_logit(monkeypatch, logits_at_once):
    monkeypatch.setattr("model.likelihood.LOGITS_AT_ONCE", logits_at_once)
    features, head, targets = example()
    targets[0, 0] = (head @ features[0, 0]).argmax()
    features, targets = features.repeat(60, 1, 1), targets.repeat(60, 1)  # 600 targets: chunks of 256, or one
    expected = sum(
        int(target) == int((head @ feature).argmax())
        for feature, target in zip(features.flatten(0, 1), targets.flatten())
    )
    loss, correct = next_token_scores(features, head, targets)
    torch.testing.assert_close(loss, formula(features, head, targets), rtol=1e-12, atol=0)
    assert correct.item() == expected > 0
    assert not loss.requires_grad


def test_of_many_targets_only_those_that_count_are_scored():
    """So many that others are left out before; and token 0, which stands in for a target, is none."""
    features, head, targets = many()
    flat = (features.detach() @ head.detach().T).flatten(0, 1)
    loss, correct = next_token_scores(features, head, targets)
    torch.testing.assert_close(loss, formula(features, head, targets).detach(), rtol=1e-12, atol=0)
    assert correct == ((flat.argmax(-1) == targets.flatten()) & (targets.flatten() != IGNORE)).sum() > 0
    features, head, targets = example()
    head = head.detach().clone()
    head[0] = 100 * features[0, 1].detach()
    targets[0, 1] = 0
    assert next_token_scores(features, head, targets)[1] == 1
    targets[0, 1] = IGNORE
    assert next_token_scores(features, head, targets)[1] == 0


def test_a_product_has_the_wider_type_of_its_factors():
    """The features of a compact network are float32, and its head is not."""
    wide, narrow = torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bfloat16)
    assert compute_type(wide, narrow) == compute_type(narrow, wide) == torch.float32
    assert compute_type(narrow, narrow) == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_type(wide, wide) == torch.bfloat16


def test_targets_that_do_not_count_and_dropout_are_left_out_of_an_evaluation(network):
    tokens = torch.tensor([[1, 20, 21, 30]])
    targets = torch.tensor([[20, IGNORE, 30, IGNORE]])
    modes, features = [], network.features
    network.train().features = lambda *words: modes.append(network.training) or features(*words)
    try:
        found = evaluate(network, [Batch(tokens, targets, None, 2)])
    finally:
        del network.features
    assert modes == [False] and network.training and found.targets == 2
    with torch.no_grad():
        log_p = network(tokens)[0].log_softmax(-1)
    assert found.loss == pytest.approx(-(log_p[0, 20] + log_p[2, 30]).item() / 2, rel=1e-5)


def test_scores_of_no_target_are_zero():
    features, head, targets = example()
    loss, correct = next_token_scores(features, head, torch.full_like(targets, IGNORE))
    assert (loss.item(), correct.item()) == (0.0, 0)


def test_evaluation_restores_the_mode_polls_and_keeps_documents_apart(network):
    tokens = torch.tensor([[1, 20, 21, 1, 30, 31]])
    targets = torch.tensor([[20, 21, 2, 30, 31, 2]])
    packed = Batch(tokens, targets, torch.tensor([[0, 1, 2, 0, 1, 2]]), 6)
    apart = [Batch(tokens[:, s], targets[:, s], None, 3) for s in (slice(0, 3), slice(3, 6))]
    polls = []
    network.train()
    result = evaluate(network, apart, poll=lambda: polls.append(1))
    assert network.training and len(polls) == 2 and result.targets == 6
    likeliest = [network(batch.tokens).argmax(-1) for batch in apart]
    assert result.correct == sum(int((a == batch.targets).sum()) for a, batch in zip(likeliest, apart))
    assert evaluate(network, [packed]).nats == pytest.approx(result.nats, rel=1e-6)
    with pytest.raises(SproutError, match="no text"):
        evaluate(network, [])


def test_half_precision_is_of_the_products_and_not_of_the_sum(network):
    """400 targets of about 6 nats: in bfloat16 a sum of 2048 is a multiple of 16."""
    tokens = torch.arange(400).view(4, 100) % 272
    targets = (7 * tokens + 1) % 272
    batches = [Batch(tokens, targets, None, 400)]
    half = partial(torch.autocast, "cpu", torch.bfloat16)
    with torch.no_grad(), half():
        logits = network.eval()(tokens)
    assert logits.dtype == torch.bfloat16
    expected = -logits.double().log_softmax(-1).gather(-1, targets[..., None]).sum().item()
    assert evaluate(network, batches, autocast=half).nats == pytest.approx(expected, 1e-5)


def test_the_sums_of_all_processes_are_added(network):
    batches = [Batch(torch.tensor([[1, 20]]), torch.tensor([[20, 30]]), None, 2)]
    one, sums = evaluate(network, batches), [3.5, 7, 4]
    both = evaluate(network, batches, gathered=lambda own: [own, sums])
    assert (both.nats, both.targets, both.correct) == (one.nats + 3.5, 9, one.correct + 4)


def test_the_measures_of_an_evaluation():
    result = Evaluation(nats=8 * math.log(2), targets=4, correct=3)
    assert (result.bits_per_byte(16), result.perplexity) == (pytest.approx(0.5), pytest.approx(4))
    assert result.token_accuracy == 0.75
    assert Evaluation(nats=20, targets=2, correct=0).perplexity == pytest.approx(math.exp(10))
    assert Evaluation(nats=1e6, targets=1, correct=0).perplexity == math.inf
