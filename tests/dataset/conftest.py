import json

import pytest

from dataset.cache.token_cache import build_or_open
from dataset.rows.texts import TEXTS
from model.text.tokenizer import Tokenizer
from tests.dataset.support import write_jsonl


@pytest.fixture(scope="session")
def tokenizer(small_tokenizer) -> Tokenizer:
    return small_tokenizer


@pytest.fixture(scope="session")
def one_separator(small_tokenizer) -> Tokenizer:
    """A tokenizer whose BOS is its EOS, as GPT-2's."""
    config = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    return Tokenizer.from_files(small_tokenizer.files | {"tokenizer_config.json": json.dumps(config)})


@pytest.fixture
def cached(tmp_path, tokenizer):
    """Builds the cache of a list of documents."""

    def build(documents, val_ratio=0.0, name="a", tokenizer=tokenizer):
        path = write_jsonl(tmp_path / f"{name}.jsonl", documents)
        cache_dir = tmp_path / "cache"
        return build_or_open(path, tokenizer, TEXTS.cache, val_ratio=val_ratio, cache_dir=cache_dir, progress=False)

    return build


@pytest.fixture
def build(tmp_path, tokenizer):
    """`build_or_open` with the cache in the test's folder."""

    def build(path, tokenizer=tokenizer, kind=TEXTS, **settings):
        return build_or_open(path, tokenizer, kind.cache, cache_dir=tmp_path / "cache", progress=False, **settings)

    return build
