"""Look at a data file before training on it: format, lengths, what is trained, what would be cut, examples.

    python -m dataset.preview my_chats.jsonl
    python -m dataset.preview my_chats.jsonl --max_seq_len 1024 --examples 5

Trained tokens are green in a terminal, and stand between ⟦ and ⟧ elsewhere.
"""

import os
import re
import sys
from collections.abc import Iterator

import numpy as np

from dataset.command_line import CommandParser, run_main
from dataset.survey import Example, Survey, survey
from model.errors import UsageError
from model.text.tokenizer import Tokenizer

PERCENTILES = (10, 50, 90, 99)
BAR = 40  # columns of the longest record
BARS = " ▏▎▍▌▋▊▉█"

# So many tokens are shown at the beginning and at the end of each part of an example, trained or not.
HEAD, TAIL = 60, 25
MAX_PARTS = 8

GREEN, DIM, BOLD = "32", "2", "1"
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def main(argv=None) -> None:
    args = _parse_arguments(argv)
    tokenizer = Tokenizer.load(args.tokenizer_path)
    found = survey(args.file, tokenizer, args.kind, args.max_seq_len, args.examples)
    print("\n".join(report(found, tokenizer, Style(args.color))))


def _parse_arguments(argv):
    parser = CommandParser(__doc__, prog="python -m dataset.preview")
    parser.add_argument("file", metavar="FILE", help="JSON lines, plain text, parquet, ... (docs/chat_data.md)")
    parser.add_argument("--max_seq_len", type=int, default=768, help="length of a row in tokens (%(default)s)")
    parser.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the tokenizer that comes with Sprout")
    parser.add_argument("--examples", type=int, default=3, help="how many to show (%(default)s)")
    parser.add_argument(
        "--kind", choices=("auto", "text", "chat"), default="auto", help="what to take it for (%(default)s)"
    )
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    parser.add_argument("--color", action="store_true", default=in_colour, help="colours (default: in a terminal)")
    parser.add_argument("--no_color", action="store_false", dest="color", help="⟦ and ⟧ instead")
    args = parser.parse_args(argv)
    if args.max_seq_len < 1 or args.examples < 0:
        raise UsageError("--max_seq_len must be at least 1 and --examples at least 0")
    return args


class Style:
    """Colours, or none; what comes from a file cannot steer the terminal."""

    def __init__(self, color: bool):
        self.color = color

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text

    def trained(self, text: str) -> str:
        return self(text, GREEN) if self.color else f"⟦{text}⟧"


def report(found: Survey, tokenizer: Tokenizer, style: Style) -> Iterator[str]:
    """The lines of the whole preview."""
    name = visible(str(found.path))
    yield f"{style(name, BOLD)}: {found.kind}, format {found.format.name}"
    yield ""
    yield from _counts(found)
    yield ""
    yield from _lengths(found.lengths, found.max_seq_len, style)
    yield ""
    yield from _fitting(found)
    if found.bad:
        yield ""
        yield from _bad_lines(found)
    for number, example in enumerate(found.examples, 1):
        of_chat = found.kind == "chat"
        size = f"{len(example.ids):,} tokens" + (f", {np.count_nonzero(example.trained):,} trained" * of_chat)
        title = f"── example {number} of {len(found.examples)}: line {example.line:,}, {size} "
        yield ""
        yield style(title + "─" * max(0, 78 - len(title)), DIM)
        yield shown(example, tokenizer, style) if of_chat else shown_text(example, tokenizer, style)
    if found.kind == "chat" and found.examples:
        yield ""
        yield style("trained: ", DIM) + style.trained("what the assistant says, with the end of its turn")


def visible(text: str) -> str:
    """The text with control characters spelled out, for the terminal to show and not to obey."""
    return CONTROL_CHARACTERS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _share(part: int | float, whole: int | float) -> str:
    return f"{part / max(whole, 1):.1%}"


def _counts(found: Survey) -> Iterator[str]:
    if found.kind == "text":
        text_tokens = found.tokens - 2 * found.records
        yield _line("documents", found.records)
        yield _line("bytes", found.bytes)
        yield _line("tokens", found.tokens, f"{found.bytes / max(text_tokens, 1):.2f} bytes per token")
        return
    yield _line("conversations", found.records)
    yield _line("answers", found.answers, f"{found.answers / found.records:.1f} in a conversation")
    yield _line("tokens", found.tokens, f"{_share(found.trained, found.tokens)} of them trained")


def _line(name: str, count: int, note: str = "") -> str:
    return f"  {name:<22}{count:>13,}   {note}".rstrip()


def _lengths(lengths: np.ndarray, max_seq_len: int, style: Style) -> Iterator[str]:
    """A bar for each percentile; a line crosses them where rows end."""
    longest = int(lengths.max())
    rows = [(f"{p} % are at most", int(np.percentile(lengths, p, method="inverted_cdf"))) for p in PERCENTILES]
    widest = max(rows[-1][1], min(max_seq_len, longest))  # the longest alone may be many times longer than that
    end = round(BAR * max_seq_len / widest)
    for place, (name, length) in enumerate([*rows, ("longest", longest)]):
        eighths = round(8 * BAR * min(length / widest, 1))
        bar = ("█" * (eighths // 8) + BARS[eighths % 8].strip()).ljust(BAR)
        if length > widest:
            bar = bar[:-1] + "▶"
        if end < BAR:
            bar = bar[:end] + style("│" if bar[end] == " " else "┃", BOLD) + bar[end + 1 :]
        note = "tokens" if place == 0 else ""
        yield f"  {name:<22}{length:>13,}   {bar} {note}".rstrip()
    if end < BAR:
        yield f"{'':<40}{'':<{end}}{style(f'└ {max_seq_len:,}', BOLD)}"


def _fitting(found: Survey) -> Iterator[str]:
    """What becomes of the records in rows of --max_seq_len."""
    rows, empty = found.rows()
    yield f"  with --max_seq_len {found.max_seq_len}"
    if found.kind == "text":
        longer = int(np.count_nonzero(found.lengths > found.max_seq_len))
        note = f"{longer:,} documents ({_share(longer, found.records)}) are longer, and go on in the next row"
        yield _line("  rows", rows, note)
        return
    yield _line("  rows", rows, f"{empty:.1%} of the positions empty" if rows else "nothing to train on")
    cuts = {
        "  cut after a turn": found.after_turn,
        "  cut inside a turn": found.inside_turn,
        "  nothing trained left": found.left_out,
    }
    if not any(cuts.values()):
        yield "    nothing is cut"
        return
    for name, count in cuts.items():
        yield _line(name, count, f"{_share(count, found.records)} of the conversations")
    lost = found.trained - found.trained_kept
    note = f"{_share(lost, found.trained)}; none with --max_seq_len {found.longest_needed - 1}"
    yield _line("  trained tokens lost", lost, note)


def _bad_lines(found: Survey) -> Iterator[str]:
    """How many lines cannot be used and why, the most frequent reasons first."""
    yield _line("bad lines", found.bad.total(), "training stops at the first, unless --on_bad_line skip")
    for reason, count in found.bad.most_common(5):
        first = found.first_bad[reason]
        detail = visible(" ".join(first.detail.split()))
        where = f"line {first.line:,}" + (f": {detail[:100]}{'…' * (len(detail) > 100)}" if detail else "")
        yield _line("", count, f"{visible(reason)} ({where})")
    if len(found.bad) > 5:
        yield _line("", found.bad.total() - sum(count for _, count in found.bad.most_common(5)), "for other reasons")


def shown(example: Example, tokenizer: Tokenizer, style: Style) -> str:
    """A conversation part by part, trained and not; the middle of long parts is left out."""
    changes = np.flatnonzero(np.diff(example.trained)) + 1
    cut = example.kept if example.kept < len(example.ids) else None
    starts = np.unique([0, *changes, *([] if cut is None else [cut])])
    text = ""
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(example.ids)])):
        if number == MAX_PARTS:
            return text + style(f"\n… {len(example.ids) - start:,} more tokens", DIM)
        if start == cut:
            what = "cut here" if cut else "left out: no trained token is within --max_seq_len"
            text += ("\n" if cut else "") + style(f"✂ {what}", BOLD) + "\n"
        trained = example.trained[start] and (cut is None or start < cut)
        part = _abridged(example.ids[start:stop], tokenizer, style, GREEN if trained else DIM)
        if stop == len(example.ids):
            part = part.rstrip("\n")
        text += style.trained(part) if trained else style(part, DIM)
    return text


def shown_text(example: Example, tokenizer: Tokenizer, style: Style) -> str:
    return _abridged(example.ids[1:-1], tokenizer, style)


def _abridged(ids: np.ndarray, tokenizer: Tokenizer, style: Style, code: str = "0") -> str:
    def text(part: np.ndarray) -> str:
        # A character whose tokens are cut apart is not shown.
        return visible(tokenizer.decode(part.tolist(), skip_special_tokens=False).strip("\ufffd"))

    if len(ids) <= HEAD + TAIL + 10:
        return text(ids)
    left_out = f" … {len(ids) - HEAD - TAIL:,} tokens … "
    return text(ids[:HEAD]) + style(left_out, "0;33") + (f"\x1b[{code}m" if style.color else "") + text(ids[-TAIL:])


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a file may hold what the terminal's encoding has no sign for
    run_main(main)
