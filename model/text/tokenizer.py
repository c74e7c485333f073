"""Text to token ids and back: a thin layer over the `tokenizers` library with one more promise.

The promise: a special token written inside a text is text. `encode` never produces a control id, whatever a
document or a user's message contains; only the code that frames documents and chats puts those ids in.

`transformers` is not imported (it takes seconds); the files are those it reads, so one folder serves both.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import tokenizers

from model.disk import write_atomically
from model.errors import SproutError

# The place in SPECIAL_TOKENS is the id. Those of THINK_AND_TOOLS are not flagged `special` in tokenizer.json,
# as in Qwen3: a server that leaves special tokens out of its answer must still show thinking and tool calls.
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK_AND_TOOLS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
RESERVED = tuple(f"<|reserved_{i}|>" for i in range(7))
SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END, *THINK_AND_TOOLS, *RESERVED)

# The files of an HF folder that belong to a tokenizer; a folder has the first and some of the others.
FILE_NAMES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
ADDED_TOKENS = "added_tokens.json"  # older folders list tokens there; what is missing goes into tokenizer.json
DEFAULT_FOLDER = Path(__file__).parents[1] / "default_tokenizer"

# A batch of texts is enough work for all cores, and takes some hundred bytes a token while it is encoded.
MAX_CHARACTERS, MAX_TEXTS = 2**20, 4096
Text = TypeVar("Text")


class Tokenizer:
    """A tokenizer of ours or of an HF folder. Immutable; may be shared by threads and sent to processes.

    Attributes:
        files: the texts of the tokenizer's files by name, to embed in a checkpoint or write into a folder.
        bos_id, eos_id, pad_id: a document is `bos_id` + ids + `eos_id`; rows are filled up with `pad_id`.
        end_ids: what ends a document when a network writes one: `eos_id`, and `pad_id`, which is <|endoftext|>:
            imported Qwen models end a document with it.
        special_ids: control ids, which `encode` never produces.
        vocab_size: highest id + 1. An imported network may have more embedding rows than that.
        vocab: id by token, in the vocabulary's own spelling.
        byte_level: whether that spelling is GPT-2's byte alphabet (`Ġ` for a space, one character a byte).
        lossy: whether the vocabulary lacks a byte of that alphabet, and leaves it out of every text.
        config: the content of tokenizer_config.json.
        backend: the `tokenizers.Tokenizer` that does the work; to be read, not changed.
    """

    def __init__(self, files: dict[str, str]):
        """`files` as in `from_files`. Raises SproutError for files that do not make a tokenizer."""
        if "tokenizer.json" not in files:
            raise SproutError(
                f"A tokenizer needs a tokenizer.json; these files are there: {', '.join(files) or 'none'}."
            )
        self.files = {name: files[name] for name in FILE_NAMES if name in files}
        content = _parse_json(files, "tokenizer.json")
        self.config = _parse_json(files, "tokenizer_config.json")
        added = _added_tokens(content)
        if _may_declare_more(files, self.config, {token["content"] for token in added}):
            from model.text.declared import with_declared_tokens

            roles, listed = (_parse_json(files, name) for name in ("special_tokens_map.json", ADDED_TOKENS))
            whole = with_declared_tokens(content, self.config, roles, listed)
            if whole is not content:
                content, added = whole, _added_tokens(whole)
                self.files["tokenizer.json"] = json.dumps(content, ensure_ascii=False) + "\n"
        # What `decode` leaves out is what the file flags; what `encode` must not produce is more than that.
        hidden = [token["content"] for token in added if token["special"]]
        controls = [token["content"] for token in added if token["special"] or is_control(token["content"])]
        for token in added:
            token["special"] = token["content"] in controls
        try:
            self.backend = tokenizers.Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the library raises nothing more specific
            raise SproutError(f"this tokenizer.json cannot be used: {error}") from error
        self.backend.encode_special_tokens = True  # read: encode special tokens as the text they are
        # A saved tokenizer may carry either setting, which would drop or add tokens.
        self.backend.no_truncation()
        self.backend.no_padding()
        self.backend.post_processor = None  # frames texts, which we do ourselves, and cuts spaces off offsets

        self.vocab = self.backend.get_vocab(with_added_tokens=True)
        if not self.vocab:
            raise SproutError("this tokenizer.json cannot be used: its vocabulary is empty")
        self.vocab_size = max(self.vocab.values()) + 1
        self._hidden_ids = frozenset(self.vocab[name] for name in hidden)
        self.special_ids = frozenset(self.vocab[name] for name in controls)
        decoder = content.get("decoder") or {}  # its form is known, since the library took it
        self.byte_level = any(part["type"] == "ByteLevel" for part in [decoder, *decoder.get("decoders", [])] if part)
        self.lossy = self.byte_level and not self.vocab.keys() >= {*tokenizers.pre_tokenizers.ByteLevel.alphabet()}
        self.bos_id, self.eos_id, self.pad_id = self._frame_ids()
        self.end_ids = frozenset({self.eos_id, self.pad_id})

    @classmethod
    def from_files(cls, files: dict[str, str]) -> "Tokenizer":
        """From texts by file name: "tokenizer.json" and, if there are any, the others of `FILE_NAMES`."""
        return cls(files)

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Tokenizer":
        """From a folder with a tokenizer.json, or from such a file; None is the tokenizer that we ship.

        Raises SproutError where there is none.
        """
        path = DEFAULT_FOLDER if path is None else Path(path)
        main = path if path.is_file() else path / "tokenizer.json"
        if not main.is_file():
            from model.text.missing import no_tokenizer

            raise no_tokenizer(path)
        paths = {"tokenizer.json": main}
        if main.name == "tokenizer.json":
            paths |= {n: main.with_name(n) for n in (*FILE_NAMES, ADDED_TOKENS) if main.with_name(n).is_file()}
        try:
            files = {name: file.read_text(encoding="utf-8") for name, file in paths.items()}
            if (templates := main.with_name("additional_chat_templates")).is_dir():
                from model.text.named_templates import with_named_templates  # few folders have them

                files = with_named_templates(files, templates)
        except (OSError, UnicodeDecodeError) as error:
            raise SproutError(f"the tokenizer at {path} cannot be read: {error}") from error
        try:
            return cls(files)
        except SproutError as error:
            raise SproutError(f"{main}: {error}") from error

    def save(self, folder: str | Path) -> None:
        """Write the files, byte for byte those this tokenizer was made from."""
        for name, text in self.files.items():
            write_atomically(Path(folder) / name, lambda file, text=text: file.write(text.encode("utf-8")))

    def __reduce__(self):
        # The library's own pickling forgets `encode_special_tokens`.
        return Tokenizer, (self.files,)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the ids of a document: tokenizer.json and the framing ids."""
        content = json.loads(self.files["tokenizer.json"])
        unused = ("truncation", "padding", "post_processor")  # transformers changes them when it saves a folder
        content = {key: value for key, value in content.items() if key not in unused}
        identity = [content, self.bos_id, self.eos_id, self.pad_id]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8")).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, special tokens in it being text; nothing is added in front or behind.

        Raises SproutError for a string that is not text (half a surrogate pair).
        """
        try:
            return self.backend.encode(text, add_special_tokens=False).ids
        except TypeError as error:
            from model.text.invalid import not_text

            raise not_text([text]) from error

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of text that the vocabulary cannot spell ([UNK]); None where every text can be spelled."""
        return self.vocab.get(getattr(self.backend.model, "unk_token", None))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of every text, in parallel on all cores."""
        try:
            encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError as error:
            from model.text.invalid import not_text

            raise not_text(texts) from error
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """The text of ids. Bytes that are no UTF-8 become U+FFFD; ids past the vocabulary stand for nothing.

        `skip_special_tokens` leaves out the tokens flagged so in tokenizer.json, as `transformers` does:
        documents' and turns' ends, but not `<think>` and `<tool_call>`.
        """
        hidden = self._hidden_ids if skip_special_tokens else frozenset()
        # The library's own flag would leave out all control tokens: to it, all are special (see __init__).
        return self.backend.decode([i for i in ids if i not in hidden], skip_special_tokens=False)

    def _frame_ids(self) -> tuple[int, int, int]:
        """bos, eos and pad, as tokenizer_config.json names them.

        Families without a BOS (Qwen2, Qwen3) were trained on documents separated by `<|endoftext|>`, so that
        token is put in front; where there is none, EOS serves. Padding is never seen nor trained, so any
        control token will do: `<|endoftext|>`, else EOS, also for a declared one that the vocabulary lacks. A
        tokenizer.json that comes alone names nothing, and the families' usual names are tried.
        """
        alone = "tokenizer_config.json" not in self.files and "special_tokens_map.json" not in self.files
        usual_bos = (IM_START, "<|begin_of_text|>", "<s>") if alone else ()
        eos = self._declared("eos_token", (IM_END, "<|eot_id|>", "<|end_of_text|>", "</s>", END_OF_TEXT))
        if eos is None:
            raise SproutError("the tokenizer has no EOS token: name one as eos_token in tokenizer_config.json")
        bos = self._declared("bos_token", (*usual_bos, END_OF_TEXT))
        pad = self._declared("pad_token", (END_OF_TEXT,))
        return eos if bos is None else bos, eos, eos if pad is None else pad

    @property
    def declared(self) -> dict:
        """What tokenizer_config.json and special_tokens_map.json say together."""
        config, roles = self.config, _parse_json(self.files, "special_tokens_map.json")
        # In transformers, too, an added_tokens_decoder makes the other file one of the past.
        return roles | config if "added_tokens_decoder" in config else config | roles

    def _declared(self, key: str, otherwise: tuple[str, ...]) -> int | None:
        """The id of the token that the configuration declares as `key`, else of the first of `otherwise`."""
        token = self.declared.get(key)
        token = token.get("content") or token if isinstance(token, dict) else token  # {"content": "</s>", ...}
        if token is None or (key == "pad_token" and isinstance(token, str) and token not in self.vocab):
            return next((self.vocab[name] for name in otherwise if name in self.vocab), None)
        if not isinstance(token, str) or token not in self.vocab:
            raise SproutError(f"the tokenizer's {key} is {token!r}, which is not in its tokenizer.json")
        return self.vocab[token]


def text_batches(texts: Iterable[Text], characters: Callable[[Text], int] = len) -> Iterator[list[Text]]:
    """All texts in order, in lists of about `MAX_CHARACTERS` characters or of `MAX_TEXTS` texts."""
    batch, total = [], 0
    for text in texts:
        batch.append(text)
        total += characters(text)
        if total >= MAX_CHARACTERS or len(batch) >= MAX_TEXTS:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _may_declare_more(files: dict, config: dict, known: set[str]) -> bool:
    """Whether the neighbours of tokenizer.json may name tokens that are not among those it knows."""
    told = [value for key, value in config.items() if key.endswith(("_token", "_tokens", "_decoder")) and value]
    return len(files) > 2 or not all(isinstance(value, str) and value in known for value in told)


def _added_tokens(content: dict) -> list[dict]:
    """The added tokens of a tokenizer.json, of the form that the library asks for as well."""
    added = content.get("added_tokens", [])
    whole = isinstance(added, list) and all(
        isinstance(token, dict)
        and isinstance(token.get("content"), str)
        and token["content"]
        and isinstance(token.get("special"), bool)
        for token in added
    )
    if not whole:
        raise SproutError("this tokenizer.json cannot be used: its added_tokens are not a list of tokens with flags")
    return added


def is_control(token: str) -> bool:
    """Whether an added token steers a model though it is not flagged so (`<|fim_prefix|>`, `<tool_call>`).

    Other unflagged tokens are words or runs of spaces, and stand for text.
    """
    return token in THINK_AND_TOOLS or re.fullmatch("<[|｜].*[|｜]>", token) is not None


def _parse_json(files: dict[str, str], name: str) -> dict:
    try:
        content = json.loads(files.get(name, "{}"))
    except (ValueError, RecursionError) as error:
        raise SproutError(f"the tokenizer's {name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SproutError(f"the tokenizer's {name} is not a JSON object")
    return content
