"""A file that grows while a run goes on."""

import os
from pathlib import Path

from model.errors import SproutError


class Appending:
    """Appends bytes to `path`, at once and all of them; nothing is held back that could be lost or fail later."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = open(path, "ab", buffering=0)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, content: bytes) -> None:
        """Raises `SproutError` if the disk is full; a part of `content` may stand in the file then."""
        try:
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            raise self._failed(error) from error

    def sync(self) -> None:
        """Forces what was written onto the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._file.close()

    def _failed(self, error: OSError) -> SproutError:
        return SproutError(
            f"cannot write {self.path} ({error.strerror}): make room, and go on with the same command and --resume;"
            " the last checkpoint is intact"
        )
