"""The held-out questions of the sample data can only be answered from the texts: nothing of them is fine-tuned on."""

import re
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from dataset.sample.conversations import fine_tuning, held_out_questions, many_held_out_questions
from dataset.sample.documents import documents
from dataset.sample.fact_wordings import fact_wordings, frames
from dataset.sample.grammar import fill
from dataset.sample.loader import LANGUAGES
from dataset.sample.people import people_wordings
from dataset.sample.prompts import CHATS, prompts_in_chats
from dataset.sample.questions import answer, sum_wordings
from dataset.sample.recall import recalls
from dataset.sample.world import World

FACTS = {"capital", "sound", "young", "colour", "opposite", "translation", "home", "job", "pet", "moral"}


@pytest.fixture(scope="module", params=[0, 1])
def world(request):
    return World(request.param)


@pytest.fixture(scope="module")
def tuned(world):
    return fine_tuning(world)


@pytest.fixture(scope="module", params=[held_out_questions, many_held_out_questions], ids=["a few", "many"])
def questions(request, world):
    return request.param(world)


@pytest.fixture(scope="module")
def texts(world):
    return documents(world)


def said(records, role) -> set[str]:
    return {turn["content"] for record in records for turn in record["conversations"] if turn["role"] == role}


def test_enough_questions_of_every_skill_in_both_languages(questions):
    counts = Counter((record["skill"], record["language"]) for record in questions)
    assert len(questions) >= 400
    assert {skill for skill, _ in counts} == FACTS | {"sum", "follow_up", "pronoun", "recall"}
    for skill, _ in counts:
        assert counts[skill, "en"] >= 10 and counts[skill, "zh"] >= 10
    asked = [str(record["conversations"]) for record in questions]
    assert len(set(asked)) >= 0.97 * len(asked)


def test_many_questions_ask_about_each_fact_in_every_held_out_wording(world):
    asked = {record["conversations"][0]["content"] for record in many_held_out_questions(world)}
    for fact in world.facts:
        if fact.held:
            assert {fill(each, fact.entity) for each in fact.wordings.questions.held_out} <= asked
    counts = Counter(record["skill"] for record in many_held_out_questions(world))
    assert min(counts.values()) >= 100 and sum(counts.values()) > 5000


def test_prompts_in_chats_are_alike_many_of_every_skill(world):
    assert Counter(chat["skill"] for chat in prompts_in_chats(world)) == CHATS
    for chat in prompts_in_chats(world):
        assert chat["conversations"][-1] == {"role": "assistant", "content": ""} and chat["answer"]


def test_no_held_out_answer_is_ever_given_in_fine_tuning(questions, tuned):
    assert not said(questions, "assistant") & said(tuned, "assistant") - replies()
    assert not {record["conversations"][-1]["content"] for record in questions} & said(tuned, "assistant")


def replies() -> set[str]:
    """What is said to somebody who tells something; the answer comes a turn later."""
    return {reply for language in LANGUAGES for kind in recalls(language).values() for reply in kind.replies}


def test_what_is_held_out_is_held_out_in_both_languages(world, tuned):
    answers = said(tuned, "assistant")
    held = [fact for fact in world.facts if fact.held]
    assert not {answer(fact) for fact in held} & answers
    rows = defaultdict(set)
    for fact in world.facts:
        if fact.skill == "translation":
            rows[frozenset((fact.entity, fact.attribute))].add(fact.held)
    assert rows and all(len(flags) == 1 for flags in rows.values())
    for skill in ("capital", "sound", "young", "colour", "opposite", "moral"):
        flags = {
            language: [fact.held for fact in world.facts if (fact.skill, fact.language) == (skill, language)]
            for language in LANGUAGES
        }
        assert flags["en"] == flags["zh"] and 0.3 < sum(flags["en"]) / len(flags["en"]) < 0.4


def test_no_question_of_fine_tuning_is_about_a_held_out_entity(world, tuned):
    asked = said(tuned, "user")
    for fact in world.facts:
        if fact.held:
            questions = fact.wordings.questions
            assert not {fill(each, fact.entity) for each in questions.fine_tuning + questions.held_out} & asked


def test_no_question_wording_is_shared(questions, tuned):
    for language in LANGUAGES:
        people, kinds = people_wordings(language).questions, recalls(language).values()
        for split in (
            *(wordings.questions for wordings in fact_wordings(language).values()),
            frames(language).further,
            sum_wordings(language).questions,
            *people.values(),
            *(part for kind in kinds for part in (kind.questions, kind.told)),
        ):
            assert split.fine_tuning and split.held_out and not set(split.fine_tuning) & set(split.held_out)
    # And as they stand, whatever tables they were made from: no turn of a user is in both.
    assert not said(questions, "user") & said(tuned, "user")


def test_texts_ask_no_question_of_a_conversation(questions, tuned, texts):
    asked = {part.strip() for text in texts for part in re.findall(r"[^.。!?？:：\n]*[?？]", text)}
    assert asked and not asked & (said(questions, "user") | said(tuned, "user"))
    pages = {part.strip() for text in texts for part in re.split(r"(?<=[.。!?？\n])", text)}
    assert not pages & said(questions, "user")


def test_every_held_out_fact_is_stated_often_and_in_many_wordings(world, texts):
    sentences = [part for text in texts for part in re.split(r"(?<=[.。])\s*|\n", text) if part]
    lowered = [sentence.lower() for sentence in sentences]
    facts = [fact for fact in world.facts if fact.held and fact.skill in ("capital", "home", "translation")]
    for fact in facts[::5]:
        entity, attribute = fact.entity.lower(), fact.attribute.lower()
        found = {sentence for sentence in lowered if entity in sentence and attribute in sentence}
        assert len(found) >= 8, fact
    documents_with = [text for text in texts if facts[0].entity in text and facts[0].attribute in text]
    assert len(documents_with) >= 15


def test_no_sum_of_the_questions_is_shown_anywhere_in_any_notation(questions, tuned, texts):
    held = set()
    for record in questions:
        if record["skill"] == "sum":
            a, b, total = map(int, re.findall(r"\d+", record["conversations"][-1]["content"]))
            assert a + b == total
            held.add(frozenset((a, b)))
    assert len(held) >= 60
    for text in [*texts, *said(tuned, "user"), *said(tuned, "assistant")]:
        for clause in re.split(r"[\n,;；。，？?:：]|\. ", text):
            numbers = [int(number) for number in re.findall(r"\d+", clause)]
            # Two numbers side by side, whatever stands between them. In a + b = c these are b and c too: not asked.
            sides = list(pairwise(numbers))[: 1 if len(numbers) == 3 else None]
            assert not {frozenset(pair) for pair in sides} & held, text


def test_a_second_turn_needs_the_first(world, questions):
    names = {person.name for person in world.people}
    for record in questions:
        if record["skill"] in ("pronoun", "recall", "follow_up"):
            first, _, second, right = (turn["content"] for turn in record["conversations"])
            assert right not in first + second
        if record["skill"] == "pronoun":
            assert not any(name in second for name in names) and any(name in first for name in names)
        if record["skill"] == "recall":
            told = right.removesuffix(".").removesuffix("。")
            for known in (
                "Your name is ",
                "You like ",
                "You live in ",
                "The word is ",
                "你最喜欢吃",
                "你住在",
                "你叫",
                "那个词是",
            ):
                told = told.removeprefix(known)
            told = told.removesuffix(" best")
            assert told in first and told not in second
