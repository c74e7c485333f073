"""A byte-level BPE tokenizer as the keys of a GGUF file, in both directions.

llama.cpp splits a text into words with an expression that it knows by name (`tokenizer.ggml.pre`). A tokenizer that
splits differently would silently get other ids there, so it is refused.
"""

import json
import re

import tokenizers
from tokenizers import pre_tokenizers

from model.errors import SproutError
from model.files.gguf.template import written_otherwise
from model.text.chat_template import template_of, unmarked
from model.text.exported import beginning_texts, framed_elsewhere, frames_elsewhere
from model.text.tokenizer import IM_END, Tokenizer
from model.text.vocabulary import QWEN2_PATTERN, definition

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens
_LLAMA3_PATTERN = QWEN2_PATTERN.replace(r"\p{N}| ?", r"\p{N}{1,3}| ?")
# Name in llama.cpp -> how a text is split, step by step. "digits": whether each digit stands alone. "bytes": GPT-2's
# byte alphabet, and whether GPT-2's expression splits, too.
_SPLITS = {
    "qwen2": (("split", QWEN2_PATTERN), ("bytes", False)),
    "llama-bpe": (("split", _LLAMA3_PATTERN), ("bytes", False)),
    "smaug-bpe": (("split", _LLAMA3_PATTERN), ("bytes", False)),
    "smollm": (("digits", True), ("bytes", True)),
    "gpt-2": (("bytes", True),),
}
_IGNORES_MERGES = "llama-bpe"  # a word that is a token stays whole, whatever the merges make of it
# Other names of the same splits.
_SAME = {"deepseek-r1-qwen": "qwen2", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "dbrx": "smaug-bpe"}
_SAME |= {"starcoder": "smollm", "mpt": "gpt-2", "olmo": "gpt-2"}
_TOKEN_IDS = {"bos_token": "bos_token_id", "eos_token": "eos_token_id", "pad_token": "padding_token_id"}
_TEMPLATES = {"chat_template": "default", "chat_template.tool_use": "tool_use"}  # llama.cpp takes no other by its name
_PLAIN = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")

# --- writing ----------------------------------------------------------------------------------------


def keys_of(tokenizer: Tokenizer, rows: int, end_of_turn: int | None = None) -> tuple[dict, list[str]]:
    """The keys without the prefix `tokenizer.`, and warnings. rows: those of the embedding, each of which is a token.

    end_of_turn: the id that ends an answer in chats (default: <|im_end|>, if it is a control token).
    Raises `SproutError` for a tokenizer that would give other ids in llama.cpp.
    """
    content = definition(tokenizer)
    pre = _name_of_split(content, tokenizer)
    warnings = []
    if content["normalizer"] == {"type": "NFC"}:
        warnings.append(
            "the tokenizer composes letters and their accents (NFC), and llama.cpp does not: a text with decomposed"
            " accents gets other ids there"
        )
    spelled = set(pre_tokenizers.ByteLevel.alphabet()) <= set(content["model"]["vocab"])
    if not spelled and (unknown := content["model"]["unk_token"]):
        warnings.append(
            f"the tokenizer has no token for some bytes and writes {unknown} for them, and llama.cpp leaves them out: a"
            " text with such rare characters gets other ids there"
        )
    kinds = {token["content"]: _kind(token) for token in json.loads(tokenizer.files["tokenizer.json"])["added_tokens"]}
    tokens, types = [f"[PAD{i}]" for i in range(rows)], [UNUSED] * rows
    for token, index in tokenizer.vocab.items():
        tokens[index], types[index] = token, kinds.get(token, NORMAL)
    ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id, "padding_token_id": tokenizer.pad_id}
    of_turn = tokenizer.vocab.get(IM_END, tokenizer.eos_id) if end_of_turn is None else end_of_turn
    if of_turn != tokenizer.eos_id and of_turn in tokenizer.special_ids:
        ids["eot_token_id"] = of_turn
    begins, ends = frames_elsewhere(tokenizer)
    keys = {
        "ggml.model": "gpt2",
        "ggml.pre": pre,
        "ggml.tokens": tokens,
        "ggml.token_type": types,
        "ggml.merges": [" ".join(pair) for pair in content["model"]["merges"]],
        **{f"ggml.{name}": index for name, index in ids.items()},
        "ggml.add_bos_token": begins,
        "ggml.add_eos_token": ends,
    }
    for key, name in _TEMPLATES.items():
        if template := template_of(tokenizer, name):
            keys[key] = unmarked(template)
    if others := written_otherwise(tokenizer):
        warnings.append(
            f"llama.cpp reads the chat template otherwise than transformers does, and chats {' and '.join(others)} get"
            " another text there (docs/export.md)"
        )
    return keys, warnings


def _name_of_split(content: dict, tokenizer: Tokenizer) -> str:
    def refuse(what: str):
        raise SproutError(
            f"the tokenizer {what}: llama.cpp would give other ids, so no GGUF file is written (scripts/export_hf.py"
            " can export the network)"
        )

    model = content["model"]
    if model["type"] != "BPE" or not tokenizer.byte_level:
        refuse("is not a byte-level BPE")
    if strange := [key for key in _PLAIN if model.get(key)]:
        refuse(f"has the setting {strange[0]}")
    if not model["merges"]:  # of bytes alone
        raise SproutError(
            "the tokenizer has no merges, and llama.cpp opens no file without some, so no GGUF file is written"
            " (scripts/export_hf.py can export the network)"
        )
    if content["normalizer"] not in (None, {"type": "NFC"}):
        refuse(f"changes texts before it splits them ({content['normalizer'].get('type')})")
    for token in content["added_tokens"]:
        if odd := [flag for flag in ("single_word", "lstrip", "rstrip") if token[flag]]:
            refuse(f"has the token {token['content']} with {odd[0]}")
    if _adds_others(tokenizer):
        refuse("puts other tokens than BOS and EOS around a text (post_processor)")
    steps, ignores = _steps(content["pre_tokenizer"]), bool(model.get("ignore_merges"))
    names = [name for name, split in _SPLITS.items() if split == steps]
    if not names:
        refuse(f"splits texts into words with an expression that is none of llama.cpp's {', '.join(_SPLITS)}")
    names = [name for name in names if ignores == (name == _IGNORES_MERGES)]
    if not names:
        refuse(f"has ignore_merges {str(ignores).lower()}, unlike llama.cpp's tokenizers with the same expression")
    return names[0]


def _steps(part: dict | None) -> tuple | None:
    """A pre_tokenizer of tokenizer.json as the steps of `_SPLITS`; None for a step that is none of them."""
    found = []
    for step in (part or {}).get("pretokenizers", [part] if part else []):
        if step["type"] == "Split" and "Regex" in step["pattern"]:
            kept = (step["behavior"], step["invert"]) in (("Isolated", False), ("Removed", True))
            found.append(("split", step["pattern"]["Regex"]) if kept else None)
        elif step["type"] == "Digits":
            found.append(("digits", step["individual_digits"]))
        elif step["type"] == "ByteLevel" and not step["add_prefix_space"]:
            found.append(("bytes", step["use_regex"]))
        else:
            found.append(None)
    return None if None in found else tuple(found)


def _kind(token: dict) -> int:
    """Control tokens are never printed; the others that were added are, and each is matched as a whole."""
    return CONTROL if token["special"] or re.fullmatch("<[|｜].*[|｜]>", token["content"]) else USER_DEFINED


def _adds_others(tokenizer: Tokenizer) -> bool:
    begins, ends = frames_elsewhere(tokenizer)
    return len(framed_elsewhere(tokenizer)) > len(tokenizer.encode("a")) + begins + ends


# --- reading ----------------------------------------------------------------------------------------


def tokenizer_of(keys: dict, source: str) -> Tokenizer:
    """The tokenizer in the keys of a file. Raises `SproutError` for any but byte-level BPE of a known split."""
    pre = str(keys.get("tokenizer.ggml.pre", "default"))
    pre = _SAME.get(pre, pre)
    if keys.get("tokenizer.ggml.model") != "gpt2" or pre not in _SPLITS:
        raise SproutError(
            f"{source} has a tokenizer of kind {keys.get('tokenizer.ggml.model')}, {pre}, and Sprout opens byte-level"
            f" BPE (gpt2) of {', '.join(_SPLITS)} only: give the model's Hugging Face folder instead"
        )
    try:
        tokens, merges = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.merges"]
        types = keys.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
        pairs = [tuple(merge.split(" ")) for merge in merges]
        vocab = {token: i for i, token in enumerate(tokens) if types[i] != UNUSED or token != f"[PAD{i}]"}
        backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, pairs, ignore_merges=pre == _IGNORES_MERGES))
        backend.pre_tokenizer = _pre_tokenizer(_SPLITS[pre])
        backend.decoder = tokenizers.decoders.ByteLevel()
        kinds = {token: types[i] for token, i in vocab.items() if types[i] in (CONTROL, USER_DEFINED)}
        backend.add_special_tokens(list(kinds))
        content = json.loads(backend.to_str())
        for token in content["added_tokens"]:
            token["special"] = kinds[token["content"]] == CONTROL
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        ids = {
            role: keys[f"tokenizer.ggml.{key}"] for role, key in _TOKEN_IDS.items() if f"tokenizer.ggml.{key}" in keys
        }
        config |= {role: tokens[index] for role, index in ids.items()}
    except Exception as error:  # merges of tokens that are not there make `tokenizers` raise a bare one
        raise SproutError(
            f"{source} has a tokenizer that cannot be read ({error!r}): download the file again"
        ) from error
    told = {name: keys[f"tokenizer.{key}"] for key, name in _TEMPLATES.items() if f"tokenizer.{key}" in keys}
    if "default" in told:
        named = [{"name": name, "template": template} for name, template in told.items()]
        config["chat_template"] = named if len(named) > 1 else told["default"]
    begins = keys.get("tokenizer.ggml.add_bos_token", pre == "llama-bpe")  # the default of llama.cpp
    config |= {"add_bos_token": False, "add_eos_token": False}
    files = {
        name: json.dumps(value, ensure_ascii=False) + "\n"
        for name, value in (("tokenizer.json", content), ("tokenizer_config.json", config))
    }
    tokenizer = Tokenizer.from_files(files)
    return beginning_texts(tokenizer) if begins else tokenizer


def _pre_tokenizer(steps: tuple) -> pre_tokenizers.PreTokenizer:
    made = []
    for kind, value in steps:
        if kind == "split":
            made.append(pre_tokenizers.Split(tokenizers.Regex(value), behavior="isolated"))
        elif kind == "digits":
            made.append(pre_tokenizers.Digits(individual_digits=value))
        else:
            made.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=value))
    return made[0] if len(made) == 1 else pre_tokenizers.Sequence(made)
