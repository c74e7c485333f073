"""What to do where a folder has no tokenizer that can be opened."""

from pathlib import Path

from model.errors import SproutError


def no_tokenizer(path: Path) -> SproutError:
    """Says what to give, or how tokenizer.json is made of what an older folder has instead."""
    if (path / "tokenizer.model").is_file():
        return SproutError(
            f"{path} has a tokenizer.model and no tokenizer.json: with the packages transformers and sentencepiece,"
            f" write one by AutoTokenizer.from_pretrained({str(path)!r}).save_pretrained({str(path)!r})"
        )
    return SproutError(
        f"there is no tokenizer at {path}: give a folder with a tokenizer.json, such as one that train_tokenizer.py"
        " writes, or a Hugging Face model of the Llama, Qwen2 or Qwen3 family"
    )
