"""How the files here answer when they are started: those that measurements start, and those that are only parts."""

import sys
from collections.abc import Callable


def run_program(documentation: str, main: Callable[..., object] | None = None) -> None:
    """Calls `main` with the words of the command line, for programs that other scripts start; --help, or no word, says
    what the file is for. A file without a `main` is a part of another script, and only says that.
    """
    words = sys.argv[1:]
    if main is None or not words or {"-h", "--help"} & set(words):
        print(documentation.strip())
    else:
        main(*words)


if __name__ == "__main__":
    run_program(__doc__)
