"""From a conversation to token ids, and which of them are trained.

The tokens are those that `transformers` makes of the chat template: Sprout's own (`model/text/chat_template.py`), or
that of an imported model, where that can be done (`dataset/own_rendering.py`). There is one exception: a control token
that somebody writes into a message is text here, so no message can end its turn or open another. Tags such as <think>
and <tool_call> become control ids in what the assistant says and nowhere else, since data write them there, and so does
a model.

What the assistant says is trained, and the end of its turn, which it has to learn as well; nothing else is, and no turn
that its record excludes.
"""

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dataset.records.conversations import Conversation
from dataset.records.formats import BadRecord
from model.errors import SproutError
from model.text.chat_template import TOOLS_AFTER, TOOLS_BEFORE, chat_template, template_of, unmarked, with_chat_template
from model.text.offsets import backend_inside, encode_from
from model.text.tokenizer import IM_END, IM_START, THINK_AND_TOOLS, Tokenizer

VERSION = 1  # to be raised with any change of the ids or of what is trained: caches depend on it

# What the library takes with a token (Unicode's White_Space); Python's own idea of it has four characters more.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

# What an assistant writes itself; <tool_response> is written to it.
TAGS_OF_ASSISTANT = ("<think>", "</think>", "<tool_call>", "</tool_call>")


@dataclass(frozen=True)
class Rendered:
    """A conversation of n tokens."""

    ids: np.ndarray  # int32 [n]
    trained: np.ndarray  # bool [n]: what the assistant says and the end of its turn

    def without_untrained_end(self) -> "Rendered":
        """Up to the last trained token, since what follows it teaches nothing; empty if none is trained."""
        places = 1 + np.flatnonzero(self.trained[1:])
        length = int(places[-1]) + 1 if places.size else 0
        return Rendered(self.ids[:length], self.trained[:length])


@dataclass(frozen=True)
class Span:
    """Text between two control ids, then the second of them. A token may join its parts, so it is encoded at once."""

    text: str
    untrained: int  # how many characters at its beginning are not trained; the others are
    control: int | None  # None at the end of a conversation
    control_is_trained: bool = False


class ChatRenderer:
    """Renders for one tokenizer, a `model.text.tokenizer.Tokenizer`. May be shared by threads.

    A tokenizer that lacks one of the control tokens spells it as text, except for the end of a turn: without
    <|im_end|> that is its EOS. `chat_template(end=...)` is the template that says the same.

    Attributes:
        end_id: the control id that ends a turn.
        end_ids: what a network ends an answer with: that, or the end of a document.
        vocab_size: that of the tokenizer.
        think_ids: those of <think> and </think>; fewer where the tokenizer lacks them and spells them as text.
        variant: what decides the rendering besides the tokenizer and `VERSION`; caches depend on it.
        replaced: why the template that the tokenizer came with is not what is rendered here; None if it is, or if it
            came with none.
        tokenizer: the tokenizer with the chat template that says what is rendered here.
    """

    def __init__(self, tokenizer: Tokenizer):
        names = [name for name in (IM_START, IM_END, *THINK_AND_TOOLS) if name in tokenizer.vocab]
        controls = {name: tokenizer.vocab[name] for name in names if tokenizer.vocab[name] in tokenizer.special_ids}
        self._controls = {IM_END: tokenizer.eos_id} | controls
        self.vocab_size = tokenizer.vocab_size
        self.end_id: int = self._controls[IM_END]
        self.end_ids = tokenizer.end_ids | {self.end_id}
        self.think_ids = [self._controls[tag] for tag in ("<think>", "</think>") if tag in self._controls]
        end = next(name for name, token in tokenizer.vocab.items() if token == self.end_id)
        template = template_of(tokenizer)
        self._own, self.replaced = None, None
        if template is not None and unmarked(template) != unmarked(chat_template(end=end)):
            from dataset.own_rendering import own_rendering  # only imported models have another one

            own = own_rendering(tokenizer)
            self._own, self.replaced = (None, own) if isinstance(own, str) else (own, None)
        self.tokenizer = tokenizer if self._own else with_chat_template(tokenizer, chat_template(end=end))
        if self._own:
            self.end_id = self._own.end_id
            self.end_ids = tokenizer.end_ids | {self.end_id}
        self._strips = _strips(tokenizer, self._controls)
        self.variant = {"taken": [sorted(ids) for ids in self._strips]} if any(self._strips) else {}
        if self._own:
            self.variant["chat_template"] = hashlib.sha256(self._own.source.encode("utf-8")).hexdigest()
        self._in_template = _any_of(self._controls)
        self._in_assistant = _any_of(name for name in TAGS_OF_ASSISTANT if name in self._controls)

    @cached_property
    def _backend_inside(self):
        return backend_inside(self.tokenizer)

    def render(self, conversations: Sequence[Conversation]) -> list[Rendered]:
        """Ids and trained flags of every conversation; encodes all of them in one batch, on all cores."""
        return self.encode([self._spans(item) for item in conversations])

    def prompt(self, messages: Sequence[dict], tools: Sequence[dict] = ()) -> list[int]:
        """The ids of messages (in the normal form of `Conversation`), then the header of the assistant's turn.

        The rendering of the same messages with an answer begins with these ids, unless the answer begins with a line
        break, which may be one token with that of the header.
        """
        (rendered,) = self.encode([self.written(messages, tools)])
        return rendered.ids.tolist()

    def spans(self, conversation: Conversation) -> list[Span]:
        """What `render` has of a conversation of a file before it is encoded. Raises `BadRecord`."""
        return _of_record(lambda: self._spans(conversation))

    def prompt_spans(self, conversation: Conversation) -> list[Span]:
        """What `prompt` has of the messages of a file before it is encoded. Raises `BadRecord`."""
        return _of_record(lambda: self.written(conversation.messages, conversation.tools))

    def encode(self, conversations: Sequence[list[Span]]) -> list[Rendered]:
        """Ids and trained flags of conversations, all of them in one batch, on all cores."""
        # The texts are keys, so that what stands between turns is encoded once.
        first = dict.fromkeys((spans[0].text, spans[0].untrained) for spans in conversations if spans)
        others = dict.fromkeys((span.text, span.untrained) for spans in conversations for span in spans[1:])
        for texts, backend in ((first, self.tokenizer.backend), (others, self._backend_inside)):
            if texts:
                texts.update(zip(list(texts), encode_from(backend, *zip(*texts))))
        results = []
        for spans in conversations:
            ids, trained = [], bytearray()
            for number, span in enumerate(spans):
                tokens, untrained = (others if number else first)[span.text, span.untrained]
                ids += tokens
                trained += bytes(untrained) + b"\1" * (len(tokens) - untrained)
                if span.control is not None:
                    ids.append(span.control)
                    trained.append(span.control_is_trained)
            results.append(Rendered(np.array(ids, dtype=np.int32), np.frombuffer(bytes(trained), dtype=bool)))
        return results

    def _pieces(
        self, messages: Sequence[dict], tools: Sequence[dict], trains: Callable[[int], bool] = lambda index: False
    ) -> Iterator[tuple[str | int, bool]]:
        """The template written out: texts and control ids in order, each with whether it is trained."""
        if self._own:
            yield from self._own.pieces(messages, tools, trains)
            return
        if tools and (not messages or messages[0]["role"] != "system"):
            yield from self._template(f"{IM_START}system\n{TOOLS_BEFORE}")
            yield from self._tools(tools)
            yield from self._template(f"{IM_END}\n")
        for index, message in enumerate(messages):
            role, content = message["role"], message["content"]
            if role == "assistant":
                yield from self._template(f"{IM_START}assistant\n")
                trained = trains(index)
                yield from self._split(_said(message), self._in_assistant, trained)
                yield self.end_id, trained
                yield "\n", False
            elif role == "tool":
                # The results of one turn's calls follow each other in one turn of the user.
                first = index == 0 or messages[index - 1]["role"] != "tool"
                last = index == len(messages) - 1 or messages[index + 1]["role"] != "tool"
                yield from self._template((f"{IM_START}user" if first else "") + "\n<tool_response>\n")
                yield content, False
                yield from self._template("\n</tool_response>" + (f"{IM_END}\n" if last else ""))
            elif role in ("system", "user"):
                yield from self._template(f"{IM_START}{role}\n")
                yield content, False
                if tools and index == 0 and role == "system":
                    yield ("\n\n" if content else "") + TOOLS_BEFORE, False
                    yield from self._tools(tools)
                yield from self._template(f"{IM_END}\n")
            else:
                raise ValueError(f"unknown role: {role}")

    def _spans(self, conversation: Conversation) -> list[Span]:
        return self._joined(self._pieces(conversation.messages, conversation.tools, conversation.trains))

    def written(self, messages: Sequence[dict], tools: Sequence[dict]) -> list[Span]:
        """What `prompt` has before it is encoded."""
        if self._own:
            return self._joined(self._own.prompt(messages, tools))
        return self._joined([*self._pieces(messages, tools), *self._template(f"{IM_START}assistant\n")])

    def _joined(self, pieces: Iterable[tuple[str | int, bool]]) -> list[Span]:
        """Joins texts up to each control id, without the white space that a control token takes with it.

        In a span nothing untrained follows what is trained: the end id is between.
        """
        spans: list[Span] = []
        text, untrained = "", 0
        takes_before, takes_after = self._strips
        for piece, trained in itertools.chain(pieces, [(None, False)]):
            if isinstance(piece, str):
                text += piece
                untrained += 0 if trained else len(piece)
                continue
            if spans and spans[-1].control in takes_after:
                taken = len(text) - len(text.lstrip(_WHITE_SPACE))
                text, untrained = text[taken:], max(untrained - taken, 0)
            if piece in takes_before:
                text = text.rstrip(_WHITE_SPACE)
            if text or piece is not None:
                spans.append(Span(text, min(untrained, len(text)), piece, trained))
            text, untrained = "", 0
        return spans

    def _tools(self, tools: Sequence[dict]) -> Iterator[tuple[str | int, bool]]:
        yield "".join(_json(tool) + "\n" for tool in tools), False
        yield from self._template(TOOLS_AFTER)

    def _template(self, text: str) -> Iterator[tuple[str | int, bool]]:
        return self._split(text, self._in_template, trained=False)

    def _split(self, text: str, tokens: re.Pattern, trained: bool) -> Iterator[tuple[str | int, bool]]:
        """The text with these tokens in it as control ids."""
        for place, part in enumerate(tokens.split(text)):
            yield self._controls[part] if place % 2 else part, trained


def for_chats(tokenizer: Tokenizer, imported: bool) -> Tokenizer:
    """The tokenizer with the template by which chats are rendered; says so where an imported model's is replaced."""
    renderer = ChatRenderer(tokenizer)
    if imported and renderer.replaced:
        print(
            f"note: the model's own chat template is replaced by Sprout's, since {renderer.replaced}: a weight"
            " that is trained from it has that one",
            file=sys.stderr,
        )
    return renderer.tokenizer


def cut_length(ids: np.ndarray, trained: np.ndarray, limit: int, end_id: int) -> int:
    """How many tokens of a conversation to keep, at most `limit`; 0 if none of those kept would be trained.

    ids: integers [n]; trained: bool [n]. Everything up to the last trained token is kept; what follows teaches nothing.
    Where that is too long, everything up to the last end of a trained turn (`end_id`) within `limit`; where even the
    first trained turn goes on beyond it, as much of that turn as fits. The first token is never predicted, so it does
    not count as trained.
    """
    places = 1 + np.flatnonzero(trained[1:])
    if places.size == 0:
        return 0
    if places[-1] < limit:
        return int(places[-1]) + 1
    within = places[places < limit]
    if within.size == 0:
        return 0
    ends = within[np.asarray(ids)[within] == end_id]
    return int((ends if ends.size else within)[-1]) + 1


def _of_record(write: Callable[[], list[Span]]) -> list[Span]:
    """What `write` returns. Raises `BadRecord` where an imported template refuses what the record says."""
    try:
        return write()
    except SproutError as error:
        raise BadRecord("the model's chat template cannot write it", str(error)) from error


def _any_of(names: Iterable[str]) -> re.Pattern:
    """A pattern whose `split` keeps each of the names, at the odd places; without names it splits nowhere."""
    return re.compile(f"({'|'.join(map(re.escape, names)) or '(?!)'})")


def _strips(tokenizer: Tokenizer, controls: dict[str, int]) -> tuple[set[int], set[int]]:
    """The control ids that take the white space before them with them (`lstrip`), and after them (`rstrip`).

    Raises `SproutError` for tokens that would be no control tokens everywhere in a chat.
    """
    added = tokenizer.backend.get_added_tokens_decoder()
    flags = {index: added[index] for index in controls.values() if index in added}
    normalize = tokenizer.backend.normalizer.normalize_str if tokenizer.backend.normalizer else str
    for token in flags.values():
        changed = token.normalized and normalize(token.content) != token.content
        if token.single_word or changed:
            flag = "normalized" if changed else "single_word"
            raise SproutError(
                f"the tokenizer's {token.content} is declared {flag}, so that parts of a chat would have it as a"
                f" token and others as text: set {flag} to false in its tokenizer.json"
            )
    before, after = ({i for i, token in flags.items() if getattr(token, name)} for name in ("lstrip", "rstrip"))
    return before, after


def _said(message: dict) -> str:
    """All that an assistant's turn says: its reasoning, its content, its calls."""
    said = ""
    if message.get("reasoning_content"):
        said = f"<think>\n{message['reasoning_content']}\n</think>\n\n"
    said += message["content"]
    for number, call in enumerate(message.get("tool_calls", ())):
        arguments = call["arguments"] if isinstance(call["arguments"], str) else _json(call["arguments"])
        said += "\n" if number or message["content"] else ""
        said += f'<tool_call>\n{{"name": {_json(call["name"])}, "arguments": {arguments}}}\n</tool_call>'
    return said


def _json(value) -> str:
    """JSON as the `tojson` of chat templates writes it."""
    return json.dumps(value, ensure_ascii=False)
