"""Divergences of distillation against those of trl: the same logits, the same targets."""

import pytest
import torch

from tests.training.losses.test_distillation import VOCABULARY, example, taught_by
from training.losses.distillation import Divergence, distillation_loss


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind, beta", [("forward_kl", 0), ("reverse_kl", 1), ("jsd", 0.5), ("jsd", 0.1)])
def test_divergences_are_those_of_trl(kind, beta, temperature):
    """Its loss has no tau^2 and is a mean over tokens; its beta 0 and 1 are the two KL."""
    gkd = pytest.importorskip("trl.experimental.gkd", reason="trl is installed with the test extra")
    features, head, targets, teacher = example()
    with torch.no_grad():
        logits, told = features @ head.T, teacher[0] @ teacher[1].T
    logits.requires_grad_()
    of_trl = gkd.GKDTrainer.generalized_jsd_loss(logits, told, labels=targets, beta=beta, temperature=temperature)
    (wanted,) = torch.autograd.grad(of_trl, logits)

    divergence = Divergence(kind, temperature, beta or 0.5)
    taught, eye = taught_by(teacher, targets), torch.eye(VOCABULARY, dtype=torch.float64)
    found = distillation_loss(logits, eye, targets, taught, divergence, lambda ce, kl: kl).loss
    (gradient,) = torch.autograd.grad(found, logits)
    scale = temperature**2 * len(taught)
    torch.testing.assert_close(found / scale, of_trl, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradient / scale, wanted, rtol=1e-9, atol=1e-12)
