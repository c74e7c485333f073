"""The tokenizer that a weight comes with, opened without its network."""

from pathlib import Path

from model.errors import SproutError
from model.files.gguf.library import is_gguf
from model.text.tokenizer import Tokenizer

NETWORK_FILES = ("config.json", "*.safetensors", "pytorch_model*.bin")  # in a folder that holds more than a tokenizer


def is_tokenizer_alone(source: str | Path) -> bool:
    """Whether it is a tokenizer's folder or file without a network."""
    source = Path(source)
    return source.suffix == ".json" or (source.is_dir() and not (source / "config.json").exists())


def refuse_folder_of_network(folder: str | Path, weight: str | Path | None = None) -> None:
    """Raises `SproutError` if a tokenizer written into the folder would take the place of a network's own.

    weight: the file or folder whose tokenizer is extended; a .pth may take its tokenizer from the files beside it.
    """
    folder = Path(folder)
    network = next((path for each in NETWORK_FILES for path in sorted(folder.glob(each))), None)
    if network is None and weight and Path(weight).suffix == ".pth" and (folder / "tokenizer.json").exists():
        network = Path(weight) if Path(weight).resolve().parent == folder.resolve() else None
    if network is not None:
        raise SproutError(
            f"{folder} holds a network ({network.name}), whose tokenizer would be replaced: choose another --out_dir"
        )


def tokenizer_of_weight(source: str | Path) -> Tokenizer:
    """The tokenizer with which `load_model` opens `source`, or one that lies alone (a folder, a tokenizer.json).

    A reward model has one, too. No tensor is read, except by torch where a .pth is of an old kind. Raises `SproutError`
    for anything else, and for a bare state dict without a tokenizer beside it.
    """
    source = Path(source)
    if is_tokenizer_alone(source):
        return Tokenizer.load(source)
    if source.is_dir():
        return _in_folder(source)
    if is_gguf(source):
        from model.files.gguf.reading import tokenizer_of_gguf

        return tokenizer_of_gguf(source)

    # What follows loads torch.
    from model.files.loading import open_own
    from model.files.minimind import tokenizer_beside
    from model.files.reading import read_checkpoint
    from model.files.state_dict import bare_state_dict
    from model.whole import EMBEDDING

    contents = read_checkpoint(source, mmap=True)
    if (bare := bare_state_dict(contents, source)) is None:
        return open_own(contents, source)[2]
    rows = [len(bare[name]) for name in (EMBEDDING, "tok_embeddings.weight") if name in bare]  # the latter: MiniMind's
    if not rows:
        raise SproutError(f"{source} holds no embedding, so it is no language model: give another weight")
    return tokenizer_beside(source, rows[0])


def _in_folder(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        return Tokenizer.load(folder)

    from model.files.gpt2 import tokenizer_of_gpt2  # only older folders of GPT-2 have another form
    from model.files.hf_import import read_json

    of_gpt2 = read_json(folder / "config.json").get("model_type") == "gpt2"
    return tokenizer_of_gpt2(folder) if of_gpt2 else Tokenizer.load(folder)
