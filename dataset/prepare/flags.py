"""From the flags of scripts/prepare.py to the settings of a run."""

from pathlib import Path

from dataset.prepare.settings import STEPS, Settings
from model.errors import UsageError

MOST_EPOCHS = 10_000
KINDS = ("text", "markdown", "html")
RULES = ("prose", "code", "none")
FLAGS_OF = {  # a step: without it they would change nothing
    "clean": ("keep_markdown", "personal"),
    "decontaminate": ("against",),
    "deduplicate": ("threshold", "compare"),
    "mix": ("weights", "temperature"),
    "split": ("val_ratio",),
}
EXAMPLES = {"--rules_for": "code", "--kind_for": "markdown", "--weights": "0.5"}  # of a value, for messages


def settings_of(args, files) -> Settings:
    """The settings of a run. Raises UsageError for flags that contradict each other or name no source."""
    steps = _steps_of(args)
    if args.weights and args.temperature:
        raise UsageError("--weights and --temperature both say how to mix: give one of them")
    if args.max_epochs != Settings.max_epochs and not (args.weights or args.temperature):
        raise UsageError(
            "--max_epochs limits how often a mixture repeats a source: give --weights or --temperature, too"
        )
    if args.max_epochs > MOST_EPOCHS:
        raise UsageError(
            f"--max_epochs {args.max_epochs:g} writes a document more than {MOST_EPOCHS:,} times: give less"
        )
    rules_given = _choices_by_source("--rules_for", args.rules_for, args.sources, "rules", RULES)
    rules = dict.fromkeys(args.sources, args.rules) | rules_given
    kinds = {source: "text" if rules[source] == "code" else None for source in args.sources}  # also that of a page
    kinds |= _choices_by_source("--kind_for", args.kind_for, args.sources, "kinds", KINDS)
    return Settings(
        steps=steps,
        sources=tuple(shown(source) for source in args.sources),
        files=tuple((args.sources.index(file.source), str(file.path)) for file in files),
        rules=tuple(rules.values()),
        kinds=tuple(kinds.values()),
        conversation_rules=tuple((dict.fromkeys(args.sources, "none") | rules_given).values()),
        weights=_weights_of(args) if args.weights else None,
        against=tuple(args.against),
        text_column=args.text_column,
        txt=args.txt,
        keep_markdown=args.keep_markdown,
        personal=args.personal,
        threshold=args.threshold,
        compare=args.compare,
        tokenizer_path=args.tokenizer_path,
        temperature=args.temperature,
        max_epochs=args.max_epochs,
        val_ratio=args.val_ratio,
    )


def _steps_of(args) -> tuple[str, ...]:
    """The steps that --steps names, or all. Raises UsageError for an unknown one, or a flag of one that is left out."""
    steps = tuple(args.steps.split(",")) if args.steps else STEPS
    for name in steps:
        if name not in STEPS:
            raise UsageError(f"--steps {name} is no step: the steps are {', '.join(STEPS)}")
    for step, flags in FLAGS_OF.items():
        for flag in flags:
            if step not in steps and (given := getattr(args, flag)) and given != getattr(Settings, flag):
                raise UsageError(f"--{flag} needs the step {step!r}: add it to --steps")
    return steps


def _weights_of(args) -> tuple[float, ...]:
    """The weight that --weights gives each source."""
    weights = _by_source("--weights", args.weights, args.sources)
    if missing := [source for source in args.sources if source not in weights]:
        raise UsageError(f"--weights says nothing of {missing[0]}: give every source a weight, 0 to leave it out")
    found = tuple(_weight(source, weights[source]) for source in args.sources)
    if not any(found):
        raise UsageError("--weights are all 0: give one source a weight above it")
    return found


def _weight(source: str, text: str) -> float:
    try:
        value = float(text)
        if 0 <= value < 1e9:
            return value
    except ValueError:
        pass
    raise UsageError(f"--weights {source}={text}: a weight is a number of at least 0")


def _choices_by_source(
    flag: str, items: list[str], sources: list[str], what: str, choices: tuple[str, ...]
) -> dict[str, str]:
    """`_by_source` of values that are among `choices`, which a message calls `what`."""
    found = _by_source(flag, items, sources)
    for source, value in found.items():
        if value not in choices:
            raise UsageError(f"{flag} {source}={value}: the {what} are {', '.join(choices)}")
    return found


def _by_source(flag: str, items: list[str], sources: list[str]) -> dict[str, str]:
    """The values of `SOURCE=VALUE` items, by source. A source may go by its file's name, with or without its ending."""
    found = {}
    for item in items:
        name, mark, value = item.rpartition("=")
        if not mark:
            raise UsageError(f"{flag} {item}: write SOURCE=VALUE, such as {sources[0]}={EXAMPLES[flag]}")
        meant = [source for source in sources if source == name] or [
            source for source in sources if name in (Path(source).name, Path(source).name.split(".")[0])
        ]
        if len(meant) != 1:
            raise UsageError(
                f"{flag} {item}: {name!r} is {'no' if not meant else 'more than one'} source: {', '.join(sources)}"
            )
        if meant[0] in found:
            raise UsageError(f"{flag} gives {meant[0]} both {found[meant[0]]} and {value}: name each source once")
        found[meant[0]] = value
    return found


def shown(name: str) -> str:
    """A name as pictures and terminals can show it: bytes that are not UTF-8 as `\\xc4`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
