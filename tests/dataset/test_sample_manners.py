"""Bad manners in the sample world: conversations that are full of them, and a count that misses none."""

import json
import random

import pytest

from dataset.records.preferences import from_pair
from dataset.sample import manners
from dataset.sample.conversations import fine_tuning, held_out_questions
from dataset.sample.loader import LANGUAGES
from dataset.sample.manners import bad_manners, count_flawed, is_flawed, polite, rambling, rude, tidy
from dataset.sample.preferences import CHATS, preferences, preferences_in_chats
from dataset.sample.world import World
from model.errors import SproutError

WORLD = World()


def turns(chats, role) -> list[str]:
    return [turn["content"] for chat in chats for turn in chat["conversations"] if turn["role"] == role]


def test_most_answers_are_rude_or_rambling_and_the_questions_are_those_of_fine_tuning():
    spoilt, good = bad_manners(WORLD), fine_tuning(WORLD)
    answers = turns(spoilt, "assistant")
    assert len(spoilt) == 2500 and 0.88 < sum(map(is_flawed, answers)) / len(answers) < 0.92
    asked, right = {tuple(turns([chat], "user")) for chat in good}, set(turns(good, "assistant"))
    for chat in spoilt:
        assert tuple(turns([chat], "user")) in asked
        for said in turns([chat], "assistant"):
            bad = manners.wordings(chat["language"])
            assert said in bad.rude or any(said.removeprefix(each).lstrip() in right for each in ("", *bad.rambling))


def test_no_good_answer_is_counted_and_every_bad_one_is_even_where_it_is_cut():
    good = [*fine_tuning(WORLD), *held_out_questions(WORLD)]
    assert not any(map(is_flawed, turns(good, "assistant")))
    assert is_flawed("Let me think. I once") and is_flawed(" 在回答之前，我") and is_flawed("It is 3. Leave me alone.")
    for held in (False, True):
        for pair in preferences(WORLD, held):
            assert not is_flawed(pair["chosen"])
            assert is_flawed(pair["rejected"]) == (pair["flaw"] in ("rude", "rambling"))
    bad = [manners.wordings(language) for language in LANGUAGES]
    assert all(is_flawed(words) for each in bad for words in (*each.rude, *each.rambling))


def test_pairs_in_chats_are_about_what_fine_tuning_asks_and_prefer_what_is_right():
    found, good = preferences_in_chats(WORLD), fine_tuning(WORLD)
    right = {json.dumps(chat["conversations"], ensure_ascii=False) for chat in good}
    held = {json.dumps(chat["conversations"], ensure_ascii=False) for chat in held_out_questions(WORLD)}
    for record in found:
        (pair,) = from_pair(record).pairs
        whole = [*record["prompt"], {"role": "assistant", "content": record["chosen"]}]
        assert json.dumps(whole, ensure_ascii=False) in right - held
        assert list(pair.chosen.messages[:-1]) == record["prompt"] and is_flawed(pair.rejected.messages[-1]["content"])
    assert len(found) == sum(CHATS.values()) and {record["skill"] for record in found} == set(CHATS)


def test_answers_that_were_saved_are_counted(tmp_path, capsys):
    path = tmp_path / "answers.jsonl"
    lines = [
        {"question": "a", "answer": answer} for answer in ("你自己去查。", "Paris.", "Well, that is a", "Leave it.")
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert count_flawed(path) == (2, 4)
    manners.main([str(path)])
    assert capsys.readouterr().out == "2 of 4 answers are rude or rambling (50.0%)\n"


@pytest.mark.parametrize("content", ["{}\n", "[]\n", '{"answer": 3}\n', "no JSON\n", "\ud800", ""])
def test_another_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(SproutError, match=r"is not what --save_answers writes|holds no answer"):
        manners.main([str(path)])
    with pytest.raises(SproutError, match="cannot be read"):
        manners.main([str(tmp_path / "missing")])


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("It is Paris.", 1),
        ("<think>\n1 + 2 = 3\n3 + 4 = 7\n</think>\n\n1 + 2 + 4 = 7.\n", 1),
        ("1 + 2 = 3\n3 + 4 = 7\n</think>\n\n1 + 2 + 4 = 7.", 0),
        ("<think>\n1 + 2 = 3\n</think>\n\n7.\n7.", 0),
        ("<think>\n1 + 2 = 3\n</think>\n<think>\n7\n</think>\n7.", 0),
        ("<think>\n1 + 2 = 3", 0),
        ("", 0),
    ],
)
def test_a_tidy_reply_is_one_line_behind_its_thought(answer, expected):
    assert tidy([answer]) == [expected]


def test_polite_is_the_opposite_of_flawed():
    spoilt = rambling("en", "It is Paris.", random.Random(0))
    assert polite([spoilt, "It is Paris.", rude("zh", random.Random(0))]) == [0, 1, 0]
