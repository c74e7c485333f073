"""A tokenizer's files as other programs must find them to make the ids that a network was trained on."""

import json

from tokenizers import processors

from model.text.tokenizer import Tokenizer
from model.text.vocabulary import definition

MODULE = "tokenization_plain.py"
_CODE = '''from transformers import PreTrainedTokenizerFast


class PlainTokenizer(PreTrainedTokenizerFast):
    """tokenizer.json as it stands, for AutoTokenizer with trust_remote_code."""
'''
# How Qwen2 splits texts into words.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


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


def files_for(tokenizer: Tokenizer, model_type: str) -> dict[str, str]:
    """The files of a tokenizer beside a network of this type.

    AutoTokenizer of transformers 5 takes a tokenizer class of its own for every `qwen2`, whatever the files say, and
    that one brings accents and their letters together (NFC) and splits words as Qwen2.5 does. Where this would change
    ids, the configuration names a class, which makes AutoTokenizer read tokenizer.json; it runs the code in `MODULE`
    only if told to trust it, and gets the same tokenizer.
    """
    named = {"AutoTokenizer": [None, f"{MODULE.removesuffix('.py')}.PlainTokenizer"]}
    if model_type != "qwen2" or _as_qwen2(definition(tokenizer)):
        if tokenizer.config.get("auto_map") != named:
            return dict(tokenizer.files)
        config = {key: value for key, value in tokenizer.config.items() if key != "auto_map"}
        return tokenizer.files | {"tokenizer_config.json": _to_json(config)}
    config = tokenizer.config | {"auto_map": named, "tokenizer_class": "PreTrainedTokenizerFast"}
    return tokenizer.files | {"tokenizer_config.json": _to_json(config), MODULE: _CODE}


def _as_qwen2(content: dict) -> bool:
    """Whether texts are taken apart as by the tokenizer of Qwen2 and Qwen2.5."""
    parts = (content["pre_tokenizer"] or {}).get("pretokenizers", [])
    splits = [part["pattern"].get("Regex") for part in parts if part["type"] == "Split"]
    return content["normalizer"] == {"type": "NFC"} and splits == [_WORDS] and content["model"]["type"] == "BPE"


def _to_json(config: dict) -> str:
    return json.dumps(config, ensure_ascii=False, indent=2) + "\n"
