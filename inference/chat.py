"""A conversation with a network, in a terminal: its history, its commands, and what of it the network still sees."""

import json
import os
import re
from pathlib import Path

from inference.terminal import Screen, say, typed_lines
from inference.thoughts import ThoughtStream
from inference.writer import Writer
from model.errors import SproutError
from model.files.disk import write_atomically
from model.generation import free_positions

COMMANDS = {
    "/clear": "begin a new conversation",
    "/save FILE": "write the conversation as a line of JSON, the format that train_full_sft.py reads",
    "/help": "these lines",
    "/exit": "end, as Ctrl-D does",
}
HINT = "Ask something and press Enter; /help lists commands, Ctrl-C stops an answer, Ctrl-D ends."
# "/usr/bin/env: what is it?" is a question.
_COMMAND = re.compile(r"/([a-zA-Z]+)(?:\s+(.*))?", re.DOTALL)


class Chat:
    """What has been said, in pairs of question and answer, and the prompt for the next answer.

    renderer: a `dataset.rendering.ChatRenderer`, which knows how turns are written.
    positions: of the network, or fewer. `max_new_tokens` of them (at most half) are kept free for the answer; when
        the conversation has outgrown the others, its oldest pairs are no longer shown to the network, but the system
        message always is.
    """

    def __init__(self, renderer, positions: int, max_new_tokens: int, system: str | None = None):
        self._renderer, self._positions = renderer, positions
        self.context = positions - min(max_new_tokens, positions // 2)
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._turns: list[dict] = []
        self._forgotten = 0  # messages at the beginning of `_turns` that the network is not shown

    @property
    def messages(self) -> list[dict]:
        """The whole conversation, also what the network is not shown any more."""
        return [*self._system, *self._turns]

    def prompt(self, question: str) -> tuple[list[int], int]:
        """The tokens to answer `question` from, and how many more pairs had to be forgotten for them.

        Raises `SproutError`, and forgets nothing, for a question that leaves no position for an answer.
        """
        asked = {"role": "user", "content": question}
        start = self._forgotten
        while True:
            ids = self._renderer.prompt([*self._system, *map(_spoken, self._turns[start:]), asked])
            if len(ids) <= self.context or start == len(self._turns):
                break
            start += 2
        free_positions([ids], self._positions)
        forgotten, self._forgotten = (start - self._forgotten) // 2, start
        return ids, forgotten

    def add(self, question: str, answer: str, thought: str = "") -> None:
        """Keeps a pair of turns."""
        turn = {"role": "assistant", "content": answer} | ({"reasoning_content": thought} if thought else {})
        self._turns += [{"role": "user", "content": question}, turn]

    def clear(self) -> None:
        """Begins anew; the system message stays."""
        self._turns, self._forgotten = [], 0

    def save(self, path: str | Path) -> None:
        """Writes the whole conversation as a record of the `conversations` format, all or nothing.

        Raises `SproutError` where nothing has been said, for a file that exists, and if it cannot be written.
        """
        if not self._turns:
            raise SproutError("nothing has been said that could be saved: ask something first")
        if os.path.lexists(path):
            raise SproutError(f"{path} exists already, and is left as it is: choose another name")
        line = json.dumps({"conversations": self.messages}, ensure_ascii=False) + "\n"
        try:
            write_atomically(path, lambda file: file.write(line.encode("utf-8")))
        except OSError as error:  # a name too long even to ask about
            raise SproutError(f"{path} cannot be written ({error.strerror}): choose another name") from error


def _spoken(turn: dict) -> dict:
    """A turn without what was thought."""
    return {key: value for key, value in turn.items() if key != "reasoning_content"}


def reply(chat: Chat, writer: Writer, question: str, can_stop: bool = False, show_thought: bool = True) -> None:
    """Prints the answer to `question` as it comes, and what is thought before it, and keeps all in the conversation.

    With `can_stop`, Ctrl-C ends the answer, and what was said so far is kept. Where there is no answer, the question
    is not kept either: a conversation with an empty turn could not be trained on.
    """
    prompt, forgotten = chat.prompt(question)
    if forgotten:
        pairs = "question and its answer are" if forgotten == 1 else f"{forgotten} questions and their answers are"
        say(f"[the conversation has outgrown {chat.context} tokens: its oldest {pairs} forgotten]")
    screen, parts, thought, answer, stopped = Screen(), ThoughtStream(), "", "", False

    def show(new_thought: str, new_answer: str) -> None:
        nonlocal thought, answer
        thought, answer = thought + new_thought, answer + new_answer
        if show_thought:
            screen.show(new_thought, thought=True)
        screen.show(new_answer)

    try:
        note = writer.write(prompt, lambda piece: show(*parts.push(piece)))
    except KeyboardInterrupt:
        if not can_stop:
            raise
        note, stopped = "[stopped; the conversation goes on from what was said]", True
    finally:
        show(*parts.finish())
        screen.end()
    if answer.strip():
        chat.add(question, answer, thought)
    else:
        why = "no answer"
        if parts.thinks and not parts.ended:
            why = "stopped in thought" if stopped else "the thought never ended; more --max_new_tokens may let it"
        elif stopped:
            why = "stopped before a word"
        note = f"[{why}; the question is forgotten]"
    say(note)


def talk(chat: Chat, writer: Writer, show_thought: bool = True) -> None:
    """The conversation in a terminal, until Ctrl-D or /exit."""
    for line in typed_lines(HINT):
        try:
            if command := _COMMAND.fullmatch(line.strip()):
                name, rest = command[1].lower(), (command[2] or "").strip()
                if name == "exit":
                    return
                obey(chat, name, rest)
            elif line.strip():
                reply(chat, writer, line, can_stop=True, show_thought=show_thought)
        except KeyboardInterrupt:  # a second one, or one between two answers
            print(flush=True)
        except SproutError as error:
            say(f"error: {error}")


def obey(chat: Chat, name: str, rest: str) -> None:
    """Carries out the command /name. Raises `SproutError` for one that cannot be."""
    if name == "clear":
        chat.clear()
        say("[a new conversation]")
    elif name == "help":
        for command, meaning in COMMANDS.items():
            say(f"  {command:12}{meaning}")
    elif name == "save":
        if not rest:
            raise SproutError("/save needs the name of a file, chat.jsonl say")
        path = os.path.expanduser(rest)
        chat.save(path)
        say(f"[saved as {path}]")
    else:
        raise SproutError(f"there is no command /{name}: /help lists those there are")
