"""Text from tokens as they come; an incomplete character is held back until its rest has come."""

from collections.abc import Callable, Sequence

from model.text.tokenizer import Tokenizer


def decode_behind(tokenizer: Tokenizer, prompt: Sequence[int]) -> Callable[[list[int]], str]:
    """`decode` for the ids that go on with the text of `prompt`.

    In the manner of SentencePiece a decoder drops the space at the beginning of a text, which here would join two
    words. So a token of the prompt is decoded with them.
    """
    if not tokenizer.byte_level:
        for token in reversed(prompt):
            text = tokenizer.decode([token])
            if text.strip() and "\ufffd" not in text:
                return lambda ids: tokenizer.decode([token, *ids])[len(text) :]
    return tokenizer.decode


class TextStream:
    """Tokens in, text out as soon as it is whole.

        text = TextStream(tokenizer.decode)
        for token in tokens:
            print(text.push(token), end="")
        print(text.finish())

    All pieces together are `decode` of all tokens. `places` are where in that text each token begins; one inside a
    character has the place of that character. A place before the end of what was returned is final.
    """

    def __init__(self, decode: Callable[[list[int]], str]):
        self._decode = decode
        # Decoding all tokens again for each new one would take quadratic time. Decoding only the new one would drop a
        # space at its beginning. So the tokens of the last whole piece are kept as context.
        self._tokens: list[int] = []
        self._context = 0  # how many of them are context
        self._shown = 0  # how many characters of their text have been returned
        self._text = ""  # of all of them
        self.length = 0  # characters returned in all
        self.places: list[int] = []
        self._open: list[tuple[str, str]] = []  # text before and after each of the last tokens, whose places may change

    def push(self, token: int) -> str:
        """The text that has become certain with this token; often empty, never half a character."""
        self._tokens.append(token)
        before, text = self._text, self._decode(self._tokens)
        self._place(before, text)
        # An incomplete character can only stand at the end. It is decoded as one U+FFFD, or as one for each of its
        # bytes, of which there are at most three. SentencePiece's byte tokens even make U+FFFD of the character before,
        # until it is whole: at most four more.
        certain = max(len(text) - 7, len(text.rstrip("\ufffd")))
        new, self._shown, self._text = text[self._shown : certain], max(certain, self._shown), text
        self.length += len(new)
        if certain == len(text) and new:
            self._tokens = self._tokens[self._context :]
            self._context = len(self._tokens)
            self._text, self._open = self._decode(self._tokens), []
            self._shown = len(self._text)
        return new

    def _place(self, before: str, text: str) -> None:
        """Places the token that makes `text` of `before`, and again those whose character it may have made whole."""
        first = self.length - self._shown  # the place of the first kept token
        while self._open and self.places[-len(self._open)] < self.length:
            del self._open[0]
        self._open.append((before, text))
        del self.places[len(self.places) + 1 - len(self._open) :]
        for one, other in self._open:
            place = self._shown
            while place < min(len(one), len(text)) and one[place] == text[place]:
                place += 1
            if one == other and place == len(one) > self._shown and one.endswith("\ufffd"):
                place -= 1  # a further byte of a character that was never whole
            self.places.append(first + place)

    def finish(self) -> str:
        """What was held back, with U+FFFD for a character that never became whole."""
        rest = self._text[self._shown :]
        self.length += len(rest)
        return rest
