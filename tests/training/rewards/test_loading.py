"""`--reward`: which words name which function, what a user's function may ask for and return, and what is refused."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import SproutError, UsageError
from training.rewards.loading import Reward, load_rewards, rate

MINE = """
import helper_beside
CALLS = []

def mine(prompts, completions, answer, **columns):
    CALLS.append(columns)
    return [float(helper_beside.ONE if one == right else 0) for one, right in zip(completions, answer)]

def few(completions):
    return [None if not one else len(one) for one in completions]

def fails(completions):
    return [
        {}["gold"]
        for one in completions
    ]

def asks(completions, gold):
    return [0] * len(completions)

def silent(prompts):
    return [0]

def only(prompts, completions, /):
    return [0]

async def later(completions):
    return [0]

class Judge:
    pass

other = 3
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "helper_beside.py").write_text("ONE = 1\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def weights(*items) -> list[tuple[str, float]]:
    return [(reward.name, reward.weight) for reward in load_rewards(items)]


def test_names_and_weights(mine):
    assert weights("exact", "format:0.2", "repetition:-1") == [("exact", 1), ("format", 0.2), ("repetition", -1)]
    assert weights(f"{mine}:few:.5", f"{mine}:mine") == [("few", 0.5), ("mine", 1)]


def test_a_drive_is_no_function(mine, monkeypatch):
    """A path of Windows, here a file whose name begins like one."""
    monkeypatch.chdir(mine.parent)
    mine.rename(mine.with_name("C:mine.py"))
    assert weights("C:mine.py:few", "C:mine.py:mine:2") == [("few", 1), ("mine", 2)]
    with pytest.raises(UsageError, match=r"there is no file D:\\x\\mine.py"):
        load_rewards([r"D:\x\mine.py:few:0.5"])


@pytest.mark.parametrize(
    "item, said",
    [
        ("exakt", "there is no reward 'exakt': did you mean exact?"),
        ("zzz", "there are exact, contains, format, length, overlong, repetition, model, and file.py:function"),
        ("exact:much", "'much' is no weight: give a number, as in exact:0.5"),
        ("exact:nan", "'nan' is no weight"),
        ("exact:", "'' is no weight"),
        ("exact:-1e308", "the weight -1e+308 is beyond 1,000,000: give a smaller one"),
        ("nowhere.py:few", "there is no file nowhere.py"),
        ("{f}", "name the function, as in mine.py:mine"),
        ("{f}:0.5", "name the function, as in mine.py:mine"),
        ("{f}:fews", "mine.py has no function fews: did you mean few?"),
        ("{f}:zzz", "mine.py has no function zzz: it has mine, few"),
        ("{f}:few:x", "'x' is no weight"),
        (
            "{f}:silent",
            "mine.py silent does not take the completions: write def silent(prompts, completions, **columns)",
        ),
        ("{f}:only", "takes arguments by position only"),
        ("{f}:later", "is asynchronous or a generator"),
        ("{f}:Judge", "is no function"),
        ("{f}:other", "is no function"),
        ("model", "name the reward model, as in model:out/reward_512.pth:0.5"),
        ("model:reward", "--reward model:reward: there is no file or folder reward"),
    ],
)
def test_what_names_no_reward_is_said_in_a_sentence(mine, item, said):
    with pytest.raises(SproutError) as error:
        load_rewards([item.format(f=mine)])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_two_of_a_name_are_refused(mine):
    with pytest.raises(UsageError, match="two rewards are called exact"):
        load_rewards(["exact", "exact:2"])


@pytest.mark.parametrize(
    "text, said",
    [
        ("def f(:\n", "bad.py:1: "),
        ("\nimport nothing_of_this_name\n", "bad.py:2: ModuleNotFoundError"),
        ("exit(3)", "bad.py:1: SystemExit"),
    ],
)
def test_a_file_that_cannot_be_run_is_named_with_its_line(tmp_path, text, said):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(SproutError) as error:
        load_rewards([f"{tmp_path}/bad.py:f"])
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_file_in_utf16_is_told_to_be_saved_as_utf8(tmp_path):
    path = tmp_path / "r.py"
    path.write_text("def f(completions):\n    return [1]", encoding="utf-16")
    with pytest.raises(SproutError, match=r"r\.py:1: .* was not loaded: save the file as UTF-8$"):
        load_rewards([f"{path}:f"])


def test_the_table_has_a_column_for_each_function_and_nan_for_none(mine):
    rewards = load_rewards([f"{mine}:mine", f"{mine}:few", "exact:0.5"])
    found = rate(rewards, ["?"] * 3, ["5", "", "6"], {"answer": ["5", "5", None], "skill": ["sum"] * 3})
    assert found.dtype == torch.float64 and found.shape == (3, 3)
    wanted = torch.tensor([[1, 1, 1], [0, math.nan, 0], [0, 1, math.nan]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted, equal_nan=True)
    assert rewards[0].function.__globals__ is rewards[1].function.__globals__  # the file was run once
    calls = rewards[0].function.__globals__["CALLS"]
    assert len(calls) == 1 and calls[0].keys() == {"skill"}
    assert rate([], ["?"], ["a"], {}).shape == (1, 0) and rate(rewards[1:2], [], [], {}).shape == (0, 1)


@pytest.mark.parametrize(
    "returned", [np.array([1.5, 2]), torch.tensor([1.5, 2]), (1.5, 2), [np.float32(1.5), torch.tensor(2)]]
)
def test_other_kinds_of_numbers_are_numbers(returned):
    assert rate([Reward("f", lambda completions: returned)], "ab", "ab", {})[:, 0].tolist() == [1.5, 2]


@pytest.mark.parametrize(
    "returned, said",
    [
        (None, "returned nothing, not a list"),
        (1.0, "returned a value of type float, not a list"),
        ("ab", "returned a value of type str, not a list"),
        ([1.0], "returned 1 numbers for 2 answers"),
        ([1.0, "2"], "returned a value of type str for answer 1"),
        ([[1.0], [2.0]], "returned a value of type list for answer 0"),
        ([math.nan, 1], "returned nan for answer 0: return None"),
        ([1, -math.inf], "returned -inf for answer 1"),
        ([1, -1e300], "returned -1e+300 for answer 1: no reward may exceed 1e+12 in size"),
        ([1, 10**400], "for answer 1"),
        ([1, 1j], "returned a value of type complex for answer 1"),
    ],
)
def test_what_a_function_returns_is_checked(returned, said):
    with pytest.raises(SproutError) as error:
        rate([Reward("judge", lambda completions: returned)], "ab", "ab", {})
    assert said in str(error.value) and "test_loading.py:" in str(error.value) and "judge" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_exception_is_a_sentence_with_its_place(mine):
    with pytest.raises(SproutError) as error:
        rate(load_rewards([f"{mine}:fails"]), ["?"], ["a"], {})
    assert "the reward" in str(error.value) and "mine.py:14: KeyError: 'gold'" in str(error.value)
    assert "fails" in str(error.value) and "\n" not in str(error.value)


def test_a_reward_neither_ends_the_run_nor_switches_gradients_off():
    with pytest.raises(SproutError, match="SystemExit: 0"):
        rate([Reward("leaves", lambda completions: sys.exit(0))], "a", "a", {})
    rate([Reward("off", lambda completions: [float(torch.set_grad_enabled(False) is None)])], "a", "a", {})
    assert torch.is_grad_enabled()


def test_a_column_that_is_not_there_is_named(mine):
    with pytest.raises(SproutError, match="asks for 'gold', which the records do not have: there are answer"):
        rate(load_rewards([f"{mine}:asks"]), ["?"], ["a"], {"answer": ["a"]})


@pytest.mark.parametrize("page", ["rewards.md", "rewards_zh.md"])
def test_the_example_of_the_pages_works(page, tmp_path):
    text = (Path(__file__).parents[3] / "docs" / page).read_text("utf-8")
    (tmp_path / "my_file.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), encoding="utf-8")
    rewards = load_rewards([f"{tmp_path}/my_file.py:my_function:0.5"])
    found = rate(rewards, ["?"] * 3, ["Paris.", "In Paris.", "Rome"], {"answer": ["Paris", "Paris", None]})
    assert found[:, 0].tolist()[:2] == [1, 0] and found[2].isnan()
