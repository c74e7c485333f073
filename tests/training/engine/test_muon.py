"""Muon against singular value decompositions and a plain float64 version of its update."""

import io

import pytest
import torch

from training.engine import muon
from training.engine.compiled_muon import CompiledArithmetic, compile_arithmetic
from training.engine.muon import NEWTON_SCHULZ, Muon, orthogonalize, update_matrices

SHAPES = [(32, 32), (48, 16), (16, 48), (1, 8), (8, 1)]


def random_matrices(count: int, shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def with_known_values(count: int, shape) -> torch.Tensor:
    """Random singular vectors; singular values from 0.1 to 1, which five steps are made for."""
    u, _, vh = torch.linalg.svd(random_matrices(count, shape).double(), full_matrices=False)
    return (u * torch.logspace(-1, 0, min(shape), dtype=torch.float64) @ vh).float()


# --- orthogonalize ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_singular_values_come_near_one_whatever_the_scale(shape, scale, dtype):
    result = orthogonalize((with_known_values(4, shape) * scale).to(dtype))
    assert (result.shape, result.dtype) == ((4, *shape), dtype)
    values = torch.linalg.svdvals(result.double())
    assert values.min() > 0.6 and values.max() < 1.3


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_stay(shape):
    for matrix in with_known_values(3, shape):
        u, _, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
        inner = u.mT @ orthogonalize(matrix[None].bfloat16())[0].double() @ vh.mT  # the identity, were all values one
        assert ((inner.diagonal() > 0.6) & (inner.diagonal() < 1.3)).all()
        assert (inner - inner.diagonal().diag()).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (24, 16), (23, 16), (8, 1)])
def test_float32_gives_what_float64_gives(shape):
    """Also where all steps are made on X'X, in which the singular values below 3e-4 drown in rounding. Five steps
    magnify that by up to a^8 = 2e4: to about 1e-3 of the result."""
    u, _, vh = torch.linalg.svd(random_matrices(3, shape).double(), full_matrices=False)
    matrices = u * torch.logspace(0, -7, min(shape), dtype=torch.float64) @ vh
    expected = orthogonalize(matrices)
    values = torch.linalg.svdvals(expected)
    assert values[..., 0].min() > 0.6 and (min(shape) == 1 or values[..., -1].max() < 1e-3)
    assert (orthogonalize(matrices.float()).double() - expected).norm() < 2e-3 * expected.norm()


def test_bfloat16_keeps_small_singular_values():
    """The steps of a tall matrix are made on itself there: made on X'X they would be wrong a hundred times over."""
    u, _, vh = torch.linalg.svd(random_matrices(3, (48, 16)).double(), full_matrices=False)
    matrices = (u * torch.logspace(0, -2, 16, dtype=torch.float64) @ vh).bfloat16()
    expected = orthogonalize(matrices.double())
    assert (orthogonalize(matrices).double() - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_zero_stays_zero(dtype):
    matrices = random_matrices(2, (8, 6)).to(dtype)
    matrices[1] = 0
    result = orthogonalize(matrices)
    assert torch.isfinite(result).all()
    assert torch.count_nonzero(result[1]) == 0 and torch.count_nonzero(result[0]) > 0


# --- the step ---------------------------------------------------------------------------------------


def reference_update(matrix, momentum, gradient, lr, weight_decay, beta=0.95):
    """One Muon step of one matrix in float64, as on paper; returns the matrix and its momentum."""
    momentum = beta * momentum + (1 - beta) * gradient
    x = beta * momentum + (1 - beta) * gradient
    x = x / x.norm()
    if x.shape[0] > x.shape[1]:
        x = x.mT
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        x = a * x + b * (x @ x.mT) @ x + c * (x @ x.mT) @ (x @ x.mT) @ x
    if matrix.shape[0] > matrix.shape[1]:
        x = x.mT
    scale = max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
    return matrix * (1 - lr * weight_decay) - lr * scale * x, momentum


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.04), (torch.float32, 1e-4)])
def test_steps_are_those_of_the_reference(dtype, tolerance):
    shapes = [(32, 32), (64, 16), (16, 64), (64, 16)]
    parameters = [torch.nn.Parameter(random_matrices(1, s, seed)[0]) for seed, s in enumerate(shapes)]
    before = [p.detach().clone() for p in parameters]
    expected = [(p.detach().double(), torch.zeros(p.shape, dtype=torch.float64)) for p in parameters]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.3, compute_dtype=dtype)
    for step in range(4):
        for i, parameter in enumerate(parameters):
            parameter.grad = random_matrices(1, parameter.shape, seed=100 + 10 * step + i)[0]
            expected[i] = reference_update(*expected[i], parameter.grad.double(), lr=0.1, weight_decay=0.3)
        optimizer.step()
    for parameter, start, (wanted, momentum) in zip(parameters, before, expected, strict=True):
        torch.testing.assert_close(optimizer.state[parameter]["momentum"].double(), momentum, rtol=1e-5, atol=1e-6)
        apart = (parameter.double() - wanted).norm() / (parameter - start).norm()
        assert apart < tolerance and (dtype == torch.float32 or apart > 1e-3)  # it is computed in `dtype`


def trained(steps: int, dtype=torch.float32, prepare=lambda optimizer: None, counts=(5, 2)) -> list[torch.Tensor]:
    """Parameters and momenta of matrices of two shapes after some steps at different rates."""
    shapes = [(24, 8)] * counts[0] + [(8, 24)] * counts[1]
    parameters = [torch.nn.Parameter(random_matrices(1, shape, seed)[0]) for seed, shape in enumerate(shapes)]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.3, compute_dtype=dtype)
    prepare(optimizer)
    for step in range(steps):
        for i, parameter in enumerate(parameters):
            parameter.grad = random_matrices(1, parameter.shape, seed=100 * step + i)[0]
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        optimizer.step()
    return [*(p.detach() for p in parameters), *(optimizer.state[p]["momentum"] for p in parameters)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("most", [1, 2 * 24 * 8, 3 * 24 * 8 + 1])
def test_fewer_matrices_at_once_give_the_same_to_the_bit(monkeypatch, dtype, most):
    expected, sizes = trained(3, dtype), []
    monkeypatch.setattr(muon, "AT_ONCE", most)

    def watch(optimizer):
        def watched(parameters, *rest):
            sizes.append(len(parameters))
            update_matrices(parameters, *rest)

        optimizer.arithmetic = watched

    assert all(map(torch.equal, trained(3, dtype, watch), expected))
    assert max(sizes) == max(1, most // (24 * 8)) and sum(sizes) == 3 * 7


class Host:
    compiles = True

    def __init__(self):
        self.said = []
        self.say = self.said.append


def test_compiled_it_computes_the_same_and_compiles_once_for_each_shape():
    """At rates that change, and of more shapes than dynamo allows by default."""
    graphs, host = [], Host()

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def prepare(optimizer):
        compile_arithmetic([optimizer], host)
        optimizer.arithmetic = CompiledArithmetic(update_matrices, host, backend=backend)

    for count in (2, 3):
        with torch._dynamo.config.patch(cache_size_limit=1):
            found = trained(2, prepare=prepare, counts=(count, 1))
        expected = trained(2, counts=(count, 1))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert len(graphs) == 3 and not host.said


def test_where_it_does_not_compile_it_says_so_once_and_goes_on():
    host = Host()

    def backend(graph, inputs):
        raise RuntimeError("no triton")

    def prepare(optimizer):
        optimizer.arithmetic = CompiledArithmetic(update_matrices, host, backend=backend)

    assert all(map(torch.equal, trained(2, prepare=prepare), trained(2)))
    assert len(host.said) == 1 and "no triton" in host.said[0]


def test_a_parameter_without_a_gradient_stays_as_it_is():
    parameters = [torch.nn.Parameter(random_matrices(1, (8, 8), seed)[0]) for seed in range(2)]
    parameters[0].grad = random_matrices(1, (8, 8), 9)[0]
    before = parameters[1].detach().clone()
    Muon(parameters, lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameters[1], before)


def test_state_saved_and_loaded_goes_on_to_the_bit():
    def run(stop_after):
        parameter = torch.nn.Parameter(random_matrices(1, (24, 8))[0])
        optimizer = Muon([parameter], lr=0.1)
        for step in range(5):
            if step == stop_after:
                file = io.BytesIO()
                torch.save((optimizer.state_dict(), parameter.detach()), file)
                file.seek(0)
                state, weights = torch.load(file, weights_only=True)
                parameter = torch.nn.Parameter(weights)
                optimizer = Muon([parameter], lr=123.0)
                optimizer.load_state_dict(state)
            parameter.grad = random_matrices(1, (24, 8), seed=step)[0]
            optimizer.step()
        return parameter

    assert torch.equal(run(stop_after=2), run(stop_after=None))


def test_it_learns():
    """A sanity check of the sign: least squares falls."""
    target = random_matrices(1, (16, 16))[0]
    parameter = torch.nn.Parameter(torch.zeros(16, 16))
    optimizer = Muon([parameter], lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (parameter - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
