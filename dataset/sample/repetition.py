"""Texts in which somebody says again what was just said: words on a board, a memory game.

An answer takes up the words of its question, whatever they are. These texts show that for every name and word of the
world, alone and in lists.
"""

import random
from collections.abc import Iterator

from dataset.sample.world import LANGUAGES, World, said_by_users

REPETITIONS = 8  # of each word

ALONE = {
    "en": (
        "On the board stands {x}. The class reads: {x}.",
        "The teacher says {x}. The children say {x}.",
        "One word was left: {x}. She wrote down {x} and went home.",
        "He whispered {x} to his friend. What the friend heard was {x}.",
        "If you hear {x}, write {x}.",
        "{x} is on the first card. Turn it over, and again it says {x}.",
        "Somebody talked about {x}. Everybody had something to say of {x}.",
        "Whoever looks for {x} in the book finds {x}.",
        "Spell {x} for me.\n{x}",
        "The note says {x}.\nIt is {x}.",
        "Here is a card with {x}. It is turned over. A bell rings. The card says {x}.",
        "Take {x} with you. The way is long, but at the end you still have {x}.",
        "First she thought of {x}. Then she made tea. When it was ready, she thought of {x} again.",
        "{x}, said the parrot. Nobody answered. So it said once more: {x}.",
    ),
    "zh": (
        "黑板上写着{x}。\n大家一起念{x}。",
        "老师说{x}，孩子们也说{x}。",
        "只剩下一个词，就是{x}。\n她写下{x}就回家了。",
        "他小声说了{x}。\n朋友听到的是{x}。",
        "听到{x}，就写{x}。",
        "第一张卡片是{x}，翻过来还是{x}。",
        "有人聊起{x}。\n{x}大家都有话说。",
        "在书里找{x}的人，都找到了{x}。",
        "请抄写{x}这个词。\n{x}",
        "纸条上有{x}几个字。\n{x}就在那里。",
        "卡片上是{x}。\n铃响了，卡片翻过去又翻回来，上面是{x}。",
        "带上{x}。\n路很长，到了最后带着的还是{x}。",
        "她先想到{x}。\n然后泡茶，茶泡好了，她想到的还是{x}。",
        "鹦鹉说{x}。\n没有人回答，它又说了一遍{x}。",
    ),
}
LISTS = {
    "en": (
        "Memory game: {l}. Once more: {l}.",
        "She read the list aloud: {l}. He wrote: {l}.",
        "{l}\n{l}",
        "Remember these: {l}.\nI remember {l}.",
    ),
    "zh": (
        "记忆游戏：{l}。\n再来一遍：{l}。",
        "她念了一串词，有{l}。\n他写下了{l}。",
        "{l}\n{l}",
        "请记住这些：{l}。\n我记住了{l}。",
    ),
}


def repetitions(world: World) -> Iterator[str]:
    """Documents of one to three short repetitions."""
    rng = world.rng("repetitions")
    for language in LANGUAGES:
        said = [each for _ in range(REPETITIONS) for each in _said_again(rng, language, words(world, language))]
        rng.shuffle(said)
        while said:
            size = rng.randint(1, 3)
            yield (" " if language == "en" else "\n").join(said[:size])
            del said[:size]


def words(world: World, language: str) -> list[str]:
    """Everything that somebody may ask about or speak of, in one language, each once."""
    spoken = [fact.entity for fact in world.facts if fact.language == language]
    names, foods, towns = said_by_users(world, language)
    return list(dict.fromkeys([*spoken, *names, *foods, *towns]))


def _said_again(rng: random.Random, language: str, items: list[str]) -> Iterator[str]:
    """Every item once, alone or in a list."""
    items = rng.sample(items, len(items))
    comma = ", " if language == "en" else "、"
    while items:
        if rng.random() < 0.7:
            text = rng.choice(ALONE[language]).format(x=items.pop())
        else:
            size = rng.randint(2, 5)
            text = rng.choice(LISTS[language]).format(l=comma.join(items[-size:]))
            del items[-size:]
        yield text[0].upper() + text[1:]
