"""The two errors a user may see: something is wrong with a file, or with the command line.

The message is one sentence for the person at the terminal: what is wrong, where, and what to do.
Libraries raise these; only the scripts turn them into an exit code (`dataset.command_line.run_main`).
"""

import re

# What a message quotes from a file must neither break its line nor steer the terminal, nor turn its text around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# What messages count. Verbs stay as they are: a message says what was counted without one, or in the past tense.
_NOUNS = "document|conversation|pair|answer|record|text|question|prompt|row|step|token|layer|byte|line|file|epoch|item"
_ONE = re.compile(
    rf"(?<![\w.,-])1 ((?:bad |scored |labelled |held-out )?(?:{_NOUNS}|request|tensor|process|(?:micro-)?batch))e?s\b"
)


def counted(text: str) -> str:
    """The text of a message with "1 step" where it has "1 steps"."""
    return _ONE.sub(r"1 \1", text)


def in_short(value: float, decimals: int) -> str:
    """A number with so many decimals; in powers of ten where that is long, as of a perplexity."""
    return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.2e}"


def on_one_line(text: str) -> str:
    """The text with control characters spelled out, for the terminal to show and not to obey."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class SproutError(Exception):
    """Data, files or checkpoints that cannot be used (exit code 1)."""

    exit_code = 1
    of_all_processes = True  # every process of a run raises it, so only one of them prints it


class UsageError(SproutError):
    """A command line that cannot be carried out (exit code 2)."""

    exit_code = 2
