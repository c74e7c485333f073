"""What is exported computes what its name says: an edited network is no Llama any more, and is refused.

An export holds sizes and weights, no code: transformers, vLLM and llama.cpp compute with them what is written
down here, whatever an experiment has made of `model/transformer.py` and `model/attention.py`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import inverse_frequencies
from model.errors import UsageError
from model.twin import functions_of, twin_of
from model.whole import unwrapped

TOKENS = 640  # of a text that is computed in both ways: a window of 512 tokens shows
MOST_APART = 0.01  # relative to the last hidden state of a token, of nine tenths of the tokens
CODE = {"gpt2": "model/gpt2.py", "qwen3_moe": "model/transformer.py, model/attention.py or model/experts.py"}


@torch.no_grad()
def refuse_edited(model: nn.Module) -> None:
    """Raises `UsageError` for a network whose code computes something else than the Llama, ... that it is called.

    What is computed is a tiny twin (`model/twin.py`). Not noticed are attention windows of more than some 550 tokens,
    an edit of how Llama 3 and YaRN stretch positions, and what becomes of the last states.
    """
    network = unwrapped(model)
    kind, twin = network.config.model_type, twin_of(network)
    if functions_of(network) != functions_of(twin):
        why = "a part of it was exchanged"
    elif _computes_another(twin):
        why = f"{CODE.get(kind, 'model/transformer.py or model/attention.py')} was edited"
    elif _has_other_numbers(network):
        why = "the eps of a norm or the angles of its heads are not those of its config"
    else:
        return
    raise UsageError(
        f"this network is no {kind}: {why}, and other programs would compute something else with its weights; take the"
        " edit back, or keep the network here"
    )


def _has_other_numbers(network: nn.Module) -> bool:
    """Of those that its parts keep beside the weights: other programs take them from the config."""
    config = network.config
    eps = config.layer_norm_eps if config.model_type == "gpt2" else config.rms_norm_eps
    if any(getattr(part, "eps", eps) != eps for part in network.modules()):
        return True
    if config.model_type == "gpt2":  # turns no heads
        return False
    shape = config.head_dim, config.rope_theta, config.rope_scaling, config.max_position_embeddings
    frequencies, factor = inverse_frequencies(*shape)
    return network.rotary_factor != factor or not torch.equal(network.rotary_frequencies.cpu(), frequencies)


def _computes_another(twin: nn.Module) -> bool:
    generator = torch.Generator().manual_seed(0)
    count = min(TOKENS, twin.config.max_position_embeddings)
    tokens = torch.randint(twin.config.vocab_size, (1, count), generator=generator)
    try:
        ours, published = twin.features(tokens), published_features(twin, tokens)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a part is gone, or has another name or shape
        return True
    apart = (ours - published).norm(dim=-1) / published.norm(dim=-1)
    return not apart.quantile(0.9) <= MOST_APART  # NaN is another; rounding may give a token other experts


def published_features(network: nn.Module, tokens: Tensor) -> Tensor:
    """The last hidden states [B, T, D] of texts `tokens` [B, T], as the papers and transformers have them.

    The matrices compute by themselves, so that adapters on them count.
    """
    config, (_, T), h = network.config, tokens.shape, network.config.head_dim
    is_gpt2 = config.model_type == "gpt2"

    def normed(x, norm):
        if is_gpt2:
            return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, config.layer_norm_eps)
        return norm.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + config.rms_norm_eps)

    def heads(product, x):
        return product(x).unflatten(-1, (-1, h)).transpose(1, 2)  # [B, heads, T, h]

    def turned(x):
        return x * cosine + torch.cat((-x[..., h // 2 :], x[..., : h // 2]), dim=-1) * sine

    future = torch.ones(T, T, dtype=torch.bool, device=tokens.device).triu(1)
    x = F.embedding(tokens, network.model.embed_tokens.weight)
    if is_gpt2:
        x = x + network.model.embed_positions.weight[:T]
    else:
        cosine, sine = _published_angles(network, T)
    for layer in network.model.layers:
        attention, y = layer.self_attn, normed(x, layer.input_layernorm)
        q, k, v = heads(attention.q_proj, y), heads(attention.k_proj, y), heads(attention.v_proj, y)
        if config.qk_norm:
            q, k = normed(q, attention.q_norm), normed(k, attention.k_norm)
        if not is_gpt2:
            q, k = turned(q), turned(k)
        k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
        scores = (q @ k.mT / h**0.5).masked_fill(future, -torch.inf)
        x = x + attention.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
        x = x + _published_mlp(layer.mlp, normed(x, layer.post_attention_layernorm), config)
    return normed(x, network.model.norm)


def _published_angles(network: nn.Module, T: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, h] of the angles by which heads are turned."""
    config, h = network.config, network.config.head_dim
    frequencies = network.rotary_frequencies
    if config.rope_scaling is None:
        frequencies = config.rope_theta ** -(torch.arange(0, h, 2, device=frequencies.device) / h)
    angles = (torch.arange(T, device=frequencies.device)[:, None] * frequencies).repeat(1, 2)
    return angles.cos() * network.rotary_factor, angles.sin() * network.rotary_factor


def _published_mlp(mlp: nn.Module, x: Tensor, config) -> Tensor:
    if config.model_type == "gpt2":
        return mlp.down_proj(F.gelu(mlp.up_proj(x), approximate="tanh"))
    if config.model_type != "qwen3_moe":
        return mlp.down_proj(F.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
    weights, chosen = mlp.gate(x).softmax(-1).topk(config.num_experts_per_tok)
    if config.norm_topk_prob:
        weights = weights / weights.sum(-1, keepdim=True)
    gate, up = (torch.einsum("btd,efd->btef", x, each.weight) for each in (mlp.experts.gate_proj, mlp.experts.up_proj))
    written = torch.einsum("btef,edf->bted", F.silu(gate) * up, mlp.experts.down_proj.weight)  # by all experts
    return (written.gather(2, chosen[..., None].expand(-1, -1, -1, x.shape[-1])) * weights[..., None]).sum(2)
