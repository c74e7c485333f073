"""`run.json`: what a run is, beside its curve in `metrics.jsonl`, for whoever asks whether the curve is normal."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from model.errors import SproutError
from model.files.disk import write_atomically

NAME = "run.json"


@dataclass(frozen=True)
class Facts:
    """What is known of a run; None is not known."""

    stage: str | None = None
    begins_with: str | None = None  # the stage that trained the network so far; "nothing" if it is new
    parameters: int | None = None
    trained_parameters: int | None = None
    vocab_size: int | None = None
    kind: str | None = None  # of data: text, chat, preference, reward or distillation
    bytes_per_token: float | None = None  # UTF-8 bytes of text that a token stands for
    tokens_per_epoch: int | None = None  # targets in an epoch
    different_tokens: int | None = None  # of those, the ones that are not a repetition
    epochs: int | None = None
    tokens_per_step: int | None = None  # at most
    steps: int | None = None  # planned
    warmup_steps: int | None = None
    schedule: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None  # at its peak
    default_learning_rate: float | None = None  # what the rule of `training/engine/plan.py` gives

    @property
    def times_the_default(self) -> float | None:
        """The learning rate over its default."""
        known = self.learning_rate and self.default_learning_rate
        return self.learning_rate / self.default_learning_rate if known else None


def facts_of_run(run, data: dict) -> Facts:
    """The facts of a `training.engine.run.Run` that has begun; `data`: those of its rows, by name."""
    plan, parameters = run.plan, list(run.model.parameters())
    return Facts(
        stage="lora" if run.lora else run.stage,
        begins_with=plan.begins_with or "nothing",
        parameters=sum(p.numel() for p in parameters),
        trained_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        vocab_size=run.model.config.vocab_size,
        epochs=plan.epochs,
        tokens_per_step=plan.tokens_per_step,
        steps=plan.steps,
        warmup_steps=plan.warmup_steps,
        schedule=plan.schedule,
        optimizer=run.args.optimizer,
        learning_rate=plan.learning_rate,
        default_learning_rate=plan.default_learning_rate,
        **data,
    )


def write_facts(folder: Path, facts: Facts) -> None:
    """Writes `run.json` into a log folder, whole or not at all."""
    text = json.dumps(asdict(facts), indent=2, ensure_ascii=False) + "\n"
    write_atomically(Path(folder) / NAME, lambda file: file.write(text.encode()))


def read_facts(folder: Path) -> Facts | None:
    """The facts in a log folder; None where it has none. What other versions of Sprout say besides is passed over.

    Raises `SproutError` for a file that is damaged.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Facts(**{field.name: _checked(values.get(field.name), field.type) for field in fields(Facts)})
    except (OSError, ValueError, AttributeError) as error:
        raise SproutError(f"{path} is damaged ({error}): move it away, and the curve alone is judged") from error


def _checked(value, declared):
    """`value` if it is None or of the declared type, and a number that can be divided by."""
    wanted = {str | None: str, int | None: int, float | None: (int, float)}[declared]
    usable = value is None or (isinstance(value, wanted) and not isinstance(value, bool))
    if not usable or (isinstance(value, int | float) and not 0 <= value < 1e30):
        raise ValueError(f"{value!r} is no value for it")
    return value
