"""Passkeys: each text states its key once, where the answer says so; what examines is not in what trains."""

import re
from collections import Counter

import pytest

from dataset.sample.loader import LANGUAGES, read_wordings
from dataset.sample.passkey import HELD_OUT, TO_TRAIN_ON, PasskeyWordings, passkeys
from dataset.sample.world import World

KEY = re.compile(r"(?<!\d)\d{5}(?!\d)")


@pytest.fixture(scope="module")
def made() -> dict[bool, list[dict]]:
    world = World()
    return {held: list(passkeys(world, held)) for held in (False, True)}


def turns(record: dict) -> tuple[str, str]:
    asked, answered = record["conversations"]
    return asked["content"], answered["content"]


def test_the_answer_is_the_only_key_of_the_text(made):
    for record in made[False] + made[True]:
        text, answer = turns(record)
        assert KEY.findall(text) == KEY.findall(answer) and len(KEY.findall(answer)) == 1


def test_keys_and_wordings_that_examine_are_never_trained_on(made):
    keys = {held: {KEY.findall(turns(record)[1])[0] for record in made[held]} for held in made}
    assert not keys[False] & keys[True]
    shown = "\n".join(KEY.sub("{key}", turns(record)[0]) for record in made[False])
    for language in LANGUAGES:
        wordings = read_wordings("passkey", language, PasskeyWordings)
        assert not [one for part in (wordings.stated, wordings.questions) for one in part.held_out if one in shown]
        assert all(one in shown for part in (wordings.stated, wordings.questions) for one in part.fine_tuning)


def test_every_length_has_its_records_and_its_length(made):
    assert Counter(record["skill"] for record in made[False]) == {f"passkey_{n}": 2 * c for n, c in TO_TRAIN_ON.items()}
    assert set(Counter((r["skill"], r["language"]) for r in made[True]).values()) == {HELD_OUT}
    for record in made[False] + made[True]:
        length = int(record["skill"].removeprefix("passkey_"))
        of_a_token = {"en": 3.5, "zh": 1.8}[record["language"]]
        assert 0.3 < len(turns(record)[0]) / of_a_token / length < 1


def test_keys_stand_at_the_beginning_in_the_middle_and_at_the_end(made):
    places = Counter(KEY.search(text).start() * 4 // len(text) for text, _ in map(turns, made[True]))
    assert all(places[quarter] > 0.15 * len(made[True]) for quarter in range(4))
