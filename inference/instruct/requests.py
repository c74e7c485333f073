"""A request to a model and its reply; and the journal of replies, so that none is asked for, or paid, twice."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from model.disk import take
from model.errors import SproutError, UsageError


@dataclass(frozen=True)
class Request:
    """message: what the user says; None: the model writes the user's turn itself (Magpie). seed: of its sampling."""

    message: str | None
    temperature: float
    top_p: float
    max_tokens: int
    seed: int

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Reply:
    """finish: "stop" if the model ended the text itself; "refused" where the server did not accept the request."""

    text: str
    finish: str
    tokens_in: int = 0
    tokens_out: int = 0


def _line(values: dict) -> bytes:
    return json.dumps(values, ensure_ascii=True).encode() + b"\n"


def _reply(line: dict) -> Reply:
    """The reply that a line of a journal holds. Raises TypeError where a value of it is of another type."""
    reply = Reply(**line)
    wanted = {"text": str, "finish": str, "tokens_in": int, "tokens_out": int}
    if wrong := [name for name, kind in wanted.items() if not isinstance(getattr(reply, name), kind)]:
        raise TypeError(f"{wrong[0]} is no {wanted[wrong[0]].__name__}")
    return reply


class Model(Protocol):
    """What answers: an endpoint, or a weight."""

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """The place of a request and its reply, in the order in which replies come."""


class Journal:
    """A file with the settings in its first line, and a reply in each other.

    Every line is on the disk before the next request counts on it. A line that a kill cut off is dropped.
    """

    def __init__(self, path: Path, settings: dict, resume: bool):
        """Raises `UsageError` for a file with replies without `resume`, and for settings that are not those of it."""
        self._replies: dict[str, Reply] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = open(path, "a+b", buffering=0)  # a buffer would fail once more when it is closed
        if not take(self._file.fileno(), path):
            raise SproutError(f"another run writes {path}: wait for it, or choose another --save_file")
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and _line(settings).startswith(data):  # as a kill in the first line leaves it
            self._file.truncate(0)
            self._write(settings)
            return
        try:
            first, *lines = [json.loads(line) for line in whole.splitlines()]
            replies = {line.pop("key"): _reply(line) for line in lines}
            known = first.keys()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SproutError(f"{path} is damaged: remove it, and begin anew") from error
        if not replies and "seeds" in known & settings.keys():  # a run without a reply has nothing to go on with
            self._file.truncate(0)
            self._write(settings)
            return
        if not resume:
            raise UsageError(f"{path} holds the replies of an earlier run: go on with --resume, or choose another file")
        if first != settings:
            other = next((name for name in settings if first.get(name) != settings[name]), "settings")
            raise UsageError(f"the run of {path} began with another {other}: give the same, or choose another file")
        self._file.truncate(len(whole))
        self._replies = replies

    def _write(self, line: dict) -> None:
        rest = _line(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            from model.unwritable import cannot_write

            raise SproutError(f"{cannot_write(self._path, error, False)}; then go on with --resume") from error

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, request: Request) -> Reply | None:
        return self._replies.get(request.key)

    def add(self, request: Request, reply: Reply) -> None:
        self._replies[request.key] = reply
        self._write({"key": request.key} | asdict(reply))

    def close(self) -> None:
        self._file.close()
