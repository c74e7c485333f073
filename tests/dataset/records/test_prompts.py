"""What a policy is asked, and what its answers are rated by, from records of any shape."""

import pytest

from dataset.records.documents import FormatReader
from dataset.records.formats import BadRecord
from dataset.records.prompts import PROMPT_OR_CHAT

ASKED = {"role": "user", "content": "x"}
SYSTEM = {"role": "system", "content": "s"}
HUMAN = {"from": "human", "value": "x"}
SAID = {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    "record, messages, columns",
    [
        ({"prompt": "x", "gold": 3}, [ASKED], {"gold": 3}),
        ({"prompt": "x", "system": "s"}, [SYSTEM, ASKED], {}),
        (
            {"prompt": "x", "system_prompt": "s", "weight": 72, "label": "good"},
            [SYSTEM, ASKED],
            {"weight": 72, "label": "good"},
        ),
        ({"prompt": "x", "history": [["x", "yes"]]}, [ASKED, SAID, ASKED], {}),
        ({"prompt": "Human: x\n\nAssistant: yes\n\nHuman: x\n\nAssistant:"}, [ASKED, SAID, ASKED], {}),
        ({"question": "\n\nHuman: x\n\nAssistant:", "answer": " yes"}, [ASKED], {"answer": "yes"}),
        ({"prompt": "Human: x"}, [ASKED | {"content": "Human: x"}], {}),
        ({"prompt": [SYSTEM, ASKED], "answer": "4"}, [SYSTEM, ASKED], {"answer": "4"}),
        ({"question": "x", "answer": "#### 3", "skill": "sum"}, [ASKED], {"answer": "#### 3", "skill": "sum"}),
        ({"messages": [ASKED], "k": 1}, [ASKED], {"k": 1}),
        ({"messages": [ASKED, {"role": "assistant", "content": ""}], "k": 1}, [ASKED], {"k": 1}),
        ({"messages": [ASKED, SAID]}, [ASKED], {"answer": "yes"}),
        ({"messages": [ASKED, SAID], "answer": "no"}, [ASKED], {"answer": "no"}),
        ({"messages": [ASKED, SAID, {"role": "user", "content": "y"}]}, [ASKED, SAID, ASKED | {"content": "y"}], {}),
        ({"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": None}]}, [ASKED], {}),
        (
            {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "yes"}]},
            [ASKED],
            {"answer": "yes"},
        ),
        ({"instruction": "x", "input": "", "output": "yes"}, [ASKED], {"answer": "yes"}),
        ({"question": "x", "answer": 9}, [ASKED], {"answer": "9"}),
        ({"question": "x", "answer": None, "k": 1}, [ASKED], {"k": 1}),
        ({"instruction": "x", "output": " "}, [ASKED], {}),
        ({"prompt": "x", "completion": "yes", "k": 1}, [ASKED], {"answer": "yes", "k": 1}),
        ({"question": "x", "ground_truth": 3}, [ASKED], {"ground_truth": 3}),
        ({"problem": "x", "solution": "1+2=3", "answer": "3"}, [ASKED], {"solution": "1+2=3", "answer": "3"}),
        ({"query": "x", "answer": "3", "system": "s"}, [SYSTEM, ASKED], {"answer": "3"}),
        ({"instruction": "x", "input": "", "solution": "3"}, [ASKED], {"solution": "3"}),
        ({"instruction": "a", "input": "b"}, [ASKED | {"content": "a\nb"}], {}),
        ({"question": [SYSTEM, ASKED], "answers": ["3"]}, [SYSTEM, ASKED], {"answers": ["3"]}),
        ({"prompt": "x", "problem": "y"}, [ASKED], {"problem": "y"}),
        ({"conversation": [{"human": "x", "assistant": "yes"}], "k": 1}, [ASKED], {"answer": "yes", "k": 1}),
        (
            {"conversation": [{"human": "x", "assistant": "yes"}, {"human": "x", "assistant": ""}]},
            [ASKED, SAID, ASKED],
            {},
        ),
    ],
)
def test_a_prompt_ends_before_the_answer_and_all_other_columns_stay(record, messages, columns):
    found = FormatReader(PROMPT_OR_CHAT)(record)
    assert list(found.conversation.messages) == messages and found.columns == columns


@pytest.mark.parametrize(
    "record, reason",
    [
        ({"prompt": ""}, "is empty"),
        ({"prompt": []}, "the conversation is empty"),
        ({"messages": [SAID]}, "nothing is asked"),
        ({"messages": [ASKED, SAID, SAID]}, "nothing is asked"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role is unknown"),
        ({"text": "x"}, "the record is of another kind"),
    ],
)
def test_what_asks_nothing_is_refused(record, reason):
    with pytest.raises(BadRecord, match=reason):
        FormatReader(PROMPT_OR_CHAT)(record)


def test_equal_prompts_are_one_whatever_is_right():
    first, second = (FormatReader(PROMPT_OR_CHAT)({"question": "x", "answer": answer}) for answer in "12")
    assert first.to_json() == second.to_json()
    turns = [ASKED, SAID, ASKED]
    marked = [ASKED, SAID | {"train": False}, ASKED]
    one, other = (FormatReader(PROMPT_OR_CHAT)({"messages": each}) for each in (turns, marked))
    assert one.to_json() == other.to_json()
