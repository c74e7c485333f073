"""The block attention used for training on a CPU, against the formula in float64."""

import pytest
import torch

from model.attention import QUERY_BLOCK, BlockAttention, attend, visible


def formula(q, k, v, mask):
    q, k, v = q.double(), k.double(), v.double()
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scores = (q @ k.mT) / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("length", [7, QUERY_BLOCK, QUERY_BLOCK + 44])
@pytest.mark.parametrize("packed", [False, True])
def test_block_attention_equals_the_formula_forward_and_backward(kv_heads, length, packed):
    torch.manual_seed(0)
    q = torch.randn(2, 4, length, 8, requires_grad=True)
    k, v = (torch.randn(2, kv_heads, length, 8, requires_grad=True) for _ in range(2))
    documents = torch.zeros(2, length, dtype=torch.long)
    if packed:
        documents[0, length // 3 :] = 1
        documents[1, 2 * length // 3 :] = 1
    mask = visible(documents, documents)
    direction = torch.randn(2, 4, length, 8)

    result = BlockAttention.apply(q, k, v, mask if packed else None)
    expected = formula(q, k, v, mask)
    gradients = torch.autograd.grad(result, (q, k, v), direction)
    expected_gradients = torch.autograd.grad(expected, (q, k, v), direction.double())

    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_block_attention_in_bfloat16_has_gradients_within_rounding_of_the_formula():
    torch.manual_seed(0)
    q = torch.randn(2, 4, QUERY_BLOCK + 44, 16, dtype=torch.bfloat16, requires_grad=True)
    k, v = (torch.randn(2, 2, QUERY_BLOCK + 44, 16, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    mask = torch.ones(1, 1, QUERY_BLOCK + 44, QUERY_BLOCK + 44, dtype=torch.bool).tril()
    direction = torch.randn(q.shape)
    gradients = torch.autograd.grad(BlockAttention.apply(q, k, v, None), (q, k, v), direction.bfloat16())
    wanted = torch.autograd.grad(formula(q, k, v, mask), (q, k, v), direction.double())
    for gradient, expected in zip(gradients, wanted):
        assert (gradient - expected).float().norm() < 0.02 * expected.float().norm()


def test_grouped_heads_are_repeated_where_only_a_slow_kernel_knows_groups(monkeypatch):
    calls = []
    builtin = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, **settings):
        calls.append((k.shape[1], settings.get("enable_gqa")))
        return builtin(q, k, v, **settings)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    q, k = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 5, 8)
    repeated = attend(q, k, k, None)
    monkeypatch.setattr("model.attention._flash_attention_runs", lambda q: True)
    torch.testing.assert_close(attend(q, k, k, None), repeated)
    mask = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(attend(q, k, k, mask), repeated)
    assert calls == [(4, False), (2, True), (4, False)]


def test_training_in_bfloat16_on_a_cpu_takes_the_blocks_and_agrees_with_the_builtin_kernel():
    torch.manual_seed(0)
    q = torch.randn(1, 4, 40, 8, dtype=torch.bfloat16)
    k, v = (torch.randn(1, 2, 40, 8, dtype=torch.bfloat16) for _ in range(2))
    inference = attend(q, k, v, None)
    training = attend(q.requires_grad_(), k, v, None)
    assert type(training.grad_fn).__name__ == "BlockAttentionBackward"
    torch.testing.assert_close(training, inference, rtol=2e-2, atol=2e-2)
