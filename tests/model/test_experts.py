"""The mixture of experts against a loop in float64, a dense MLP, and Qwen3-MoE of transformers."""

import os

import pytest
import torch
import torch.nn.functional as F

from model import experts, grouped
from model.config import PRESETS, TransformerConfig
from model.decoding import rearranged
from model.errors import UsageError
from model.experts import Experts, ExpertsConfig
from model.generation import generate_batch
from model.grouped import in_one_kernel, one_by_one
from model.lora import Lora, add_lora
from model.sampling import GREEDY
from model.transformer import MLP, Transformer
from tests.support import random_network

SIZES = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL = ExpertsConfig(**SIZES, intermediate_size=48, max_position_embeddings=64, num_experts=4)


def tokens_of(rows: int, length: int) -> torch.Tensor:
    return torch.randint(1, 61, (rows, length), generator=torch.Generator().manual_seed(1))


def experts_of(config: ExpertsConfig, dtype=torch.float32) -> Experts:
    return random_network(config).model.layers[0].mlp.to(dtype)


def inputs(dtype=torch.float32) -> torch.Tensor:
    return torch.randn(3, 7, 32, dtype=dtype, generator=torch.Generator().manual_seed(2), requires_grad=True)


# --- the layer --------------------------------------------------------------------------------------


def by_hand(layer: Experts, x: torch.Tensor) -> torch.Tensor:
    """Token by token, as on paper."""
    stacks = layer.experts
    found = []
    for token in x.reshape(-1, x.shape[-1]):
        p = (layer.gate.weight @ token).softmax(-1)
        best = p.argsort(descending=True)[: layer.chosen].tolist()
        total = sum(p[e] for e in best) if layer.normalised else 1.0
        outputs = []
        for e in best:
            inner = F.silu(stacks.gate_proj.weight[e] @ token) * (stacks.up_proj.weight[e] @ token)
            outputs.append(p[e] / total * (stacks.down_proj.weight[e] @ inner))
        found.append(sum(outputs))
    return torch.stack(found).view(x.shape)


@pytest.mark.parametrize("chosen, normalised", [(2, True), (2, False), (1, False), (4, True)])
def test_a_layer_computes_what_is_on_paper_gradients_included(chosen, normalised):
    config = SMALL.replace(num_experts_per_tok=chosen, moe_intermediate_size=24, norm_topk_prob=normalised)
    layer, x = experts_of(config, torch.float64), inputs(torch.float64)
    leaves = [x, *layer.parameters()]
    found, expected = layer(x), by_hand(layer, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    gradients = torch.autograd.grad(found.square().sum(), leaves)
    for gradient, wanted in zip(gradients, torch.autograd.grad(expected.square().sum(), leaves)):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)
    assert gradients[1].abs().max() > 1e-3  # of the router


def test_one_expert_is_a_dense_mlp():
    config = SMALL.replace(num_experts=1, num_experts_per_tok=1, moe_intermediate_size=48, norm_topk_prob=False)
    layer, dense, x = experts_of(config), MLP(TransformerConfig(**SIZES, intermediate_size=48)), inputs()
    for name in ("gate_proj", "up_proj", "down_proj"):
        getattr(dense, name).weight = torch.nn.Parameter(getattr(layer.experts, name).weight[0])
    assert torch.equal(layer(x), dense(x))


def test_the_order_of_experts_means_nothing():
    layer, x, order = experts_of(SMALL), inputs(), torch.tensor([2, 0, 3, 1])
    expected = layer(x)
    for parameter in layer.parameters():
        parameter.data = parameter.data[order]
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)


def test_no_token_is_dropped_where_all_choose_the_same_experts():
    layer, x = experts_of(SMALL), inputs().abs()
    layer.gate.weight.data[:2], layer.gate.weight.data[2:] = torch.tensor([[0.1], [0.2]]), -0.1
    torch.testing.assert_close(layer(x), by_hand(layer, x), rtol=1e-4, atol=1e-5)
    assert (layer(x).abs().sum(-1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_kernel_and_the_loop_agree(dtype):
    if not hasattr(F, "grouped_mm"):
        pytest.skip("this PyTorch has no grouped_mm")
    generator, ends = torch.Generator().manual_seed(0), torch.tensor([5, 5, 17, 40])
    x, weights = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((40, 32), (4, 24, 32)))
    upstream, results = torch.randn(40, 24, generator=generator).to(dtype), []
    for product in (in_one_kernel, one_by_one):
        leaves = [x.clone().requires_grad_(), weights.clone().requires_grad_()]
        found = product(*leaves, ends)
        results.append([found, *torch.autograd.grad(found, leaves, upstream)])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other, rtol=2e-5 if dtype == torch.float32 else 0.02, atol=1e-4)


# --- the network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("grade", ["layers", "cheap"])
def test_the_kernel_may_be_tried_amid_a_layer_that_is_checkpointed(grade, monkeypatch):
    """So it is on a GPU, in the first step of a run."""
    if not hasattr(F, "grouped_mm"):
        pytest.skip("this PyTorch has no grouped_mm")

    def as_on_a_gpu(x, weights, ends):
        return (in_one_kernel if grouped._one_kernel(x.device, x.dtype) else one_by_one)(x, weights, ends)

    monkeypatch.setattr(experts, "grouped_product", as_on_a_gpu)
    network, tokens, found = random_network(SMALL), tokens_of(2, 16), []
    for recomputes in (False, grade):
        grouped._one_kernel.cache_clear()
        network.recomputes_layers = recomputes
        loss = network(tokens).float().logsumexp(-1).sum()
        found.append(torch.autograd.grad(loss, list(network.parameters())))
    assert grouped._one_kernel(tokens.device, torch.float32) and all(map(torch.equal, *found))


def test_packed_rows_checkpointing_and_half_precision():
    network, tokens = random_network(SMALL), tokens_of(2, 12)
    positions = torch.cat([torch.arange(5), torch.arange(7)])[None].expand(2, -1)
    packed = network(tokens, positions)
    apart = torch.cat([network(tokens[:, :5]), network(tokens[:, 5:])], dim=1)
    torch.testing.assert_close(packed, apart, rtol=1e-4, atol=1e-5)

    expected = torch.autograd.grad(packed.square().sum(), list(network.parameters()))
    network.recomputes_layers = True
    recomputed = torch.autograd.grad(network(tokens, positions).square().sum(), list(network.parameters()))
    for one, other in zip(recomputed, expected):
        assert torch.equal(one, other)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(tokens, positions)
    assert half.dtype == torch.bfloat16
    assert (half - packed).abs().max() < 0.1 * packed.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generating_with_a_cache_rearranged_or_not(dtype):
    network, prompts = random_network(SMALL), [[5, 40, 17, 8], [9, 50], [7, 7, 7]]
    expected = []
    for prompt in prompts:
        text = list(prompt)
        with torch.no_grad():
            for _ in range(12):
                text.append(int(network(torch.tensor([text]))[0, -1].argmax()))
        expected.append(text[len(prompt) :])
    settings = {"max_new_tokens": 12, "sampling": GREEDY}
    assert generate_batch(network, prompts, **settings) == expected
    decoding = rearranged(network, dtype)
    assert decoding.model.layers[0].mlp.experts.up_proj.weight.dtype == dtype
    assert network.model.layers[0].mlp.experts.up_proj.weight.dtype == torch.float32
    found = generate_batch(decoding, prompts, **settings)
    assert found == expected if dtype == torch.float32 else [len(answer) for answer in found] == [12] * 3


def test_compiled_layers_compute_the_same():
    network, tokens = random_network(SMALL), tokens_of(2, 9)
    expected = network(tokens)
    for layer in network.model.layers:
        layer.compile(backend="eager")
    torch.testing.assert_close(network(tokens), expected)


def test_adapters_sit_on_attention_and_are_refused_on_experts():
    network = random_network(SMALL)
    with pytest.raises(UsageError, match="none of those named"):
        add_lora(network, Lora(2, 4.0, ("up_proj", "down_proj")))
    add_lora(network, Lora(2, 4.0))
    assert network.lora.targets == ("q_proj", "k_proj", "v_proj", "o_proj")


# --- sizes ------------------------------------------------------------------------------------------


def test_parameters_in_all_and_for_a_token():
    for config in (SMALL, SMALL.replace(tie_word_embeddings=False, num_experts=7, num_experts_per_tok=3)):
        with torch.device("meta"):
            network = Transformer(config, initialize_weights=False)
        assert config.num_parameters() == sum(p.numel() for p in network.parameters())
    idle = 2 * 2 * 3 * 32 * 24  # layers, experts that a token does not take, matrices
    assert SMALL.active_parameters() == SMALL.num_parameters() - idle
    moe = ExpertsConfig.of(PRESETS["moe"])
    assert (round(moe.num_parameters() / 1e6), round(moe.active_parameters() / 1e6)) == (198, 64)
    assert TransformerConfig().active_parameters() == TransformerConfig().num_parameters()


def test_the_width_of_an_expert_follows_from_that_of_the_layer_and_back():
    assert ExpertsConfig.of(TransformerConfig(intermediate_size=1408)).moe_intermediate_size == 704
    assert SMALL.replace(intermediate_size=64).moe_intermediate_size == 32
    assert SMALL.replace(moe_intermediate_size=10).intermediate_size == 20
    assert SMALL.replace(num_experts_per_tok=4).moe_intermediate_size == 12
    assert ExpertsConfig.from_dict(SMALL.to_dict()) == SMALL == SMALL.replace(num_experts=4)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"num_experts_per_tok": 1}, "no gradient reaches the router"),
        ({"num_experts_per_tok": 5}, "more than num_experts"),
        ({"num_experts": 0}, "num_experts is 0"),
        ({"num_experts": True}, "num_experts is True"),
        ({"intermediate_size": 47}, "divided among 2"),
        ({"intermediate_size": 64, "moe_intermediate_size": 24}, "only one of the two sizes"),
        ({"router_aux_loss_coef": -1.0}, "router_aux_loss_coef"),
        ({"qk_norm": False}, "those of Qwen3-MoE"),
        ({"attention_bias": True, "qk_norm": False}, "Qwen3-MoE"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(changes, reason):
    with pytest.raises(UsageError, match=reason):
        SMALL.replace(**changes)


# --- against transformers ---------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [True, False])
def test_logits_and_gradients_are_those_of_transformers(normalised, tmp_path, small_tokenizer):
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers = pytest.importorskip("transformers")
    from model.files.hf_export import export_folder
    from model.files.loading import load_model

    config = SMALL.replace(vocab_size=272, norm_topk_prob=normalised, head_dim=16)
    network, tokens = random_network(config), tokens_of(2, 20)
    export_folder(tmp_path / "hf", network, small_tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert type(theirs).__name__ == "Qwen3MoeForCausalLM"
    ours, logits = network(tokens), theirs(tokens).logits
    torch.testing.assert_close(ours, logits, rtol=0, atol=1e-5)
    ours.square().mean().backward()
    logits.square().mean().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in network.named_parameters():
        if name.endswith(("experts.gate_proj.weight", "experts.up_proj.weight")):
            both = expected[f"{name.split('.experts.')[0]}.experts.gate_up_proj"].chunk(2, dim=1)
            wanted = both["up_proj" in name]
        else:
            wanted = expected[name.removesuffix(".weight") if ".experts." in name else name]
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)

    assert load_model(tmp_path / "hf").model.config == config
    theirs.save_pretrained(tmp_path / "again")  # as transformers writes it
    small_tokenizer.save(tmp_path / "again")
    again = load_model(tmp_path / "again").model
    assert again.config == config
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
