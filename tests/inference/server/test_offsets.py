"""The places that a reply names for its tokens are final when they are told."""

from types import SimpleNamespace

import pytest

from inference.server.exchange import offsets_of
from inference.server.writing import Writing
from model.text.tokenizer import Tokenizer


@pytest.mark.parametrize("stops", [(), ("zz",)])
@pytest.mark.parametrize("ends", [True, False])
def test_behind_a_broken_character(stops, ends):
    tokenizer = Tokenizer.load()
    half = tokenizer.encode("龘")[:1]
    ids = [*tokenizer.encode("ab"), *half, *tokenizer.encode(" cat"), *half, *[tokenizer.eos_id] * ends]
    expected = [0, 2, 3, 5, 7, 8][: len(ids)]
    row = SimpleNamespace()
    settings = {"max_tokens": len(ids), "end_ids": {tokenizer.eos_id}, "stops": stops}
    writing, parts = Writing(row, None, None, tokenizer.decode, None, **settings), []
    for token in ids:
        row.newest = SimpleNamespace(id=token)
        parts.append(writing.take())
    assert "".join(part.text for part in parts) == "ab\ufffd cat\ufffd" and parts[-1].finish
    assert [(token.id, place) for part in parts for token, place in part.tokens] == list(zip(ids, expected))
    assert offsets_of(tokenizer, ids[: len(ids) - ends]) == expected[: len(ids) - ends]
