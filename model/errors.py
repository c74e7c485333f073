"""The two errors a user may see: something is wrong with a file, or with the command line.

The message is one sentence for the person at the terminal: what is wrong, where, and what to do.
Libraries raise these; only the scripts turn them into an exit code (`training.arguments.run_main`).
"""


class SproutError(Exception):
    """Data, files or checkpoints that cannot be used (exit code 1)."""

    exit_code = 1


class UsageError(SproutError):
    """A command line that cannot be carried out (exit code 2)."""

    exit_code = 2
