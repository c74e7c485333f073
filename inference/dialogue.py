"""A person and a network at a terminal: texts to continue, questions to answer, a conversation with commands."""

import os
import re
from collections.abc import Callable, Iterable

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
# "/usr/bin/env: what is it?" is a question.
_COMMAND = re.compile(r"/([a-zA-Z][\w-]*|\?)(?:\s+(.*))?", re.DOTALL)


def continue_text(writer: Writer, tokenizer: Tokenizer, beginning: str, texts: Texts | None = None) -> None:
    """Shows a text and its continuation as it comes, and adds them to `texts`; it begins a document."""
    screen, written = Screen(), beginning
    screen.show(beginning)
    try:
        for piece in writer.write([tokenizer.bos_id, *tokenizer.encode(beginning)]):
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
    prompt, forgotten = chat.prompt(question)
    if forgotten:
        pairs = "question and its answer are" if forgotten == 1 else f"{forgotten} questions and their answers are"
        say(f"[the conversation has outgrown {chat.context} tokens: its oldest {pairs} forgotten]")
    screen, parts, thought, said, stopped = Screen(), ThoughtStream(), "", "", False

    def show(new_thought: str, new_words: str) -> None:
        nonlocal thought, said
        thought, said = thought + new_thought, said + new_words
        if show_thought:
            screen.show(new_thought, thought=True)
        screen.show(new_words)

    try:
        for piece in writer.write(prompt):
            show(*parts.push(piece.text))
    except KeyboardInterrupt:
        if not can_stop:
            raise
        stopped = True
    finally:
        show(*parts.finish())
        screen.end()
    if said.strip():
        chat.add(question, said, thought)
        say("[stopped; the conversation goes on from what was said]" if stopped else speed(piece.tokens, piece.seconds))
    else:
        say(f"[{_why_no_answer(parts, stopped)}; the question is forgotten]")


def _why_no_answer(parts: ThoughtStream, stopped: bool) -> str:
    if parts.thinks and not parts.ended:
        return "stopped in thought" if stopped else "the thought never ended; more --max_new_tokens may let it"
    return "stopped before a word" if stopped else "no answer"


def talk(lines: Iterable[str], chat: Chat, writer: Writer, show_thought: bool = True) -> None:
    """Holds a conversation with the user who says these lines, until there is none or /exit."""
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
