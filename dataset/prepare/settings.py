"""What a run is asked to do, as its processes are told it."""

from dataclasses import dataclass

STEPS = ("clean", "lines", "judge", "decontaminate", "deduplicate", "mix", "split")


@dataclass(frozen=True)
class Settings:
    """steps: some of `STEPS`, in which order does not matter. rules: of each source, by its name; see `judge`.

    compare: by what chats and pairs are duplicates, as `conversations.sides_of` says.
    """

    steps: tuple[str, ...]
    sources: tuple[str, ...]
    files: tuple[tuple[int, str], ...]  # (number of its source, path) of each file
    rules: tuple[str, ...]  # of each source
    kinds: tuple[str | None, ...]  # of the texts in records of each source: "text", "markdown", "html"; None: found
    conversation_rules: tuple[str, ...]  # of each source, for what the assistant says in it
    text_column: str | None = None
    txt: str = "file"
    keep_markdown: bool = False
    personal: bool = False
    threshold: float = 0.7
    compare: str = "both"
    against: tuple[str, ...] = ()
    tokenizer_path: str | None = None
    weights: tuple[float, ...] | None = None  # of each source
    temperature: float | None = None
    max_epochs: float = 4.0
    val_ratio: float = 0.0
