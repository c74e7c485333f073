"""Products in the sample world: true, apart from each other, and with the calculator that there is."""

import re

import pytest

from dataset.records.chat_formats import CHAT
from dataset.records.documents import FormatReader
from dataset.records.prompts import PROMPT_OR_CHAT
from dataset.sample.products import calculator, product_prompts, tool_chats
from dataset.sample.prompts import prompts, sums
from dataset.sample.world import World
from inference.grading import grade
from inference.tools.calls import Call
from inference.tools.toolbox import Toolbox

WORLD = World()


@pytest.fixture(scope="module")
def chats() -> list[dict]:
    return tool_chats(WORLD)


def factors(asked: str) -> tuple[int, int]:
    a, b = map(int, re.findall(r"\d+", asked))
    assert 100 <= a <= 999 and 100 <= b <= 999
    return a, b


def test_about_half_of_the_chats_call_the_calculator_and_all_end_with_the_product(chats):
    calling = 0
    for chat in chats:
        asked, *between, last = chat["conversations"]
        a, b = factors(asked["content"])
        assert last == {"role": "assistant", "content": str(a * b)}
        if between:
            called, result = between
            calling += 1
            (call,) = called["tool_calls"]
            assert call["arguments"] == {"expression": f"{a} * {b}"}
            assert result == {"role": "tool", "content": str(a * b)}
    assert 0.45 < calling / len(chats) < 0.55
    assert {chat["language"] for chat in chats} == {"en", "zh"}


def test_the_calculator_of_the_records_is_the_built_in_one_and_gives_their_results(chats):
    calling = [chat["conversations"] for chat in chats if len(chat["conversations"]) > 2]
    with Toolbox(["calculator"]) as toolbox:
        assert all(chat["tools"] == toolbox.schemas == [calculator().schema()] for chat in chats)
        for _, called, result, _ in calling[:20]:
            ran = toolbox.run(Call(**called["tool_calls"][0]))
            assert ran.text == result["content"] and not ran.failed


def test_no_two_records_have_the_same_product(chats):
    shown, held = product_prompts(WORLD, held=False), product_prompts(WORLD, held=True)
    products = [chat["conversations"][-1]["content"] for chat in chats]
    for prompt in [*shown, *held]:
        a, b = factors(prompt["question"])
        assert prompt["answer"] == str(a * b) and grade(prompt["answer"], prompt["answer"])
        products.append(prompt["answer"])
    assert len(set(products)) == len(products) and len(shown) >= 1000 and len(held) >= 200


def test_records_are_read_as_chats_with_a_tool_and_as_prompts(chats):
    document = FormatReader(CHAT)(chats[0])
    assert [tool["function"]["name"] for tool in document.tools] == ["calculator"]
    prompt = FormatReader(PROMPT_OR_CHAT)(product_prompts(WORLD, held=False)[0])
    assert set(prompt.columns) == {"answer", "skill", "language"}


def test_the_sums_are_those_of_the_prompts():
    found = sums(WORLD)
    assert len(found) > 1000 and all(each["skill"] == "sum_of_three" for each in found)
    assert all(each in prompts(WORLD, held=False) for each in found[:3])
