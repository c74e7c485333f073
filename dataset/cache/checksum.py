"""A file whose time of change is not that of its seal: it was only copied, or it is damaged."""

import zlib
from pathlib import Path

from model.errors import SproutError


def check_content(path: Path, crc32: int) -> None:
    """Raises SproutError if the file has another CRC-32. It is read through, half a second or so a GB."""
    found = 0
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(2**20):
                found = zlib.crc32(block, found)
    except OSError as error:
        raise SproutError(f"{path} cannot be read ({error}): put it back, or start again to build it") from error
    if found != crc32:
        raise SproutError(f"{path.parent} is damaged: {path.name} has another checksum; delete this folder")
