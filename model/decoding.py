"""A network rearranged for generating: the same numbers, but for rounding, from fewer and larger products.

A token that is generated costs the reading of every weight once, and the start of every operation. So the layers that
read the same input are one product here (q, k and v; gate and up), and on a CPU every matrix is packed for oneDNN,
which reads it with all threads (MKL multiplies a matrix and a vector with one, except on an Intel CPU). A rearranged
network can only generate. What its layers call are plain objects: calling modules would take 5 % of a token's time.

So attention and MLP stand here a second time, and whoever changes them in `model/transformer.py` changes them here,
too. Otherwise a network would be trained as one and written with as another; that is refused.
"""

import functools
import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import attend, rotary_tables, rotate
from model.errors import UsageError
from model.key_columns import DecodingCache, attend_to_cache
from model.transformer import MLP, DecoderLayer, RMSNorm, Transformer, activated
from model.twin import HOOKS, functions_of, no_twin, twin_of
from model.undrawn import Undrawn
from model.whole import unwrapped

LEAST_ROWS = 4  # oneDNN multiplies 4 rows in two thirds of the time of one, since one goes another way
MOST_KEPT_TWICE = 2**22  # numbers of a matrix: 16 MB
CPU_INFO = Path("/proc/cpuinfo")  # of Linux; Windows tells Python the maker


def rearrange(model: Transformer, dtype: torch.dtype, trained: Transformer | None = None) -> None:
    """Rearranges a network in place, layer by layer, so that memory never holds the old and the new one whole.

    On an Intel CPU smaller matrices are there twice afterwards, packed and as they are (`_mkl_is_faster`).

    dtype: of the products; the sum that runs through the layers keeps the type of the embedding.
    trained: the network that `model` is a copy of, if it is one.
    """
    if isinstance(model.lm_head, Head):
        if model.lm_head.dtype != dtype:
            raise ValueError(f"the network is rearranged already, for products in {model.lm_head.dtype}")
        return
    kind = DecodingLayer if isinstance(model.model.layers[0], DecoderLayer) else DecodingGPT2Layer
    _refuse_another(trained or model, kind)
    for number, layer in enumerate(model.model.layers):
        model.model.layers[number] = kind(layer, dtype)
    model.Cache = DecodingCache
    model.lm_head = Head(model.lm_head, dtype)


def rearranged(model: nn.Module, dtype: torch.dtype) -> Transformer:
    """A rearranged copy that shares embedding and norms with `model`, or `model` itself if it is rearranged already."""
    model = unwrapped(model)
    if isinstance(model.lm_head, Head):
        return model
    with torch.device("meta"), Undrawn():
        new = type(model)(model.config, initialize_weights=False)
    new.rotary_frequencies, new.rotary_factor, new.lora = model.rotary_frequencies, model.rotary_factor, model.lora
    for name, part in model.model.named_children():
        setattr(new.model, name, part)
    new.model.layers, new.lm_head = nn.ModuleList(model.model.layers), model.lm_head
    rearrange(new, dtype, model)
    return new


MOST_APART = 0.01  # relative to what a layer adds
ANOTHER = "model/decoding.py writes with other layers than model/transformer.py trains: change both in the same way"


@torch.no_grad()
def _refuse_another(model: Transformer, kind: type[nn.Module]) -> None:
    """Raises `UsageError` if a layer of `kind` adds something else to four hidden states than the one it is made of.

    What is compared are the layers of a tiny twin (`model/twin.py`), since those of a billion parameters take seconds.
    All is float32, since scores may be so large that less precise ones choose other tokens.
    """
    twin = twin_of(model)
    if functions_of(model) != functions_of(twin):
        raise UsageError(
            "a part of the network was exchanged after it was made, and model/decoding.py would write without it:"
            " change model/transformer.py and model/decoding.py in the same way instead"
        )
    x = 1 + torch.arange(4 * twin.config.hidden_size).sin().view(1, 4, -1)  # with a mean, since some norms take it off
    rotary = rotary_tables(torch.arange(4)[None], twin.rotary_frequencies, twin.rotary_factor)
    for layer in twin.model.layers:  # each, since an edit may be of one
        try:
            with torch.autocast("cpu", enabled=False):
                added, added_by_new = (one(x, rotary, None, None) - x for one in (layer, kind(layer, torch.float32)))
        except (AttributeError, TypeError) as error:  # a part is gone, or has another name
            raise UsageError(ANOTHER) from error
        except Exception as error:  # torch's of shapes, and whatever edited code raises
            raise no_twin(error) from error
        if not (added - added_by_new).norm() <= MOST_APART * added.norm():  # NaN is another
            raise UsageError(ANOTHER)


class Product:
    """W x + b of one or several linear layers with the same input, one after the other in the last dimension.

    Adapters are added to their matrices.
    """

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype):
        self.dtype = dtype
        weight = torch.cat([_matrix(layer) for layer in layers]).to(dtype)
        bias = layers[0].bias
        self.bias = None if bias is None else torch.cat([layer.bias for layer in layers]).detach().to(dtype)
        self.packed = _packs(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight) if self.packed else weight
        self.unpacked = weight if self.packed and _mkl_is_faster(weight) else None

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if not self.packed:
            return F.linear(x, self.weight, self.bias)
        copies = -(-LEAST_ROWS * x.shape[-1] // x.numel())
        if copies > 1 and self.unpacked is not None:
            return F.linear(x, self.unpacked, self.bias)
        return self._packed(torch.cat([x] * copies))[: len(x)] if copies > 1 else self._packed(x)

    def _packed(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def _matrix(layer: nn.Linear) -> Tensor:
    weight = layer.weight.detach()
    return weight + layer.scale * layer.lora_B.weight @ layer.lora_A.weight if hasattr(layer, "lora_A") else weight


def _packs(weight: Tensor) -> bool:
    """Whether oneDNN packs it. Its operators have no public name; torch.compile uses the same."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    if weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32


def _mkl_is_faster(weight: Tensor) -> bool:
    """Whether MKL multiplies few rows with it faster than oneDNN: on an Intel CPU, where it uses all threads, too.

    A larger matrix comes from memory so slowly that both are alike, and it is not worth keeping twice.
    """
    small = weight.dtype == torch.float32 and weight.numel() <= MOST_KEPT_TWICE
    return small and torch.backends.mkl.is_available() and _is_intel_cpu()


@functools.cache
def _is_intel_cpu() -> bool:
    return "GenuineIntel" in (CPU_INFO.read_text() if CPU_INFO.exists() else platform.processor())


class Head(nn.Module):
    """The product of a head, as a module that keeps its hooks."""

    def __init__(self, head: nn.Linear, dtype: torch.dtype):
        super().__init__()
        self.dtype, self.product = dtype, Product([head], dtype)
        for hooks in HOOKS:
            getattr(self, hooks).update(getattr(head, hooks))

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x)


class Norm:
    """What an `RMSNorm` of D numbers computes: x / sqrt(|x|^2 / D + eps) * weight.

    PyTorch 2.13 takes ten operations for it on a CPU, four for this form: x / sqrt(|x|^2 + D eps) * (sqrt(D) weight).
    """

    def __init__(self, norm: RMSNorm):
        self.norm = norm
        size = norm.weight.numel()
        self.scaled_weight = size**0.5 * norm.weight.detach()
        self.least_length = torch.tensor((size * norm.eps) ** 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.norm.weight
        x = x.to(weight.dtype)  # where it has the weight's type, the kernel of a GPU is fast
        if x.is_cpu and x.dtype == torch.float32:
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            return x / length.hypot(self.least_length) * self.scaled_weight
        return F.rms_norm(x, weight.shape, weight, self.norm.eps)


class DecodingMLP:
    """What an `MLP` computes."""

    def __init__(self, mlp: MLP, dtype: torch.dtype):
        self.gate_up = Product([mlp.gate_proj, mlp.up_proj], dtype)
        self.down = Product([mlp.down_proj], dtype)

    def __call__(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(activated(gate, up))


class DecodingLayer(nn.Module):
    """What a `DecoderLayer` computes."""

    def __init__(self, layer: DecoderLayer, dtype: torch.dtype):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.layer, self.head_dim = attention.layer, attention.head_dim
        self.input_norm, self.mlp_norm = Norm(layer.input_layernorm), Norm(layer.post_attention_layernorm)
        self.norms_heads = not isinstance(attention.q_norm, nn.Identity)
        if self.norms_heads:
            self.q_norm, self.k_norm = Norm(attention.q_norm), Norm(attention.k_norm)
        self.query_heads = attention.q_proj.out_features // self.head_dim
        self.key_heads = attention.k_proj.out_features // self.head_dim
        self.qkv = Product([attention.q_proj, attention.k_proj, attention.v_proj], dtype)
        self.o = Product([attention.o_proj], dtype)
        self.mlp = DecodingMLP(mlp, dtype) if isinstance(mlp, MLP) else mlp.converted(dtype)

    def forward(self, x, rotary, mask, cache):
        B, T, _ = x.shape
        H, K = self.query_heads, self.key_heads
        heads = self.qkv(self.input_norm(x)).view(B, T, H + 2 * K, self.head_dim).transpose(1, 2)
        q, k, v = heads.split((H, K, K), dim=1)
        turning = torch.cat((self.q_norm(q), self.k_norm(k)), dim=1) if self.norms_heads else heads[:, : H + K]
        turned = rotate(turning, *rotary)
        q, k = turned.to(v.dtype).split((H, K), dim=1)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        x = x + self.o(attend_to_cache(q, k, v, mask).transpose(1, 2).reshape(B, T, -1))
        return x + self.mlp(self.mlp_norm(x))


class DecodingGPT2Layer(nn.Module):
    """What a `model.gpt2.GPT2Layer` computes."""

    def __init__(self, layer, dtype: torch.dtype):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.layer, self.head_dim = attention.layer, attention.head_dim
        self.input_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.qkv = Product([attention.q_proj, attention.k_proj, attention.v_proj], dtype)
        self.o = Product([attention.o_proj], dtype)
        self.up = Product([mlp.up_proj], dtype)
        self.down = Product([mlp.down_proj], dtype)

    def forward(self, x, rotary, mask, cache):
        B, T, _ = x.shape
        q, k, v = self.qkv(self.input_norm(x)).view(B, T, -1, self.head_dim).transpose(1, 2).chunk(3, dim=1)
        if cache is not None:
            k, v = cache.write(self.layer, k, v)
        x = x + self.o(attend(q.contiguous(), k, v, mask).transpose(1, 2).reshape(B, T, -1))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))
