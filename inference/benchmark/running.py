"""Asks a network the items of a task."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice

from dataset.records.reading import bar_over
from inference.benchmark.answers import written_answers
from inference.benchmark.likelihood import Request, log_likelihoods, requests_for
from inference.benchmark.outcomes import Outcome, outcome_of
from inference.benchmark.tasks import PASSAGES, Task
from inference.growing_file import GrowingFile
from model.errors import SproutError, UsageError

ANSWERS_AT_ONCE = 32
ITEMS_AT_ONCE = 512  # in a part: the more there are, the fuller the batches, and the more a kill loses


@dataclass(frozen=True)
class Settings:
    """How items are asked.

    positions: tokens that the network sees. batch_size: of choices, or of answers that are written; None: as is usual.
    max_new_tokens: of an answer. bos: whether BOS begins every context, or only an empty one.
    precision: context in which it computes. vocabulary: as for `Sampling`, of the answers that it writes.
    """

    positions: int
    batch_size: int | None
    max_new_tokens: int
    bos: bool
    precision: Callable[[], AbstractContextManager]
    vocabulary: int = 0


def prepare(task: Task, tokenizer, settings: Settings) -> list[Request]:
    """The requests of a task of multiple choice; none of another. Done for all tasks before anything is computed, since
    it raises `SproutError` for what cannot be asked."""
    if task.form.until:
        _room(settings)
    return _requests(task, tokenizer, settings) if task.entries[0].item.choices else []


def run_task(
    task: Task,
    model,
    tokenizer,
    settings: Settings,
    requests: list[Request] | None = None,
    show: Callable[[float], None] = lambda share: None,
) -> list[Outcome]:
    """The outcome of every entry. requests: what `prepare` returned; None: it is done now. show: called now and then
    with the share of the entries that is done."""
    if task.layout is PASSAGES:
        return _score_passages(task, model, tokenizer, settings, show)
    if task.form.until:
        return _write(task, model, tokenizer, settings, show)
    requests = _requests(task, tokenizer, settings) if requests is None else requests
    found = _likelihoods(model, requests, settings, show)
    cut = [len(one.context) + len(one.continuation) > settings.positions + 1 for one in requests]
    outcomes = []
    end = 0
    for entry in task.entries:
        start, end = end, end + len(entry.item.choices)
        outcomes.append(Outcome(tuple(found[start:end]), cut=any(cut[start:end])))
    return outcomes


def run_in_parts(
    task: Task, model, tokenizer, settings: Settings, requests: list[Request], file: GrowingFile, earlier: Iterator[str]
) -> list[Outcome]:
    """`run_task` with a progress bar, which adds the outcomes of each part to `file`.

    earlier: the lines of `file` that an interrupted run wrote, this task's first; they are taken from it.
    """
    try:
        outcomes = [outcome_of(entry, json.loads(line)) for entry, line in zip(task.entries, earlier)]
    except (ValueError, TypeError, AttributeError) as error:
        raise file.damaged() from error
    known = len(outcomes)
    asked = iter(requests[sum(len(entry.item.choices) for entry in task.entries[:known]) :])
    with bar_over(len(task.entries), task.name, " items") as bar:
        for start in range(known, len(task.entries), ITEMS_AT_ONCE):
            part = replace(task, entries=task.entries[start : start + ITEMS_AT_ONCE])
            size = len(part.entries)
            some = list(islice(asked, sum(len(entry.item.choices) for entry in part.entries)))

            def show(share: float, start=start, size=size) -> None:
                bar.update(round(start + share * size) - bar.n)

            found = run_task(part, model, tokenizer, settings, some, show)
            file.add([asdict(outcome) for outcome in found], len(found), Counter())
            outcomes += found
            show(1.0)
    return outcomes


def _progress(show: Callable[[float], None], total: int) -> Callable[[int], None]:
    """What is called with the number of requests that are newly done."""
    done = 0

    def add(number: int) -> None:
        nonlocal done
        done += number
        show(done / total)

    return add


def _requests(task: Task, tokenizer, settings: Settings) -> list[Request]:
    """One for each choice of each entry. Raises `SproutError` for a choice that cannot be asked for."""
    every = [
        [(entry.context, entry.item.delimiter + choice) for choice in entry.item.choices] for entry in task.entries
    ]
    try:
        requests = requests_for(tokenizer, list(chain.from_iterable(every)), settings.bos)
    except SproutError:  # one of them has no token of its own: which?
        for entry, pairs in zip(task.entries, every, strict=True):
            try:
                requests_for(tokenizer, pairs, settings.bos)
            except SproutError as error:
                raise SproutError(f"{entry.path}:{entry.line}: {error}: remove the line") from error
        raise
    owners = [entry for entry in task.entries for _ in entry.item.choices]
    for entry, request in zip(owners, requests, strict=True):
        if len(request.continuation) > settings.positions:
            raise SproutError(
                f"{entry.path}:{entry.line}: a choice has {len(request.continuation):,} tokens, more than the"
                f" {settings.positions:,} that the network sees at once: remove the line"
            )
    return requests


def _likelihoods(model, requests: list[Request], settings: Settings, show: Callable[[float], None]) -> list[float]:
    how = {"autocast": settings.precision, "batch_size": settings.batch_size}
    return log_likelihoods(model, requests, settings.positions, **how, show=_progress(show, len(requests)))


def _score_passages(task: Task, model, tokenizer, settings: Settings, show: Callable) -> list[Outcome]:
    """Documents in windows side by side: each token is predicted once, by BOS and what its window has before it.

    The last window, which is short, is read after as many tokens as the network sees beside it, as in lm-eval.
    """
    encoded = tokenizer.encode_batch([entry.item.answer for entry in task.entries])
    requests, owners = [], []
    size = settings.positions
    for number, ids in enumerate(encoded):
        ids = (tokenizer.bos_id, *ids)
        for start in range(0, len(ids) - 1, size):
            end = min(start + size, len(ids) - 1)
            requests.append(Request(ids[max(0, end - size) : start + 1], ids[start + 1 : end + 1]))
            owners.append(number)
    nats = [0.0] * len(encoded)
    for owner, found in zip(owners, _likelihoods(model, requests, settings, show), strict=True):
        nats[owner] -= found
    return [Outcome(nats=each, tokens=len(ids)) for each, ids in zip(nats, encoded, strict=True)]


def _room(settings: Settings) -> int:
    """How many tokens a question may have. Raises `UsageError` if none."""
    room = settings.positions - settings.max_new_tokens
    if room < 1:
        raise UsageError(
            f"--max_new_tokens {settings.max_new_tokens} leave no room for a question: the network sees"
            f" {settings.positions} tokens"
        )
    return room


def _write(task: Task, model, tokenizer, settings: Settings, show: Callable) -> list[Outcome]:
    room = _room(settings)
    before = [tokenizer.bos_id] if settings.bos else []
    encoded = [[*before, *ids] for ids in tokenizer.encode_batch([entry.context for entry in task.entries])]
    prompts = [ids[-room:] for ids in encoded]
    with settings.precision():
        answers = written_answers(
            model,
            prompts,
            decode=tokenizer.decode,
            end_ids=tokenizer.end_ids,
            stops=task.form.until,
            max_new_tokens=settings.max_new_tokens,
            slots=settings.batch_size or ANSWERS_AT_ONCE,
            vocabulary=settings.vocabulary,
            show=_progress(show, len(prompts)),
        )
    return [Outcome(written=answer, cut=len(ids) > room) for answer, ids in zip(answers, encoded, strict=True)]
