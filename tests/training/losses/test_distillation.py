"""Losses of distillation against their formulas in float64, and their limits."""

import math

import pytest
import torch
import torch.nn.functional as F

from model.likelihood import IGNORE
from training.losses.distillation import (
    Divergence,
    Top,
    Whole,
    distillation_loss,
    forward_kl,
    jsd,
    reverse_kl,
    trained_places,
    with_tail,
)
from training.losses.next_token import next_token_loss, next_token_loss_and_measures

VOCABULARY = 23
KINDS = ("forward_kl", "reverse_kl", "jsd")


def log_probabilities(seed: int, outcomes: int = VOCABULARY, scale: float = 2.0):
    torch.manual_seed(seed)
    return (scale * torch.randn(6, outcomes, dtype=torch.float64)).log_softmax(-1)


def example(dtype=torch.float64):
    """A student of 5 dimensions, a teacher of 7, and ten targets of which three are ignored."""
    torch.manual_seed(0)
    features = torch.randn(2, 5, 5, dtype=torch.float64).to(dtype).requires_grad_()
    head = torch.randn(VOCABULARY, 5, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(0, VOCABULARY, (2, 5))
    targets[0, 1] = targets[1, 0] = targets[1, 4] = IGNORE
    teacher = (
        torch.randn(2, 5, 7, dtype=torch.float64).to(dtype),
        torch.randn(VOCABULARY, 7, dtype=torch.float64).to(dtype),
    )
    return features, head, targets, teacher


def taught_by(teacher, targets) -> Whole:
    trained = int((targets != IGNORE).sum())
    return Whole(teacher[0].flatten(0, 1)[trained_places(targets, trained)], teacher[1])


def half_and_half(ce, kl):
    return 0.5 * ce + 0.5 * kl


def formula(features, head, targets, teacher, kind, temperature, beta, alpha):
    """A token at a time: sums of alpha ce + (1 - alpha) tau^2 D, of ce, and of tau^2 D."""
    sums = torch.zeros(3, dtype=torch.float64)
    for x, t, y in zip(features.double().flatten(0, 1), teacher[0].double().flatten(0, 1), targets.flatten().tolist()):
        if y == IGNORE:
            continue
        student, told = head.double() @ x, teacher[1].double() @ t
        q, p = (torch.exp(z / temperature) / torch.exp(z / temperature).sum() for z in (student, told))
        m = beta * p + (1 - beta) * q
        d = {
            "forward_kl": (p * torch.log(p / q)).sum(),
            "reverse_kl": (q * torch.log(q / p)).sum(),
            "jsd": beta * (p * torch.log(p / m)).sum() + (1 - beta) * (q * torch.log(q / m)).sum(),
        }[kind]
        ce = torch.log(torch.exp(student).sum()) - student[y]
        sums = sums + torch.stack([alpha * ce + (1 - alpha) * temperature**2 * d, ce, temperature**2 * d])
    return sums


# --- divergences ------------------------------------------------------------------------------------


@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl, jsd])
def test_equal_predictions_are_no_distance_apart_and_others_are(divergence):
    a, b = log_probabilities(1), log_probabilities(2)
    assert divergence(a, a).abs().max() < 1e-15
    assert (divergence(a, b) > 0.1).all()


def test_jsd_is_bounded_symmetric_at_a_half_and_tends_to_both_divergences():
    a, b = log_probabilities(1), log_probabilities(2)
    torch.testing.assert_close(jsd(a, b, 0.5), jsd(b, a, 0.5))
    torch.testing.assert_close(jsd(a, b, 0.3), jsd(b, a, 0.7))
    apart = torch.tensor([[0.0, -1000.0]], dtype=torch.float64), torch.tensor([[-1000.0, 0.0]], dtype=torch.float64)
    assert jsd(*apart, 0.5).item() == pytest.approx(math.log(2))
    torch.testing.assert_close(jsd(a, b, 1e-6) / 1e-6, forward_kl(a, b), rtol=1e-3, atol=0)
    torch.testing.assert_close(jsd(a, b, 1 - 1e-6) / 1e-6, reverse_kl(a, b), rtol=1e-3, atol=0)


def test_a_high_temperature_leaves_half_the_mean_square_of_the_logits_differences():
    """Hinton et al., section 2.1: with tau^2 the loss, and so its gradient, has a limit."""
    torch.manual_seed(0)
    told, said = torch.randn(2, 6, VOCABULARY, dtype=torch.float64)
    difference = (told - told.mean(-1, keepdim=True)) - (said - said.mean(-1, keepdim=True))
    expected = difference.square().mean(-1) / 2
    for kind in ("forward_kl", "reverse_kl"):
        soft = Divergence(kind, temperature=1e4)
        torch.testing.assert_close(soft(soft.soften(told), soft.soften(said)), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl, jsd])
def test_what_one_finds_all_but_impossible_is_a_finite_loss_with_a_finite_gradient(divergence):
    told = torch.tensor([[0.0, -300.0, 5.0]]).log_softmax(-1)
    logits = torch.tensor([[-400.0, 300.0, 0.0]], requires_grad=True)
    loss = divergence(told, logits.log_softmax(-1)).sum()
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


# --- the most probable tokens -----------------------------------------------------------------------


@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl, jsd])
@pytest.mark.parametrize("k", [1, 4, VOCABULARY - 1])
def test_a_tail_in_one_makes_the_divergence_smaller_and_never_negative(divergence, k):
    told, said = log_probabilities(1), log_probabilities(2)
    ids = told.topk(k).indices
    coarse = divergence(with_tail(told, ids), with_tail(said, ids))
    whole = divergence(told, said)
    assert (coarse >= 0).all() and (coarse <= whole + 1e-12).all()
    if k == VOCABULARY - 1:  # the tail is the one token that is left
        torch.testing.assert_close(coarse, whole)
    assert divergence(with_tail(told, ids), with_tail(told, ids)).abs().max() < 1e-15


def test_a_tail_is_the_rest_of_the_probability_and_not_lost_next_to_a_sure_token():
    told = log_probabilities(1)
    ids = told.topk(3).indices
    torch.testing.assert_close(with_tail(told, ids).exp().sum(-1), torch.ones(6, dtype=torch.float64))
    sure = torch.tensor([[0.0, -40.0, -40.0]]).log_softmax(-1)  # 1 - p is 0 in float32
    assert with_tail(sure, torch.tensor([[0]]))[0, 1].item() == pytest.approx(-40 + math.log(2))


def test_the_most_probable_tokens_are_those_of_the_whole_prediction():
    _, _, targets, teacher = example()
    whole = taught_by(teacher, targets)
    divergence = Divergence(temperature=2.0)
    expected = ((whole.features @ whole.head.T) / 2).log_softmax(-1)
    for chunk in (1, 3, 100):
        top = whole.top(4, divergence, chunk)
        assert torch.equal(top.ids, expected.topk(4).indices)
        torch.testing.assert_close(top.log_probabilities, with_tail(expected, top.ids))
    empty = Whole(whole.features[:0], whole.head).top(4, divergence)
    assert empty.ids.shape == (0, 4) and empty.log_probabilities.shape == (0, 5)


# --- the loss of a batch ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-11), (torch.float32, 2e-5)])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_the_formula(kind, temperature, dtype, tolerance):
    features, head, targets, teacher = example(dtype)
    expected = formula(features, head, targets, teacher, kind, temperature, 0.3, 0.25)
    wanted = torch.autograd.grad(expected[0], (features, head))

    def combine(ce, kl):
        return 0.25 * ce + 0.75 * kl

    divergence = Divergence(kind, temperature, 0.3)
    found = distillation_loss(features, head, targets, taught_by(teacher, targets), divergence, combine, chunk=3)
    torch.testing.assert_close(torch.stack(found[:3]).double(), expected, rtol=tolerance, atol=0)
    assert found.loss.requires_grad and not any(each.requires_grad for each in found[1:])
    for gradient, other in zip(torch.autograd.grad(found.loss, (features, head)), wanted, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.double(), other.double(), rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("k", [None, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind, k):
    features, head, targets, teacher = example()
    divergence, taught = Divergence(kind, 2.0, 0.3), taught_by(teacher, targets)
    if k:
        taught = taught.top(k, divergence)

    def loss(x, h):
        return distillation_loss(x, h, targets, taught, divergence, half_and_half, chunk=3).loss / 7

    assert torch.autograd.gradcheck(loss, (features, head))


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_but_one_are_as_good_as_all(kind):
    features, head, targets, teacher = example()
    divergence, taught = Divergence(kind, 2.0), taught_by(teacher, targets)
    whole = distillation_loss(features, head, targets, taught, divergence, half_and_half)
    nearly = taught.top(VOCABULARY - 1, divergence)
    found = distillation_loss(features, head, targets, nearly, divergence, half_and_half)
    torch.testing.assert_close(tuple(found), tuple(whole))
    for a, b in zip(
        torch.autograd.grad(found.loss, (features, head)), torch.autograd.grad(whole.loss, (features, head))
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_that_is_its_teacher_has_nothing_to_learn_of_it(kind):
    features, head, targets, _ = example()
    taught = taught_by((features.detach(), head.detach()), targets)
    found = distillation_loss(features, head, targets, taught, Divergence(kind, 2.0), lambda ce, kl: kl)
    assert abs(found.loss.item()) < 1e-13 and found.agreed == 7
    for gradient in torch.autograd.grad(found.loss, (features, head)):
        assert gradient.abs().max() < 1e-12


def test_hard_labels_alone_are_fine_tuning():
    features, head, targets, teacher = example()
    expected, correct, _ = next_token_loss_and_measures(features, head, targets)
    taught = taught_by(teacher, targets)
    found = distillation_loss(
        features, head, targets, taught, Divergence("jsd", 2.0), lambda ce, kl: 1.0 * ce + 0.0 * kl
    )
    torch.testing.assert_close(found.loss, expected, rtol=1e-13, atol=0)
    assert found.correct == correct and found.ce == found.loss
    wanted = torch.autograd.grad(next_token_loss(features, head, targets), (features, head))
    torch.testing.assert_close(torch.autograd.grad(found.loss, (features, head)), wanted, rtol=1e-12, atol=1e-12)


def test_a_teacher_that_knows_the_answer_gives_the_cross_entropy():
    """KL to a prediction with all its probability on the target is -log q(target)."""
    features, head, targets, _ = example()
    here = trained_places(targets, 7)
    sure = torch.nn.functional.one_hot(targets.flatten()[here], VOCABULARY).double() * 200
    taught = Whole(sure, torch.eye(VOCABULARY, dtype=torch.float64))
    found = distillation_loss(features, head, targets, taught, Divergence(), lambda ce, kl: kl)
    torch.testing.assert_close(found.kl, found.ce)
    assert found.agreed == found.correct


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("k", [None, 4])
def test_chunks_change_nothing(chunk, k):
    features, head, targets, teacher = example()
    divergence, taught = Divergence("jsd", 1.5), taught_by(teacher, targets)
    taught = taught.top(k, divergence) if k else taught
    whole, found = (
        distillation_loss(features, head, targets, taught, divergence, half_and_half, chunk=each) for each in (7, chunk)
    )
    torch.testing.assert_close(tuple(found), tuple(whole), rtol=1e-13, atol=0)
    for a, b in zip(
        torch.autograd.grad(found.loss, (features, head)), torch.autograd.grad(whole.loss, (features, head))
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_nothing_to_train_is_a_zero_that_can_be_differentiated():
    features, head, targets, teacher = example()
    nothing = torch.full_like(targets, IGNORE)
    taught = taught_by(teacher, nothing)
    for each in (taught, taught.top(4, Divergence())):
        found = distillation_loss(features, head, nothing, each, Divergence(), half_and_half)
        assert [value.item() for value in found] == [0, 0, 0, 0, 0]
        gradients = torch.autograd.grad(found.loss, (features, head))
        assert all(torch.count_nonzero(gradient) == 0 for gradient in gradients)


def test_tokens_that_student_teacher_and_data_agree_on_are_counted_each_by_itself():
    eye, likeliest = torch.eye(4, dtype=torch.float64), [0, 1, 2, 3, 0, 1]
    student, teacher = (5 * eye[each] for each in (likeliest, [0, 1, 2, 0, 1, 2]))
    targets = torch.tensor([0, 1, 3, 3, 3, 3])  # two that all agree on, one of the two alone, one of the data alone
    taught = Whole(teacher, eye)
    for each in (taught, taught.top(2, Divergence())):
        found = distillation_loss(student, eye, targets, each, Divergence(), half_and_half, chunk=4)
        assert (found.correct, found.agreed) == (3, 3)
    targets[3] = 1
    found = distillation_loss(student, eye, targets, taught, Divergence(), half_and_half, chunk=4)
    assert (found.correct, found.agreed) == (2, 3)


def test_a_bfloat16_head_has_its_gradient_summed_in_float32():
    """In bfloat16 a sum of equal parts stops growing at 256 times one of them."""
    features = torch.ones(2000, 1, dtype=torch.bfloat16)
    head = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    targets = torch.zeros(2000, dtype=torch.long)
    taught = Whole(features, torch.zeros(2, 1, dtype=torch.bfloat16))
    distillation_loss(features, head, targets, taught, Divergence(), lambda ce, kl: ce, chunk=1).loss.backward()
    assert head.grad.dtype == torch.bfloat16 and head.grad.flatten().tolist() == [-1000, 1000]


def test_untrained_positions_get_no_gradient_and_do_not_count():
    features, head, targets, teacher = example()
    taught = taught_by(teacher, targets)
    loss = distillation_loss(features, head, targets, taught, Divergence(), half_and_half).loss
    (gradient,) = torch.autograd.grad(loss, features)
    assert torch.count_nonzero(gradient[targets == IGNORE]) == 0 < torch.count_nonzero(gradient)
    changed = torch.where((targets == IGNORE)[..., None], 100.0, features.detach())
    assert distillation_loss(changed, head, targets, taught, Divergence(), half_and_half).loss == loss


def test_a_frozen_head_gets_no_gradient_and_the_features_still_do():
    features, head, targets, teacher = example()
    taught = taught_by(teacher, targets)
    distillation_loss(features, head.detach(), targets, taught, Divergence(), half_and_half).loss.backward()
    assert head.grad is None and features.grad.abs().sum() > 0


def test_a_teacher_asked_in_inference_mode_will_do():
    features, head, targets, teacher = example()
    with torch.inference_mode():
        taught = taught_by([each * 1 for each in teacher], targets)
    for each in (taught, taught.top(4, Divergence())):
        distillation_loss(features, head, targets, each, Divergence("jsd"), half_and_half).loss.backward()
    assert features.grad.abs().sum() > 0


def test_bfloat16_autocast_keeps_sums_in_float32_and_gradients_in_the_type_of_the_weights():
    features, head, targets, teacher = example(torch.float32)
    taught = taught_by(teacher, targets)
    exact = distillation_loss(features, head, targets, taught, Divergence(), half_and_half)
    wanted = torch.autograd.grad(exact.loss, (features, head))
    with torch.autocast("cpu", torch.bfloat16):
        found = distillation_loss(features, head, targets, taught, Divergence(), half_and_half)
        top = taught.top(4, Divergence())
    assert found.loss.dtype == found.kl.dtype == top.log_probabilities.dtype == torch.float32
    assert abs(found.loss / exact.loss - 1) < 0.02
    for gradient, other in zip(torch.autograd.grad(found.loss, (features, head)), wanted, strict=True):
        assert gradient.dtype == torch.float32 and (gradient - other).norm() < 0.02 * other.norm()


def test_of_logits_in_bfloat16_the_softmax_is_in_float32():
    features, head, targets, teacher = example(torch.float32)
    # Whole numbers over 16, whose products and sums have few digits: so no kernel rounds a logit.
    x, output = (4 * features).round().bfloat16(), (4 * head).round().bfloat16() / 16
    found = distillation_loss(x, output, targets, taught_by(teacher, targets), Divergence(), half_and_half)
    logits = F.linear(x.float(), output.float()).flatten(0, -2)
    assert torch.equal(logits, logits.bfloat16().float())
    expected = F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORE, reduction="sum")
    assert found.ce.item() == pytest.approx(expected.item(), rel=1e-5)


def test_top_needs_no_more_of_the_teacher():
    """What the cache holds is all that the loss asks for."""
    features, head, targets, teacher = example()
    top = taught_by(teacher, targets).top(4, Divergence())
    kept = Top(top.ids.clone(), top.log_probabilities.float())
    a, b = (distillation_loss(features, head, targets, each, Divergence(), half_and_half).loss for each in (top, kept))
    torch.testing.assert_close(a, b, rtol=1e-6, atol=0)
