"""Types of numbers in a GGUF file, and which tensor of a network gets which.

A quantised type keeps a row of a matrix as blocks of 32 or 256 numbers, each with scales of its own. The mixture of
each file type is that of llama.cpp's `llama-quantize`, but for `_FALLBACK`, and for attention in a network with exactly
8 experts, to which `llama-quantize` gives more bits.
"""

from collections.abc import Sequence

import numpy as np

from model.errors import SproutError
from model.files.gguf.k_quants import pack_q4_k, pack_q5_1, pack_q6_k
from model.files.gguf.library import gguf_library

# What --type names -> the name in the file's own list of types.
FILE_TYPES = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q6_k": "MOSTLY_Q6_K",
    "q5_1": "MOSTLY_Q5_1",
    "q5_0": "MOSTLY_Q5_0",
    "q4_k_m": "MOSTLY_Q4_K_M",
    "q4_1": "MOSTLY_Q4_1",
    "q4_0": "MOSTLY_Q4_0",
}
# For rows that are not whole blocks of 256. In place of Q4_K llama-quantize takes Q5_0, which has no offset
# and costs SmolLM2-135M, most of whose rows are of 576, about a tenth of its perplexity.
_FALLBACK = {"Q4_K": "Q5_1", "Q6_K": "Q8_0"}
_PACKERS = {"Q4_K": pack_q4_k, "Q5_1": pack_q5_1, "Q6_K": pack_q6_k}


def block_of(kind: str) -> int:
    """How many numbers of a row share a block."""
    return {"F32": 1, "F16": 1, "BF16": 1, "Q4_K": 256, "Q6_K": 256}.get(kind, 32)


def type_of(name: str, shape: Sequence[int], file_type: str, layers: int, tied: bool) -> tuple[str, str]:
    """The type that the tensor `name` (GGUF's name) gets in a file of `file_type`, and the one it was to have.

    The two differ if its rows are not whole blocks of the latter. tied: whether the embedding is the head, too.
    """
    wanted = {"q4_k_m": "Q4_K"}.get(file_type, file_type.upper())
    if len(shape) < 2 or name.endswith("ffn_gate_inp.weight"):
        return "F32", "F32"
    is_head = name == ("token_embd.weight" if tied else "output.weight")
    inner = name.endswith(("attn_v.weight", "ffn_down.weight", "ffn_down_exps.weight"))
    more_bits = inner and _gets_more_bits(int(name.split(".")[1]), layers)
    if wanted not in ("F32", "F16", "BF16", "Q8_0") and (is_head or (file_type == "q4_k_m" and more_bits)):
        wanted = "Q6_K"
    kind = wanted
    if shape[-1] % block_of(kind):
        kind = _FALLBACK.get(kind, "F16")
    if shape[-1] % block_of(kind):
        kind = "F16"
    return kind, wanted


def _gets_more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def quantised(tensor: np.ndarray, kind: str) -> np.ndarray:
    """A float32 matrix as the numbers or bytes of a type, row by row. Raises `SproutError` for numbers out of range."""
    if kind in _PACKERS:
        return _PACKERS[kind](tensor)
    if kind == "F16" and np.abs(tensor).max(initial=0) > 65504:
        raise SproutError("this network has a weight above 65,504, which float16 cannot hold: use --type bf16")
    library = gguf_library()
    return library.quants.quantize(tensor, library.GGMLQuantizationType[kind])
