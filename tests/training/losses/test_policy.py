"""Policy losses against their formulas in Python's float64, and what must hold of them."""

import math
from dataclasses import replace

import pytest
import torch

from model.errors import UsageError
from training.losses.advantages import group_advantages
from training.losses.policy import CLIP, LOSSES, PolicyLoss, Settings, policy_loss

NAMES = tuple(LOSSES)
SETTINGS = Settings(clip_low=0.2, clip_high=0.3, cispo_cap=1.2, longest=7)
LENGTHS = (4, 1, 3, 2)


def drawn(lengths=LENGTHS, width=5, seed=0, moved=0.4):
    """log p (a leaf), old, advantages [S] and mask; the policy has moved away from the old one."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    old = -3 * torch.rand(mask.shape, generator=generator, dtype=torch.float64)
    log_p = old + moved * torch.randn(mask.shape, generator=generator, dtype=torch.float64)
    advantages = torch.randn(len(lengths), generator=generator, dtype=torch.float64)
    return log_p.requires_grad_(), old, advantages, mask


def gradient(found: PolicyLoss, log_p) -> torch.Tensor:
    """That of the loss of an update which consists of this micro-batch."""
    return torch.autograd.grad(found.loss_sum / found.count, log_p)[0]


def formula(name: str, log_p: list, old: list, advantages: list, s: Settings) -> float:
    """The loss of answers, as lists of their actions."""
    low, high = 1 - s.clip_low, 1 + s.clip_high
    answers = []
    for now, before, a in zip(log_p, old, advantages):
        ratios = [math.exp(x - y) for x, y in zip(now, before)]
        if name == "gspo":
            ratios = len(ratios) * [math.exp(sum(x - y for x, y in zip(now, before)) / len(ratios))]
        if name == "cispo":
            losses = [-min(ratio, s.cispo_cap) * a * x for ratio, x in zip(ratios, now)]
        elif name == "sapo":
            tau = s.sapo_temperature if a > 0 else s.sapo_temperature_negative
            losses = [-4 / tau / (1 + math.exp(-tau * (ratio - 1))) * a for ratio in ratios]
        else:
            losses = [-min(ratio * a, min(max(ratio, low), high) * a) for ratio in ratios]
        answers.append(losses)
    if name in ("grpo", "gspo", "sapo"):
        return sum(sum(losses) / len(losses) for losses in answers) / len(answers)
    total = sum(sum(losses) for losses in answers)
    return total / (len(answers) * s.longest if name == "dr_grpo" else sum(map(len, answers)))


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_those_of_the_formula(name):
    log_p, old, advantages, mask = drawn()
    found = policy_loss(name, log_p, old, advantages, mask, SETTINGS)
    slopes = gradient(found, log_p)
    assert not slopes[~mask].any() and (slopes[mask] == 0).any() == (name not in ("cispo", "sapo"))
    now, before = ([row[:n].tolist() for row, n in zip(each.detach(), LENGTHS)] for each in (log_p, old))
    arguments = before, advantages.tolist(), SETTINGS
    assert (found.loss_sum / found.count).item() == pytest.approx(formula(name, now, *arguments), rel=1e-12)
    for row, n in enumerate(LENGTHS):
        for t in range(n):
            if name == "cispo":  # its weight has no gradient, so that it is not the slope of its loss
                ratio = math.exp(now[row][t] - before[row][t])
                slope = -min(ratio, SETTINGS.cispo_cap) * advantages[row].item() / sum(LENGTHS)
            else:
                sides = []
                for h in (1e-6, -1e-6):
                    moved = [list(answer) for answer in now]
                    moved[row][t] += h
                    sides.append(formula(name, moved, *arguments))
                slope = (sides[0] - sides[1]) / 2e-6
            assert slopes[row, t].item() == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_update_is_reinforce(name):
    """In value, with a loss of -A, and in gradient, with one of -A log p; float32, as in a run."""
    old, advantages, mask = (each.float() if each.is_floating_point() else each for each in drawn()[1:])
    log_p = old.clone().requires_grad_()
    settings = Settings(longest=7)
    found = policy_loss(name, log_p, old, advantages, mask, settings)
    weights = mask / len(LENGTHS) / mask.sum(dim=1, keepdim=True)
    if name in ("dapo", "bnpo", "cispo"):
        weights = mask / mask.sum()
    elif name == "dr_grpo":
        weights = mask / len(LENGTHS) / 7
    (expected,) = torch.autograd.grad(-(weights * advantages[:, None] * log_p).sum(), log_p)
    torch.testing.assert_close(gradient(found, log_p), expected, atol=1e-6, rtol=1e-6)
    value = {"cispo": log_p, "sapo": torch.where(advantages > 0, 2.0, 2 / 1.05)[:, None]}.get(name, 1)
    expected = -(weights * advantages[:, None] * value).sum().item()
    assert (found.loss_sum / found.count).item() == pytest.approx(expected, abs=1e-6)
    assert found.ranges["ratio"].tolist() == [1, 1] and found.measures["approx_kl"][0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_add_up_to_the_update(name):
    """Whatever the split, the gradient is the same; bnpo is the mean over micro-batches."""
    log_p, old, advantages, mask = drawn()
    whole = policy_loss(name, log_p, old, advantages, mask, SETTINGS)
    parts = [
        policy_loss(name, *(each[rows] for each in (log_p, old, advantages, mask)), SETTINGS)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    together = replace(whole, loss_sum=sum(p.loss_sum for p in parts), count=sum(p.count for p in parts))
    if name == "bnpo":
        means = [part.loss_sum.item() for part in parts]
        assert (together.loss_sum / together.count).item() == pytest.approx(sum(means) / 2, rel=1e-12)
        assert means[0] != means[1] and [part.count.item() for part in parts] == [1, 1]
    else:
        assert together.loss_sum.item() == pytest.approx(whole.loss_sum.item(), rel=1e-12)
        torch.testing.assert_close(gradient(together, log_p), gradient(whole, log_p))
    for key, (total, count) in whole.measures.items():
        found = [sum(part.measures[key][i].item() for part in parts) for i in (0, 1)]
        assert found == pytest.approx([total.item(), count.item()]), key
    assert sum(part.actions.item() for part in parts) == whole.actions.item() == sum(LENGTHS)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_answers_that_are_left_out_count_nowhere(name):
    log_p, old, advantages, mask = drawn()
    reference = old - 0.1
    settings = replace(SETTINGS, beta=0.1)
    alone = policy_loss(name, log_p, old, advantages, mask, settings, reference)

    def wider(each, rest):
        found = torch.full((6, 9), rest, dtype=each.dtype)
        found[1:5, :5] = torch.where(mask, each, rest)
        return found

    wide = wider(log_p.detach(), math.nan).requires_grad_()
    others = wider(old, math.nan), torch.cat([torch.tensor([math.nan]), advantages, torch.ones(1)]), wider(mask, False)
    found = policy_loss(name, wide, *others, settings, wider(reference, math.nan))
    assert found.count == alone.count
    torch.testing.assert_close(found.loss_sum, alone.loss_sum)
    torch.testing.assert_close(gradient(found, wide)[1:5, :5], gradient(alone, log_p))
    torch.testing.assert_close((found.measures, found.ranges), (alone.measures, alone.ranges))

    nothing = policy_loss(name, wide, others[0], others[1], torch.zeros(6, 9, dtype=torch.bool), settings, others[0])
    assert [nothing.loss_sum.item(), nothing.count.item(), *nothing.ranges["ratio"].tolist()] == [0, 0, 1, 1]
    assert not torch.autograd.grad(nothing.loss_sum, wide)[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_reward_moves_nothing_but_the_kl(name):
    log_p, old, _, mask = drawn()
    advantages, _ = group_advantages(torch.full((4,), 0.1, dtype=torch.float64), torch.tensor([0, 0, 1, 1]))
    assert not gradient(policy_loss(name, log_p, old, advantages, mask, SETTINGS), log_p).any()
    held = policy_loss(name, log_p, old, advantages, mask, replace(SETTINGS, beta=0.1), old - 0.1)
    assert gradient(held, log_p)[mask].all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_answers_does_not_matter(name):
    every, order = drawn(), torch.tensor([2, 0, 3, 1])
    found = policy_loss(name, *(each[order] for each in every), SETTINGS)
    torch.testing.assert_close(found.loss_sum, policy_loss(name, *every, SETTINGS).loss_sum)


@pytest.mark.parametrize("name", NAMES)
def test_an_advantage_may_belong_to_an_action(name):
    log_p, old, advantages, mask = drawn()
    found = policy_loss(name, log_p, old, advantages[:, None].expand(4, 5), mask, SETTINGS)
    torch.testing.assert_close(found.loss_sum, policy_loss(name, log_p, old, advantages, mask, SETTINGS).loss_sum)
    changed = torch.where(torch.arange(5) == 1, 0, advantages[:, None])
    slopes = gradient(policy_loss(name, log_p, old, changed, mask, SETTINGS), log_p)
    assert not slopes[:, 1].any() and slopes[:, 0].any()


def test_gspo_of_answers_of_one_action_is_grpo():
    every = drawn(lengths=(1, 1, 1, 1), width=1)
    found, expected = (policy_loss(name, *every, SETTINGS) for name in ("gspo", "grpo"))
    torch.testing.assert_close(found.loss_sum, expected.loss_sum)
    torch.testing.assert_close(gradient(found, every[0]), gradient(expected, every[0]))
    assert found.measures == expected.measures


def test_gspo_clips_whole_answers_within_a_range_of_its_own():
    log_p, old, mask = torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)
    log_p[0] = torch.tensor([0.1, -0.099])  # a mean of 5e-4
    log_p[1] = torch.tensor([0.1, -0.0995])  # 2.5e-4
    log_p[2] = -4e-4
    log_p.requires_grad_()
    found = policy_loss("gspo", log_p, old, torch.tensor([1.0, 1.0, -1.0]), mask)
    assert gradient(found, log_p).any(dim=1).tolist() == [False, True, False]
    shares = {key: (total.item(), count.item()) for key, (total, count) in found.measures.items() if "clip" in key}
    assert shares == {"clip_ratio/low_mean": (1, 3), "clip_ratio/high_mean": (1, 3), "clip_ratio/region_mean": (2, 3)}
    assert CLIP["gspo"] == (3e-4, 4e-4)
    assert found.ranges["ratio"].tolist() == pytest.approx([math.exp(-0.0995), math.exp(0.1)])  # of single actions


# ratio, advantage -> whether the action has a gradient with clip 0.2/0.3, and with a dual clip of 3
CLIPPING = [
    (0.7, 1.0, True, True),
    (0.7, -1.0, False, False),
    (1.2, 1.0, True, True),
    (1.4, 1.0, False, False),
    (1.4, -1.0, True, True),
    (2.9, -1.0, True, True),
    (3.1, -1.0, True, False),
    (3.1, 1.0, False, False),
    (0.1, 1.0, True, True),
]


def test_which_actions_are_clipped_and_what_is_logged_of_it():
    ratios, advantages = (torch.tensor(column, dtype=torch.float64)[:, None] for column in list(zip(*CLIPPING))[:2])
    log_p, old, mask = ratios.log().requires_grad_(), torch.zeros_like(ratios), torch.ones_like(ratios).bool()
    for dual_clip, expected in ((None, 2), (3.0, 3)):
        found = policy_loss("dapo", log_p, old, advantages, mask, replace(SETTINGS, dual_clip=dual_clip))
        assert gradient(found, log_p)[:, 0].bool().tolist() == [row[expected] for row in CLIPPING]
    measures = {key: total.item() for key, (total, _) in found.measures.items()}
    clipped = {f"clip_ratio/{key}_mean": count for key, count in (("low", 1), ("high", 2), ("region", 3))}
    approximate = sum(ratio - 1 - math.log(ratio) for ratio, *_ in CLIPPING)
    assert measures == pytest.approx({**clipped, "approx_kl": approximate})
    assert all(count == len(CLIPPING) for _, count in found.measures.values())
    assert found.ranges["ratio"].tolist() == pytest.approx([0.1, 3.1])
    assert policy_loss("cispo", log_p, old, advantages, mask, SETTINGS).measures["cispo_clip_ratio"][0] == 2


def test_a_dual_clip_limits_the_loss_and_not_only_the_gradient():
    every = torch.full((1, 1), math.log(50.0)), torch.zeros(1, 1), torch.tensor([-2.0]), torch.ones(1, 1).bool()
    assert policy_loss("dapo", *every, replace(SETTINGS, dual_clip=3.0)).loss_sum.item() == pytest.approx(6)
    assert policy_loss("dapo", *every, SETTINGS).loss_sum.item() == pytest.approx(100)


@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_is_far_away_overflows_nothing(name):
    log_p = torch.tensor([[-1e4, 0.0, -1.0]], requires_grad=True)
    old, reference = torch.tensor([[0.0, -1e4, -1.0]]), torch.tensor([[0.0, -1e4, -1e4]])
    settings = replace(SETTINGS, beta=0.1)
    for advantage in (-1.0, 1.0):
        mask, advantages = torch.ones(1, 3, dtype=torch.bool), torch.tensor([advantage])
        found = policy_loss(name, log_p, old, advantages, mask, settings, reference)
        assert found.loss_sum.isfinite() and gradient(found, log_p).isfinite().all()


def test_padding_is_no_ratio():
    log_p, mask = torch.tensor([[0.5, 0.0]]), torch.tensor([[True, False]])
    found = policy_loss("dapo", log_p, torch.zeros(1, 2), torch.ones(1), mask)
    assert found.ranges["ratio"].tolist() == pytest.approx(2 * [math.exp(0.5)])


def test_without_limits_of_its_own_a_ratio_is_clipped_at_a_fifth_beside_one():
    log_p, advantages = torch.tensor([[1.5], [0.5]]).log(), torch.tensor([1.0, -1.0])
    found = policy_loss("dapo", log_p, torch.zeros(2, 1), advantages, torch.ones(2, 1, dtype=torch.bool))
    assert found.loss_sum.item() == pytest.approx(-1.2 + 0.8)
    assert Settings(cispo_cap=1.0).cispo_cap == 1  # the least that means something


@pytest.mark.parametrize("name", NAMES)
def test_what_is_logged_holds_no_graph(name):
    log_p, old, advantages, mask = drawn()
    found = policy_loss(name, log_p, old, advantages, mask, SETTINGS, old)
    assert found.loss_sum.requires_grad
    logged = [total for total, _ in found.measures.values()] + list(found.ranges.values())
    assert len(logged) >= 3 and not any(each.requires_grad for each in logged)


def test_an_answer_far_from_the_policy_that_sampled_it_has_a_limit_in_gspo():
    """Beyond a mean log-ratio of 10 there is no gradient, as a bad answer would otherwise outweigh all others."""
    log_p = torch.tensor([[15.0, 15.0], [9.0, 9.0]], requires_grad=True)
    found = policy_loss(
        "gspo", log_p, torch.zeros(2, 2), torch.tensor([-1.0, -1.0]), torch.ones(2, 2, dtype=torch.bool)
    )
    assert found.loss_sum.item() == pytest.approx(math.exp(10) + math.exp(9), rel=1e-5)
    (slope,) = torch.autograd.grad(found.loss_sum, log_p)
    assert slope[0].tolist() == [0, 0] and slope[1].tolist() == pytest.approx(2 * [math.exp(9) / 2], rel=1e-5)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="--cispo_cap 0.2 is below 1"):
        Settings(cispo_cap=0.2)
    with pytest.raises(UsageError, match="--dual_clip 1 is not above 1"):
        Settings(dual_clip=1.0)
    with pytest.raises(ValueError, match="longest"):
        policy_loss("dr_grpo", *drawn())
    with pytest.raises(ValueError, match="reference"):
        policy_loss("dapo", *drawn(), Settings(beta=0.1))


@pytest.mark.parametrize("name", ["dapo", "gspo"])
def test_the_kl_is_logged_wherever_there_is_a_reference_and_trained_by_its_weight(name):
    """It is that of single actions, with their own ratios, also where the loss has one ratio for an answer."""
    log_p, old, advantages, mask = drawn()
    reference = old - 0.3
    plain = policy_loss(name, log_p, old, advantages, mask, SETTINGS)
    watched = policy_loss(name, log_p, old, advantages, mask, SETTINGS, reference)
    held = policy_loss(name, log_p, old, advantages, mask, replace(SETTINGS, beta=0.5), reference)
    assert watched.loss_sum == plain.loss_sum
    d, ratio = reference - log_p, (log_p - old).exp()
    kl = torch.where(mask, ratio * (d.exp() - 1 - d), 0)
    assert watched.measures["kl"][0].item() == pytest.approx(kl.sum().item(), rel=1e-12)
    expected = 0.5 * (kl if name == "dapo" else kl / mask.sum(dim=1, keepdim=True)).sum().item()
    assert (held.loss_sum - plain.loss_sum).item() == pytest.approx(expected, rel=1e-9)
