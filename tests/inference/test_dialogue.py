"""A conversation at a terminal: what the network is shown of it, what is kept of an answer, and what is saved."""

import json
import os

import pytest

from dataset.records.conversations import from_conversations
from dataset.rendering import ChatRenderer
from inference.chat import Chat
from inference.dialogue import answer, obey, talk
from inference.writer import Piece
from model.errors import SproutError
from tests.stages.talker import turns


class Words:
    """Stands for a `Writer`: says what it is told to, and remembers the prompts."""

    def __init__(self, *pieces):
        self.pieces, self.prompts = pieces, []

    def write(self, prompt, goes_on=False):
        self.prompts.append(prompt)
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield Piece(piece, 1, 0.5)
        yield Piece("", 1, 0.5)


@pytest.fixture(scope="module")
def renderer(small_tokenizer):
    return ChatRenderer(small_tokenizer)


def test_a_prompt_is_the_whole_conversation(renderer):
    chat, words = Chat(renderer, 1000, 100, system="Be kind."), Words("Yes", "!")
    answer(chat, words, "One?")
    answer(chat, words, "Two?")
    system = {"role": "system", "content": "Be kind."}
    assert words.prompts[1] == renderer.prompt([system, *turns("One?", "Yes!", "Two?")])
    chat.clear()
    answer(chat, words, "Three?")
    assert words.prompts[2] == renderer.prompt([system, *turns("Three?")])


def test_a_stopped_answer_is_kept_as_far_as_it_came(renderer, capsys):
    chat = Chat(renderer, 1000, 100)
    answer(chat, Words("Half ", "a", KeyboardInterrupt()), "One?", can_stop=True)
    assert chat.messages == turns("One?", "Half a")
    text, notes = capsys.readouterr()
    assert text == "Half a\n" and "[stopped" in notes
    with pytest.raises(KeyboardInterrupt):
        answer(chat, Words(KeyboardInterrupt()), "Two?")
    assert chat.messages == turns("One?", "Half a")


@pytest.mark.parametrize("pieces", [(), (" ", "\n"), (KeyboardInterrupt(),)], ids=str)
def test_a_question_without_an_answer_is_not_kept(renderer, capsys, pieces):
    chat = Chat(renderer, 1000, 100)
    answer(chat, Words(*pieces), "One?", can_stop=True)
    assert chat.messages == [] and "the question is forgotten" in capsys.readouterr().err


THINKING = ("<thi", "nk>\nh", "m\n</think>", "\n\nYes", ".")


def test_a_thought_is_shown_apart_and_saved_but_not_shown_to_the_network_again(renderer, capsys):
    chat, words = Chat(renderer, 1000, 100), Words(*THINKING)
    answer(chat, words, "One?")
    assert capsys.readouterr().out == "thinking: hm\nYes.\n"
    answer(chat, words, "Two?", show_thought=False)
    assert capsys.readouterr().out == "Yes.\n"
    assert words.prompts[1] == renderer.prompt(turns("One?", "Yes.", "Two?"))
    thought_of = {"role": "assistant", "content": "Yes.", "reasoning_content": "hm"}
    assert chat.messages == [turns("One?")[0], thought_of, turns("Two?")[0], thought_of]


@pytest.mark.parametrize(
    ("pieces", "note"),
    [
        (("<think>hm",), "[the thought never ended"),
        (("<think>hm", KeyboardInterrupt()), "[stopped in thought"),
        (("<think>hm</think>\n",), "[no answer"),
        (("<think>hm</think>", KeyboardInterrupt()), "[stopped before a word"),
    ],
)
@pytest.mark.parametrize("show_thought", [True, False])
def test_a_thought_without_an_answer_is_said_and_not_kept(renderer, capsys, pieces, note, show_thought):
    chat = Chat(renderer, 1000, 100)
    answer(chat, Words(*pieces), "One?", can_stop=True, show_thought=show_thought)
    text, notes = capsys.readouterr()
    assert chat.messages == [] and note in notes and "the question is forgotten" in notes
    assert text == ("thinking: hm\n" if show_thought else "\n")


def test_an_error_leaves_the_conversation_as_it_was(renderer):
    chat = Chat(renderer, 1000, 100)
    answer(chat, Words("Yes."), "One?")
    with pytest.raises(SproutError):
        answer(chat, Words("Hm", SproutError("not a number")), "Two?")
    assert chat.messages == turns("One?", "Yes.")


def test_what_is_saved_can_be_trained_on(renderer, tmp_path, capsys, monkeypatch):
    chat = Chat(renderer, 1000, 100, system="Be kind.")
    answer(chat, Words("<think>\nhm\n</think>\n\n你好 🌱\n\x07"), '你好 \\ " <|im_end|>')
    monkeypatch.setenv("HOME", str(tmp_path))
    obey(chat, "save", "~/a b.jsonl")
    assert os.listdir(tmp_path) == ["a b.jsonl"]
    (line,) = (tmp_path / "a b.jsonl").read_bytes().splitlines()
    assert list(from_conversations(json.loads(line)).messages) == chat.messages


def test_a_question_may_begin_with_what_stands_for_a_slash(renderer, capsys):
    chat, asked = Chat(renderer, 1000, 100), ["、Python 是什么？", "、B2C模式", "、exit code 1 是什么", "／usr"]
    talk([*asked, "、HELP", "／clear", "One?", "、exit", "never"], chat, Words("Yes."))
    notes = capsys.readouterr().err
    assert notes.count("tokens/s") == len(asked) + 1 and "/save FILE" in notes and "there is no command" not in notes
    assert chat.messages == turns("One?", "Yes.")


@pytest.mark.parametrize(
    ("name", "rest", "words"),
    [
        ("save", "taken.jsonl", "exists already"),
        ("save", "link.jsonl", "exists already"),
        ("save", ".", "exists already"),
        ("save", "taken.jsonl/a", "cannot write"),
        ("save", "x" * 300, "choose another"),
        ("save", "a\0b", "choose another"),
        ("save", "", "needs the name"),
        ("sav", "a", "no command /sav"),
    ],
)
def test_a_command_that_cannot_be_carried_out(renderer, tmp_path, monkeypatch, name, rest, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.jsonl").write_text("mine")
    (tmp_path / "link.jsonl").symlink_to("nowhere")
    chat = Chat(renderer, 1000, 100)
    chat.add("a", "b")
    with pytest.raises(SproutError, match=words) as caught:
        obey(chat, name, rest)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "taken.jsonl").read_text() == "mine" and len(os.listdir(tmp_path)) == 2
