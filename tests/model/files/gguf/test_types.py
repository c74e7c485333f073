"""Quantised types: as good as llama.cpp's own, mixed as it mixes them, and given to rows that they can hold."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from model.errors import SproutError
from model.files.gguf.types import quantised, type_of

gguf = pytest.importorskip("gguf", reason="gguf is not installed (pip install -e '.[gguf]')")


def rows() -> np.ndarray:
    random = np.random.default_rng(0)
    parts = [random.normal(size=(8, 512)), random.standard_t(3, size=(8, 512)), random.normal(size=(2, 512)) + 5]
    parts += [np.zeros((1, 512)), np.ones((1, 512)), -np.ones((1, 512))]
    return np.concatenate(parts).astype(np.float32)


# Half a step between numbers that differ by 1/15, 1/127, ... of what a group spans, and some more for scales that are
# rounded themselves.
@pytest.mark.parametrize(
    ("kind", "most"), [("Q8_0", 0.005), ("Q4_0", 0.13), ("Q4_K", 0.09), ("Q5_1", 0.05), ("Q6_K", 0.03)]
)
def test_what_is_packed_is_near(kind, most):
    source = rows()
    packed = quantised(source, kind)
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    assert packed.dtype == np.uint8 and packed.shape == (len(source), 512 // block * size)
    unpacked = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind])
    furthest = np.abs(unpacked - source).reshape(len(source), -1, 256).max(-1)
    assert (furthest <= most * np.abs(source).reshape(len(source), -1, 256).max(-1)).all()


@pytest.mark.parametrize(("kind", "theirs"), [("Q4_K", "quantize_row_q4_K_ref"), ("Q6_K", "quantize_row_q6_K_ref")])
def test_k_quants_are_those_of_llama_cpp(kind, theirs):
    """Nearly all bytes are equal; elsewhere a sum in another order chose another of two equally good scales."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install -e '.[test]')")
    library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))))
    source = rows()
    ours, expected = quantised(source, kind), np.zeros_like(quantised(source, kind))
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (source, expected))
    getattr(library, theirs)(*pointers, ctypes.c_int64(source.size))
    assert (ours == expected).mean() > 0.97
    unpacked = [gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind]) for packed in (ours, expected)]
    errors = [((numbers - source) ** 2).sum(-1) for numbers in unpacked]
    np.testing.assert_allclose(*errors, rtol=0.02, atol=1e-6)


def test_q5_1_keeps_more_than_the_scale_that_spans_a_block():
    source = np.random.default_rng(1).standard_normal((64, 576)).astype(np.float32)
    kind = gguf.GGMLQuantizationType["Q5_1"]
    searched, plain = (
        gguf.quants.dequantize(packed, kind)
        for packed in (quantised(source, "Q5_1"), gguf.quants.quantize(source, kind))
    )
    errors = [float(((found - source) ** 2).mean()) for found in (searched, plain)]
    assert errors[0] < 0.95 * errors[1]


def test_the_mixture_of_q4_k_m():
    def kind(name, width=256, tied=True):
        return type_of(name, (512, width), "q4_k_m", layers=16, tied=tied)[0]

    assert kind("token_embd.weight") == "Q6_K" and kind("token_embd.weight", tied=False) == "Q4_K"
    assert kind("output.weight", tied=False) == "Q6_K"
    # The first and the last eighth of 16 layers, and between them every third.
    more = [layer for layer in range(16) if kind(f"blk.{layer}.attn_v.weight") == "Q6_K"]
    assert more == [0, 1, 4, 7, 10, 13, 14, 15]
    assert more == [layer for layer in range(16) if kind(f"blk.{layer}.ffn_down.weight") == "Q6_K"]
    assert {kind(f"blk.{layer}.ffn_up.weight") for layer in range(16)} == {"Q4_K"}


@pytest.mark.parametrize(
    ("file_type", "width", "chosen"),
    [
        ("q4_k_m", 704, ("Q5_1", "Q4_K")),
        ("q4_k_m", 48, ("F16", "Q4_K")),
        ("q8_0", 48, ("F16", "Q8_0")),
        ("q4_0", 704, ("Q4_0", "Q4_0")),
        ("bf16", 7, ("BF16", "BF16")),
    ],
)
def test_a_row_that_a_type_cannot_hold_gets_a_larger_one(file_type, width, chosen):
    assert type_of("blk.2.attn_q.weight", (64, width), file_type, layers=8, tied=True) == chosen
    assert type_of("blk.2.attn_norm.weight", (width,), file_type, layers=8, tied=True) == ("F32", "F32")


def test_a_weight_beyond_float16_is_refused():
    with pytest.raises(SproutError, match="above 65,504.*use --type bf16"):
        quantised(np.full((1, 32), 7e4, np.float32), "F16")
