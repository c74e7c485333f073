"""eval_model.py as a chat: what is remembered, what commands do, and what interrupts it."""

import io
import json
import os
import sys

import pytest

import eval_model
from dataset.records.chat_formats import CHAT
from dataset.records.documents import detect_format
from inference.built_in import QUESTIONS
from inference.terminal import DIM, PLAIN
from model.errors import SproutError, UsageError
from model.files.checkpoint import save_weights
from tests.stages.session import Session
from tests.stages.talker import GO_ON, LEARNED, talker

in_terminal = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
GREEDY = ("--temperature", 0)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    for name in ("full_sft", "reason"):
        save_weights(folder / f"{name}_64.pth", *talker(), stage=name)
    return folder


def chat(out, *flags, **environment) -> Session:
    session = Session("eval_model.py", "--model_mode", 1, "--out_dir", out, *GREEDY, *flags, **environment)
    session.until("/help lists commands")
    session.until("> ")
    return session


@pytest.fixture(scope="module")
def shared(out):
    """A chat for several tests, since each start takes two seconds."""
    with chat(out, "--max_new_tokens", 1900) as session:
        yield session
        session.type("\x04")  # Ctrl-D
        assert session.end() == 0


@pytest.fixture
def session(shared) -> Session:
    ask(shared, "/clear")
    return shared


def ask(session: Session, question: str) -> str:
    """What is shown between the question and the next."""
    session.type(f"{question}\n")
    session.until("\r\n")
    return session.until("> ")


# --- without a terminal -------------------------------------------------------------------------------


def test_each_prompt_is_a_conversation_of_its_own(capsys, out):
    prompts = ["I am Bo.", "Who am I?", "法国的首都？"]
    flags = [word for prompt in prompts for word in ("--prompt", prompt)]
    eval_model.main([*map(str, ["--model_mode", 1, "--out_dir", out, *GREEDY, *flags])])
    text, notes = capsys.readouterr()
    assert text == "> I am Bo.\nHello!\n\n> Who am I?\nNo idea.\n\n> 法国的首都？\n巴黎。\n\n"
    assert notes.count("tokens/s") == 3 and "(full_sft)" in notes


ANSWERS, TEXTS = "note: this network has learned to answer", "note: this network has read texts"


@pytest.mark.parametrize(
    ("stage", "mode", "facts", "advice"),
    [
        ("full_sft", 0, {}, ANSWERS),
        ("full_sft", 1, {}, ""),
        ("pretrain", 0, {}, ""),
        ("pretrain", 1, {}, TEXTS),
        ("distill", 1, {"trained_on": "texts"}, TEXTS),
        ("imported", 0, {}, ""),  # not known
        ("imported", 1, {}, ""),
    ],
)
def test_a_mode_that_does_not_suit_the_weight_is_said(capsys, tmp_path, stage, mode, facts, advice):
    save_weights(tmp_path / "a.pth", *talker(), stage=stage, facts=facts)
    flags = ["--weight_path", tmp_path / "a.pth", "--model_mode", mode, "--prompt", "Hi", "--max_new_tokens", 1]
    eval_model.main([*map(str, flags)])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith((ANSWERS, TEXTS))]
    assert len(said) == bool(advice) and "".join(said).startswith(advice)


def test_the_system_message_and_the_weight_are_those_asked_for(capsys, out):
    flags = ["--model_mode", 3, "--out_dir", out, *GREEDY, "--system", "Be curt.", "--prompt", "Who am I?"]
    eval_model.main([*map(str, flags)])
    text, notes = capsys.readouterr()
    assert text == "> Who am I?\nGuess.\n\n" and "(reason)" in notes


@pytest.mark.parametrize("flags", [[], ["--auto_test"]], ids=str)
def test_without_a_terminal_the_built_in_questions_are_answered(capsys, monkeypatch, out, flags):
    monkeypatch.setattr(sys, "stdin", None)
    eval_model.main([*map(str, ["--model_mode", 1, "--out_dir", out, "--max_new_tokens", 2, *flags])])
    text = capsys.readouterr().out
    questions = QUESTIONS
    assert all(f"> {question}\n" in text for question in questions)


def test_lines_of_a_pipe_are_one_conversation(capsys, monkeypatch, out):
    lines = "\n\ufeffI am Bo.\r\n\n/help\n/nonsense\nWho am I?"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.lstrip().encode()), encoding="ascii"))
    monkeypatch.setattr(eval_model, "is_piped_in", lambda: True)
    eval_model.main([*map(str, ["--model_mode", 1, "--out_dir", out, *GREEDY])])
    text, notes = capsys.readouterr()
    assert text == "> I am Bo.\nHello!\n> /help\n> /nonsense\n> Who am I?\nYou are Bo.\n"
    assert (
        "/save FILE" in notes and "error: there is no command /nonsense, but /clear, /save FILE, /help, /exit" in notes
    )


def test_thoughts_stand_apart_outside_a_terminal_or_are_hidden(capsys, out):
    flags = ["--model_mode", 3, "--out_dir", out, *GREEDY, "--prompt", "Think."]
    eval_model.main([*map(str, flags)])
    assert capsys.readouterr().out == "> Think.\nthinking: hm\nYes.\n\n"
    eval_model.main([*map(str, flags), "--no_think"])
    assert capsys.readouterr().out == "> Think.\nYes.\n\n"
    eval_model.main([*map(str, flags), "--max_new_tokens", "3"])
    text, notes = capsys.readouterr()
    assert text == "> Think.\nthinking: h\n\n" and "[the thought never ended; more --max_new_tokens" in notes


def test_a_chat_of_more_tokens_than_the_network_sees_is_refused(out):
    with pytest.raises(UsageError, match="--max_seq_len 9999 is more than the 2048 positions of the network"):
        eval_model.main(["--model_mode", "1", "--out_dir", str(out), "--prompt", "a", "--max_seq_len", "9999"])


def test_a_prompt_longer_than_the_network_is_refused(out):
    flags = ["--model_mode", 1, "--out_dir", out, "--max_seq_len", 32, "--prompt", "x" * 40]
    with pytest.raises(SproutError, match="32 positions"):
        eval_model.main([*map(str, flags)])


# --- in a terminal ------------------------------------------------------------------------------------


@in_terminal
def test_a_chat_remembers_until_it_is_cleared(session, tmp_path):
    file = tmp_path / "chat 1.jsonl"
    assert "error: nothing has been said" in ask(session, f"/save {file}")
    assert "Hello!" in ask(session, "I am Bo.")
    assert "You are Bo." in ask(session, "Who am I?")
    assert f"[saved as {file}]" in ask(session, f"/save {file}")
    saved = file.read_bytes()
    assert "[a new conversation]" in ask(session, "/clear")
    assert "No idea." in ask(session, "Who am I?")
    assert "exists already" in ask(session, f"/save {file}")
    assert "error: /save needs" in ask(session, "/save")
    assert "/save FILE" in ask(session, "/help")
    assert "error: there is no command /hepl" in ask(session, "/hepl me")
    record = json.loads(saved)
    assert file.read_bytes() == saved and saved.endswith(b"}\n")
    assert record == {"conversations": LEARNED[2][0]}
    assert detect_format(record, CHAT).name == "conversations"


@in_terminal
def test_ctrl_c_stops_an_answer_and_the_chat_goes_on(session, tmp_path):
    file = tmp_path / "chat.jsonl"
    session.type(f"{GO_ON}\n")
    session.until("na na na")
    session.interrupt()
    assert "tokens/s" not in session.until("[stopped")
    session.until("> ")
    session.type("half a li")
    session.until("half a li")
    session.interrupt_prompt()
    session.until("> ")
    ask(session, f"/save {file}")
    assert "[a new conversation]" in ask(session, "/clear")
    assert "Paris." in ask(session, "Capital of France?")
    (_, answer) = json.loads(file.read_bytes())["conversations"]
    assert answer["content"].startswith("na na na") and len(answer["content"]) < 1900


@in_terminal
def test_wide_characters_are_edited_whole_and_broken_ones_refused(session):
    assert "巴黎。" in ask(session, "法国的首都吗\x7f？")  # the last character is taken back
    session.type(b"\xff\xfe\n")
    session.until("error: that line is not UTF-8")
    session.until("> ")
    ask(session, "/clear")
    assert "巴黎。" in ask(session, "法国的首都？")


@in_terminal
def test_thoughts_are_dim_in_a_terminal_that_can(session):
    assert f"{DIM}hm{PLAIN}\r\nYes." in ask(session, "Think.")


@in_terminal
def test_old_turns_are_forgotten_when_the_context_is_full(out):
    # 31 tokens a pair, 26 for the third question: two pairs do not fit into 80 tokens with it.
    with chat(out, "--max_seq_len", 100, "--max_new_tokens", 20) as session:
        ask(session, "I am Bo.")
        assert "You are Bo." in ask(session, "Who am I?")
        assert "[the conversation has outgrown 80 tokens" in ask(session, "Capital of France?")
        assert "error: the prompt has" in ask(session, "x" * 100)
        assert "forgotten" not in ask(session, "/clear")
        assert "Hello!" in ask(session, "I am Cy.")
        assert "You are Cy." in ask(session, "Who am I?")
        session.type("/exit\n")
        assert session.end() == 0
