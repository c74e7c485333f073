"""Text from tokens as they come; an incomplete character is held back until its rest has come."""

from collections.abc import Callable


class TextStream:
    """Tokens in, text out as soon as it is whole.

        text = TextStream(tokenizer.decode)
        for token in tokens:
            print(text.push(token), end="")
        print(text.finish())

    All pieces together are `decode` of all tokens.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        self._decode = decode
        # Decoding all tokens again for each new one would take quadratic time. Decoding only the new one would drop a
        # space at its beginning. So the tokens of the last whole piece are kept as context.
        self._tokens: list[int] = []
        self._context = 0  # how many of them are context
        self._shown = 0  # how many characters of their text have been returned

    def push(self, token: int) -> str:
        """The text that has become certain with this token; often empty, never half a character."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        # An incomplete character can only stand at the end. It is decoded as one U+FFFD, or as one for each
        # of its bytes, of which there are at most three.
        certain = max(len(text) - 3, len(text.rstrip("\ufffd")))
        new, self._shown = text[self._shown : certain], max(certain, self._shown)
        if certain == len(text) and new:
            self._tokens = self._tokens[self._context :]
            self._context = len(self._tokens)
            self._shown = len(self._decode(self._tokens))
        return new

    def finish(self) -> str:
        """What was held back, with U+FFFD for a character that never became whole."""
        return self._decode(self._tokens)[self._shown :]
