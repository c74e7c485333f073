import random

import pytest

from dataset.cache.token_cache import Copies


def share_of(numbers, **more) -> float:
    copies = Copies(**more)
    for number in numbers:
        copies.add(number)
    return copies.share


def test_the_share_of_documents_that_are_copies_of_one_before():
    assert share_of([]) == 0
    assert share_of([1, 2, 3]) == 0
    assert share_of([1, 2, 1, 1]) == 0.5
    assert share_of([7] * 10) == 0.9


def test_a_sample_of_many_documents_gives_about_the_same_share_in_little_memory():
    rng = random.Random(0)
    numbers = [rng.randrange(2**64) for _ in range(30_000)]
    numbers += rng.sample(numbers, 10_000)  # a quarter of all
    rng.shuffle(numbers)
    copies = Copies(most=2_000)
    for number in numbers:
        copies.add(number)
    assert len(copies._counts) <= 2_000
    assert copies.share == pytest.approx(0.25, abs=0.03)
    assert share_of(numbers) == pytest.approx(0.25)
