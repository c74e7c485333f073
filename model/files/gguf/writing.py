"""Writes a network as one GGUF file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from model.disk import sweep_temporaries, write_atomically
from model.errors import SproutError
from model.files.edited import refuse_edited
from model.files.gguf.library import MAGIC, gguf_library
from model.files.gguf.settings import FAMILIES, settings_of
from model.files.gguf.tensors import ROPE_FACTORS, in_their_order, name_in_gguf
from model.files.gguf.types import FILE_TYPES, quantised, type_of
from model.files.gguf.vocabulary import keys_of
from model.text.tokenizer import Tokenizer
from model.whole import EMBEDDING, plain_state_dict, unwrapped

_MARK = "sprout.written_by"  # a key that other programs do not look at


@dataclass(frozen=True)
class Written:
    """A file as written."""

    path: Path
    size: int  # bytes
    bits: float  # of a weight, on average
    too_short: dict[str, tuple[str, str]] = field(default_factory=dict)  # tensor -> (type it was to have, type it has)
    warnings: tuple[str, ...] = ()


def write_gguf(
    path: str | Path,
    model: torch.nn.Module,
    tokenizer: Tokenizer,
    file_type: str,
    name: str = "",
    show: Callable[[float], None] = lambda share: None,
    end_of_turn: int | None = None,
) -> Written:
    """Writes the file whole or not at all. file_type: one of `FILE_TYPES`; name: what a program calls the model.

    show: called after each tensor with the share of all numbers that is packed. end_of_turn: see `keys_of`. Raises
    `SproutError` for a network that llama.cpp would compute differently, and for a file there that no export wrote;
    nothing is written then.
    """
    network, path = unwrapped(model), Path(path)
    earlier_gguf(path)
    config = network.config
    if config.model_type == "gpt2":
        raise SproutError("Sprout writes no GGUF file of a GPT-2: export it with scripts/export_hf.py, convert that")
    refuse_edited(network)
    weights = {each: tensor for each, tensor in plain_state_dict(network).items() if ".lora_" not in each}
    settings, divisors = settings_of(config)
    vocabulary, warnings = keys_of(tokenizer, weights[EMBEDDING].shape[0], end_of_turn)
    names = {each: name_in_gguf(each) for each in weights}
    chosen = {
        each: type_of(names[each], weights[each].shape, file_type, config.num_hidden_layers, config.tie_word_embeddings)
        for each in weights
    }
    writer = _with_header(config, name or path.stem, file_type, settings, vocabulary)
    stored = sum(_announce(writer, names[each], weights[each], kind) for each, (kind, _) in chosen.items())
    if divisors is not None:
        writer.add_tensor_info(ROPE_FACTORS, divisors.shape, divisors.dtype, divisors.nbytes)
    total = config.num_parameters()

    def write(file: BinaryIO) -> None:
        writer.write_header_to_file(Path(file.name))  # the library opens the file again, by its name
        try:
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            done = 0
            for each, (kind, _) in chosen.items():
                tensor = in_their_order(each, weights[each].float(), config).numpy()
                if not np.isfinite(tensor).all():
                    raise SproutError(f"{each} holds numbers that are not finite: the network diverged or is damaged")
                writer.write_tensor_data(quantised(tensor, kind))
                done += tensor.size
                show(done / total)
            if divisors is not None:
                writer.write_tensor_data(divisors)
        finally:
            writer.close()

    sweep_temporaries(path.parent)
    write_atomically(path, write)
    short = {names[each]: (wanted, kind) for each, (kind, wanted) in chosen.items() if kind != wanted}
    return Written(path, path.stat().st_size, 8 * stored / total, short, tuple(warnings))


def _with_header(config, name: str, file_type: str, settings: dict, vocabulary: dict):
    """The library's writer, with all that a file says before its tensors."""
    library, family = gguf_library(), FAMILIES[config.model_type]
    writer = library.GGUFWriter(None, family)
    writer.add_string(_MARK, "Sprout")
    writer.add_name(name)
    writer.add_file_type(library.LlamaFileType[FILE_TYPES[file_type]])
    if not file_type.endswith(("f32", "f16")):
        writer.add_quantization_version(library.GGML_QUANT_VERSION)
    for before, keys in ((family, settings), ("tokenizer", vocabulary)):
        for key, value in keys.items():
            _add(writer, f"{before}.{key}", value)
    return writer


def _announce(writer, name: str, weight: torch.Tensor, kind: str) -> int:
    """Puts a tensor into the list at the beginning of the file; returns the bytes that it takes as type `kind`."""
    library = gguf_library()
    packed = library.GGMLQuantizationType[kind]
    block, size = library.GGML_QUANT_SIZES[packed]  # numbers, and the bytes that they take
    plain = {"F32": np.float32, "F16": np.float16}.get(kind)
    shape = weight.shape if plain else (*weight.shape[:-1], weight.shape[-1] // block * size)
    count = weight.numel() // block * size
    writer.add_tensor_info(name, shape, np.dtype(plain or np.uint8), count, packed)
    return count


def _add(writer, key: str, value) -> None:
    """A key with the type that llama.cpp asks for."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value:  # an empty list has no type
        writer.add_array(key, value)


def earlier_gguf(path: str | Path) -> bool:
    """Whether an export of ours is there. Raises `SproutError` for any other file, which an export would destroy."""
    path = Path(path)
    if not path.exists():
        return False
    if path.is_file():
        with open(path, "rb") as file:
            beginning = file.read(4096)
        if beginning.startswith(MAGIC) and _MARK.encode() in beginning:
            return True
    raise SproutError(f"{path} is there already, and no export wrote it: choose another name, or move it away")
