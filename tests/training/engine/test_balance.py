"""The auxiliary loss against transformers and a float64 formula; what is measured of experts; Muon over stacks."""

import pytest
import torch

from model.experts import ExpertsConfig
from model.generation import generate_batch
from model.likelihood import IGNORE
from model.sampling import GREEDY
from tests.support import random_network
from training.engine.balance import Balance, has_text
from training.engine.muon import orthogonalize
from training.engine.optimizers import build_optimizers, parameter_groups
from training.engine.resume import restore_updater
from training.engine.update import Measures, Updater
from training.losses.next_token import next_token_loss

SIZES = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = ExpertsConfig(**SIZES, intermediate_size=48, num_experts=4, router_aux_loss_coef=0.5)


def rows_of() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight rows of 12 tokens, of which 1 to 12 are trained."""
    generator = torch.Generator().manual_seed(1)
    tokens, targets = (torch.randint(1, 61, (8, 12), generator=generator) for _ in range(2))
    for row, trained in enumerate((11, 3, 1, 7, 1, 12, 2, 5)):
        targets[row, trained:] = IGNORE
    return tokens, targets


def updater_of(network, fp16: bool = False) -> Updater:
    """An updater that changes nothing, so that the gradients that it was given can be looked at."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    optimizer.param_groups[0]["peak_lr"] = 0.0
    updater = Updater([optimizer], 50, 0.0, fp16)
    updater.balance = Balance(network)
    return updater


def step(network, updater, rows: int):
    """An update over all rows, so many at a time; the result, and the gradients by name."""
    for tokens, targets in zip(*(each.split(rows) for each in rows_of()), strict=True):
        loss_sum = next_token_loss(network.features(tokens), network.lm_head.weight, targets)
        updater.backward(loss_sum, int((targets != IGNORE).sum()))
    return updater.update(1.0, Measures()), {name: p.grad.clone() for name, p in network.named_parameters()}


def two_steps(config=SMALL, rows: int = 8, fp16: bool = False, recomputes: bool = False):
    """The second of two updates over the same rows, in which the shares of experts are those of the first."""
    network = random_network(config)
    network.recomputes_layers = recomputes
    updater = updater_of(network, fp16)
    first = step(network, updater, rows)
    return *step(network, updater, rows), first, network


def probabilities_of(network, tokens, positions=None) -> list[torch.Tensor]:
    """Of each layer [N, E], over all rows."""
    found = []
    hooks = [
        layer.post_attention_layernorm.register_forward_hook(
            lambda module, x, y, mlp=layer.mlp: found.append(mlp.probabilities(y.flatten(0, -2)))
        )
        for layer in network.model.layers
    ]
    network.features(tokens, positions)
    for hook in hooks:
        hook.remove()
    return found


def by_hand(network) -> torch.Tensor:
    """The auxiliary loss in float64."""
    found = []
    for p in probabilities_of(network, rows_of()[0]):
        chosen = torch.zeros_like(p).scatter_(-1, p.topk(2).indices, 1.0)
        found.append(len(p[0]) * (chosen.double().mean(0) * p.double().mean(0)).sum())
    return torch.stack(found).mean()


def test_the_gradient_is_that_of_loss_and_auxiliary_loss():
    result, gradients, (first, plain), _ = two_steps()
    network, (tokens, targets) = random_network(SMALL), rows_of()  # one that nothing is added to

    def expected(coefficient: float):
        loss = next_token_loss(network.features(tokens), network.lm_head.weight, targets) / (targets != IGNORE).sum()
        return loss, torch.autograd.grad(loss + coefficient * by_hand(network), list(network.parameters()))

    # A run begins as if the experts were chosen equally often.
    for found, (_, wanted) in ((plain, expected(0.0)), (gradients, expected(0.5))):
        for (name, gradient), each in zip(found.items(), wanted):
            torch.testing.assert_close(gradient, each, rtol=1e-4, atol=1e-6, msg=name)
    router = "model.layers.0.mlp.gate.weight"
    assert (gradients[router] - plain[router]).abs().max() > 0.01
    assert (
        result.loss == first.loss == pytest.approx(expected(0.0)[0].item(), rel=1e-6)
    )  # what is printed leaves the term out
    assert result.measures["experts/aux_loss"] == pytest.approx(by_hand(network).item(), rel=1e-5)


def test_it_is_that_of_transformers_layer_by_layer():
    modelling = pytest.importorskip("transformers.models.qwen3_moe.modeling_qwen3_moe")
    found, _, _, network = two_steps()
    logarithms = [p.log() for p in probabilities_of(network, rows_of()[0])]
    theirs = [modelling.load_balancing_loss_func((layer,), 4, 2) for layer in logarithms]
    assert found.measures["experts/aux_loss"] == pytest.approx(sum(theirs).item() / 2, rel=1e-5)


def test_what_fills_rows_up_is_not_counted():
    """Two texts in one row and one in another, against the same texts in rows of their own, and transformers."""
    texts = torch.randint(1, 61, (3, 6), generator=torch.Generator().manual_seed(1))
    tokens, positions, mask = (torch.zeros(2, 16, dtype=torch.long) for _ in range(3))
    alone = []
    for text, length, row, start in zip(texts, (6, 5, 2), (0, 0, 1), (0, 6, 0)):
        here = row, slice(start, start + length)
        tokens[here], positions[here], mask[here] = text[:length], torch.arange(length), 1
        alone.append((text[None, :length], None))

    def trained(batches):
        """Of a loss that is zero, so that the gradient is that of the auxiliary loss."""
        network = random_network(SMALL)
        updater = updater_of(network)
        for _ in range(2):
            for one, where in batches:
                updater.backward(0 * network.features(one, where).sum(), 1)
            measures = updater.update(1.0, Measures()).measures
        return measures, {name: p.grad for name, p in network.named_parameters()}, network

    measures, gradients, network = trained([(tokens, positions)])
    expected, expected_gradients, _ = trained(alone)
    assert measures == pytest.approx(expected, rel=1e-5)
    assert expected_gradients["model.layers.0.mlp.gate.weight"].abs().max() > 0.001
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-4, atol=1e-7, msg=name)

    modelling = pytest.importorskip("transformers.models.qwen3_moe.modeling_qwen3_moe")
    theirs = [
        modelling.load_balancing_loss_func((p.log(),), 4, 2, mask).item()
        for p in probabilities_of(network, tokens, positions)
    ]
    assert measures["experts/aux_loss"] == pytest.approx(sum(theirs) / 2, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_accumulation_changes_neither_loss_nor_gradient(rows):
    whole, expected, *_ = two_steps()
    result, gradients, *_ = two_steps(rows=rows)
    assert result.loss == pytest.approx(whole.loss, rel=1e-6)
    for name, value in whole.measures.items():
        assert result.measures[name] == pytest.approx(value, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_neither_checkpointing_nor_loss_scaling_changes_it():
    whole, expected, *_ = two_steps()
    for changes in ({"recomputes": True}, {"fp16": True}):
        result, gradients, *_ = two_steps(**changes)
        assert result.measures == pytest.approx(whole.measures)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7, msg=name)


def test_what_is_measured():
    network = random_network(SMALL)
    for layer in network.model.layers:
        layer.mlp.gate.weight.data.zero_()
        layer.mlp.gate.weight.data[3] = 0
    updater = updater_of(network)
    measures = step(network, updater, 4)[0].measures
    # All probabilities are equal, and of equal ones the same two are taken.
    assert measures["experts/aux_loss"] == pytest.approx(2.0)  # k
    assert measures["experts/load_max"] == pytest.approx(2.0)
    assert measures["experts/router_entropy"] == pytest.approx(torch.tensor(4.0).log().item())
    assert measures["experts/dead"] == 4

    with torch.no_grad():  # neither validation nor a pass without a gradient counts
        network.features(rows_of()[0])
    before = updater.balance.weights.clone()
    result = updater.update(1.0, Measures())
    assert "experts/dead" not in result.measures
    assert torch.equal(updater.balance.weights, before)


def test_frozen_layers_have_no_part_in_it():
    network = random_network(SMALL)
    network.model.layers[0].requires_grad_(False)
    updater = updater_of(network)
    assert network.model.layers[0].mlp.balance is None
    assert updater.balance.weights.shape == (1, 4)
    network.requires_grad_(False)
    assert Balance(network).count(3, Measures()) is None


def test_a_network_in_training_writes_what_it_would_without_its_balance():
    """So many tokens that a rearranged copy writes them, as it writes every sample on a GPU."""
    *_, network = two_steps()
    prompts = [[number, 5, 9][: 1 + number % 3] for number in range(1, 31)]
    written = generate_batch(network, prompts, max_new_tokens=40, sampling=GREEDY)
    assert written == generate_batch(random_network(SMALL), prompts, max_new_tokens=40, sampling=GREEDY)


def test_a_resumed_updater_goes_on_with_the_same_shares():
    network = random_network(SMALL)
    updater = updater_of(network)
    step(network, updater, 8)
    saved = updater.state_dict()
    expected = step(network, updater, 8)[1]
    again = random_network(SMALL)
    other = updater_of(again)
    restore_updater(other, saved)
    for name, gradient in step(again, other, 8)[1].items():
        assert torch.equal(gradient, expected[name]), name


def test_every_expert_is_a_matrix_to_muon():
    stack = torch.randn(5, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([orthogonalize(matrices) for matrices in stack])
    torch.testing.assert_close(orthogonalize(stack), expected)
    groups = parameter_groups(random_network(SMALL))
    assert {p.ndim for p in groups["matrices"]} == {2, 3}
    assert [tuple(p.shape) for p in groups["head"]] == [(4, 32)] * 2  # the routers

    # One step of a stack is that of its matrices one by one.
    def stepped(parameters):
        network = torch.nn.Module()
        network.config = SMALL
        network.model = torch.nn.ModuleList()
        for parameter in parameters:
            layer = torch.nn.Module()
            layer.up_proj = torch.nn.Module()
            layer.up_proj.weight = torch.nn.Parameter(parameter.clone())
            holder = torch.nn.Module()
            setattr(holder, "experts" if parameter.ndim == 3 else "mlp", layer)
            network.model.append(holder)
        (muon,) = build_optimizers(network, "muon", 0.1, 0.1, muon_dtype=torch.float32)
        for parameter in network.parameters():
            parameter.grad = parameter.detach().sin()
        muon.step()
        return [parameter.detach() for parameter in network.parameters()]

    torch.testing.assert_close(stepped([stack[0]])[0], torch.stack(stepped(list(stack[0]))), rtol=1e-5, atol=1e-6)


def test_a_position_is_of_a_text_unless_it_is_a_document_of_one_token_among_such():
    """Which at the end of a row only the one before can tell."""
    positions = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2]])
    found = has_text(torch.sin(positions[..., None] * torch.tensor([1.0, 0.1])))
    assert found.tolist() == [
        [True, True, True, True],
        [True, True, True, True],
        [True, True, False, False],
        [False, False, False, False],
        [False, True, True, True],
    ]


def test_what_is_measured_and_asked_for_follows_from_the_counts_of_an_update():
    """Four tokens of two layers: one leaves two of four experts idle, the other one none but hardly."""
    network, measures = random_network(SMALL), Measures()
    balance = Balance(network)
    chosen = torch.tensor([[5.0, 3.0, 0.0, 0.0], [4.0, 2.0, 1.0, 1.0]])
    probability = torch.tensor([[2.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]])
    entropy = torch.tensor([[1.0, 0.5, 0.25, 0.25], [0.5, 0.5, 0.5, 0.5]])
    for tally, *found in zip(balance._tallies, chosen, probability, entropy, strict=True):
        tally.grad = torch.stack(found)
    balance.count(12, measures)  # an update of 12 things, such as trained tokens
    assert not balance.weights.any()  # what is saved if the update is not made after all
    balance.press(1.0)
    f, p = chosen / 4, probability / 4
    torch.testing.assert_close(balance.weights, 0.5 / 2 * 4 * f * 12 / 4)
    assert not any(tally.grad.any() for tally in balance._tallies)
    found = measures.read([0.0], [], torch.device("cpu"))[1]
    assert found == pytest.approx(
        {
            "experts/aux_loss": 4 * (f * p).sum().item() / 2,
            "experts/load_max": 5 / 4 * 4 / 2,
            "experts/router_entropy": (2.0 + 2.0) / 4 / 2,
            "experts/dead": 2,
        }
    )
