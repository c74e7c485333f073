"""Log-probabilities of tokens and completions against the formula, and their gradient against autograd's."""

import pytest
import torch

from model.likelihood import IGNORE
from model.log_probabilities import sequence_sums, token_log_probabilities


def problem(dtype=torch.float64, tokens=(2, 7), hidden=6, vocabulary=11):
    torch.manual_seed(0)
    features = torch.randn(*tokens, hidden, dtype=dtype, requires_grad=True)
    head = torch.randn(vocabulary, hidden, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocabulary, tokens)
    targets[0, 2], targets[1, 5:] = IGNORE, IGNORE
    return features, head, targets


def formula(features, head, targets):
    picked = (features @ head.T).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets == IGNORE, 0, picked)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_values_and_gradients_are_those_of_the_formula(chunk):
    features, head, targets = problem()
    weights = torch.randn(targets.shape, dtype=torch.float64)
    found, entropy = token_log_probabilities(features, head, targets, chunk)
    expected = formula(features, head, targets)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    spread = -((features @ head.T).softmax(-1) * (features @ head.T).log_softmax(-1)).sum(-1)
    torch.testing.assert_close(entropy, torch.where(targets == IGNORE, 0, spread), atol=1e-12, rtol=1e-12)
    assert not entropy.requires_grad
    gradients = torch.autograd.grad((found * weights).sum(), (features, head))
    wanted = torch.autograd.grad((expected * weights).sum(), (features, head))
    torch.testing.assert_close(gradients, wanted, atol=1e-12, rtol=1e-12)


def test_of_many_targets_every_value_and_gradient_is_at_its_place():
    """So many that ignored ones are left out before logits are made."""
    features, head, targets = problem(tokens=(4, 50))
    targets[torch.rand(targets.shape, generator=torch.Generator().manual_seed(1)) < 2 / 3] = IGNORE
    assert 0 < (targets != IGNORE).sum() < 128 < targets.numel()
    weights = torch.randn(targets.shape, dtype=torch.float64)
    found, entropy = token_log_probabilities(features, head, targets, 50)
    expected = formula(features, head, targets)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    spread = -((features @ head.T).softmax(-1) * (features @ head.T).log_softmax(-1)).sum(-1)
    torch.testing.assert_close(entropy, torch.where(targets == IGNORE, 0, spread), atol=1e-12, rtol=1e-12)
    gradients = torch.autograd.grad((found * weights).sum(), (features, head))
    wanted = torch.autograd.grad((expected * weights).sum(), (features, head))
    torch.testing.assert_close(gradients, wanted, atol=1e-12, rtol=1e-12)


def test_a_bfloat16_head_has_its_gradient_summed_in_float32():
    """In bfloat16 a sum of equal parts stops growing at 256 times one of them."""
    features = torch.ones(2000, 1, dtype=torch.bfloat16)
    head = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    token_log_probabilities(features, head, torch.zeros(2000, dtype=torch.long), 1)[0].sum().backward()
    assert head.grad.dtype == torch.bfloat16 and head.grad.flatten().tolist() == [1000, -1000]


def test_a_frozen_head_gets_no_gradient_and_the_features_still_do():
    features, head, targets = problem()
    token_log_probabilities(features, head.detach(), targets)[0].sum().backward()
    assert head.grad is None and features.grad.abs().sum() > 0


def test_under_autocast_values_are_float32_and_near_and_so_are_gradients():
    features, head, targets = problem(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = token_log_probabilities(features, head, targets)
    assert found.dtype == torch.float32
    expected = formula(features, head, targets)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.02)
    gradients = torch.autograd.grad(found.sum(), (features, head))
    assert [each.dtype for each in gradients] == 2 * [torch.float32]
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), (features, head)), atol=0.05, rtol=0.02)


def test_nothing_but_ignored_targets_is_a_zero_with_a_graph():
    features, head, targets = problem()
    found, entropy = token_log_probabilities(features, head, torch.full_like(targets, IGNORE))
    assert found.abs().sum() == entropy.abs().sum() == 0
    found.sum().backward()
    assert features.grad.abs().sum() == 0


def test_sums_over_sequences_that_share_rows():
    values = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 0.0]], requires_grad=True)
    numbers = torch.tensor([[0, 0, 2], [1, 1, 0]])
    sums = sequence_sums(values, numbers, 4)
    assert sums.tolist() == [3, 24, 4, 0]
    sums[1].backward()
    assert values.grad.tolist() == [[0, 0, 0], [1, 1, 0]]
