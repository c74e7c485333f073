"""Look at a data file before training on it: format, lengths, what is trained, what would be cut, examples.

    python -m dataset.preview my_chats.jsonl
    python -m dataset.preview my_preferences.jsonl --max_seq_len 1024 --examples 5

Texts, conversations, preferences, scored or labelled answers and questions are told apart by their keys. Trained tokens
are green in a terminal (red in a rejected answer), and stand between ⟦ and ⟧ elsewhere.
"""

import os
import re
import sys
from collections.abc import Iterator

import numpy as np

from dataset.command_line import CommandParser, parse_sources, run_main
from dataset.records.controls import warning_about_controls
from dataset.records.unread import listed
from dataset.survey import NAMES, Example, Part, Survey, survey
from model.errors import UsageError, counted
from model.text.tokenizer import Tokenizer

PERCENTILES = (10, 50, 90, 99)
BAR = 40  # columns of the longest record
BARS = " ▏▎▍▌▋▊▉█"

# So many tokens are shown at the beginning and at the end of each part of an example, trained or not.
HEAD, TAIL = 60, 25
MAX_PARTS = 8

# What records of a kind are called, and what is trained of them.
CALLED = {
    "text": "documents",
    "chat": "conversations",
    "preference": "pairs",
    "unpaired": "answers",
    "scored": "scored answers",
    "prompt": "questions",
}
TRAINED = {
    "chat": "what the assistant says, with the end of its turn",
    "preference": "what the two answers say, to prefer the chosen one",
    "unpaired": "what the answer says, to be said more often if it is good, and less if it is bad",
    "scored": "the score of the answer",
}

RED, GREEN, DIM, BOLD = "31", "32", "2", "1"
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def main(argv=None) -> None:
    args = _parse_arguments(argv)
    tokenizer = Tokenizer.load(args.tokenizer_path)
    found = survey(args.file, tokenizer, args.kind, args.max_seq_len, args.examples)
    print("\n".join(report(found, tokenizer, Style(args.color))))


def _parse_arguments(argv):
    parser = CommandParser(__doc__, prog="python -m dataset.preview")
    parser.add_argument("file", metavar="FILE", help="JSON lines, plain text, parquet, ... (docs/chat_data.md)")
    parser.add_argument("--max_seq_len", type=int, help="length of a row in tokens (that of the training)")
    parser.add_argument("--tokenizer_path", metavar="FOLDER", help="default: the tokenizer that comes with Sprout")
    parser.add_argument("--examples", type=int, default=3, help="how many to show (%(default)s)")
    parser.add_argument("--kind", choices=("auto", *NAMES), default="auto", help="what to take it for (%(default)s)")
    in_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    parser.add_argument("--color", action="store_true", default=in_colour, help="colours (default: in a terminal)")
    parser.add_argument("--no_color", action="store_false", dest="color", help="⟦ and ⟧ instead")
    args = parser.parse_args(argv)
    if (args.max_seq_len is not None and args.max_seq_len < 1) or args.examples < 0:
        raise UsageError("--max_seq_len must be at least 1 and --examples at least 0")
    (source,) = parse_sources([args.file])
    if source.weight is not None:
        raise UsageError(f"{args.file}: a preview is of one file, without a weight: give {source.path}")
    return args


class Style:
    """Colours, or none; what comes from a file cannot steer the terminal."""

    def __init__(self, color: bool):
        self.color = color

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and text else text

    def trained(self, text: str, code: str = GREEN) -> str:
        return self(text, code) if self.color else f"⟦{text}⟧"


def report(found: Survey, tokenizer: Tokenizer, style: Style) -> Iterator[str]:
    """The lines of the whole preview."""
    name = visible(str(found.path))
    yield f"{style(name, BOLD)}: {found.kind}, format {found.format.name}"
    if found.also:
        yield style(f"  may also be read as {' or '.join(found.also)}: look at that with --kind {found.also[0]}", DIM)
    yield ""
    yield from _counts(found)
    yield ""
    yield from _lengths(found, style)
    if found.kind != "prompt":
        yield ""
        yield from _fitting(found)
    if found.bad:
        yield ""
        yield from _bad_lines(found)
    if found.unread:
        yield ""
        yield f"  keys that are not read: {visible(listed(found.unread))}"
    if spelled := warning_about_controls(found.path, tokenizer):
        yield ""
        yield f"  warning: {visible(spelled)}"
    for number, example in enumerate(found.examples, 1):
        title = f"── example {number} of {len(found.examples)}: line {example.line:,}, {_said_of(example, found.kind)} "
        yield ""
        yield style(title + "─" * max(0, 78 - len(title)), DIM)
        yield shown_record(example, found.kind, tokenizer, style)
    if found.kind in TRAINED and found.examples:
        yield ""
        yield style("trained: ", DIM) + style.trained(TRAINED[found.kind])


def _said_of(example: Example, kind: str) -> str:
    """The size of an example and its label."""
    said = " and ".join(f"{len(part.ids):,}" for part in example.parts) + " tokens"
    if kind in TRAINED and kind != "scored":
        said += ", " + " and ".join(f"{np.count_nonzero(part.trained):,}" for part in example.parts) + " trained"
    if example.label is None or (kind == "preference" and not example.label):
        return said
    names = {"preference": f"margin {example.label:g}", "scored": f"score {example.label:g}"}
    return f"{said}, {names.get(kind, 'good' if example.label else 'bad')}"


def shown_record(example: Example, kind: str, tokenizer: Tokenizer, style: Style) -> str:
    """A record: a text, a conversation, or the prompt of a pair and then its two answers."""
    part = example.parts[0]
    if kind == "text":
        return shown_text(part, tokenizer, style)
    if kind == "preference":
        lengths = [len(part.ids) for part in example.parts]
        differ = np.flatnonzero(np.not_equal(*(part.ids[: min(lengths)] for part in example.parts)))
        trained = [int(np.argmax(part.trained)) for part in example.parts]
        start = min(*trained, int(differ[0]) if differ.size else min(lengths))
        asked = style(_abridged(part.ids[:start], tokenizer, style, DIM), DIM)
        lines = [asked.rstrip("\n")]
        for name, one, code in zip(("chosen", "rejected"), example.parts, (GREEN, RED)):
            lines += [style(f"── {name}", BOLD), shown(one, tokenizer, style, start, code)]
        return "\n".join(lines)
    return shown(part, tokenizer, style, code=RED if kind == "unpaired" and not example.label else GREEN)


def visible(text: str) -> str:
    """The text with control characters spelled out, for the terminal to show and not to obey."""
    return CONTROL_CHARACTERS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _share(part: int | float, whole: int | float) -> str:
    return f"{part / max(whole, 1):.1%}"


def _counts(found: Survey) -> Iterator[str]:
    yield _line(CALLED[found.kind], found.records)
    if found.kind == "text":
        text_tokens = found.tokens - 2 * found.records
        yield _line("bytes", found.bytes)
        yield _line("tokens", found.tokens, f"{found.bytes / max(text_tokens, 1):.2f} bytes per token")
        return
    if found.kind == "prompt":
        yield _line("tokens", found.tokens, "none of them trained: there is no answer to learn")
        return
    if found.kind == "chat":
        yield _line("answers", found.answers, f"{found.answers / found.records:.1f} in a conversation")
    where = {"chat": "trained", "scored": "in what the assistant says"}.get(found.kind, "in the answers, and trained")
    yield _line("tokens", found.tokens, f"{_share(found.trained, found.tokens)} of them {where}")
    yield from _labels(found)


def _labels(found: Survey) -> Iterator[str]:
    """What the labels are: good and bad, scores, or margins where there are any."""
    labels = found.labels
    if found.kind == "unpaired":
        good = int(np.count_nonzero(labels))
        yield _line("good", good, _share(good, labels.size))
        yield _line("bad", labels.size - good, _share(labels.size - good, labels.size))
    elif found.kind == "scored" or labels.any():
        name = "scores" if found.kind == "scored" else "margins"
        different = np.unique(labels).size
        spread = f"from {labels.min():g} to {labels.max():g}, mean {labels.mean():.3g}"
        yield _line(f"different {name}", different, spread)


def _line(name: str, count: int, note: str = "") -> str:
    return f"  {name:<22}{count:>13,}   {note}".rstrip()


def _lengths(found: Survey, style: Style) -> Iterator[str]:
    """A bar for each percentile; a line crosses them where rows end."""
    lengths, max_seq_len = found.lengths, found.max_seq_len
    unit = "tokens of the longer one" if found.kind == "preference" else "tokens"
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
        note = unit if place == 0 else ""
        yield f"  {name:<22}{length:>13,}   {bar} {note}".rstrip()
    if end < BAR:
        yield f"{'':<40}{'':<{end}}{style(f'└ {max_seq_len:,}', BOLD)}"


def _fitting(found: Survey) -> Iterator[str]:
    """What becomes of the records in rows of --max_seq_len."""
    rows, empty = found.rows()
    yield f"  with --max_seq_len {found.max_seq_len}"
    if found.kind == "text":
        longer = int(np.count_nonzero(found.lengths > found.max_seq_len))
        note = f"{longer:,} documents ({_share(longer, found.records)}) longer than a row, continued in the next"
        yield _line("  rows", rows, counted(note))
        return
    yield _line("  rows", rows, f"{empty:.1%} of the positions empty" if rows else "nothing to train on")
    called = CALLED[found.kind]
    answers = "conversations" if found.kind == "chat" else "answers"
    cuts = {
        "  cut after a turn": (found.after_turn, answers),
        "  cut inside a turn": (found.inside_turn, answers),
        "  nothing trained left": (found.left_out - found.alike - found.excluded, called),
    }
    if found.kind == "preference":
        cuts["  answers then alike"] = found.alike, called
    if found.kind == "scored":
        cuts = {"  longer, left out": (found.left_out - found.excluded, called)}
    cut = any(count for count, _ in cuts.values())
    if not cut:
        yield "    nothing is cut"
    for name, (count, of) in cuts.items() if cut else ():
        whole = found.records * (2 if (found.kind, of) == ("preference", "answers") else 1)
        yield _line(name, count, f"{_share(count, whole)} of the {of}")
    if found.kind != "scored" and cut:
        lost = found.trained - found.trained_kept
        note = f"{_share(lost, found.trained)}; none with --max_seq_len {found.longest_needed - 1}"
        yield _line("  trained tokens lost", lost, note)
    elif cut:
        yield f"    none with --max_seq_len {found.longest_needed}"
    if found.excluded:
        yield _line("  excluded by marks", found.excluded, f"{_share(found.excluded, found.records)} of the {called}")
    if found.kind == "preference" and found.too_long:
        note = f"{_share(found.too_long, found.records)} of the pairs: train_reward.py reads whole answers"
        yield _line("  too long for reward", found.too_long, f"{note}; none with {found.longest_needed}")


def _bad_lines(found: Survey) -> Iterator[str]:
    """How many lines cannot be used and why, the most frequent reasons first."""
    yield _line("bad lines", found.bad.total(), "training stops at the first, unless --on_bad_line skip")
    for reason, count in found.bad.most_common(5):
        first = found.first_bad[reason]
        detail = visible(" ".join(first.detail.split()))
        if len(detail) > 100:
            detail = f"{detail[:100]}…"
        where = f"line {first.line:,}" + (f": {detail}" if detail else "")
        yield _line("", count, f"{visible(reason)} ({where})")
    if len(found.bad) > 5:
        yield _line("", found.bad.total() - sum(count for _, count in found.bad.most_common(5)), "for other reasons")


def shown(part: Part, tokenizer: Tokenizer, style: Style, begin: int = 0, code: str = GREEN) -> str:
    """A conversation from token `begin` on, trained and not; the middle of what is long is left out."""
    changes = np.flatnonzero(np.diff(part.trained)) + 1
    cut = part.kept if part.kept < len(part.ids) else None
    starts = np.unique([begin, *changes, *([] if cut is None else [cut])])
    starts = starts[starts >= begin]
    text = ""
    if cut is not None and cut < begin:
        text = style("✂ left out: not both answers begin within --max_seq_len, or they are alike there", BOLD) + "\n"
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], len(part.ids)])):
        if number == MAX_PARTS:
            return text + style(f"\n… {len(part.ids) - start:,} more tokens", DIM)
        if start == cut:
            what = "cut here" if cut else "left out: no trained token is within --max_seq_len"
            text += ("\n" if cut else "") + style(f"✂ {what}", BOLD) + "\n"
        trained = part.trained[start] and (cut is None or start < cut)
        words = _abridged(part.ids[start:stop], tokenizer, style, code if trained else DIM)
        if stop == len(part.ids):
            words = words.rstrip("\n")
        text += style.trained(words, code) if trained else style(words, DIM)
    return text


def shown_text(part: Part, tokenizer: Tokenizer, style: Style) -> str:
    return _abridged(part.ids[1:-1], tokenizer, style)


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
