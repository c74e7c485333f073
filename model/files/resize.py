"""Embeddings for a tokenizer that got more tokens."""

import torch

from model.errors import SproutError
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import definition, pieces_of
from model.whole import EMBEDDING, HEAD

_ADVICE = "give the network's own, or one made from it with train_tokenizer.py --extend"


def resize_embeddings(weights: dict[str, torch.Tensor], old: Tokenizer, new: Tokenizer) -> dict[str, torch.Tensor]:
    """The weights with one embedding row (and, if untied, one head row) for each token of `new`.

    weights: a state dict under HF names, made with `old`; tensors `[old rows, D]` in EMBEDDING and, if
        it is not tied, HEAD.
    new: `old` and further tokens, as `extend_bpe.extend` makes it.

    Rows of old tokens are kept. A new row is the mean of the rows of the pieces that spelled the token before
    (of all rows, for an id without pieces). So its logit is the mean of the pieces' logits, and no new token
    can outweigh what the network predicted so far: https://nlp.stanford.edu/~johnhew/vocab-expansion.html.
    Imported networks may have more rows than the tokenizer has tokens (Qwen pads them to a round number).
    Those rows belong to no token and were never trained: new tokens take their place, the rest is dropped.

    Raises SproutError if `new` is not an extension of `old`: ids would change their meaning, or texts their ids.
    """
    _check_extension(old, new)
    if new.vocab_size == old.vocab_size:
        return dict(weights)
    pieces = _pieces_of_new_tokens(old, new)
    resized = dict(weights)
    for name in (EMBEDDING, HEAD):
        if name in weights:
            resized[name] = _resized(weights[name], pieces, old.vocab_size, name)
    return resized


def _check_extension(old: Tokenizer, new: Tokenizer) -> None:
    moved = [token for token, index in old.vocab.items() if new.vocab.get(token) != index]
    if moved:
        raise SproutError(
            f"the tokenizer is not that of the network, nor an extension of it: {len(moved):,} of"
            f" {len(old.vocab):,} tokens have another id or are missing, such as {moved[0]!r}; {_ADVICE}"
        )
    among = [token for token, index in new.vocab.items() if index < old.vocab_size and token not in old.vocab]
    if among:
        raise SproutError(
            f"the new token {among[0]!r} has id {new.vocab[among[0]]}, among the ids of the network's tokenizer;"
            f" {_ADVICE}"
        )
    changed = _differing_parts(old, new)
    if changed:
        raise SproutError(
            f"the tokenizer has the tokens of the network's own, but another {', another '.join(changed)}, so texts"
            f" would get other ids than it was trained on; {_ADVICE}"
        )
    if new.vocab_size > old.vocab_size and not (old.byte_level and new.byte_level):
        raise SproutError("only networks with a byte-level tokenizer can be given more tokens")


def _differing_parts(old: Tokenizer, new: Tokenizer) -> list[str]:
    """The parts of `new` that make other ids of a text, or another text of ids, though no token has moved."""
    before, after = definition(old), definition(new)
    changed = [part for part in ("normalizer", "pre_tokenizer", "decoder") if before[part] != after[part]]
    # New merges come after the old; the vocabulary of BPE (a dict) was compared by id. Other kinds are lists.
    for part, value in before["model"].items():
        theirs = after["model"].get(part)
        goes_on = isinstance(value, list) and isinstance(theirs, list) and theirs[: len(value)] == value
        if theirs != value and not goes_on and not isinstance(value, dict):
            changed.append(f"model ({part})" if part != "merges" else "order of merges")
    if any(token not in after["added_tokens"] for token in before["added_tokens"]):
        changed.append("kind of added tokens")
    if (old.bos_id, old.eos_id) != (new.bos_id, new.eos_id):
        changed.append("begin or end of a document (bos_token, eos_token)")
    return changed


def _pieces_of_new_tokens(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For each id from `old.vocab_size` on, the old ids that spell it; none for an id without a token."""
    pieces: list[list[int]] = [[] for _ in range(new.vocab_size - old.vocab_size)]
    # An added token stands there as it is written in texts, whatever the vocabulary's own spelling is.
    added = {token.content for token in new.backend.get_added_tokens_decoder().values()}
    for token, index in new.vocab.items():
        if index >= old.vocab_size:
            pieces[index - old.vocab_size] = old.encode(token) if token in added else pieces_of(old, token)
    return pieces


def _resized(matrix: torch.Tensor, pieces: list[list[int]], kept: int, name: str) -> torch.Tensor:
    if matrix.shape[0] < kept:
        raise SproutError(
            f"{name} has {matrix.shape[0]:,} rows, but the tokenizer has {kept:,} tokens: they do not belong together"
        )
    old = matrix[:kept]
    new = old.float().mean(dim=0).to(old.dtype).repeat(len(pieces), 1)
    for row, ids in enumerate(pieces):
        if ids:
            new[row] = old[ids].float().mean(dim=0)
    return torch.cat([old, new])
