"""What a run is asked to do, as its processes are told it."""

from dataclasses import dataclass

STEPS = ("clean", "lines", "judge", "decontaminate", "deduplicate", "mix", "split")


@dataclass(frozen=True)
class Settings:
    """steps: some of `STEPS`, in which order does not matter. rules: of each source, by its name; see `judge`.

    compare: by what chats and pairs are duplicates: "prompt", "answer", or with "both" each of them for itself.
    Questions about one long passage are alike, and only their answers tell them apart.
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

    def is_code(self, file: int) -> bool:
        """Whether a file is of program code, which needs each of its lines, however many files begin alike."""
        return self.rules[self.files[file][0]] == "code"

    def sides(self, form: str) -> tuple[str, ...]:
        """What of a document of this form is compared with others: all of a text, sides of a chat or a pair.

        Those that are duplicates by their answers alone still go to validation by their prompts.
        """
        if form == "text":
            return ("all",)
        splits = "split" in self.steps and self.val_ratio > 0
        return ("prompt", "answer") if self.compare == "both" or splits else (self.compare,)
