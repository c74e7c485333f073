"""Small stories with a moral, each told in English and in Chinese."""

from dataclasses import dataclass
from typing import Annotated

from dataset.sample.loader import LANGUAGES, Lines, read_wordings, wordings_path
from model.errors import SproutError


@dataclass(frozen=True)
class Tale:
    """One tale in one language (wordings/<language>/tales.yaml)."""

    title: str
    sentences: Annotated[Lines, "a|b"]  # without full stops
    moral: str


def tales() -> list[tuple[Tale, Tale]]:
    """Pairs of a tale in English and the same in Chinese. Raises `SproutError` where one of the two is missing."""
    told = {language: read_wordings("tales", language, dict[str, Tale]) for language in LANGUAGES}
    for language, other in (("zh", "en"), ("en", "zh")):
        for key in told[other]:
            if key not in told[language]:
                raise SproutError(
                    f"{wordings_path('tales', language)}: {key} is missing, which {wordings_path('tales', other)} tells"
                )
    return [(tale, told["zh"][key]) for key, tale in told["en"].items()]
