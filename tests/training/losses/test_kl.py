"""Estimates of a KL divergence: their means over all actions, by enumeration, against the divergence itself."""

import math

import pytest
import torch

from training.losses.kl import k1, k3, penalty


def k2(log_p, reference):
    return (log_p - reference).square() / 2


ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}


@pytest.fixture
def policies():
    """Logits of a policy (a leaf) and log-probabilities of its reference and of the old policy, over six actions."""
    torch.manual_seed(0)
    logits, reference, old = torch.randn(3, 6, dtype=torch.float64)
    return logits.requires_grad_(), reference.log_softmax(0), old.log_softmax(0)


def divergence(logits, reference):
    log_p = logits.log_softmax(0)
    return (log_p.exp() * (log_p - reference)).sum()


def test_k1_and_k3_are_right_on_average_and_k2_and_k3_never_negative(policies):
    log_p, reference = policies[0].detach().log_softmax(0), policies[1]
    found = {name: estimator(log_p, reference) for name, estimator in ESTIMATORS.items()}
    for name in ("k1", "k3"):
        assert (log_p.exp() * found[name]).sum().item() == pytest.approx(divergence(*policies[:2]).item(), rel=1e-12)
    near = log_p + 1e-3 * (reference - log_p)
    near = near.log_softmax(0)
    assert (log_p.exp() * k2(log_p, near)).sum() == pytest.approx(divergence(log_p, near).item(), rel=1e-2)
    assert found["k1"].min() < 0 and found["k2"].min() > 0 and found["k3"].min() > 0


@pytest.mark.parametrize("on_policy", [True, False])
def test_the_penalty_has_value_and_gradient_of_the_divergence(policies, on_policy):
    """On average over the actions of the policy that sampled, whether or not it is still the same."""
    logits, reference, old = policies
    (expected,) = torch.autograd.grad(divergence(logits, reference), logits)
    log_p = logits.log_softmax(0)
    old = log_p.detach() if on_policy else old
    found = (old.exp() * penalty(log_p, reference, (log_p - old).exp())).sum()
    assert found.item() == pytest.approx(divergence(logits, reference).item(), rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(found, logits)[0], expected)


def test_k1_and_k3_as_losses_have_other_gradients(policies):
    """0 on average, and that of KL(reference || policy): why the penalty is neither of them."""
    logits, reference, _ = policies
    log_p = logits.log_softmax(0)
    weights, slopes = log_p.detach().exp(), {}
    for name in ("k1", "k2", "k3"):
        mean = (weights * ESTIMATORS[name](log_p, reference)).sum()
        (slopes[name],) = torch.autograd.grad(mean, logits, retain_graph=True)
    assert slopes["k1"].abs().max() < 1e-12
    reversed_divergence = (reference.exp() * (reference - log_p)).sum()
    torch.testing.assert_close(
        slopes["k3"], torch.autograd.grad(reversed_divergence, logits, retain_graph=True)[0], atol=1e-12, rtol=1e-9
    )
    torch.testing.assert_close(slopes["k2"], torch.autograd.grad(divergence(logits, reference), logits)[0])


def test_far_from_the_reference_k3_has_a_limit_and_a_finite_gradient():
    log_p = torch.tensor([0.0, 0.0, -1.0], requires_grad=True)
    found = k3(log_p, torch.tensor([1e4, -1e4, 0.0]))
    assert found.tolist() == pytest.approx([10, 10, math.e - 2])
    found.sum().backward()
    assert log_p.grad.tolist() == pytest.approx([0, 0, 1 - math.e])


def test_far_from_the_reference_the_penalty_still_pulls_towards_it():
    """Also where k3 is at its limit, and d at its own."""
    log_p = torch.tensor([-30.0, -9.0, 0.0, 0.0], requires_grad=True)
    reference = torch.tensor([0.0, 0.0, -9.0, -1e4])
    found = penalty(log_p, reference, torch.ones(4))
    assert found.tolist() == pytest.approx([10, 10, 8 + 1.234e-4, 10])
    found.sum().backward()
    assert log_p.grad.tolist() == [-20, -9, 9, 20]
