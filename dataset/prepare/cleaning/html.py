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
_MATH = re.compile(r"<math\b(?:(?!</?math\b).)*</math\s*>", re.DOTALL | re.IGNORECASE)
_TEX = re.compile(r"<annotation[^<>]*application/x-tex[^<>]*>(.*?)</annotation", re.DOTALL | re.IGNORECASE)
_MARKED_SECTION = re.compile(
    r"<!\[[^>]*>?"
)  # such as <![if IE]>; html.parser raises AssertionError for a malformed one
_RUBY = re.compile(r"<rp\b[^>]*>[^<]*(?:</rp>)?|<rt\b[^>]*>([^<]*)(?:</rt>)?", re.IGNORECASE)
_SUPERSCRIPT = re.compile(r"<sup\b[^<>]*>\s*([0-9+\-−]+)\s*</sup\s*>", re.IGNORECASE)
_RAISED = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_PREFORMATTED = re.compile(r"(<pre\b(?:(?!<pre\b).)*?</pre>)", re.DOTALL | re.IGNORECASE)
# Within a paragraph these change nothing of the text, but trafilatura leaves <time> out with all that is in it, and in
# some pages what stands before <code>; it begins a line behind <q>, in short pages at each of the others.
_INLINE = re.compile(
    r"</?(?:b|i|em|strong|abbr|time|small|cite|dfn|u|mark|font|big|q|code|kbd|samp|var|tt|ins|sup|sub|bdo)"
    r"(?:\s[^>]*)?/?>",
    re.IGNORECASE,
)
_LINKED = re.compile(r"</?(?:a|span)(?:\s[^>]*)?>", re.IGNORECASE)  # by these trafilatura tells menus, where it can
_SIDE_BY_SIDE = re.compile(r"(?<=</a>)(?=<a\s)|(?<=</span>)(?=<span\b)", re.IGNORECASE)  # each its own words
_SHORT = 250  # characters, trafilatura's own measure: of less it may take each piece between two tags for a line
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_BLOCK_TAG = re.compile(
    r" ?(</?(?:p|div|section|h[1-6]|ul|ol|li|dl|dt|dd|table|tr|td|th|blockquote|br)\b[^>]*>) ?", re.IGNORECASE
)
_BLANK_LINE = re.compile(r"\n(?=[^\S\n]*\n)")
_KEPT_LINE = "\ufffc"  # in a blank line of code, which trafilatura would leave out; a character that it lets pass
_ESCAPED = re.compile(r"&(?:lt|gt|quot|nbsp);")
_ESCAPED_TWICE = re.compile(r"&amp;(?:lt|gt|amp|quot|nbsp|#39);")

_LEFT_OUT = {"script", "style", "head", "template", "noscript", "svg", "nav", "footer", "aside", "form", "button"}
_PARAGRAPHS = set("p div section article main header h1 h2 h3 h4 h5 h6 dl table pre blockquote figure hr".split())
_LINES = {"ul", "ol", "li", "tr", "dt", "dd", "figcaption", "option"}


def html_to_text(html: str) -> str:
    """The text of a page or a fragment: a line for each paragraph, item and row of a table; code as it stands.

    Formulas in MathML become their TeX source, if that is with them; a reading or a translation above a word (ruby)
    stands in parentheses behind it; powers stay powers (10⁶, which would else be 106). Raises SproutError where
    trafilatura is missing.
    """
    html = _SUPERSCRIPT.sub(lambda found: raised(found.group(1)), _MATH.sub(_with_tex, html))
    html = _RUBY.sub(lambda found: f"（{found.group(1)}）" if found.group(1) else "", html)
    text = _content_of(html) if _PAGE.search(html) else None
    if not text:
        writer = _Writer()
        writer.feed(_MARKED_SECTION.sub("", html))
        writer.close()
        text = writer.text()
    # A page on HTML has both, and means what it says; one that was escaped twice has little else.
    twice = len(_ESCAPED_TWICE.findall(html)) > len(_ESCAPED.findall(html))
    return unescape(text) if twice else text


def raised(text: str) -> str:
    """Digits and signs as superscripts; any other text as it is."""
    return text.translate(_RAISED) if re.fullmatch(r"[0-9+\-−]+", text) else text


def _with_tex(formula: re.Match) -> str:
    found = _TEX.search(formula.group())
    return f"${found.group(1).strip()}$" if found else formula.group()


def _content_of(page: str) -> str | None:
    trafilatura = library("trafilatura", "HTML")
    parts = _PREFORMATTED.split(_XML_DECLARATION.sub("", page))  # every second one is code
    parts[::2] = [_BLOCK_TAG.sub(r"\1", _BLANKS.sub(" ", _INLINE.sub("", part))) for part in parts[::2]]
    parts[1::2] = [_BLANK_LINE.sub(f"\n{_KEPT_LINE}", part) for part in parts[1::2]]
    found = _extracted(trafilatura, parts)
    if found and len(found) < _SHORT:
        parts[::2] = [_LINKED.sub("", _SIDE_BY_SIDE.sub(" ", part)) for part in parts[::2]]
        whole = _extracted(trafilatura, parts)
        found = whole if whole and _letters(whole) == _letters(found) else found
    return found and found.replace(_KEPT_LINE, "")


def _extracted(trafilatura, parts: list[str]) -> str | None:
    return trafilatura.extract("".join(parts), include_comments=False, include_tables=True)


def _letters(text: str) -> str:
    return "".join(text.split())


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
        elif tag in _LINES:
            self._end_lines(1)
        if tag == "pre":
            self._preformatted = max(0, self._preformatted - 1)

    def handle_data(self, data):
        if self._left_out:
            return
        if self._preformatted:
            self._pieces.append(data)
            return
        data = _BLANKS.sub(" ", data)
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
        if there < newlines:
            self._pieces.append("\n" * (newlines - there))

    def text(self) -> str:
        return "".join(self._pieces).strip("\n")
