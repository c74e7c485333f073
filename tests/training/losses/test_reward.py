"""The losses of the reward model against their formulas in Python's float64, their gradients, and trl's."""

import math
from types import SimpleNamespace

import pytest
import torch

from training.losses.reward import bt, hinge, mse
from training.stages.stage_arguments import REWARD_LOSS_TYPES


def test_the_command_line_names_all_losses():
    assert tuple(one.__name__ for one in (bt, hinge, mse)) == REWARD_LOSS_TYPES


def drawn(count=7, seed=0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rewards of chosen and rejected answers, and margins, float64 [count]."""
    torch.manual_seed(seed)
    chosen, rejected = (2 * torch.randn(count, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return chosen, rejected, torch.rand(count, dtype=torch.float64)


def test_each_loss_is_its_formula():
    chosen, rejected, margins = drawn()
    columns = list(zip(chosen.tolist(), rejected.tolist(), margins.tolist(), strict=True))
    expected = [-math.log(1 / (1 + math.exp(-(c - r - m)))) + 0.3 * (c + r) ** 2 for c, r, m in columns]
    assert bt(chosen, rejected, margins, center=0.3).tolist() == pytest.approx(expected, rel=1e-12)
    expected = [max(0.0, 0.7 + m - (c - r)) for c, r, m in columns]
    assert 0 in expected and max(expected) > 0
    assert hinge(chosen, rejected, margins, m=0.7).tolist() == pytest.approx(expected, rel=1e-12)
    assert mse(chosen, margins).tolist() == pytest.approx([(c - m) ** 2 for c, _, m in columns], rel=1e-12)


def test_each_gradient_is_that_of_finite_differences():
    chosen, rejected, margins = drawn()
    assert torch.autograd.gradcheck(lambda c, r: bt(c, r, margins, center=0.3), (chosen, rejected))
    assert torch.autograd.gradcheck(lambda c, r: hinge(c, r, margins, m=0.7), (chosen, rejected))
    assert torch.autograd.gradcheck(lambda r: mse(r, margins), (chosen,))


def test_equal_rewards_cost_ln_2_and_what_all_have_in_common_costs_nothing_but_for_the_center():
    zero = torch.zeros(3)
    assert bt(zero, zero, center=0.01).tolist() == pytest.approx([math.log(2)] * 3)
    chosen, rejected, margins = drawn()
    assert torch.allclose(bt(chosen + 5, rejected + 5, margins), bt(chosen, rejected, margins))
    assert (bt(zero + 5, zero + 5, center=0.01) > bt(zero, zero, center=0.01)).all()


def test_large_differences_stay_finite():
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = bt(far, -far)
    assert loss.tolist() == [0, 2e4]
    loss.sum().backward()
    assert far.grad.isfinite().all()


@pytest.mark.parametrize("center", [None, 0.01, 0.5])
@pytest.mark.parametrize("with_margin", [False, True])
def test_bt_is_the_loss_of_trl(center, with_margin):
    """Its compute_loss with a network that gives these rewards, on the same batch."""
    pytest.importorskip("trl", reason="trl is not installed (the test extra has it)")
    try:
        from trl import RewardTrainer
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"trl has no RewardTrainer that can be imported here: {error}")
    chosen, rejected, margins = (each.detach().float() for each in drawn())
    rewards = torch.cat([chosen, rejected])[:, None].requires_grad_()
    accelerator = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
    metrics = {"train": {name: [] for name in ("min_reward", "mean_reward", "max_reward", "accuracy", "margin")}}
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(center_rewards_coefficient=center),
        accelerator=accelerator,
        _metrics=metrics,
        _total_train_tokens=0,
        _tp_size=1,
    )
    inputs = {"input_ids": torch.zeros(14, 3), "attention_mask": torch.ones(14, 3)}
    inputs |= {"margin": margins} if with_margin else {}

    def network(**_):
        return SimpleNamespace(logits=rewards)

    theirs = RewardTrainer.compute_loss(trainer, network, inputs)
    theirs.backward()
    ours = [each.clone().requires_grad_() for each in (chosen, rejected)]
    loss = bt(*ours, margins if with_margin else 0.0, center or 0.0).mean()
    loss.backward()
    assert loss.item() == pytest.approx(theirs.item(), abs=1e-6)
    torch.testing.assert_close(torch.cat([each.grad for each in ours]), rewards.grad[:, 0], atol=1e-6, rtol=1e-5)
    assert metrics["train"]["accuracy"] == [pytest.approx((chosen > rejected).float().mean().item())]
