"""Formulas in Markdown: rules for markdown-it-py that leave what stands between the marks of TeX as it is written.

CommonMark knows no formulas. It would take the backslash from `\\\\` and `\\{`, and read emphasis into
`$\\mathbf{x}_i + w_{j}$`. A dollar sign is an amount of money where a blank follows the first one, or a blank comes
before the second or a digit behind it, as in Pandoc.
"""

import re

_INLINE = re.compile(
    r"\$\$(?:\\.|[^\\$])+\$\$"
    r"|\$(?![\s$])(?:\\.|[^\\$])*(?<!\s)\$(?!\d)"
    # \( and \[ may also be plain brackets: only what looks like TeX is a formula between them.
    r"|\\\([^\\^_=]*(?:\\[^()]|[\^_=])(?:(?!\\[()]).)*\\\)"
    r"|\\\[[^\\^_=]*(?:\\[^\[\]]|[\^_=])(?:(?!\\[\[\]]).)*\\\]",
    re.DOTALL,
)
_MOST_LINES = 100  # of a formula
_BLOCK = re.compile(r"(\$\$)|(\\\[)|\\begin\{(\w+\*?)\}")


def keep_formulas(parser) -> None:
    """Adds the rules to a `MarkdownIt`: a formula is one token, `formula`, and one of whole lines no token of text."""
    parser.inline.ruler.before("escape", "formula", _inline)
    before = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "formula", _block, before)


def _inline(state, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\" or not (found := _INLINE.match(state.src, state.pos, state.posMax)):
        return False
    if not silent:
        state.push("formula", "", 0).content = found.group()
    state.pos = found.end()
    return True


def _block(state, first: int, last: int, silent: bool) -> bool:
    """Whole lines, none of them blank, from `$$`, `\\[` or `\\begin{...}` to what closes it at the end of a line."""
    begins = _BLOCK.match(_line(state, first)) if not state.is_code_block(first) else None
    if not begins:
        return False
    closes = "$$" if begins[1] else r"\]" if begins[2] else rf"\end{{{begins[3]}}}"
    for number in range(first, min(last, first + _MOST_LINES)):
        line = _line(state, number)[begins.end() if number == first else 0 :].rstrip()
        if (not line and number > first) or state.sCount[number] < state.blkIndent:
            return False
        if line.endswith(closes):
            if not silent:
                state.line = number + 1
                state.push("formula_lines", "", 0).map = [first, number + 1]
            return True
    return False


def _line(state, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
