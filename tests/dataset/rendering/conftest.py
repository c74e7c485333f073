import pytest

from dataset.rendering import ChatRenderer
from model.text.tokenizer import DEFAULT_FOLDER, Tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """The shipped tokenizer, which has the tokens of the template."""
    return Tokenizer.load()


@pytest.fixture(scope="session")
def renderer(tokenizer) -> ChatRenderer:
    return ChatRenderer(tokenizer)


@pytest.fixture(scope="session")
def auto():
    """The shipped tokenizer as transformers opens it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEFAULT_FOLDER)
