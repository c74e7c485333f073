"""The built-in tool `lookup`: what is true in the sample world (`dataset/sample`), in English and Chinese."""

from functools import cache

from dataset.sample.world import World

# What is known of somebody or something, by the names of both languages.
NAMES = {
    "capital": "首都",
    "sound": "叫声",
    "young": "幼崽",
    "colour": "颜色",
    "opposite": "反义词",
    "translation": "英语",
    "home": "住处",
    "job": "工作",
    "pet": "宠物",
    "moral": "寓意",
}
_SKILLS = {name: skill for skill, chinese in NAMES.items() for name in (skill, chinese)}


def lookup(entity: str, what: str = "") -> str:
    """Looks up a fact. 查一个事实。

    Args:
        entity: such as France, dog, 法国
        what: capital, sound, young, colour, opposite, translation, home, job, pet, moral; 首都, 叫声, ...
    """
    known = _facts().get(_key(entity))
    if known is None:
        raise ValueError(f"nothing is known of {entity[:60]}")
    language, facts = known
    if not what.strip():
        mark = "：" if language == "zh" else ": "
        return "\n".join(f"{_name(skill, language)}{mark}{fact}" for skill, fact in facts.items())
    skill = _SKILLS.get(what.strip().lower())
    if skill not in facts:
        names = ", ".join(_name(skill, language) for skill in facts)
        raise ValueError(f"{what[:60]} of {entity[:60]} is not known, but: {names}")
    return facts[skill]


def _name(skill: str, language: str) -> str:
    return NAMES[skill] if language == "zh" else skill


@cache
def _facts() -> dict[str, tuple[str, dict[str, str]]]:
    """What is asked about -> (its language, {skill: fact}), in the world that the quickstart is made from."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for fact in World().facts:
        found.setdefault(_key(fact.entity), (fact.language, {}))[1][fact.skill] = fact.attribute
    return found


def _key(entity: str) -> str:
    """An entity as it is looked for: without capital letters, article and quotation marks."""
    words = entity.strip().strip("《》\"'").lower().split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ("a", "an", "the") else words)
