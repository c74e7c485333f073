"""A tokenizer's files as other programs must find them to make the ids that a network was trained on."""

import json

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from model.errors import SproutError
from model.text.tokenizer import Tokenizer
from model.text.vocabulary import QWEN2_PATTERN, definition

MODULE = "tokenization_plain.py"
_CODE = '''from transformers import PreTrainedTokenizerFast


class PlainTokenizer(PreTrainedTokenizerFast):
    """tokenizer.json as it stands, for AutoTokenizer with trust_remote_code."""
'''


def beginning_texts(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which puts its BOS before every text in other programs, too.

    A network that was trained on texts saw each of them after BOS, and predicts worse without it. transformers and
    lm-eval follow the post-processor of tokenizer.json, llama.cpp's converter that and `add_bos_token`. A chat template
    is rendered without it, since it writes its own first token (`Tokenizer` itself uses neither).
    """
    content = json.loads(tokenizer.files["tokenizer.json"])
    name = next(token for token, index in tokenizer.vocab.items() if index == tokenizer.bos_id)
    first = processors.TemplateProcessing(
        single=[name, "$A"], pair=[name, "$A", "$B:1"], special_tokens=[(name, tokenizer.bos_id)]
    )
    backend = type(tokenizer.backend).from_str(json.dumps(definition(tokenizer)))
    backend.post_processor = first
    template = json.loads(backend.to_str())["post_processor"]
    before = content.get("post_processor") or {}
    # ByteLevel does no more than to set offsets, but it is the tokenizer's own.
    kept = [part for part in before.get("processors", [before]) if part.get("type") == "ByteLevel"]
    if kept:
        template = {"type": "Sequence", "processors": [*kept, template]}
    content["post_processor"] = template
    config = tokenizer.config | {"bos_token": name, "add_bos_token": True}
    texts = {
        "tokenizer.json": json.dumps(content, ensure_ascii=False) + "\n",
        "tokenizer_config.json": _to_json(config),
    }
    return Tokenizer.from_files(tokenizer.files | texts)


def framed_elsewhere(tokenizer: Tokenizer) -> list[int]:
    """The ids that other programs, which follow the post-processor of tokenizer.json, give the text "a"."""
    return Backend.from_str(tokenizer.files["tokenizer.json"]).encode("a").ids


def frames_elsewhere(tokenizer: Tokenizer) -> tuple[bool, bool]:
    """Whether tokenizer.json makes other programs put BOS before a text, and EOS behind it."""
    ids = framed_elsewhere(tokenizer)
    return ids[:1] == [tokenizer.bos_id], ids[-1:] == [tokenizer.eos_id]


def padding_apart_from(end: int, tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which pads with another control token than `end`; itself where it does so already.

    transformers reads the score of a text at its last token that is no padding. Where padding is also what ends an
    answer, that is the token before its end. Raises `SproutError` where there is no other control token.
    """
    if tokenizer.pad_id != end:
        return tokenizer
    others = sorted(tokenizer.special_ids - {end}, key=lambda index: (index != tokenizer.bos_id, index))
    if not others:
        raise SproutError(
            "the tokenizer has one control token, which ends an answer and pads: transformers would read a reward at"
            " the token before; declare another pad_token in a folder of the tokenizer, and train with it"
        )
    return _padding_with(others[0], tokenizer)


def _padding_with(pad_id: int, tokenizer: Tokenizer) -> Tokenizer:
    pad = next(token for token, index in tokenizer.vocab.items() if index == pad_id)
    texts = {"tokenizer_config.json": _to_json(tokenizer.config | {"pad_token": pad})}
    if "special_tokens_map.json" in tokenizer.files:
        roles = json.loads(tokenizer.files["special_tokens_map.json"])
        texts["special_tokens_map.json"] = _to_json(roles | {"pad_token": pad})
    return Tokenizer.from_files(tokenizer.files | texts)


def files_for(tokenizer: Tokenizer, model_type: str) -> dict[str, str]:
    """The files of a tokenizer beside a network of this type.

    Padding that no vocabulary has becomes what Sprout pads with. Where AutoTokenizer would rebuild it otherwise, the
    configuration names the class that reads tokenizer.json as it stands. Beside a `qwen2` that is not believed unless
    there is code to load; AutoTokenizer runs that in `MODULE` only if told to trust it, and gets the same tokenizer.
    """
    pad = tokenizer.declared.get("pad_token")
    if pad and (pad["content"] if isinstance(pad, dict) else pad) not in tokenizer.vocab:
        tokenizer = _padding_with(tokenizer.pad_id, tokenizer)  # no network has a row for what stands in no vocabulary
    named = {"AutoTokenizer": [None, f"{MODULE.removesuffix('.py')}.PlainTokenizer"]}
    config = {key: value for key, value in tokenizer.config.items() if (key, value) != ("auto_map", named)}
    code = {}
    if rebuilding_class(config, tokenizer, model_type):
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        if model_type == "qwen2":
            config["auto_map"], code = named, {MODULE: _CODE}
    if config == tokenizer.config:
        return tokenizer.files | code
    return tokenizer.files | {"tokenizer_config.json": _to_json(config)} | code


def rebuilding_class(config: dict, tokenizer: Tokenizer, model_type: str) -> str | None:
    """The class by which AutoTokenizer rebuilds a tokenizer otherwise than tokenizer.json has it; None for none.

    config: its tokenizer_config.json. Seen with transformers 5.24: a class with an `__init__` of its own takes the
    vocabulary from tokenizer.json, and from its own code how texts are normalised and split into words.
    """
    name = str(config.get("tokenizer_class") or "").removesuffix("Fast")
    if "auto_map" not in config:
        if model_type == "qwen2" or (model_type == "qwen3" and not name):
            name = "Qwen2Tokenizer"
        elif name == "LlamaTokenizer" and tokenizer.byte_level:
            return None
    if model_type == "mistral" or name in ("", "PreTrainedTokenizer", "TokenizersBackend"):
        return None
    content = definition(tokenizer)
    space = config.get("add_prefix_space")
    by_bytes = {"type": "ByteLevel", "add_prefix_space": bool(space)}
    words = {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated", "invert": False}
    first = "never" if space is False else "always" if config.get("legacy") else "first"
    builds = {
        "Qwen2Tokenizer": (
            {"type": "NFC"},
            {"type": "Sequence", "pretokenizers": [words, by_bytes | {"use_regex": False}]},
        ),
        "GPT2Tokenizer": (None, by_bytes | {"use_regex": True}),
        "LlamaTokenizer": (None, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": first, "split": False}),
    }
    ours = (content["normalizer"], _deciding(content["pre_tokenizer"]))
    bpe = content["model"]["type"] == "BPE" and not content["model"]["ignore_merges"]
    same = bpe and content["model"]["byte_fallback"] == (name == "LlamaTokenizer") and ours == builds.get(name)
    return None if same else name


def _deciding(pre_tokenizer: dict | None) -> dict | None:
    """Without the setting that moves offsets and changes no id."""
    if pre_tokenizer is None:
        return None
    parts = [_deciding(part) for part in pre_tokenizer.get("pretokenizers", [])]
    plain = {key: value for key, value in pre_tokenizer.items() if key != "trim_offsets"}
    return plain | {"pretokenizers": parts} if parts else plain


def _to_json(config: dict) -> str:
    return json.dumps(config, ensure_ascii=False, indent=2) + "\n"
