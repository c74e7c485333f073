"""How the sample world says things: for every skill and language, the wordings of texts, questions and answers.

`{e}` is who or what is spoken of, `{a}` what is said of it; `{an e}` and `{an a}` take an English article, and
`{An e}` a capital letter too. The first wording of a text is the one that answers take up. Questions of `asked` are
used for fine-tuning, those of `held` only for held-out questions.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """All wordings of one skill in one language."""

    answer: str
    texts: tuple[str, ...]
    asked: tuple[str, ...]
    held: tuple[str, ...]
    heading: str  # above a list of facts
    topic: str  # what is spoken of
    further: tuple[str, ...] = ()  # asks the same of another, after a first question
    further_held: tuple[str, ...] = ()


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


def wording(
    answer: str, heading: str, topic: str, texts: str, asked: str, held: str, further="", further_held=""
) -> Wording:
    """Of the lines of its arguments; questions are also asked by `FRAMES` around the topic."""
    asked_frames, held_frames = FRAMES["en" if answer.isascii() else "zh"]
    return Wording(
        answer,
        texts=(answer, answer, *lines(texts)),
        asked=(*lines(asked), *(frame.replace("{t}", topic) for frame in asked_frames)),
        held=(*lines(held), *(frame.replace("{t}", topic) for frame in held_frames)),
        heading=heading,
        topic=topic,
        further=lines(further),
        further_held=lines(further_held),
    )


# Frames around what is spoken of, the same for every skill: (for fine-tuning, held out).
FRAMES = {
    "en": (
        lines("""Tell me {t}.
        Please tell me {t}.
        Do you know {t}?
        Can you name {t}?
        Name {t}, please.
        I want to know {t}.
        I would like to know {t}.
        Can you tell me {t}?
        Could you say what {t} is?
        Please say what {t} is, if you know.
        Let me know {t}.
        I forgot {t}.
        Do you remember {t}?
        Please tell me what {t} is.
        Give me {t}.
        Say {t}, please.
        Kindly tell me {t}.
        The question is: what is {t}?
        Would you tell me {t}?
        Could you let me know {t}?
        Can you name {t} for me?
        Who can tell me {t}?
        Could you name {t}?
        Can you let me know {t}?
        I do not know {t}.
        I have a question: what is {t}?"""),
        lines("""Please name {t}.
        Could you tell me {t}?
        Can you say what {t} is?
        Please let me know {t}."""),
    ),
    "zh": (
        lines("""{t}是什么？
        请问{t}是什么？
        告诉我{t}。
        请告诉我{t}。
        你知道{t}吗？
        我想知道{t}。
        说出{t}。
        请你说说{t}是什么。
        你能说出{t}吗？
        能说说{t}吗？
        请回答：{t}是什么？
        我忘了{t}。
        你记得{t}吗？
        请你说出{t}。
        你能告诉我{t}是什么吗？
        能告诉大家{t}吗？
        请把{t}告诉我。
        麻烦你告诉我{t}。
        说一说{t}。
        谁能说出{t}？
        我要问的是{t}。
        能请你说出{t}吗？
        请说明{t}是什么。
        你可以告诉我{t}吗？
        我不知道{t}。
        能不能告诉我{t}？"""),
        lines("""请说出{t}。
        能告诉我{t}吗？
        请你告诉我{t}是什么。
        你能说说{t}是什么吗？"""),
    ),
}

FURTHER_EN, FURTHER_HELD_EN = (
    "And {e}?\nWhat about {e}?\nAnd for {e}?\nThe same for {e}, please.",
    "And what about {e}?",
)
FURTHER_AN, FURTHER_HELD_AN = FURTHER_EN.replace("{e}", "{an e}"), FURTHER_HELD_EN.replace("{e}", "{an e}")
FURTHER_ZH, FURTHER_HELD_ZH = "那{e}呢？\n{e}呢？\n那么{e}呢？\n还有{e}呢？", "那还有{e}呢？"
