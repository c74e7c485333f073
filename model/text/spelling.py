"""How single tokens are spelled in replies: by their bytes, which may be only a part of a character."""

import re

from model.text.tokenizer import Tokenizer
from model.text.vocabulary import byte_alphabet

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # SentencePiece's spelling of a single byte


class Spelling:
    """Bytes and text of a token by its id."""

    def __init__(self, tokenizer: Tokenizer):
        self._names = {token: name for name, token in tokenizer.vocab.items()}
        self._alphabet = byte_alphabet() if tokenizer.byte_level else {}

    def bytes_of(self, token: int) -> bytes:
        """The bytes of a token; empty for an id without a token."""
        name = self._names.get(token, "")
        if self._alphabet:
            if all(character in self._alphabet for character in name):
                return bytes(self._alphabet[character] for character in name)
        elif byte := _BYTE.fullmatch(name):
            return bytes([int(byte[1], 16)])
        return name.replace("▁", " ").encode()

    def text_of(self, token: int) -> str:
        """The text of a token. If its bytes are not a whole text: `bytes:` and the bytes, so that no two look alike."""
        spelled = self.bytes_of(token)
        try:
            return spelled.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)
