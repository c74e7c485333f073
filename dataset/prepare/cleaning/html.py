"""HTML to text: of a page what trafilatura takes for its content, of a fragment everything.

A page has a navigation, a footer and advertisements, and trafilatura finds the content between them better than rules
of ours would. It refuses fragments, such as the body of one post in a column, which have nothing around their content:
these are written out here. A page in which it finds nothing is written out too, and the rules judge what that is.
"""

import re
from html import unescape
from html.parser import HTMLParser

from dataset.prepare.extra import library

_PAGE = re.compile(r"<(?:html|body|!doctype)\b", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")  # lxml refuses one in a string
_TEX = re.compile(
    r"<math\b(?:(?!</math>).)*?<annotation[^>]*application/x-tex[^>]*>(.*?)</annotation>.*?</math>", re.DOTALL | re.I
)
_PREFORMATTED = re.compile(r"<pre\b.*?</pre>", re.DOTALL | re.IGNORECASE)
_BLANK_LINE = re.compile(r"\n(?=[^\S\n]*\n)")
_KEPT_LINE = "\ue000"  # in a blank line of code, which trafilatura would leave out
_DOUBLY_ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|#39|nbsp);")

_LEFT_OUT = {"script", "style", "head", "template", "noscript", "svg", "nav", "footer", "aside", "form", "button"}
_PARAGRAPHS = set("p div section article main header h1 h2 h3 h4 h5 h6 ul ol dl table pre blockquote figure hr".split())
_LINES = {"br", "li", "tr", "dt", "dd", "figcaption", "option"}


def html_to_text(html: str) -> str:
    """The text of a page or a fragment: a line for each paragraph, item and row of a table; code as it stands.

    Formulas in MathML become their TeX source, if that is with them. Raises SproutError where trafilatura is missing.
    """
    html = _TEX.sub(lambda found: f"${found.group(1).strip()}$", html)
    text = _content_of(html) if _PAGE.search(html) else None
    if not text:
        writer = _Writer()
        writer.feed(html)
        writer.close()
        text = writer.text()
    return unescape(text) if _DOUBLY_ESCAPED.search(text) else text


def _content_of(page: str) -> str | None:
    trafilatura = library("trafilatura", "HTML")
    page = _XML_DECLARATION.sub("", page)
    page = _PREFORMATTED.sub(lambda code: _BLANK_LINE.sub(f"\n{_KEPT_LINE}", code.group()), page)
    found = trafilatura.extract(page, include_comments=False, include_tables=True)
    return found and found.replace(_KEPT_LINE, "")


class _Writer(HTMLParser):
    """Writes out all text of a fragment."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._left_out: list[str] = []  # open elements whose content is no text
        self._preformatted = 0

    def handle_starttag(self, tag, attributes):
        if tag in _LEFT_OUT:
            self._left_out.append(tag)
        elif tag in _PARAGRAPHS:
            self._end_lines(2)
        elif tag in _LINES:
            self._end_lines(1)
        if tag == "pre":
            self._preformatted += 1
        elif tag == "br":
            self._pieces.append("\n")
        elif tag == "li":
            self._pieces.append("- ")
        elif tag in ("td", "th") and self._pieces and not self._pieces[-1].endswith("\n"):
            self._pieces.append(" | ")

    def handle_endtag(self, tag):
        if tag in self._left_out:
            del self._left_out[self._left_out.index(tag) :]
        elif tag in _PARAGRAPHS:
            self._end_lines(2)
        elif tag in _LINES and tag != "br":
            self._end_lines(1)
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)

    def handle_data(self, data):
        if self._left_out:
            return
        if self._preformatted:
            self._pieces.append(data)
            return
        data = re.sub(r"[ \t\r\n\f]+", " ", data)
        if not self._pieces or self._pieces[-1].endswith(("\n", " ")):
            data = data.lstrip(" ")
        if data:
            self._pieces.append(data)

    def _end_lines(self, newlines: int) -> None:
        """So many newlines end what is written; those that do already count."""
        if not self._pieces or self._left_out:
            return
        if not self._preformatted:
            self._pieces[-1] = self._pieces[-1].rstrip(" ")
        there = 0
        for piece in reversed(self._pieces):
            there += len(piece) - len(piece.rstrip("\n"))
            if piece.rstrip("\n"):
                break
        self._pieces.append("\n" * max(0, newlines - there))

    def text(self) -> str:
        return "".join(self._pieces).strip("\n")
