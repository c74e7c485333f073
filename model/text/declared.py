"""Added tokens that only the neighbours of tokenizer.json declare, written into it.

`transformers` (5.24) adds to what tokenizer.json says, in this order: the tokens of `added_tokens_decoder` in
tokenizer_config.json, by their ids, and what it says of their flags (`rstrip`, `special`, ...) goes before
tokenizer.json; the tokens that have a role (`eos_token`, `unk_token`, ...); those of `extra_special_tokens`, earlier
called `additional_special_tokens`. Without an `added_tokens_decoder`, the roles of special_tokens_map.json go before
those of the configuration, and added_tokens.json lists further tokens. A token of the vocabulary keeps its id, another
gets the next free one.
"""

import json

import tokenizers
from tokenizers import AddedToken

from model.errors import SproutError

_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")  # in this order


def with_declared_tokens(content: dict, config: dict, roles: dict, listed: dict) -> dict:
    """A tokenizer.json with all tokens that are declared; `content` itself if it has them.

    content, config, roles, listed: what tokenizer.json, tokenizer_config.json, special_tokens_map.json and
        added_tokens.json hold.

    Raises `SproutError` for declarations of a form that they cannot have.
    """
    try:
        missing = _missing(content, config, roles, listed)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise SproutError(f"the tokens that tokenizer_config.json declares cannot be read ({error!r})") from error
    if not missing:
        return content
    try:
        backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing more specific
        raise SproutError(f"this tokenizer.json cannot be used: {error}") from error
    backend.add_tokens(missing)
    return content | {"added_tokens": json.loads(backend.to_str())["added_tokens"]}


def _missing(content: dict, config: dict, roles: dict, listed: dict) -> list[AddedToken]:
    """The declared tokens that tokenizer.json lacks, in the order in which they get ids."""
    known = {token["content"]: token for token in content.get("added_tokens", [])}
    decoder = config.get("added_tokens_decoder")
    if decoder is None:
        config = config | roles
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    of_network, extra = (extra, []) if isinstance(extra, dict) else ({}, extra)  # by name, as roles of its own
    told = {key: value for key, value in config.items() if key.endswith("_token")}
    roles = {key: told.get(key) for key in _ROLES} | of_network | told
    roles = {key: value for key, value in roles.items() if isinstance(_name(value), str)}
    named = list(roles.values())
    if decoder is None:
        special = {_name(token) for token in (*named, *extra)}
        flags = {name: {"special": name in special, "normalized": name not in special} for name in listed}
        decoder = {index: {"content": name} | flags[name] for name, index in listed.items()}
        decoder |= {token["id"]: token for token in known.values()}

    missing, described = {}, {repr(_token(token)) for token in known.values()}
    with_role = {_name(token) for token in named}
    for _, token in sorted(((int(index), token) for index, token in decoder.items()), key=lambda pair: pair[0]):
        if repr(_token(token)) not in described:
            missing[_name(token)] = _token(token, **({"special": True} if _name(token) in with_role else {}))
    vocabulary = content["model"].get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram: tokens with their scores
        vocabulary = {token for token, _ in vocabulary}
    needed = {*missing, *vocabulary, *map(_name, [*of_network.values(), *extra])}
    for token in (*named, *extra):
        if _name(token) not in known:
            missing.setdefault(_name(token), _token(token, special=True))
    # A role's token that no vocabulary has never occurs: it is there only to take its id before others.
    while missing and next(reversed(missing)) not in needed:
        missing.popitem()
    return list(missing.values())


def _name(token) -> str | None:
    return token.get("content") if isinstance(token, dict) else token


def _token(token: str | dict, **flags) -> AddedToken:
    told = {"content": token} if isinstance(token, str) else token
    known = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(told["content"], **{key: value for key, value in told.items() if key in known} | flags)
