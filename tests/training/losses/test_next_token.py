"""Losses against their formulas in float64."""

import pytest
import torch
import torch.nn.functional as F

from model.likelihood import IGNORE
from training.losses.next_token import _LinearCrossEntropy, next_token_loss, next_token_loss_and_measures
from training.losses.tag_weights import target_weights

ROWS, LENGTH, SIZE, VOCABULARY = 2, 5, 8, 23


def example(dtype=torch.float64, seed: int = 0):
    """Features, head and targets, three of the ten targets ignored."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(ROWS, LENGTH, SIZE, generator=generator, dtype=torch.float64)
    head = torch.randn(VOCABULARY, SIZE, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=generator)
    targets[0, 1] = targets[1, 0] = targets[1, 4] = IGNORE
    return features.to(dtype).requires_grad_(), head.to(dtype).requires_grad_(), targets


def formula(features, head, targets):
    """sum over trained tokens of log(sum over v of exp z_v) - z_target, a token at a time, in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for feature, target in zip(features.double().flatten(0, 1), targets.flatten().tolist(), strict=True):
        if target != IGNORE:
            logits = head.double() @ feature
            total = total + torch.log(torch.exp(logits).sum()) - logits[target]
    return total


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_loss_and_gradients_are_those_of_the_formula(dtype, tolerance):
    features, head, targets = example(dtype)
    expected = formula(features, head, targets)
    expected_gradients = torch.autograd.grad(expected, (features, head))

    loss = next_token_loss(features, head, targets, chunk=4)

    torch.testing.assert_close(loss.double(), expected, rtol=tolerance, atol=0)
    gradients = torch.autograd.grad(loss, (features, head))
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunk", [3, 100])
def test_measures_are_those_of_the_formula_and_change_neither_loss_nor_gradient(chunk):
    features, head, targets = example()
    targets[0, 0] = (head @ features[0, 0]).argmax()
    logits = (features.detach() @ head.detach().T)[targets != IGNORE]
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    expected_entropy = -(p * p.log()).sum()
    expected_correct = (logits.argmax(-1) == targets[targets != IGNORE]).sum()

    loss, correct, entropy = next_token_loss_and_measures(features, head, targets, chunk=chunk)

    torch.testing.assert_close(entropy, expected_entropy, rtol=1e-12, atol=0)
    assert correct == expected_correct > 0
    assert not (correct.requires_grad or entropy.requires_grad)
    plain = next_token_loss(features, head, targets, chunk=chunk)
    assert torch.equal(loss, plain)
    for a, b in zip(torch.autograd.grad(loss, (features, head)), torch.autograd.grad(plain, (features, head))):
        assert torch.equal(a, b)


def test_where_untrained_targets_are_not_taken_out_first_nothing_changes():
    """As on a GPU, which would have to be waited for to know how many there are."""
    features, head, targets = example()
    expected = next_token_loss_and_measures(features, head, targets)
    flat = features.flatten(0, 1)
    results = _LinearCrossEntropy.apply(flat, head, targets.flatten(), None, 4, torch.float64, True)
    for result, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected[0], (features, head))
    for gradient, other in zip(torch.autograd.grad(results[0], (features, head)), wanted, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    features, head, targets = example()
    assert torch.autograd.gradcheck(lambda x, h: next_token_loss(x, h, targets, chunk=3) / 7, (features, head))


@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
def test_chunks_change_nothing(chunk):
    features, head, targets = example()
    whole = next_token_loss(features, head, targets, chunk=10)
    loss = next_token_loss(features, head, targets, chunk=chunk)
    torch.testing.assert_close(loss, whole, rtol=1e-13, atol=0)
    for a, b in zip(
        torch.autograd.grad(loss, (features, head)), torch.autograd.grad(whole, (features, head)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_nothing_to_train_is_a_zero_that_can_be_differentiated():
    features, head, targets = example()
    loss = next_token_loss(features, head, torch.full_like(targets, IGNORE), chunk=4)
    assert loss.item() == 0
    loss.backward()
    assert torch.count_nonzero(features.grad) == torch.count_nonzero(head.grad) == 0


def test_ignored_positions_get_no_gradient_and_do_not_count():
    features, head, targets = example()
    loss = next_token_loss(features, head, targets)
    loss.backward()
    assert torch.count_nonzero(features.grad[targets == IGNORE]) == 0
    assert torch.count_nonzero(features.grad[targets != IGNORE]) > 0
    changed = torch.where((targets == IGNORE)[..., None], 100.0, features.detach())
    assert next_token_loss(changed, head, targets).item() == loss.item()


@pytest.mark.parametrize("frozen", ["features", "head"])
def test_what_is_frozen_gets_no_gradient_and_the_other_its_own(frozen):
    features, head, targets = example()
    expected = torch.autograd.grad(formula(features, head, targets), (features, head))
    tensors = {"features": features, "head": head}
    tensors[frozen].requires_grad_(False)
    next_token_loss(features, head, targets, chunk=4).backward()
    assert tensors[frozen].grad is None
    learning = "head" if frozen == "features" else "features"
    torch.testing.assert_close(tensors[learning].grad, expected[learning == "head"])


def test_bfloat16_autocast_keeps_the_sum_in_float32_and_the_gradients_in_the_type_of_the_weights():
    features, head, targets = example(torch.float32)
    expected = formula(features, head, targets)
    expected_gradients = torch.autograd.grad(expected, (features, head))
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(features, head, targets, chunk=4)
    assert loss.dtype == torch.float32
    assert abs(loss.item() / expected.item() - 1) < 0.02
    for gradient, wanted in zip(torch.autograd.grad(loss, (features, head)), expected_gradients, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - wanted).norm() < 0.02 * wanted.norm()


def test_of_logits_in_bfloat16_the_softmax_is_in_float32():
    features, head, targets = example(torch.float32)
    # Whole numbers over 16, whose products and sums have few digits: so no kernel rounds a logit.
    x, output = (4 * features).round().bfloat16(), (4 * head).round().bfloat16() / 16
    logits = F.linear(x.float(), output.float()).flatten(0, -2)
    assert torch.equal(logits, logits.bfloat16().float())
    expected = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORE, reduction="sum")
    assert next_token_loss(x, output, targets).item() == pytest.approx(expected.item(), rel=1e-5)


def test_large_logits_do_not_overflow():
    features, head, targets = example(torch.float32)
    loss = next_token_loss(features * 1000, head, targets)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(loss, (features, head)))


def many(dtype=torch.float64, count: int = 200):
    """As `example`, with so many targets that ignored ones are left out before logits are made; a third stays."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(count // 10, 10, SIZE, generator=generator, dtype=torch.float64)
    head = torch.randn(VOCABULARY, SIZE, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, VOCABULARY, (count // 10, 10), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < 2 / 3] = IGNORE
    return features.to(dtype).requires_grad_(), head.to(dtype).requires_grad_(), targets


@pytest.mark.parametrize("weighted", [False, True])
def test_of_many_targets_the_trained_ones_keep_their_features_weights_and_places(weighted):
    features, head, targets = many()
    assert 0 < (targets != IGNORE).sum() < 128 < targets.numel()
    weights = torch.rand(targets.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = weights if weighted else torch.ones_like(weights)
    expected = weighted_formula(features, head, targets, weights)
    given = weights if weighted else None
    loss, correct, entropy = next_token_loss_and_measures(features, head, targets, chunk=50, weights=given)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    wanted = torch.autograd.grad(expected, (features, head))
    torch.testing.assert_close(torch.autograd.grad(loss, (features, head)), wanted, rtol=1e-12, atol=1e-12)
    logits = (features @ head.T)[targets != IGNORE]
    assert correct == (logits.argmax(-1) == targets[targets != IGNORE]).sum() > 0
    spread = -(logits.softmax(-1) * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(entropy, spread, rtol=1e-12, atol=0)


def test_an_ignored_target_is_not_correct_whatever_is_most_probable_there():
    """Not token 0 either, which stands in for the target where there is none."""
    features, head, targets = example()
    head = head.detach().clone()
    head[0] = 100 * features[0, 1].detach()
    targets[0, 1] = 0
    assert next_token_loss_and_measures(features, head, targets)[1] == 1
    targets[0, 1] = IGNORE
    assert next_token_loss_and_measures(features, head, targets)[1] == 0


def test_a_bfloat16_head_has_its_gradient_summed_in_float32():
    """In bfloat16 a sum of equal parts stops growing at 256 times one of them."""
    features = torch.ones(2000, 1, dtype=torch.bfloat16)
    head = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(2000, dtype=torch.long)
    next_token_loss(features, head, targets, chunk=1).backward()
    assert head.grad.dtype == torch.bfloat16 and head.grad.flatten().tolist() == [-1000, 1000]


# --- weights ----------------------------------------------------------------------------------------


def weighted_formula(features, head, targets, weights):
    """sum over trained tokens of w (log(sum over v of exp z_v) - z_target), a token at a time, in float64."""
    total = torch.zeros((), dtype=torch.float64)
    rows = zip(features.double().flatten(0, 1), targets.flatten().tolist(), weights.flatten().tolist(), strict=True)
    for feature, target, weight in rows:
        if target != IGNORE:
            logits = head.double() @ feature
            total = total + weight * (torch.log(torch.exp(logits).sum()) - logits[target])
    return total


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_weighted_loss_and_its_gradients_are_those_of_the_formula(dtype, tolerance, chunk):
    features, head, targets = example(dtype)
    weights = torch.tensor([[1.0, 5.0, 0.0, 10.0, 0.5], [7.0, 1.0, 2.0, 1.0, 3.0]])
    expected = weighted_formula(features, head, targets, weights)
    expected_gradients = torch.autograd.grad(expected, (features, head))

    loss, correct, entropy = next_token_loss_and_measures(features, head, targets, chunk=chunk, weights=weights)

    torch.testing.assert_close(loss.double(), expected, rtol=tolerance, atol=0)
    gradients = torch.autograd.grad(loss, (features, head))
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=tolerance, atol=tolerance)
    _, *plain = next_token_loss_and_measures(features, head, targets, chunk=chunk)
    assert [correct, entropy] == plain  # every target counts once in these


def test_weights_of_one_change_no_bit_and_those_of_ignored_targets_nothing():
    features, head, targets = example(torch.float32)
    plain = next_token_loss(features, head, targets)
    ones = torch.where(targets == IGNORE, 99.0, 1.0)
    weighted = next_token_loss(features, head, targets, weights=ones)
    assert torch.equal(weighted, plain)
    for a, b in zip(torch.autograd.grad(weighted, (features, head)), torch.autograd.grad(plain, (features, head))):
        assert torch.equal(a, b)


def test_gradients_of_a_weighted_mean_agree_with_finite_differences():
    features, head, targets = example()
    weights = target_weights(targets, targets[targets != IGNORE][:2].tolist(), 10.0)

    def mean(x, h):
        return next_token_loss(x, h, targets, chunk=3, weights=weights) / weights.sum()

    assert torch.autograd.gradcheck(mean, (features, head))


def test_weights_of_nothing_to_train_give_a_zero_that_can_be_differentiated():
    features, head, targets = example()
    targets = torch.full_like(targets, IGNORE)
    weights = target_weights(targets, [3], 10.0)
    loss = next_token_loss(features, head, targets, weights=weights)
    loss.backward()
    assert loss.item() == weights.sum().item() == 0
    assert torch.count_nonzero(features.grad) == torch.count_nonzero(head.grad) == 0


def test_where_untrained_targets_are_not_taken_out_first_weights_stay_with_their_targets():
    features, head, targets = example()
    weights = torch.rand(targets.shape, generator=torch.Generator().manual_seed(1))
    expected = next_token_loss_and_measures(features, head, targets, weights=weights)
    flat = features.flatten(0, 1), head, targets.flatten(), weights.flatten()
    for result, wanted in zip(_LinearCrossEntropy.apply(*flat, 4, torch.float64, True), expected, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-12, atol=0)


def test_chosen_targets_are_weighted_and_ignored_ones_weigh_nothing():
    targets = torch.tensor([[3, 4, IGNORE], [5, 3, 9]])
    assert target_weights(targets, [3, 9], 10.0).tolist() == [[10, 1, 0], [1, 10, 10]]
    assert target_weights(targets, [], 10.0).tolist() == [[1, 1, 0], [1, 1, 1]]
