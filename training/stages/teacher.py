"""The teacher of a distillation, and lessons: training rows with the teacher's prediction of every trained token.

    teacher = open_teacher(args, student, tokenizer, device)
    lessons = lessons_of(teacher, rows, ...)
    for batch in step.micro_batches(lessons):
        taught = lessons.taught(batch)

The teacher never changes, so its predictions can also be computed once, before training
(`training/stages/teacher_cache.py`).
"""

import hashlib

import torch

from dataset.rows.rows import Batch, Rows
from inference.weights import find_weight
from model.errors import UsageError
from model.files.loading import load_model
from model.fingerprint import fingerprint
from model.text.vocabulary import same_ids
from training.losses.distillation import Divergence, Whole, trained_places
from training.stages.given_weight import warn_of_its_run
from training.stages.resumed_start import as_it_began


class Teacher:
    """A frozen network that teaches another.

    Attributes: `model`, `source` (its path), `name` (a fingerprint of weights and configuration: at equal weights it
    may rotate, norm or choose experts otherwise).
    """

    def __init__(self, model, source: str, device: torch.device | str = "cpu"):
        self.source = source
        self.name = hashlib.sha256(f"{fingerprint(model)} {model.config}".encode()).hexdigest()
        self.model = model.eval().requires_grad_(False).to(device)

    def __str__(self) -> str:
        return f"{self.source} ({self.parameters / 1e6:.1f} M parameters)"

    @property
    def parameters(self) -> int:
        return self.model.config.num_parameters()

    def outcomes(self, student) -> int:
        """The number of tokens for which both networks have an output. An imported network may have more outputs than
        its tokenizer has tokens; the surplus outputs mean nothing and are left out.
        """
        return min(len(network.lm_head.weight) for network in (self.model, student))

    @torch.inference_mode()
    def of(self, batch: Batch, outcomes: int | None = None) -> Whole:
        """The predictions for the trained tokens of a batch, over the first `outcomes` tokens of the vocabulary."""
        features = self.model.features(batch.tokens, batch.positions).flatten(0, -2)
        return Whole(features[trained_places(batch.targets, batch.trained)], self.model.lm_head.weight[:outcomes])


def open_teacher(args, student, tokenizer, device: torch.device) -> Teacher:
    """The network that `--teacher_weight` names. Raises `UsageError` or `SproutError` for one that cannot teach."""
    source = as_it_began(find_weight(args.teacher_weight, args.out_dir, chosen_by="a path"), args)
    warn_of_its_run(source, "the teacher of this one, so that --resume would refuse it")
    loaded = load_model(source)
    if not same_ids(loaded.tokenizer, tokenizer):
        raise UsageError(
            f"--teacher_weight {source} has another tokenizer than the student, so the same ids mean other tokens:"
            " take networks with the same one"
        )
    if args.max_seq_len > loaded.model.config.max_position_embeddings:
        raise UsageError(
            f"--max_seq_len {args.max_seq_len} is more than the {loaded.model.config.max_position_embeddings}"
            f" positions of --teacher_weight {source}: give at most that"
        )
    teacher = Teacher(loaded.model, loaded.source, device)
    if (args.teacher_top_k or 0) >= (outcomes := teacher.outcomes(student)):
        raise UsageError(
            f"--teacher_top_k {args.teacher_top_k} is not less than all {outcomes} tokens: drop it, or give fewer"
        )
    return teacher


def with_teacher(seconds: float | None, teacher: Teacher, student, args) -> float | None:
    """How long a run takes, from the time of the student alone; None if that is not known.

    A teacher that is asked in every step makes a forward pass, which is a third of what a network of its size would
    take to learn. How long it takes to sample own answers is not known before.
    """
    if seconds is None or args.on_policy:
        return None
    if args.teacher_top_k:
        return seconds
    return seconds * (1 + teacher.model.config.active_parameters() / (3 * student.config.active_parameters()))


class LiveLessons:
    """Rows with a teacher that predicts each batch in its step. `name` is that of the teacher."""

    def __init__(self, rows: Rows, teacher: Teacher, outcomes: int):
        self.batch, self.name = rows.batch, teacher.name
        self._teacher, self._outcomes = teacher, outcomes

    def taught(self, batch: Batch) -> Whole:
        return self._teacher.of(batch, self._outcomes)


def lessons_of(teacher: Teacher, rows: Rows, args, divergence: Divergence, outcomes: int, machine, batch_size: int):
    """`rows` as lessons: an object with `batch(epoch, places)`, `taught(batch)` and `name`.

    With --teacher_top_k, the teacher predicts all rows now, and its k most probable tokens are kept on disk.
    outcomes: the first so many tokens of the vocabulary are compared.
    """
    if args.teacher_top_k is None:
        return LiveLessons(rows, teacher, outcomes)
    from training.stages.teacher_cache import cached_lessons  # a live teacher does not load it

    return cached_lessons(teacher, rows, args.teacher_top_k, divergence, outcomes, machine, args.out_dir, batch_size)
