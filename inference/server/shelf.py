"""The weights that are served: the one that the server begins with, and those of the same folder, opened when asked."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dataset.rendering import ChatRenderer, for_chats
from inference.server.parameters import BadRequest
from inference.writer import ready_to_generate
from model.device import Device
from model.errors import SproutError, UsageError
from model.files.loading import Loaded, load_model
from model.files.reward import is_reward_model
from model.running_batch import RunningBatch
from model.text.exported import frames_elsewhere
from model.text.spelling import Spelling
from model.text.vocabulary import byte_alphabet

# Which weight is served if none is named: the one made to talk to, then those of later stages first.
BEST_FIRST = ("chat", "grpo", "ppo", "dpo", "rlhf", "reason", "full_sft", "merged", "distill", "pretrain")
MOST_OPEN = 4  # networks in memory


@dataclass(eq=False)
class Served:
    """A network that answers, and what belongs to it."""

    name: str
    loaded: Loaded
    precision: Callable[[], contextlib.AbstractContextManager]
    positions: int  # tokens of a prompt and its answer
    created: int  # seconds since 1970
    users: int = 0  # requests that are being answered
    key: object = None  # of its file; None for the first, which stays
    batch: RunningBatch = field(init=False)

    def __post_init__(self):
        self.batch = RunningBatch(self.loaded.model)
        self.tokenizer = self.loaded.tokenizer
        self.spelling = Spelling(self.tokenizer)

    @cached_property
    def renderer(self) -> ChatRenderer:
        return ChatRenderer(for_chats(self.tokenizer, self.loaded.imported))

    @cached_property
    def begins_texts(self) -> bool:
        """Whether a text begins with BOS: as in training, or as the tokenizer.json of an imported network has it."""
        return self.loaded.is_base or (self.loaded.stage == "imported" and frames_elsewhere(self.tokenizer)[0])

    @cached_property
    def longest_token(self) -> float:
        """Characters of the longest token; infinite where a token may stand for any number of them."""
        backend, names = self.tokenizer.backend, self.tokenizer.vocab
        takes_more = any(token.lstrip or token.rstrip for token in backend.get_added_tokens_decoder().values())
        spells_all = self.tokenizer.byte_level and byte_alphabet().keys() <= names.keys()
        return max(map(len, names)) if spells_all and not takes_more and backend.normalizer is None else math.inf

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """What ends an answer: the end of a turn, or of a document."""
        return frozenset(self.tokenizer.end_ids | self.renderer.end_ids)


def weights_in(out_dir: str) -> dict[str, Path]:
    """The files <out_dir>/<name>_<hidden>.pth by their stems, best first as in `BEST_FIRST`, then the newest."""
    found = [path for path in Path(out_dir).glob("*.pth") if path.stem.rpartition("_")[2].isdecimal()]
    # A pipe would be waited for, and a name that is not UTF-8 fits into no reply.
    found = [path for path in found if path.is_file() and path.stem.isprintable()]

    def order(path: Path) -> tuple:
        name = path.stem.rpartition("_")[0]
        rank = BEST_FIRST.index(name) if name in BEST_FIRST else len(BEST_FIRST)
        return rank, -_changed(path)

    return {path.stem: path for path in sorted(found, key=order)}


def _changed(path: Path) -> float:
    """When a file was written, in seconds since 1970; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def best_weight(out_dir: str) -> str:
    """The path of the weight to serve where none is named. Raises `UsageError` if there is none."""
    best = next((path for path in weights_in(out_dir).values() if not is_reward_model(path)), None)
    if best is None:
        raise UsageError(
            f"there is no weight in {out_dir}: train one (python scripts/quickstart.py trains some small ones), or name"
            " one with --weight"
        )
    return str(best)


class Shelf:
    """Networks by name.

    first: the one that is served by default. Others lie in `out_dir` and are opened when a request names them. At most
    `MOST_OPEN` are in memory, and the least recently used one makes room. A file that has changed is opened again.
    """

    def __init__(self, first: Served, out_dir: str, device: Device, dtype: str, max_seq_len: int):
        self.first = first
        self._out_dir = out_dir
        self._device = device
        self._dtype = dtype
        self._max_seq_len = max_seq_len
        self._open: dict[object, Served] = {}  # by path and time of change, the one asked last at the end
        self._opens = asyncio.Lock()
        self._kinds: dict[object, bool] = {}  # which files are language models

    def models(self) -> list[tuple[str, int]]:
        """The name of each language model that can be asked, and its time in seconds since 1970; the default first."""
        found = [(self.first.name, self.first.created)]
        for name, path in weights_in(self._out_dir).items():
            with contextlib.suppress(FileNotFoundError):
                key = _key(path)
                if key not in self._kinds:
                    self._kinds[key] = not is_reward_model(path)
                if self._kinds[key] and name != self.first.name:
                    found.append((name, int(_changed(path))))
        return found

    def called(self, name: str) -> tuple[str, int]:
        """Which of `models` a name means, whole or without its size. Raises `BadRequest` where it is none of them."""
        found = dict(self.models())
        for each, created in found.items():
            if name == each or (name not in found and name == _without_size(each)):
                return each, created
        sentence = f"there is no model {name[:80]!r}; there are: {', '.join(found)}"
        raise BadRequest(sentence, "model", 404, "model_not_found")

    async def get(self, name: str | None) -> Served:
        """The network of this name, or the default. Raises `BadRequest` where there is none."""
        if not name or name == self.first.name:
            return self.first
        name, _ = await asyncio.to_thread(self.called, name)
        if name == self.first.name:
            return self.first
        async with self._opens:
            try:
                path = weights_in(self._out_dir)[name]
                key = _key(path)
            except (KeyError, FileNotFoundError) as error:  # while another network was opened
                raise BadRequest(f"the file of {name} is gone", "model", 404, "model_not_found") from error
            if key not in self._open:
                self._make_room()
                try:
                    opened = await asyncio.to_thread(self._read, name, path)
                except SproutError as error:
                    raise BadRequest(f"{name} cannot be opened: {error}", "model", 404, "model_not_found") from error
                opened.key = key
                self._open[key] = opened
            served = self._open[key] = self._open.pop(key)
            return served

    def _make_room(self) -> None:
        while len(self._open) >= MOST_OPEN - 1:
            idle = next((key for key, served in self._open.items() if served.users == 0), None)
            if idle is None:
                raise BadRequest("all networks in memory are answering: ask again later", "model", 429)
            del self._open[idle]

    def _read(self, name: str, path: Path) -> Served:
        return serve(name, load_model(path, device=self._device.device), self._device, self._dtype, self._max_seq_len)


def serve(name: str, loaded: Loaded, device: Device, dtype: str, max_seq_len: int) -> Served:
    """Prepares a network for answering, in place. max_seq_len: tokens of a prompt and its answer, if it has so many."""
    precision = ready_to_generate(loaded.model, device, dtype)
    created = int(_changed(Path(loaded.source)))
    return Served(name, loaded, precision, min(max_seq_len, loaded.model.config.max_position_embeddings), created)


def _without_size(name: str) -> str | None:
    """full_sft of full_sft_512, but not of full_sft_512+medic: who asks for the network alone wants no adapters."""
    short, _, size = name.rpartition("_")
    return short if size.isdecimal() else None


def _key(path: Path) -> tuple[str, int]:
    return str(path), path.stat().st_mtime_ns
