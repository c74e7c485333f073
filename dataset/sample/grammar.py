"""How words go into wordings: articles, capital letters, lists, and sentences one after another."""

from dataclasses import dataclass

from dataset.sample.loader import Lines, read_wordings

COMMA = {"en": ", ", "zh": "、"}
FULL_STOP = {"en": ".", "zh": "。"}


@dataclass(frozen=True)
class Articles:
    """wordings/en/articles.yaml: English nouns that take no "a" or "an"."""

    without_article: Lines
    with_the: Lines


def with_article(noun: str) -> str:
    """`a dog`, `an owl`, `milk`, `the sky`."""
    articles = read_wordings("articles", "en", Articles)
    if noun in articles.without_article:
        return noun
    if noun in articles.with_the:
        return f"the {noun}"
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def fill(wording: str, entity: str, attribute: str = "") -> str:
    """A wording about a fact with its `{entity}`, `{attribute}`, and those with an article, filled in."""
    if "{an entity}" in wording or "{An entity}" in wording:
        noun = with_article(entity)
        wording = wording.replace("{an entity}", noun).replace("{An entity}", capitalised(noun))
    if "{an attribute}" in wording:
        wording = wording.replace("{an attribute}", with_article(attribute))
    return wording.replace("{entity}", entity).replace("{attribute}", attribute)


def capitalised(text: str) -> str:
    """The text with its first letter in upper case; the others stay."""
    return text[0].upper() + text[1:]


def joined(language: str, sentences: list[str]) -> str:
    """Sentences one after another: on a line in English, a line each in Chinese.

    The pre-tokenizer takes a Chinese mark and the word behind it together, so a line end keeps them apart.
    """
    return (" " if language == "en" else "\n").join(sentences)


def listed(language: str, names: list[str]) -> str:
    """`a, b and c`."""
    last = {"en": " and ", "zh": "和"}[language]
    return COMMA[language].join(names[:-1]) + (last if len(names) > 1 else "") + names[-1]
