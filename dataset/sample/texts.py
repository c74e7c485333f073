"""The texts of the sample world: every fact many times, in many wordings, spread over different documents."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator

from dataset.sample import facts as tables
from dataset.sample.tales import Tale
from dataset.sample.wordings import EN, Wording
from dataset.sample.wordings_zh import ZH
from dataset.sample.world import Fact, Person, World, fill, with_article

WORDINGS: dict[str, dict[str, Wording]] = {"en": EN, "zh": ZH}

# How often each fact is stated.
EXPOSURES = 20
IN_MIXED = 0.35  # of the statements, in documents that mix everything
PORTRAITS = 8  # of each person, besides
TELLINGS = 10  # of each tale
SHEETS_OF_SUMS = 5  # times that each sum is shown, in either order

# Somebody or something is named before it is spoken of, so that texts teach to take up what was named. Without this
# a network learns the facts, but asked about one it has not been asked about before, it tells another.
MENTIONS = {
    "en": (
        "Next comes {m}. {s}",
        "About {m}: {s}",
        "Someone asks about {m}. {s}",
        "Now {m}. {s}",
        "We all know something of {m}. {s}",
        "I know something about {m}. {s}",
        "{m}? {s}",
        "They tell us about {m}. {s}",
        "Have you heard of {m}? {s}",
    ),
    "zh": (
        "接着是{m}。{s}",
        "关于{m}：{s}",
        "有人问起{m}。{s}",
        "再看{m}。{s}",
        "这里讲{m}。{s}",
        "我知道{m}。{s}",
        "下面说说{m}。{s}",
        "说到{m}，{s}",
        "书上写到{m}。{s}",
    ),
}
ALL_MENTIONED = {
    "en": ("Let us speak of {m}.", "This page is about {m}.", "Somebody asked about {m}.", "Here you read about {m}."),
    "zh": ("今天讲讲{m}。", "这一页讲的是{m}。", "有人问起{m}。", "这里写的是{m}。"),
}

PORTRAITS_EN = (
    "{e} lives in {home} and works as {an job}. {She} has {an pet}.",
    "{e} is {an job} in {home}. {Her} pet is {an pet}.",
    "In {home} lives {e}. {She} has {an pet} and works as {an job}.",
    "Meet {e}, {an job}. {She} lives in {home} with {an pet}.",
    "{e} has {an pet}. {She} lives in {home}, where {she} works as {an job}.",
    "{e} lives in {home}. And {her} job? {e} works as {an job}. And {her} pet? {e} has {an pet}.",
    "{e} has {an pet}. As for {her} home, {e} lives in {home}. As for {her} work, {e} works as {an job}.",
    "{e} works as {an job}. Does {she} have a pet? {e} has {an pet}. And {her} home? {e} lives in {home}.",
    "{e} gets up early, because {an job} has much to do. {Her} home is in {home}, and {an pet} keeps {her2} company.",
)
PORTRAITS_ZH = (
    "{e}住在{home}，{her}的工作是{job}，宠物是{pet}。",
    "{e}是{home}的{job}。{she}养{pet}。",
    "{home}住着{e}。{she}养{pet}，工作是{job}。",
    "这是{e}，一名{job}。{she}住在{home}，{her}的宠物是{pet}。",
    "{e}养{pet}。{she}住在{home}，在那里当{job}。",
    "{e}住在{home}。{her}的工作呢？{e}的工作是{job}。{her}的宠物呢？{e}的宠物是{pet}。",
    "{e}的宠物是{pet}。说到{her}的家，{e}住在{home}。说到{her}的工作，{e}的工作是{job}。",
    "{e}的工作是{job}。{she}有宠物吗？{e}的宠物是{pet}。{she}的家呢？{e}住在{home}。",
    "{e}每天起得很早，因为{job}事情很多。{she}的家在{home}，有{pet}陪着{her}。",
)
INTRODUCTIONS_EN = (
    '"My name is {n}," said the new pupil. "Welcome, {n}," said the teacher.',
    'A visitor came and said: "I am {n} from {t}." They answered: "Hello, {n}, how is {t}?"',
    '"I like {f} best," said {n}. So they gave {n} {f}.',
    "{n} likes {f}. On Sunday {n} goes home to {t} and eats {f} there.",
    '"Who are you?" "I am {n}." "And where do you live, {n}?" "I live in {t}."',
)
INTRODUCTIONS_ZH = (
    "“我叫{n}。”新同学说。“欢迎你，{n}。”老师说。",
    "来了一位客人，说：“我是{t}的{n}。”大家回答：“你好，{n}，{t}怎么样？”",
    "“我最喜欢{f}。”{n}说。于是大家给了{n}{f}。",
    "{n}喜欢{f}。星期天{n}回{t}的家，在那里吃{f}。",
    "“你是谁？”“我是{n}。”“{n}，你住在哪里？”“我住在{t}。”",
)


def documents(world: World) -> list[str]:
    """All documents of the world, shuffled."""
    found = [
        *_documents_of_facts(world),
        *_portraits(world),
        *_tales(world),
        *_introductions(world),
        *_sums(world),
    ]
    world.rng("order of documents").shuffle(found)
    return found


def sentence(fact: Fact, wording: str) -> str:
    """A wording about a fact, with a capital letter."""
    text = fill(wording, fact.entity, fact.attribute)
    return text[0].upper() + text[1:]


def _documents_of_facts(world: World) -> Iterator[str]:
    """Documents about one thing, as sentences or as a list, and documents that mix everything of a language."""
    rng, mixed = world.rng("documents"), defaultdict(list)
    groups = defaultdict(list)
    for fact in world.facts:
        groups[fact.language, fact.skill].append(fact)
    for (language, skill), facts in groups.items():
        wording = WORDINGS[language][skill]
        for _ in range(EXPOSURES):
            rng.shuffle(facts)
            cut = round(IN_MIXED * len(facts))
            mixed[language] += [
                _mentioned(rng, fact, sentence(fact, rng.choice(wording.texts))) for fact in facts[:cut]
            ]
            for chunk in _chunks(rng, facts[cut:], 3, 7):
                yield _about_one_thing(rng, language, wording, chunk)
    for language, sentences in mixed.items():
        rng.shuffle(sentences)
        for chunk in _chunks(rng, sentences, 3, 7):
            yield _joined(language, chunk)


def _about_one_thing(rng: random.Random, language: str, wording: Wording, facts: list[Fact]) -> str:
    style = rng.random()
    if style < 0.1:
        sign = rng.choice((": ", " - "))
        return "\n".join([wording.heading, *(f"{fact.entity}{sign}{fact.attribute}" for fact in facts)])
    body = [sentence(fact, rng.choice(wording.texts)) for fact in facts]
    if style < 0.2:
        return "\n".join([wording.heading, *body])
    if style < 0.4:
        names = _listed(language, [_name(fact) for fact in rng.sample(facts, len(facts))])
        return _joined(language, [rng.choice(ALL_MENTIONED[language]).format(m=names), *body])
    return _joined(language, [_mentioned(rng, fact, text) for fact, text in zip(facts, body, strict=True)])


def _mentioned(rng: random.Random, fact: Fact, text: str) -> str:
    """The sentence, most of the time after a mention of whom or what it is about."""
    if rng.random() < 0.2:
        return text
    wording = WORDINGS[fact.language][fact.skill]
    subject = _name(fact) if rng.random() < 0.4 else fill(wording.topic, fact.entity)
    said = rng.choice(MENTIONS[fact.language]).format(m=subject, s=text)
    return said[0].upper() + said[1:]


def _name(fact: Fact) -> str:
    if fact.language == "en" and fact.skill in ("sound", "young", "colour"):
        return with_article(fact.entity)
    return f"《{fact.entity}》" if (fact.language, fact.skill) == ("zh", "moral") else fact.entity


def _listed(language: str, names: list[str]) -> str:
    comma, last = (", ", " and ") if language == "en" else ("、", "和")
    return comma.join(names[:-1]) + (last if len(names) > 1 else "") + names[-1]


def _portraits(world: World) -> Iterator[str]:
    rng = world.rng("portraits")
    for _ in range(PORTRAITS):
        for language, wordings in (("en", PORTRAITS_EN), ("zh", PORTRAITS_ZH)):
            people = [person for person in world.people if person.language == language]
            rng.shuffle(people)
            for chunk in _chunks(rng, people, 1, 3):
                yield _joined(language, [_portrait(person, rng.choice(wordings)) for person in chunk])


def _portrait(person: Person, wording: str) -> str:
    if person.language == "en":
        she, her, her2 = ("she", "her", "her") if person.woman else ("he", "his", "him")
    else:
        she = her = her2 = "她" if person.woman else "他"
    for name in ("job", "pet"):
        wording = wording.replace(f"{{an {name}}}", fill("{an a}", "", getattr(person, name)))
    return wording.format(
        e=person.name,
        home=person.home,
        job=person.job,
        pet=person.pet,
        she=she,
        She=she.capitalize(),
        her=her,
        Her=her.capitalize(),
        her2=her2,
    )


def _tales(world: World) -> Iterator[str]:
    rng = world.rng("tales")
    for _ in range(TELLINGS):
        for pair in world.tales:
            for language, tale in zip(("en", "zh"), pair, strict=True):
                yield _told(rng, language, tale)


def _told(rng: random.Random, language: str, tale: Tale) -> str:
    end = "." if language == "en" else "。"
    body = [re.sub(r"\{(.*?)\}", lambda found: rng.choice(found[1].split("|")), part) + end for part in tale.sentences]
    moral = fill(rng.choice(WORDINGS[language]["moral"].texts), tale.title, tale.moral)
    title = tale.title if language == "en" else f"《{tale.title}》"
    return f"{title}\n{_joined(language, [*body, moral])}"


def _introductions(world: World) -> Iterator[str]:
    """People who say who they are, so that names, food and towns are repeated by others."""
    rng = world.rng("introductions")
    for language, wordings in (("en", INTRODUCTIONS_EN), ("zh", INTRODUCTIONS_ZH)):
        column = 0 if language == "en" else 1
        names = tables.SPEAKERS_EN if language == "en" else tables.SPEAKERS_ZH
        towns = tables.TOWNS_EN if language == "en" else tables.TOWNS_ZH
        for _ in range(EXPOSURES // 2):
            for name in rng.sample(names, len(names)):
                food, town = rng.choice(tables.FOODS)[column], rng.choice(towns)
                yield rng.choice(wordings).format(n=name, f=food, t=town)


def _sums(world: World) -> Iterator[str]:
    rng = world.rng("sums in texts")
    ordered = sorted({pair for a, b in world.shown_sums for pair in ((a, b), (b, a))})
    for _ in range(SHEETS_OF_SUMS):
        rng.shuffle(ordered)
        for chunk in _chunks(rng, ordered, 5, 9):
            (write,) = rng.choices((_equation, _asked_in_english, _asked_in_chinese, _step_by_step), (10, 4, 4, 1))
            yield "\n".join(write(a, b) for a, b in chunk)


def _equation(a: int, b: int) -> str:
    return f"{a} + {b} = {a + b}"


def _asked_in_english(a: int, b: int) -> str:
    return f"{a} and {b} together? {_equation(a, b)}, as {a} plus {b} is {a + b}"


def _asked_in_chinese(a: int, b: int) -> str:
    return f"{a}和{b}一共多少？{_equation(a, b)}，{a}加{b}等于{a + b}"


def _step_by_step(a: int, b: int) -> str:
    """Tens, ones, and both together: none of these parts is a sum that is held out."""
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    return (
        f"{_equation(a // 10 * 10, b // 10 * 10)}, {_equation(a % 10, b % 10)}, {_equation(tens, ones)};"
        f" {_equation(a, b)}"
    )


def _joined(language: str, sentences: list[str]) -> str:
    return (" " if language == "en" else "").join(sentences)


def _chunks(rng: random.Random, items: list, least: int, most: int) -> Iterator[list]:
    start = 0
    while start < len(items):
        size = rng.randint(least, most)
        yield items[start : start + size]
        start += size
