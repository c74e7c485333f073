"""The texts of the sample world: every fact many times, in many wordings, spread over different documents."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator

from dataset.sample.repetition import repetitions
from dataset.sample.tales import Tale
from dataset.sample.wordings import Wording
from dataset.sample.wordings_en import EN
from dataset.sample.wordings_zh import ZH
from dataset.sample.world import Fact, Person, World, fill, said_by_users, with_article

WORDINGS: dict[str, dict[str, Wording]] = {"en": EN, "zh": ZH}

# How often each fact is stated.
EXPOSURES = 20
MORE_EXPOSURES = {"sound": 32, "young": 32}  # few and unlike each other
IN_MIXED = 0.35  # of the statements, in documents that mix everything
PORTRAITS = 8  # of each person, besides
TELLINGS = 10  # of each tale
INTRODUCTIONS = 8  # of each name
SHEETS_OF_SUMS = 3  # times that each sum is shown, in either order

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
        "接着是{m}。\n{s}",
        "关于{m}：\n{s}",
        "有人问起{m}。\n{s}",
        "再看{m}。\n{s}",
        "这里讲{m}。\n{s}",
        "我知道{m}。\n{s}",
        "下面说说{m}。\n{s}",
        "大家谈到{m}。\n{s}",
        "书上写到{m}，如下。\n{s}",
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
    "The home of {e} is in {home}. And {her} job? The job of {e} is to be {an job}. And {her} pet? The pet of {e} is"
    " {an pet}.",
    "The pet of {e} is {an pet}. Now {her} home: The home of {e} is in {home}. Then {her} work: The job of {e} is to be"
    " {an job}.",
    "The job of {e} is to be {an job}. Then {her} pet: The pet of {e} is {an pet}. Where {she} lives: The home of {e}"
    " is in {home}.",
    "{e} gets up early, because {an job} has much to do. {Her} home is in {home}, and {an pet} keeps {her2} company.",
)
PORTRAITS_ZH = (
    "{e}住在{home}，{her}的工作是{job}，宠物是{pet}。",
    "{e}是{home}的{job}。\n{she}养{pet}。",
    "{home}住着{e}。\n{she}养{pet}，工作是{job}。",
    "这是{e}，一名{job}。\n{she}住在{home}，{her}的宠物是{pet}。",
    "{e}住在{home}。\n{her}的工作呢？\n{e}的工作是{job}。\n{her}的宠物呢？\n{e}的宠物是{pet}。",
    "{e}的宠物是{pet}。\n说到{her}的家。\n{e}住在{home}。\n说到{her}的工作。\n{e}的工作是{job}。",
    "{e}的工作是{job}。\n{she}有宠物吗？\n{e}的宠物是{pet}。\n{she}的家呢？\n{e}住在{home}。",
    "{e}每天起得很早，因为{job}事情很多。\n{she}的家在{home}，有{pet}陪着{her}。",
)
INTRODUCTIONS_EN = (
    '"My name is {n}," said the new pupil. "Welcome, {n}," said the teacher.',
    'A visitor came and said: "I am {n} from {t}." They answered: "Hello, {n}, how is {t}?"',
    "{n} likes {f}. On Sunday {n} goes home to {t} and eats {f} there.",
    "I am {n}.\nYour name is {n}.",
    "I am at home in {t}.\nYou live in {t}.",
    "I eat {f} every day.\nYou like {f} best.",
    "They call me {n}. I come from {t}. I eat much {f}.\nYou live in {t}. Your name is {n}. You like {f} best.",
    "I love {f}. I am from {t}. People call me {n}.\nYour name is {n}. You like {f} best. You live in {t}.",
    "In {t} is my house. With {f} I am happy. And {n} is my name.\n"
    "You like {f} best. You live in {t}. Your name is {n}.",
)
INTRODUCTIONS_ZH = (
    "新同学说，我叫{n}。\n老师说，欢迎你，{n}。",
    "来了一位客人，是{t}的{n}。\n大家问，{n}，{t}怎么样？",
    "{n}喜欢{f}。\n星期天{n}回{t}的家，在那里吃{f}。",
    "我是{n}。\n你叫{n}。",
    "我从{t}来。\n你住在{t}。",
    "我天天吃{f}。\n你最喜欢吃{f}。",
    "大家叫我{n}。\n我从{t}来。\n我常吃{f}。\n你住在{t}。\n你叫{n}。\n你最喜欢吃{f}。",
    "我爱{f}。\n我是{t}人。\n人们叫我{n}。\n你叫{n}。\n你最喜欢吃{f}。\n你住在{t}。",
    "{t}有我的家。\n有{f}我就高兴。\n{n}是我的名字。\n你最喜欢吃{f}。\n你住在{t}。\n你叫{n}。",
)


def documents(world: World) -> list[str]:
    """All documents of the world, shuffled."""
    found = [
        *_documents_of_facts(world),
        *_portraits(world),
        *_tales(world),
        *_introductions(world),
        *repetitions(world),
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
        for _ in range(MORE_EXPOSURES.get(skill, EXPOSURES)):
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
        names, foods, towns = said_by_users(world, language)
        for _ in range(INTRODUCTIONS):
            for name in rng.sample(names, len(names)):
                yield rng.choice(wordings).format(n=name, f=rng.choice(foods), t=rng.choice(towns))


def _sums(world: World) -> Iterator[str]:
    rng = world.rng("sums in texts")
    ordered = sorted({pair for a, b in world.shown_sums for pair in ((a, b), (b, a))})
    for _ in range(SHEETS_OF_SUMS):
        rng.shuffle(ordered)
        for chunk in _chunks(rng, ordered, 5, 9):
            (write,) = rng.choices(
                (_equation, _mentioned_in_english, _mentioned_in_chinese, _step_by_step), (10, 4, 4, 1)
            )
            yield "\n".join(write(a, b, rng) for a, b in chunk)


def _equation(a: int, b: int, rng: random.Random | None = None) -> str:
    return f"{a} + {b} = {a + b}"


def _mentioned_in_english(a: int, b: int, rng: random.Random) -> str:
    named = rng.choice(("{a} + {b}", "{a} plus {b}", "{a} and {b}", "the sum of {a} and {b}")).format(a=a, b=b)
    return rng.choice(MENTIONS["en"]).format(m=named, s=f"{_equation(a, b)}.")


def _mentioned_in_chinese(a: int, b: int, rng: random.Random) -> str:
    named = rng.choice((" {a} + {b} ", "{a}加{b}", "{a}和{b}", "{a}与{b}的和")).format(a=a, b=b)
    return rng.choice(MENTIONS["zh"]).format(m=named, s=f"{_equation(a, b)}。")


def _step_by_step(a: int, b: int, rng: random.Random) -> str:
    """Tens, ones, and both together: none of these parts is a sum that is held out."""
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    return (
        f"{_equation(a // 10 * 10, b // 10 * 10)}, {_equation(a % 10, b % 10)}, {_equation(tens, ones)};"
        f" {_equation(a, b)}"
    )


def _joined(language: str, sentences: list[str]) -> str:
    # A line each in Chinese: the pre-tokenizer takes a mark and the word behind it together.
    return (" " if language == "en" else "\n").join(sentences)


def _chunks(rng: random.Random, items: list, least: int, most: int) -> Iterator[list]:
    start = 0
    while start < len(items):
        size = rng.randint(least, most)
        yield items[start : start + size]
        start += size
