"""A person and a network at a terminal: texts to continue, questions to answer, a conversation with commands."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from inference.chat import Chat
from inference.terminal import Screen, in_terminal, new_line, say, speed
from inference.texts import Texts
from inference.thoughts import ThoughtStream
from inference.writer import Writer
from model.errors import SproutError
from model.text.tokenizer import Tokenizer

COMMANDS = {
    "/clear": "begin anew: forget what was said",
    "/save FILE": "write what was said as JSON lines, as train_full_sft.py reads chats and train_pretrain.py texts",
    "/help": "these lines",
    "/exit": "end, as Ctrl-D does",
}
# "/usr/bin/env: what is it?" is a question. Chinese keyboards write the other two signs for the key of a slash; a
# question may begin with them, too, so only whole commands count behind them.
_WHOLE = r"(?:clear|help|exit|\?)$|save(?:\s|$)"
_COMMAND = re.compile(rf"(?:/|[／、](?={_WHOLE}))([a-z][\w-]*|\?)(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)


def continue_text(writer: Writer, tokenizer: Tokenizer, beginning: str, texts: Texts | None = None) -> None:
    """Shows a text and its continuation as it comes, and adds them to `texts`; it begins a document."""
    screen = Screen()
    written = beginning
    screen.show(beginning)
    try:
        for piece in writer.write([tokenizer.bos_id, *tokenizer.encode(beginning)], goes_on=True):
            screen.show(piece.text)
            written += piece.text
    finally:
        screen.end()
        if texts is not None and written != beginning:
            texts.add(written)
    new_line()
    say(speed(piece.tokens, piece.seconds))


def continue_texts(lines: Iterable[str], writer: Writer, tokenizer: Tokenizer) -> None:
    """Continues each line, until there is none or /exit."""
    texts = Texts()
    _respond_to(lines, texts, lambda line: continue_text(writer, tokenizer, line, texts))


def answer(chat: Chat, writer: Writer, question: str, can_stop: bool = False, show_thought: bool = True) -> None:
    """Shows the answer to `question`, and the thought before it, as they come, and adds both to the conversation.

    With `can_stop`, Ctrl-C ends the answer, and the text so far is kept. A question with an empty answer is not kept,
    because a conversation with an empty turn cannot be trained on.
    """
    keep(chat, question, show_turn(writer, ask(chat, question), can_stop, show_thought))


def ask(chat: Chat, question: str) -> list[int]:
    """The prompt for an answer; says so where the beginning of the conversation is forgotten."""
    prompt, forgotten = chat.prompt(question)
    if forgotten:
        pairs = "question and its answer are" if forgotten == 1 else f"{forgotten} questions and their answers are"
        say(f"[the conversation has outgrown {chat.context} tokens: its oldest {pairs} forgotten]")
    return prompt


@dataclass
class Shown:
    """A turn of the network as it was shown."""

    thought: str = ""
    said: str = ""
    ids: list[int] = field(default_factory=list)
    stopped: bool = False  # by Ctrl-C
    tokens: int = 0
    seconds: float = 0.0
    why_nothing: str = ""  # why nothing was said, if nothing was


def show_turn(
    writer: Writer,
    prompt: list[int],
    can_stop: bool,
    show_thought: bool,
    visible: Callable[[str, bool], str] = lambda said, whole: said,
) -> Shown:
    """Shows what the network writes, as it comes. visible: what to show of what is said so far, of a whole turn or not;
    it begins with what it was before."""
    screen = Screen()
    parts = ThoughtStream()
    turn = Shown()
    shown = 0  # characters of what is visible

    def show(new_thought: str, new_words: str, whole: bool = False) -> None:
        nonlocal shown
        turn.thought += new_thought
        turn.said += new_words
        if show_thought:
            screen.show(new_thought, thought=True)
        words = visible(turn.said, whole)
        screen.show(words[shown:])
        shown = max(shown, len(words))

    try:
        for piece in writer.write(prompt):
            show(*parts.push(piece.text))
            turn.ids += [] if piece.token is None else [piece.token]
            turn.tokens, turn.seconds = piece.tokens, piece.seconds
    except KeyboardInterrupt:
        if not can_stop:
            raise
        turn.stopped = True
    finally:
        show(*parts.finish(), whole=True)
        if shown or (turn.thought and show_thought) or not turn.said:  # a turn may be hidden as a whole
            screen.end()
    turn.why_nothing = _why_no_answer(parts, turn.stopped)
    return turn


def keep(chat: Chat, question: str, turn: Shown, calls: Sequence[dict] = ()) -> None:
    """Adds a question and the turn that answers it to the conversation, unless it says nothing; prints which it was."""
    if turn.said.strip():
        chat.add(question, turn.said, turn.thought, calls)
        stopped = "[stopped; the conversation goes on from what was said]"
        say(stopped if turn.stopped else speed(turn.tokens, turn.seconds))
    else:
        say(f"[{turn.why_nothing}; the question is forgotten]")


def _why_no_answer(parts: ThoughtStream, stopped: bool) -> str:
    if parts.thinks and not parts.ended:
        return "stopped in thought" if stopped else "the thought never ended; more --max_new_tokens may let it"
    return "stopped before a word" if stopped else "no answer"


def talk(
    lines: Iterable[str],
    chat: Chat,
    writer: Writer,
    show_thought: bool = True,
    answer: Callable[..., None] = answer,
) -> None:
    """Holds a conversation with the user who says these lines, until there is none or /exit. answer: as above."""
    _respond_to(lines, chat, lambda line: answer(chat, writer, line, can_stop=in_terminal(), show_thought=show_thought))


def _respond_to(lines: Iterable[str], said: Chat | Texts, respond: Callable[[str], None]) -> None:
    """Carries out commands, and responds to all other lines."""
    for line in lines:
        try:
            if command := _COMMAND.fullmatch(line.strip()):
                name, rest = command[1].lower(), (command[2] or "").strip()
                if name == "exit":
                    return
                obey(said, name, rest)
            elif line.strip():
                respond(line)
        except KeyboardInterrupt:  # a second one, or one between two answers
            if not in_terminal():
                raise
            new_line()
        except SproutError as error:  # such as a prompt that is too long
            say(f"error: {error}")


def obey(said: Chat | Texts, name: str, rest: str) -> None:
    """Carries out the command /name. Raises `SproutError` if that is impossible."""
    if name == "clear":
        said.clear()
        say("[a new conversation]" if isinstance(said, Chat) else "[the texts are forgotten]")
    elif name in ("help", "?"):
        for command, meaning in COMMANDS.items():
            say(f"  {command:12}{meaning}")
    elif name == "save":
        if not rest:
            raise SproutError("/save needs the name of a file, such as chat.jsonl")
        path = os.path.expanduser(rest)
        said.save(path)
        say(f"[saved as {path}]")
    else:
        raise SproutError(f"there is no command /{name}, but {', '.join(COMMANDS)}")
