"""The checkouts that are measured: whether they are there, and which commit each is."""

import hashlib
import subprocess
from pathlib import Path

from model.errors import UsageError
from scripts.benchmark.program import run_program

CODE = ("*.py", "*/*.py", "*/*/*.py", "*/*/*/*.py")
NOT_OURS = ("out", "tests", "docs", "build")


def checked(folder: str | None, flag: str, script: str) -> Path | None:
    """The folder that a flag names. Raises `UsageError` where it lacks `script`."""
    if folder is None:
        return None
    path = Path(folder).absolute()
    if not (path / script).is_file():
        raise UsageError(f"{flag} {folder}: it is no such checkout, for it has no {script}")
    return path


def commit_of(folder: Path) -> str:
    """The commit of a checkout, with a + where files were changed since.

    A folder that is not the root of a checkout of git, a copy within another one say, is known by its Python files.
    """
    try:
        root = _git(folder, "rev-parse", "--show-toplevel")
        if Path(root).resolve() == Path(folder).resolve():
            changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
            return _git(folder, "rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):  # no git, none there, or one that belongs to somebody else
        return digest_of(folder)
    return digest_of(folder)


def digest_of(folder: Path) -> str:
    """Names the Python files of a folder as they are."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in Path(folder).glob(pattern)):
        name = path.relative_to(folder)
        if name.parts[0] not in NOT_OURS and not name.parts[0].startswith("."):
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return f"files {digest.hexdigest()[:10]}"


def _git(folder: Path, *words: str) -> str:
    settings = {"capture_output": True, "text": True, "check": True}
    return subprocess.run(["git", "-C", str(folder), *words], **settings).stdout.strip()


if __name__ == "__main__":
    run_program(__doc__)
