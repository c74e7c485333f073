"""Products of two three-digit numbers, which a small network cannot work out, and a calculator that it may call.

Half of the conversations call it, the others answer at once: a start from which rewards can teach to call it always.
"""

import random
from dataclasses import dataclass
from typing import Annotated

from dataset.sample.loader import LANGUAGES, Lines, read_wordings
from dataset.sample.questions import record
from dataset.sample.world import World

SMALLEST, LARGEST = 100, 999
CHATS, PROMPTS, HELD_PROMPTS = 2000, 2000, 300
CALLING_SHARE = 0.5  # of the conversations

SKILL = "product"


@dataclass(frozen=True)
class ProductWordings:
    """Questions of one language (wordings/<language>/products.yaml)."""

    products: Annotated[Lines, "a", "b"]


@dataclass(frozen=True)
class ToolWordings:
    """What a model is told of a tool that takes one text (wordings/en/calculator.yaml)."""

    name: str
    description: str
    argument: str
    argument_description: str

    def schema(self) -> dict:
        """In the form of OpenAI and Hermes, as `inference/tools/schemas.py` makes it of the function."""
        properties = {self.argument: {"type": "string", "description": self.argument_description}}
        parameters = {"type": "object", "properties": properties, "required": [self.argument]}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


def calculator() -> ToolWordings:
    return read_wordings("calculator", "en", ToolWordings)


def tool_chats(world: World) -> list[dict]:
    """Chat records with `tools`: about half of the answers call the calculator and repeat its result."""
    rng, tool = world.rng("tool chats"), calculator()
    found = []
    for pair in _pairs(world)[:CHATS]:
        language, asked = _question(pair, rng)
        result = str(pair[0] * pair[1])
        chat = record(SKILL, language, [asked, result]) | {"tools": [tool.schema()]}
        if rng.random() < CALLING_SHARE:
            call = {"name": tool.name, "arguments": {tool.argument: "{} * {}".format(*pair)}}
            turns = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": result}]
            chat["conversations"][1:1] = turns
        found.append(chat)
    return found


def product_prompts(world: World, held: bool) -> list[dict]:
    """`{"question", "answer", ...}`: the answer is the product, which is that of no other prompt and no chat."""
    rng, pairs = world.rng(f"products {held}"), _pairs(world)[CHATS:]
    found = []
    for pair in pairs[PROMPTS:] if held else pairs[:PROMPTS]:
        language, asked = _question(pair, rng)
        found.append({"question": asked, "answer": str(pair[0] * pair[1]), "skill": SKILL, "language": language})
    return found


def _question(pair: tuple[int, int], rng: random.Random) -> tuple[str, str]:
    """(language, a question for the product of the pair)."""
    language = rng.choice(LANGUAGES)
    wordings = read_wordings("products", language, ProductWordings).products
    return language, rng.choice(wordings).format(a=pair[0], b=pair[1])


def _pairs(world: World) -> list[tuple[int, int]]:
    """All pairs of factors, in any order: those of the chats, of the prompts, and of the held-out ones."""
    rng, found = world.rng("products"), {}  # by their products
    while len(found) < CHATS + PROMPTS + HELD_PROMPTS:
        a, b = (rng.randint(SMALLEST, LARGEST) for _ in range(2))
        found.setdefault(a * b, (a, b))
    return list(found.values())
