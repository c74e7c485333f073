"""Policy losses, their gradients and what is logged of them against trl's trainer, on the same tensors."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from training.losses.policy import LOSSES, Settings, policy_loss

trl = pytest.importorskip("trl", reason="trl, the peer, is not installed")

BETA, LONGEST = 0.1, 9
LENGTHS = (5, 2, 1, 4)  # of two micro-batches of two answers


@pytest.fixture(scope="module")
def trainer():
    """The class, whose method computes a loss of whatever has the attributes that it reads."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    return GRPOTrainer


@pytest.fixture
def answers():
    """log p (a leaf), old, advantages, mask, reference."""
    torch.manual_seed(0)
    mask = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    old = -3 * torch.rand(4, 6)
    log_p = (old + 0.4 * torch.randn(4, 6)).requires_grad_()
    return log_p, old, torch.tensor([1.3, -0.4, 0.8, -1.7]), mask, old + 0.5 * torch.randn(4, 6)


def theirs(trainer, answers, name: str, s: Settings) -> tuple[torch.Tensor, dict]:
    """Its loss of the update that these two micro-batches make, and its metrics of each of them."""
    log_p, old, advantages, mask, reference = answers
    low, high = (s.clip_low, s.cispo_cap if name == "cispo" else s.clip_high)
    config = SimpleNamespace(
        use_bias_correction_kl=True,
        delta=s.dual_clip,
        sapo_temperature_pos=s.sapo_temperature,
        sapo_temperature_neg=s.sapo_temperature_negative,
        steps_per_generation=2,
    )
    alone = SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x)
    stub = SimpleNamespace(
        args=config,
        accelerator=alone,
        model=torch.nn.Linear(1, 1),  # in training mode
        loss_type="grpo" if name == "gspo" else name,
        importance_sampling_level="sequence" if name == "gspo" else "token",
        beta=s.beta,
        epsilon_low=low,
        epsilon_high=high,
        max_completion_length=s.longest,
        current_gradient_accumulation_steps=2,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
    )
    total = 0
    for rows in (slice(0, 2), slice(2, 4)):
        stub._get_per_token_logps_and_entropies = lambda *a, rows=rows, **k: (log_p[rows], 0 * old[rows], None)
        ids = torch.zeros(2, 6, dtype=torch.long)
        inputs = {"prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1] + 1, "completion_ids": ids}
        inputs |= {"completion_mask": mask[rows].long(), "advantages": advantages[rows]}
        inputs |= {"old_per_token_logps": old[rows], "ref_per_token_logps": reference[rows]}
        total += trainer._compute_loss(stub, None, inputs | {"num_items_in_batch": mask.sum()})
    return total, stub._metrics["train"]


@pytest.mark.parametrize("beta", [0.0, BETA])
@pytest.mark.parametrize("name", LOSSES)
def test_an_update_is_the_one_of_its_trainer(trainer, answers, name, beta):
    """But for gspo with a KL, which it multiplies by the ratio of the answer: that is not the weight of an action."""
    if name == "gspo" and beta:
        pytest.skip("another formula")
    low, high = (0.02, 0.03) if name == "gspo" else (0.2, 0.3)
    settings = Settings(clip_low=low, clip_high=high, cispo_cap=1.2, longest=LONGEST, beta=beta)
    log_p, old, advantages, mask, reference = answers
    expected, logged = theirs(trainer, answers, name, settings)
    (slopes,) = torch.autograd.grad(expected, log_p)

    parts = [
        policy_loss(
            name, *(each[rows] for each in (log_p, old, advantages, mask)), settings, reference[rows] if beta else None
        )
        for rows in (slice(0, 2), slice(2, 4))
    ]
    found = sum(part.loss_sum for part in parts) / sum(part.count for part in parts)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(torch.autograd.grad(found, log_p)[0], slopes, atol=1e-5, rtol=1e-5)
    assert slopes[mask].any()

    shared = {key for key in logged if "clip_ratio" in key or key == "kl"} & parts[0].measures.keys()
    assert len(shared) == {"sapo": 0, "cispo": 1}.get(name, 3) + bool(beta)
    for key in shared:
        means = [total.item() / count.item() for total, count in (part.measures[key] for part in parts)]
        assert means == pytest.approx(logged[key], rel=1e-5), key


def test_a_dual_clip_is_its_delta(trainer, answers):
    settings = Settings(clip_low=0.2, clip_high=0.3, dual_clip=1.5)
    log_p, old, advantages, mask, _ = answers
    with torch.no_grad():
        log_p += 0.4
    (expected,) = torch.autograd.grad(theirs(trainer, answers, "dapo", settings)[0], log_p)
    found, without = (policy_loss("dapo", log_p, old, advantages, mask, s) for s in (settings, Settings(0.2, 0.3)))
    slopes, free = (torch.autograd.grad(each.loss_sum / each.count, log_p)[0] for each in (found, without))
    torch.testing.assert_close(slopes, expected, atol=1e-5, rtol=1e-5)
    assert (slopes != free).any()
