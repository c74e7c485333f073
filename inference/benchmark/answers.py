"""Greedy answers to many prompts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from inference.running_texts import RunningText, completed
from model.running_batch import Row
from model.sampling import GREEDY


def written_answers(
    model,
    prompts: Sequence[Sequence[int]],
    *,
    decode: Callable[[list[int]], str],
    end_ids: Collection[int],
    stops: Sequence[str],
    max_new_tokens: int,
    slots: int,
    vocabulary: int = 0,
    show: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """What the network writes after each prompt, up to a stop string, an end token or `max_new_tokens`.

    model: ready to generate (`inference.writer.ready_to_generate`), in whose precision this is called.
    slots: how many are written at once. vocabulary: as for `Sampling`. show: called with 1 for each complete answer.
    """
    greedy = replace(GREEDY, vocabulary=vocabulary)
    ends = {"end_ids": end_ids, "max_new_tokens": max_new_tokens, "stops": stops}
    longest_first = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    texts = (RunningText(place, Row(prompts[place], greedy), decode, **ends) for place in longest_first)
    answers = [""] * len(prompts)
    for one in completed(model, texts, slots):
        answers[one.place] = one.text
        show(1)
    return answers
