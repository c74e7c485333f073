"""Reads a network from a GGUF file; quantised tensors become float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from model.config import TransformerConfig
from model.errors import SproutError
from model.files.gguf.library import gguf_library
from model.files.gguf.settings import config_of
from model.files.gguf.tensors import ROPE_FACTORS, in_our_order, name_of_ours
from model.files.gguf.vocabulary import tokenizer_of
from model.text.tokenizer import Tokenizer
from model.whole import EMBEDDING, HEAD


def import_gguf(path: str | Path) -> tuple[TransformerConfig, dict[str, torch.Tensor], Tokenizer]:
    """Configuration, weights by our names (on the CPU) and tokenizer of a llama, qwen2 or qwen3.

    Float16 and bfloat16 stay as they are. Raises `SproutError` for a damaged file, and for a network or a tokenizer
    that is not exactly one of ours.
    """
    library, source = gguf_library(), str(path)
    with _named_errors(source):
        reader = library.GGUFReader(path)
        keys = _whole_keys(reader, source)
        weights = {tensor.name: _tensor(tensor, library) for tensor in reader.tensors}
    divisors = weights.pop(ROPE_FACTORS, None)
    weights = {name_of_ours(name): tensor for name, tensor in weights.items()}
    if EMBEDDING not in weights:
        raise SproutError(f"{source} has no token_embd.weight, so it is not a language model: give another file")
    divisors = None if divisors is None else divisors.numpy()
    config = config_of(keys, weights[EMBEDDING].shape[0], source, HEAD not in weights, divisors)
    tokenizer = tokenizer_of(keys, source)
    ids = {"pad_token_id": tokenizer.pad_id, "bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
    weights = {name: in_our_order(name, tensor, config) for name, tensor in weights.items()}
    return config.replace(**ids), weights, tokenizer


def tokenizer_of_gguf(path: str | Path) -> Tokenizer:
    """The tokenizer alone; no tensor is read. Raises `SproutError` as `import_gguf`."""
    library, source = gguf_library(), str(path)
    with _named_errors(source):
        keys = _whole_keys(library.GGUFReader(path), source)
    return tokenizer_of(keys, source)


@contextmanager
def _named_errors(source: str) -> Iterator[None]:
    """Turns what the library raises into a `SproutError` that names the file."""
    try:
        yield
    except SproutError:
        raise
    except (OSError, MemoryError) as error:
        raise SproutError(f"{source} cannot be read ({error}): check its permissions and the free memory") from error
    except Exception as error:  # damaged bytes make the library fail in many ways, with no common class
        raise SproutError(f"{source} is damaged or not a GGUF file ({error}): download or write it again") from error


def _whole_keys(reader, source: str) -> dict:
    keys = {name: field.contents() for name, field in reader.fields.items()}
    if keys.get("split.count", 1) > 1:
        raise SproutError(f"{source} is one of {keys['split.count']} parts: join them with llama-gguf-split --merge")
    return keys


def _tensor(tensor, library) -> torch.Tensor:
    kind = tensor.tensor_type.name
    if kind in ("F32", "F16"):
        return torch.from_numpy(np.array(tensor.data))  # a copy: the file is mapped, and may go
    if kind == "BF16":
        return torch.from_numpy(np.array(tensor.data).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(library.quants.dequantize(tensor.data, tensor.tensor_type))
