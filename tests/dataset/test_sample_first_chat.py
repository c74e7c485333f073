"""The first chat of the sample data: what is held out is held out, and what has no answer really has none."""

import re

import pytest

from dataset.sample.conversations import fine_tuning, held_out_questions
from dataset.sample.documents import documents
from dataset.sample.fact_wordings import fact_wordings, frames
from dataset.sample.first_chat import first_chat
from dataset.sample.grammar import fill
from dataset.sample.heard import heard, told
from dataset.sample.little_stories import little_stories, story_wordings
from dataset.sample.loader import LANGUAGES, read_table, read_wordings
from dataset.sample.number_words import in_words
from dataset.sample.outside import OutsideNames, outside, unheard
from dataset.sample.phrasing import phrasing
from dataset.sample.plain_questions import plain_heldout, plain_wordings
from dataset.sample.questions import answer, sum_wordings
from dataset.sample.recall import recalls
from dataset.sample.unknown import asked_in_vain, many_unknown_heldout, unknown_heldout, unknown_wordings
from dataset.sample.world import World, said_by_users


@pytest.fixture(scope="module", params=[0, 1])
def world(request):
    return World(request.param)


@pytest.fixture(scope="module")
def tuned(world):
    return [*fine_tuning(world), *first_chat(world)]


def said(records, role) -> set[str]:
    return {turn["content"] for record in records for turn in record["conversations"] if turn["role"] == role}


def bare(text: str) -> str:
    """A question without what a plain one may lack."""
    return text.lower().removeprefix("请问").rstrip(".?!。？！")


def test_no_held_out_question_is_trained_on_however_it_is_spelled(world, tuned):
    asked = {bare(each) for each in said(tuned, "user")}
    for records in (unknown_heldout(world), many_unknown_heldout(world), plain_heldout(world)):
        held = [record["conversations"][0]["content"] for record in records]
        assert not {bare(each) for each in held} & asked
        assert len(set(held)) >= 0.97 * len(held)


def test_no_user_tells_what_held_out_users_tell(world, tuned):
    """`Your name is Molly.` is the answer in held-out conversations or in those to fine-tune on."""

    def answers(records) -> set[str]:
        return {each["conversations"][-1]["content"] for each in records if each["skill"] == "recall"}

    held, trained = answers(held_out_questions(world)), answers(tuned)
    assert len(held) > 80 and len(trained) > 1000 and not held & trained


def test_no_held_out_wording_is_trained_on_however_it_is_spelled():
    for language in LANGUAGES:
        wordings, plain, stories = unknown_wordings(language), plain_wordings(language), story_wordings(language)
        splits = [getattr(wordings, name) for name in ("free", "things", "places", "people", "sums", "hard")]
        for skill, facts in fact_wordings(language).items():
            both = (facts.questions, plain.facts[skill])
            trained, held = ({bare(each) for split in both for each in split.of(part)} for part in (False, True))
            assert not trained & held, skill
        trained, held = (
            {bare(each) for split in (sum_wordings(language).questions, plain.sums) for each in split.of(part)}
            for part in (False, True)
        )
        assert not trained & held
        for split in (*splits, stories.requests, stories.about):
            assert not set(map(bare, split.fine_tuning)) & set(map(bare, split.held_out))


def test_what_is_asked_in_vain_is_held_out_as_a_thing_too(world):
    for language in LANGUAGES:
        trained, held = (list(asked_in_vain(world, language, part)) for part in (False, True))
        entities = [{each.entity.lower() for each in part if each.entity} for part in (trained, held)]
        assert not entities[0] & entities[1]
        for skill in fact_wordings(language):
            away = [set(outside(world, language, part).of(skill)) for part in (False, True)]
            assert away[0] and away[1] and not away[0] & away[1]


def test_no_unknown_question_has_an_answer_in_the_world(world):
    names = {person.name.lower() for person in world.people}
    for language in LANGUAGES:
        facts = {(fact.skill, fact.entity.lower()) for fact in world.facts if fact.language == language}
        known = {bare(fill(wording, fact.entity)) for fact in world.facts for wording in _questions(fact)}
        for held in (False, True):
            for each in asked_in_vain(world, language, held):
                assert each.entity is None or (each.skill, each.entity.lower()) not in facts
                assert bare(each.asked) not in known
                if each.kind == "sum" and (numbers := re.findall(r"\d+", each.asked)) and each.true:
                    assert sum(map(int, numbers)) > 100
            away = outside(world, language, held)
            speakers, _, towns = said_by_users(world, language)
            assert not {name.lower() for name in away.people} & (names | {name.lower() for name in speakers})
            assert not set(away.countries) & set(towns)


def _questions(fact) -> tuple[str, ...]:
    plain = plain_wordings(fact.language).facts[fact.skill]
    return (
        *fact.wordings.questions.fine_tuning,
        *fact.wordings.questions.held_out,
        *plain.fine_tuning,
        *plain.held_out,
    )


def test_every_wording_is_asked_of_what_is_known_and_of_what_is_not(world, tuned):
    """Else a network could tell by the wording alone what it does not know."""
    for language in LANGUAGES:
        refusals = set(unknown_wordings(language).answers.values())
        known, unknown = set(), set()
        for record in tuned:
            turns = record["conversations"]
            for asked, reply in zip(turns[::2], turns[1::2], strict=True):
                (unknown if reply["content"] in refusals else known).add(bare(asked["content"]))
        for skill, split in plain_wordings(language).facts.items():
            for wording in split.fine_tuning:
                form = re.escape(bare(wording)).replace(r"\{entity\}", ".+").replace(r"\{an\ entity\}", ".+")
                for asked in (known, unknown):
                    assert any(map(re.compile(form).fullmatch, asked)), (skill, wording)


def test_no_composed_wording_is_one_that_examines():
    for language in LANGUAGES:
        parts, gap = phrasing(language), " " if language == "en" else ""
        held = set(sum_wordings(language).questions.held_out) | set(plain_wordings(language).sums.held_out)
        composed = {(wording, "{topic}") for wording in frames(language).questions.held_out}
        for skill, wordings in fact_wordings(language).items():
            asked = (*wordings.questions.held_out, *plain_wordings(language).facts[skill].held_out)
            composed |= {(wording, wordings.topic) for wording in asked}
        composed |= {(wording, named) for wording in held for named in parts.sums}
        for opening in ("", *(each + gap for each in parts.openings)):
            for question in parts.questions:
                for wording, topic in composed:
                    assert bare(opening + question.replace("{topic}", topic)) != bare(wording)
        assert not {bare(each) for each in parts.further} & {bare(each) for each in frames(language).further.held_out}


def test_what_is_heard_of_are_all_names_of_the_world_and_no_others(world):
    denied = {"en": "No.", "zh": "不。"}
    records = list(heard(world, denied))
    for language in LANGUAGES:
        replies = [each["conversations"][1]["content"] for each in records if each["language"] == language]
        names = {fact.entity for fact in world.facts if fact.language == language}
        known = {phrasing(language).known.replace("{name}", name) for name in names}
        assert set(replies) == known | {denied[language]}
        small = {name.lower() for name in names}
        for skill in fact_wordings(language):
            rng = world.rng(skill)
            away = {unheard(world, language, skill, rng).lower() for _ in range(300)}
            assert not away & small and len(away) > 40
            held = outside(world, language, True)
            assert not away & {name.lower() for name in (*held.of(skill), *held.words, *held.animals)}


def test_no_text_mentions_what_is_unheard(world):
    texts = {language: set() for language in LANGUAGES}
    for text in documents(world):
        texts["en"] |= set(re.findall(r"[a-z]+", text.lower()))
        texts["zh"].add(text)
    chinese = "\n".join(texts["zh"])
    for kind, english, name in read_table("outside_further", 3):
        assert kind in ("place", "animal", "word")
        assert not set(english.lower().split()) <= texts["en"], english
        assert name not in chinese, name
    for language in LANGUAGES:
        for name in read_wordings("outside", language, OutsideNames).further_people:
            assert name not in chinese and name.lower() not in texts["en"], name


def test_texts_told_again_are_texts_of_the_world(world):
    known, requests = set(documents(world)), {each for language in LANGUAGES for each in phrasing(language).told}
    records = told(world)
    assert len(records) > 2000
    for record in records:
        request, text = (turn["content"] for turn in record["conversations"])
        assert request in requests and text in known
        assert (record["language"] == "zh") == (request in phrasing("zh").told)


@pytest.mark.parametrize("make, count", [(unknown_heldout, 200), (many_unknown_heldout, 600)])
def test_enough_is_held_out_and_its_accepted_answers_are_right(world, make, count):
    records = make(world)
    assert len(records) >= count
    asked = [record["conversations"][0]["content"] for record in records]
    others = {record["conversations"][0]["content"] for record in unknown_heldout(world)}
    assert make is unknown_heldout or len({*asked, *others}) == len(asked) + len(others)
    sums = 0
    for record in records:
        answers = set(unknown_wordings(record["language"]).answers.values())
        right = record["conversations"][1]["content"]
        accepted = {right, *record["also_right"]}
        assert right in answers <= accepted and right not in record["also_right"] and len(accepted - answers) <= 1
        for true in accepted - answers:
            if found := re.fullmatch(r"(\d+) \+ (\d+) = (\d+)[.。]", true):
                assert int(found[1]) + int(found[2]) == int(found[3]) > 100
                sums += 1
            else:
                assert record["skill"] in ("capital", "translation")
    assert sums >= 4
    rephrased = plain_heldout(world)
    assert len(rephrased) >= 300
    right = {answer(fact) for fact in world.facts}
    for record in rephrased:
        reply = record["conversations"][1]["content"]
        if record["skill"] == "sum":
            a, b, total = map(int, re.findall(r"\d+", reply))
            assert a + b == total <= 100 and tuple(sorted((a, b))) in world.held_sums
        else:
            assert reply in right


def test_held_out_facts_are_never_asked_for_in_the_first_chat(world):
    replies = said(first_chat(world), "assistant")
    assert not {answer(fact) for fact in world.facts if fact.held} & replies
    shown = {frozenset((a, b)) for a, b in world.shown_sums}
    for reply in replies:
        if found := re.fullmatch(r"(\d+) \+ (\d+) = (\d+)[.。]", reply):
            assert frozenset((int(found[1]), int(found[2]))) in shown


def test_the_answers_that_refuse_begin_alike(world):
    for language, beginning in (("en", "I do not know"), ("zh", "我不知道")):
        assert all(each.startswith(beginning) for each in unknown_wordings(language).answers.values())


def test_a_story_has_three_to_five_sentences_and_its_names_are_filled_in(world):
    stories = little_stories(world)
    assert {record["language"] for record in stories} == set(LANGUAGES)
    for record in stories:
        told = record["conversations"][1]["content"]
        assert 3 <= len(re.findall(r"[.。]", told)) <= 5 and "{" not in told
    assert len({record["conversations"][1]["content"] for record in stories}) > 0.95 * len(stories)


def test_numbers_in_words():
    assert [in_words("en", n) for n in (0, 9, 13, 20, 45, 100, 312)] == [
        *("zero", "nine", "thirteen", "twenty", "forty-five", "one hundred", "three hundred and twelve"),
    ]
    assert [in_words("zh", n) for n in (0, 9, 13, 20, 45, 100, 305, 312, 350)] == [
        *("零", "九", "十三", "二十", "四十五", "一百", "三百零五", "三百一十二", "三百五十"),
    ]
    for language in LANGUAGES:
        assert len({in_words(language, number) for number in range(1000)}) == 1000


def test_questions_about_the_user_have_been_trained_where_they_were_told(world):
    """Untold, the same wordings get another answer: it is the conversation that decides."""
    for language in LANGUAGES:
        told = {text for kind in recalls(language).values() for text in kind.questions.fine_tuning}
        vain = {bare(each.asked) for each in asked_in_vain(world, language, False) if each.kind == "told"}
        assert vain == set(map(bare, told))
        assert frames(language).further.fine_tuning
