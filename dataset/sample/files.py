"""The sample data: a small world in English and Chinese, made from plain facts, to try every stage on.

Its texts state facts about several hundred entities; its conversations ask about some of them; its held-out
questions ask about the others. `FILES` says what each file holds.

    python -m dataset.sample                # writes out/sample, some 20 MB, in seconds
    python -m dataset.sample --seed 1       # the same facts, split differently, and other people

Scripts that are given no --data_path take their file from here (`sample_file`). The same seed gives the same bytes.
"""

import hashlib
import json
import sys
from pathlib import Path

from dataset.command_line import CommandParser
from dataset.sample.conversations import fine_tuning, held_out_questions, many_held_out_questions
from dataset.sample.documents import documents
from dataset.sample.first_chat import first_chat
from dataset.sample.heard import told
from dataset.sample.identity import identity
from dataset.sample.manners import bad_manners
from dataset.sample.passkey import passkeys
from dataset.sample.plain_questions import plain_heldout
from dataset.sample.preferences import preferences, preferences_in_chats
from dataset.sample.products import product_prompts, tool_chats
from dataset.sample.prompts import prompts, prompts_in_chats, sums
from dataset.sample.reasoning import answers_alone, few_thoughts, reasoning
from dataset.sample.unknown import many_unknown_heldout, unknown_heldout
from dataset.sample.world import World
from model.disk import exclusive, write_atomically
from model.earlier import move_to_earlier
from model.errors import SproutError

# The records of each file.
FILES = {
    "pretrain": lambda world: [{"text": text} for text in documents(world)],
    "sft": fine_tuning,
    "first_chat": first_chat,
    "told": told,
    "questions": held_out_questions,
    "many_questions": many_held_out_questions,
    "unknown_heldout": unknown_heldout,
    "many_unknown_heldout": many_unknown_heldout,
    "rephrased_heldout": plain_heldout,
    "identity": lambda world: identity(world, held=False),
    "identity_heldout": lambda world: identity(world, held=True),
    "bad_manners": bad_manners,
    "preference": lambda world: preferences(world, held=False),
    "preference_chats": preferences_in_chats,
    "preference_heldout": lambda world: preferences(world, held=True),
    "reason": lambda world: reasoning(world, held=False),
    "reason_answers": answers_alone,
    "few_thoughts": few_thoughts,
    "reason_heldout": lambda world: reasoning(world, held=True),
    "prompts": lambda world: prompts(world, held=False),
    "prompts_heldout": lambda world: prompts(world, held=True),
    "prompts_in_chats": prompts_in_chats,
    "sums": sums,
    "tool_chats": tool_chats,
    "products": lambda world: product_prompts(world, held=False),
    "products_heldout": lambda world: product_prompts(world, held=True),
    "passkey": lambda world: passkeys(world, held=False),
    "passkey_heldout": lambda world: passkeys(world, held=True),
}

SOURCES = ("*.py", "tables/*.txt", "wordings/*/*.yaml")  # what the sample data is made from, in this folder
MADE = "made.json"  # of which version, seed and content the files are


def sample_file(name: str, out_dir: str | Path = "out") -> Path:
    """The path of a file of `FILES`, all of which are made in <out_dir>/sample unless they are there.

    Files of another seed stay while they are of this version of the sample data; those of another version are
    replaced. Raises `SproutError` where they cannot be written, `KeyError` for a name that is not in `FILES`.
    """
    path = sample_path(name, out_dir)
    if not _is_current(path.parent):
        write_sample(out_dir)
    return path


def sample_path(name: str, out_dir: str | Path = "out") -> Path:
    """Where `sample_file` has the file."""
    if name not in FILES:
        raise KeyError(f"the sample data has no file {name!r}, but {', '.join(FILES)}")
    return Path(out_dir) / "sample" / f"{name}.jsonl"


def write_sample(out_dir: str | Path = "out", seed: int = 0) -> list[Path]:
    """Writes all files, each whole or not at all, and returns their paths.

    A file of one of these names that is not as it was made here is moved to <out_dir>/earlier, and a line says so.
    """
    paths = [sample_path(name, out_dir) for name in FILES]
    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SproutError(f"{folder} cannot be made ({error.strerror}): choose another --out_dir") from error
    with exclusive(folder / ".lock", on_wait=lambda: None):  # another process may be making them: seconds
        if _is_current(folder, seed):
            return paths
        world = World(seed)
        contents = [
            "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records(world)).encode()
            for records in FILES.values()
        ]
        digests = dict(zip(FILES, map(_digest, contents), strict=True))
        before = _made(folder).get("digests", {})
        if any(path.exists() for path in paths):
            known = {name: {digests[name], before.get(name)} for name in FILES}
            if strange := [path for path in paths if path.exists() and _digest_of(path) not in known[path.stem]]:
                kept = move_to_earlier(strange, Path(out_dir), "sample")
                names = ", ".join(path.name for path in strange[:3]) + (", ..." if strange[3:] else "")
                print(f"moved files of {folder} that are not its sample data ({names}) to {kept}", file=sys.stderr)
            _mark(folder, {"digests": before})  # from here to the end the folder is of no version
        for path, content in zip(paths, contents, strict=True):
            write_atomically(path, lambda file, content=content: file.write(content))
        _mark(folder, {"version": version(), "seed": seed, "digests": digests})
    return paths


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _digest_of(path: Path) -> str:
    """Empty for anything that is not a file."""
    return _digest(path.read_bytes()) if path.is_file() else ""


def _made(folder: Path) -> dict:
    """What the folder says of the files that were made in it; empty if nothing can be read."""
    try:
        made = json.loads((folder / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) and isinstance(made.get("digests", {}), dict) else {}


def _mark(folder: Path, made: dict) -> None:
    content = json.dumps(made).encode()
    write_atomically(folder / MADE, lambda file: file.write(content))


def version() -> str:
    """A digest of the code and the data files that the sample data is made from."""
    digest = hashlib.sha256()
    for path in sorted(each for end in SOURCES for each in Path(__file__).parent.glob(end)):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]


def _is_current(folder: Path, seed: int | None = None) -> bool:
    """Whether the folder holds all files of this version (and seed)."""
    made = _made(folder)
    same = made.get("version") == version() and "seed" in made and seed in (None, made["seed"])
    return same and all((folder / f"{name}.jsonl").is_file() for name in FILES)


def main(argv=None) -> None:
    parser = CommandParser(__doc__, prog="python -m dataset.sample")
    parser.add_argument("--out_dir", default="out", help="writes <out_dir>/sample (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (%(default)s)")
    args = parser.parse_args(argv)
    for path in write_sample(args.out_dir, args.seed):
        with open(path, "rb") as file:
            count = sum(1 for _ in file)
        print(f"{path}: {count:,} records, {path.stat().st_size / 1e6:.2f} MB")
