"""All measurements of docs/scale.md, or those that --only names."""

from model.errors import UsageError
from scripts.benchmark.program import run_program
from scripts.benchmark.scale import experts, memory, recomputation, shard, stages

PARTS = {each.__name__.split(".")[-1]: each.compare for each in (experts, memory, recomputation, shard, stages)}


def compare(args) -> None:
    """Runs the parts one after the other; each prints its own tables. Raises `UsageError` for an unknown name."""
    names = args.only or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise UsageError(f"--only {unknown[0]}: the measurements of scale are {', '.join(PARTS)}")
    for name in names:
        PARTS[name](args)


if __name__ == "__main__":
    run_program(__doc__)
