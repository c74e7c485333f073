"""Opens a network from a weight of ours, a Hugging Face folder, a GGUF file, or a bare MiniMind state dict."""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.config import TransformerConfig
from model.errors import SproutError
from model.families import config_from_dict, network_of
from model.files.checkpoint import FORMAT, VERSION
from model.files.gguf.library import is_gguf
from model.files.hf_import import import_folder
from model.files.minimind import open_bare, tokenizer_beside
from model.files.reading import read_checkpoint
from model.files.resize import resize_embeddings
from model.files.state_dict import bare_state_dict, fitting_state_dict, refuse_contradictions
from model.text.tokenizer import Tokenizer
from model.transformer import Transformer
from model.undrawn import Undrawn
from model.whole import EMBEDDING, HEAD, SCORE

_KINDS = {"version": int, "config": dict, "tokenizer": dict, "stage": str, "facts": dict, "model": dict}
# What may differ from the file without changing the meaning of a weight: how far the positions reach.
_MAY_DIFFER = ("max_position_embeddings", "rope_scaling", "router_aux_loss_coef")


@dataclass(frozen=True)
class Loaded:
    """A network ready to use, and where it comes from."""

    model: Transformer  # float32
    tokenizer: Tokenizer
    stage: str  # "pretrain", ...; "imported" for a Hugging Face folder, a GGUF file or a bare state dict
    facts: dict
    source: str
    stored_dtype: torch.dtype  # the type of the weights in the file, one that holds each of them exactly
    new_tokens: int = 0  # that `tokenizer_path` added: the last rows of the embedding

    @property
    def imported(self) -> bool:
        """Whether it was pretrained elsewhere, whatever stages of Sprout came after."""
        return self.stage == "imported" or self.facts.get("imported") is True

    @property
    def writable(self) -> int:
        """So many tokens, the first of the vocabulary, it can have learned to write; 0 for all."""
        tokens = self.tokenizer.vocab_size - self.new_tokens
        return tokens if tokens < self.model.config.vocab_size else 0  # there may be rows that no token has

    @property
    def is_base(self) -> bool:
        """Whether it was trained on texts, each of them behind BOS, and never on chats."""
        return self.stage == "pretrain" or self.facts.get("trained_on") == "texts"

    @property
    def trained_positions(self) -> int:
        """How far into a text it has learned to read: the length of the rows of the run that wrote it.

        All positions of the network where the weight does not say, and of one pretrained elsewhere.
        """
        positions, arguments = self.model.config.max_position_embeddings, self.facts.get("arguments")
        length = arguments.get("max_seq_len") if isinstance(arguments, dict) and not self.imported else None
        return min(length, positions) if isinstance(length, int) and length > 0 else positions


def load_model(
    source: str | Path,
    *,
    tokenizer_path: str | Path | None = None,
    overrides: dict | None = None,
    device: str | torch.device = "cpu",
) -> Loaded:
    """Opens a weight of ours, a Hugging Face folder, a GGUF file, or a bare MiniMind state dict, strictly, in float32.

    tokenizer_path: use this tokenizer instead of the one the file carries. One that extends it (the same
        tokens, then more) gets new embedding rows; any other difference is an error, since ids would change
        their meaning.
    overrides: values of `TransformerConfig` that the user asked for; None means not asked. A file that knows
        its shape refuses a contradiction; for a bare state dict they say what its shapes do not
        (`num_attention_heads`).

    Raises `SproutError` for a file that cannot be used, `UsageError` for flags that contradict it.
    """
    source = Path(source)
    wanted = {key: value for key, value in (overrides or {}).items() if value is not None}
    config, weights, own_tokenizer, stage, facts = _read(source, wanted)
    if SCORE in weights:
        raise SproutError(
            f"{source} is a reward model, which scores answers and writes none: use it with"
            " scripts/score.py, and give a language model here"
        )
    weights = fitting_state_dict(weights, config, source)
    tokenizer, weights = _choose_tokenizer(own_tokenizer, tokenizer_path, weights, source)
    config = config.replace(
        vocab_size=weights[EMBEDDING].shape[0],
        pad_token_id=tokenizer.pad_id,
        bos_token_id=tokenizer.bos_id,
        eos_token_id=tokenizer.eos_id,
    )
    with Undrawn():
        model = network_of(config)(config, initialize_weights=False)
    tied = {HEAD: weights[EMBEDDING]} if config.tie_word_embeddings else {}
    model.load_state_dict(weights | tied)  # copies into float32
    new = 0 if own_tokenizer is None else tokenizer.vocab_size - own_tokenizer.vocab_size
    return Loaded(model.to(device), tokenizer, stage, facts, str(source), exact_dtype(weights, EMBEDDING), new)


def _read(source: Path, wanted: dict) -> tuple[TransformerConfig, dict, Tokenizer | None, str, dict]:
    """Configuration, weights, tokenizer (None: the file has none), stage and facts, whatever kind of weight it is.

    wanted: what the user says of the configuration.
    """
    stage, facts, tokenizer = "imported", {}, None
    if source.is_dir():
        if (source / "adapter_config.json").exists() and not (source / "config.json").exists():
            raise _without_network(source)
        config, weights, tokenizer = import_folder(source)
    elif is_gguf(source):
        from model.files.gguf.reading import import_gguf  # needed only now

        config, weights, tokenizer = import_gguf(source)
    else:
        contents = read_checkpoint(source, mmap=True)
        if (bare := bare_state_dict(contents, source)) is not None:
            return *open_bare(bare, wanted, source), tokenizer, stage, facts  # it refuses contradictions itself
        config, weights, tokenizer, stage, facts = open_own(contents, source)
    return _agree(config, wanted, source), weights, tokenizer, stage, facts


def exact_dtype(weights: dict[str, torch.Tensor], name: str) -> torch.dtype:
    """The type of the weight `name`; float32 if that type would round another, as it may where a file has several."""
    dtype = weights[name].dtype
    others = (weight.float() for weight in weights.values() if weight.dtype != dtype)
    return dtype if all(torch.equal(weight.to(dtype).float(), weight) for weight in others) else torch.float32


def open_own(contents: dict, source: Path) -> tuple[TransformerConfig, dict, Tokenizer, str, dict]:
    """Configuration, weights, tokenizer, stage and facts of a weight of ours, of a language or a reward model.

    Raises `SproutError` for any other file, and for a weight that is not as Sprout writes it.
    """
    if contents.get("format") == "sprout-lora":
        raise _without_network(source)
    if contents.get("format") != FORMAT or "model" not in contents:
        raise SproutError(
            f"{source} is not a weight of Sprout (its keys are {', '.join(map(str, list(contents)[:5]))}):"
            " give the weight that a training stage wrote, not the state that --resume reads"
        )
    if isinstance(contents.get("version"), int) and contents["version"] > VERSION:
        raise SproutError(f"{source} was written by a newer Sprout (format {contents['version']}): update this one")
    wrong = [key for key, kind in _KINDS.items() if not isinstance(contents.get(key), kind)]
    if not wrong:
        files = contents["tokenizer"].get("files")
        texts = isinstance(files, dict) and all(isinstance(text, str) for pair in files.items() for text in pair)
        names = all(isinstance(name, str) for name in contents["model"])
        wrong = ["tokenizer"] * (not texts) + ["model"] * (not names)
        wrong += ["stage"] * (not contents["stage"].isprintable())  # it is shown, and must not steer the terminal
    if wrong:
        raise SproutError(f"{source} is not a weight as Sprout writes it: its {wrong[0]} is missing or wrong")
    try:
        config = config_from_dict(contents["config"])
        tokenizer = Tokenizer.from_files(contents["tokenizer"]["files"])
    except SproutError as error:  # not the user's command line, even where it is a UsageError
        raise SproutError(f"{source}: {error}") from error
    return config, contents["model"], tokenizer, contents["stage"], contents["facts"]


def _without_network(source: Path) -> SproutError:
    return SproutError(
        f"{source} holds adapters without their network: give it with --lora where a script has that flag, or merge"
        " both into a whole weight with scripts/merge_lora.py"
    )


def _agree(config: TransformerConfig, wanted: dict, source: Path) -> TransformerConfig:
    """`config` with the few values that may be changed; a contradiction of another is a `UsageError`."""
    free = () if config.model_type == "gpt2" else _MAY_DIFFER  # its positions are weights
    changes = {name: value for name, value in wanted.items() if name in free and hasattr(config, name)}
    known = dict.fromkeys(wanted, "none") | config.to_dict()  # "none": a dense network has no number of experts
    refuse_contradictions(known, {k: v for k, v in wanted.items() if k not in changes}, source)
    return config.replace(**changes)


def _choose_tokenizer(own: Tokenizer | None, path, weights: dict, source: Path) -> tuple[Tokenizer, dict]:
    """The tokenizer to use, and the weights with a row for each of its tokens.

    An embedding may have more rows than the tokenizer has tokens (Qwen pads it), never fewer.
    """
    rows = weights[EMBEDDING].shape[0]
    if own is None and path is None:
        chosen = tokenizer_beside(source, rows)
    else:
        chosen = own if path is None else Tokenizer.load(path)
    if own is not None and chosen.fingerprint != own.fingerprint:
        weights = resize_embeddings(weights, own, chosen)
    rows = weights[EMBEDDING].shape[0]
    if rows < chosen.vocab_size:
        raise SproutError(
            f"{source} has embeddings for {rows} tokens, but the tokenizer has {chosen.vocab_size}: give the network's"
            " own tokenizer"
        )
    return chosen, weights
