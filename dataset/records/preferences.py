"""From a preference record of any format to pairs of conversations: one whose answer is better, one whose is worse.

The two begin alike; what they share is the prompt, and only what follows it is trained or compared.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from dataset.records.beside import history
from dataset.records.conversations import Conversation, from_alpaca, from_turns
from dataset.records.dialogues import is_dialogue, with_turns
from dataset.records.formats import BadRecord, Format, RecordKind, clean_string
from dataset.records.marks import without_classes
from dataset.records.numbers import finite_number
from dataset.records.turns import SHAREGPT_ROLES, as_turns, lower, turns_under


@dataclass(frozen=True)
class Pair:
    """Two conversations that begin with the same messages and part where `trained_from` of both says."""

    chosen: Conversation
    rejected: Conversation
    margin: float = 0.0  # by how much the chosen answer should be better, in units of the reward


@dataclass(frozen=True)
class Preference:
    """What one record says: a pair, or all pairs of different ranks that its ranked answers make."""

    pairs: tuple[Pair, ...]

    @property
    def conversations(self) -> list[Conversation]:
        """Chosen and rejected of every pair, in order."""
        return [conversation for pair in self.pairs for conversation in (pair.chosen, pair.rejected)]

    @property
    def labels(self) -> list[float]:
        """The margin of every pair."""
        return [pair.margin for pair in self.pairs]

    @property
    def characters(self) -> int:
        return sum(conversation.characters for conversation in self.conversations)

    def to_json(self) -> str:
        """What is preferred to what: equal records give equal text, whatever their format."""
        return "\n".join(f"{pair.chosen.to_json()}\n{pair.rejected.to_json()}\n{pair.margin}\n" for pair in self.pairs)


def from_pair(fields: dict) -> Preference:
    """`{"chosen": [messages], "rejected": [messages]}`, or `prompt` with texts or messages under both.

    With a prompt, messages go on behind it, or are the whole conversation if they repeat it. Dialogues in one text
    count as their turns. Raises BadRecord.
    """
    fields = with_turns(fields)
    chosen, rejected = (_conversation(fields, key) for key in ("chosen", "rejected"))
    return Preference((_pair(chosen, rejected, _margin(fields)),))


def from_ranked(fields: dict) -> Preference:
    """`{"input": "...", "choices": [{"text": "...", "rank": 1}, ...]}`, rank 1 the best. Raises BadRecord."""
    choices = fields.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise BadRecord('"choices" is not a list of JSON objects')
    asked = clean_string(fields, "input")
    ranked = []
    for choice in choices:
        choice = {key.lower(): value for key, value in choice.items()}
        if not isinstance(choice.get("rank"), int | float) or isinstance(choice["rank"], bool):
            raise BadRecord('the "rank" of a choice is not a number')
        conversation = _conversation({**fields, "prompt": asked, "text": clean_string(choice, "text")}, "text")
        ranked.append((finite_number(choice, "rank"), conversation))
    pairs = [
        _pair(*((one, other) if rank < below else (other, one)), _margin(fields))
        for (rank, one), (below, other) in itertools.combinations(ranked, 2)
        if rank != below
    ]
    if not pairs:
        raise BadRecord("no two choices have different ranks")
    return Preference(tuple(pairs))


def from_turns_before(fields: dict, key: str) -> Preference:
    """LLaMA-Factory's shape: the turns of the prompt under `key`, and two answers beside them.

    Where the turns go on to an answer, it is the chosen one. Raises BadRecord.
    """
    prompt = fields[key]
    turns = as_turns(prompt)
    if turns and _speaker(turns[-1]) == "assistant":
        chosen = as_turns(fields["chosen"]) or [{"role": "assistant", "content": fields["chosen"]}]
        if _speaker(chosen[0]) == "assistant":
            if _key(turns[-1]) != _key(chosen[0]):
                raise BadRecord(f'"{key}" ends with an answer that is not the chosen one')
            prompt = turns[:-1]
    return from_pair({**{name: value for name, value in fields.items() if name != key}, "prompt": prompt})


def each_rejected(fields: dict, read: Callable[[dict], Preference]) -> Preference:
    """A record as `read` takes it. Several rejected answers, texts or lists of turns in a list, make a pair each."""
    key = key_of_several(fields)
    if key is None:
        return read(fields)
    return Preference(tuple(pair for one in fields[key] for pair in read({**fields, key: one}).pairs))


def key_of_several(fields: dict) -> str | None:
    """Under which key a record has a list of rejected answers; None where it has one answer."""
    for key in REJECTED:
        answers = fields.get(key)
        if isinstance(answers, list) and answers and all(isinstance(answer, str | list) for answer in answers):
            return key
    return None


def from_preferred_output(fields: dict) -> Preference:
    """OpenAI's shape: messages, and perhaps tools, under `input`, and two lists of messages. Raises BadRecord."""
    asked = fields["input"] if isinstance(fields["input"], dict) else {"messages": fields["input"]}
    answers = {"chosen": fields["preferred_output"], "rejected": fields["non_preferred_output"]}
    return from_pair({**fields, **answers, "tools": asked.get("tools"), "prompt": asked.get("messages")})


def from_instruction(fields: dict) -> Preference:
    """LLaMA-Factory's other shape: as `conversations.from_alpaca`, with two answers in place of `output`."""
    fields = without_classes(fields)
    chosen, rejected = (from_alpaca({**fields, "output": fields[key]}) for key in ("chosen", "rejected"))
    return Preference((_pair(chosen, rejected, _margin(fields)),))


def from_rejected_response(fields: dict) -> Preference:
    """ms-swift's shape: a chat, and beside it another answer (`rejected_response`) or another chat."""
    messages = turns_under(fields, "messages")
    if fields.get("rejected_messages") is not None:
        rejected = turns_under(fields, "rejected_messages")
    else:
        answer = _no_alternatives("rejected_response", as_turns(fields.get("rejected_response")))
        if answer is None:
            answer = [{"role": "assistant", "content": clean_string(fields, "rejected_response")}]
        if _speaker(messages[-1]) != "assistant":
            raise BadRecord('"messages" do not end with the better answer')
        rejected = [*messages[:-1], *answer]
    fields = without_classes(fields)
    return Preference((_pair(*(from_turns(turns, fields) for turns in (messages, rejected)), _margin(fields)),))


def from_response(fields: dict) -> Preference:
    """ms-swift's other shape: a question under `query`, and two answers. Raises BadRecord."""
    return from_pair(
        {**fields, "prompt": fields["query"], "chosen": fields["response"], "rejected": fields["rejected_response"]}
    )


def _margin(fields: dict) -> float:
    return finite_number(fields, "margin")


def _conversation(fields: dict, key: str) -> Conversation:
    """The prompt, if there is one, with the answer under `key`."""
    prompt, answer = fields.get("prompt"), _no_alternatives(key, as_turns(fields.get(key)))
    if answer is None:
        answer = [{"role": "assistant", "content": clean_string(fields, key)}]
        if prompt is None:
            raise BadRecord('the key "prompt" is missing')
    if not answer:
        raise BadRecord(f'"{key}" is empty')
    if not prompt:
        messages = answer
    elif (turns := as_turns(prompt)) is not None:
        messages = _behind(turns, answer)
    else:
        prompt = clean_string(fields, "prompt")
        messages = answer
        if [_speaker(turn) for turn in answer[:1]] == ["assistant"]:
            messages = [{"role": "user", "content": prompt}, *answer]
        elif prompt.strip() not in [_words(turn) for turn in answer]:
            raise BadRecord(
                f'"{key}" begins with a turn that is not the assistant\'s, and does not repeat "prompt"',
                'give the turns of the prompt as a list under "prompt"',
            )
    return from_turns([*history(fields), *messages], without_classes(fields))


def _no_alternatives(key: str, turns: list | None) -> list | None:
    """The turns. Raises BadRecord for several answers in a row: they are meant one by one, not as one long answer."""
    calls = any(isinstance(turn, dict) and lower(turn).keys() & {"tool_calls", "function_call"} for turn in turns or ())
    if len(turns or ()) > 1 and not calls and {_speaker(turn) for turn in turns} == {"assistant"}:
        raise BadRecord(f'"{key}" is several turns of the assistant in a row', "put each answer into a list of its own")
    return turns


def _behind(prompt: list, answer: list) -> list:
    """The turns of both. An answer that repeats the prompt, with or without its system message, is already whole."""
    system, asked = [], prompt
    if prompt and _speaker(prompt[0]) == "system":
        system, asked = prompt[:1], prompt[1:]
    said = answer[1:] if _speaker(answer[0]) == "system" else answer
    repeats = asked and list(map(_key, said[: len(asked)])) == list(map(_key, asked))
    if not repeats:
        return [*prompt, *answer]
    return answer if said is not answer else [*system, *answer]


def _speaker(turn) -> str | None:
    turn = lower(turn) if isinstance(turn, dict) else {}
    role = turn.get("role", turn.get("from"))
    return SHAREGPT_ROLES.get(role, role) if isinstance(role, str) else None


def _words(turn) -> str:
    turn = lower(turn) if isinstance(turn, dict) else {}
    return str(turn.get("content", turn.get("value", ""))).strip()


def _key(turn) -> tuple:
    return (
        _speaker(turn),
        _words(turn),
        json.dumps(turn.get("tool_calls"), default=str) if isinstance(turn, dict) else "",
    )


def _pair(chosen: Conversation, rejected: Conversation, margin: float) -> Pair:
    shared = 0
    for one, other in zip(chosen.messages, rejected.messages):
        if one != other:
            break
        shared += 1
    answers = chosen.messages[shared:], rejected.messages[shared:]
    if not any(answers):
        raise BadRecord('"chosen" and "rejected" are the same')
    if shared == 0:
        raise BadRecord('"chosen" and "rejected" have no prompt in common')
    if not all(any(message["role"] == "assistant" for message in answer) for answer in answers):
        raise BadRecord("behind the common prompt no turn is the assistant's")
    return Pair(replace(chosen, trained_from=shared), replace(rejected, trained_from=shared), margin)


REJECTED = ("rejected", "rejected_response", "rejected_messages", "non_preferred_output")
PAIR_OF_CHATS = (
    '{"chosen": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "rejected": [...]}'
)

_FORMATS = (
    Format(
        "prompt/chosen/rejected",
        '{"prompt": "...", "chosen": "...", "rejected": "..."}',
        frozenset({"prompt", "chosen", "rejected"}),
        from_pair,
    ),
    Format(
        "conversations/chosen/rejected",
        '{"conversations": [{"from": "human", "value": "..."}], "chosen": {"from": "gpt", "value": "..."}, ...}',
        frozenset({"conversations", "chosen", "rejected"}),
        partial(from_turns_before, key="conversations"),
    ),
    Format(
        "messages/chosen/rejected",
        '{"messages": [{"role": "user", "content": "..."}], "chosen": "...", "rejected": "..."}',
        frozenset({"messages", "chosen", "rejected"}),
        partial(from_turns_before, key="messages"),
    ),
    Format(
        "question/chosen/rejected",
        '{"question": "...", "chosen": "...", "rejected": "..."}',
        frozenset({"question", "chosen", "rejected"}),
        partial(from_turns_before, key="question"),
    ),
    Format(
        "instruction/chosen/rejected",
        '{"instruction": "...", "input": "...", "chosen": "...", "rejected": "..."}',
        frozenset({"instruction", "chosen", "rejected"}),
        from_instruction,
    ),
    *(
        Format(
            f"{key}/chosen/rejected",
            f'{{"{key}": "...", "chosen": "...", "rejected": "..."}}',
            frozenset({key, "chosen", "rejected"}),
            partial(from_turns_before, key=key),
            lambda fields: isinstance(fields["chosen"], str),
        )
        for key in ("query", "input")
    ),
    Format(
        "chosen/rejected",
        PAIR_OF_CHATS,
        frozenset({"chosen", "rejected"}),
        from_pair,
        lambda fields: not is_dialogue(fields["chosen"]),
    ),
    Format(
        "dialogues",
        '{"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": "\\n\\nHuman: ..."}',
        frozenset({"chosen", "rejected"}),
        from_pair,
        lambda fields: is_dialogue(fields["chosen"]),
    ),
    Format(
        "messages/rejected_response",
        '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", ...}], "rejected_response": ...}',
        frozenset({"messages", "rejected_response"}),
        from_rejected_response,
    ),
    Format(
        "messages/rejected_messages",
        '{"messages": [...], "rejected_messages": [...]}',
        frozenset({"messages", "rejected_messages"}),
        from_rejected_response,
    ),
    Format(
        "query/response/rejected_response",
        '{"query": "...", "response": "...", "rejected_response": "..."}',
        frozenset({"query", "response", "rejected_response"}),
        from_response,
    ),
    Format(
        "input/preferred_output",
        '{"input": {"messages": [...]}, "preferred_output": [...], "non_preferred_output": [...]}',
        frozenset({"input", "preferred_output", "non_preferred_output"}),
        from_preferred_output,
    ),
    Format(
        "ranked choices",
        '{"input": "...", "choices": [{"text": "...", "rank": 1}, ...]}',
        frozenset({"input", "choices"}),
        from_ranked,
    ),
)
PREFERENCE = RecordKind(
    "preference",
    "a preference between answers, for train_dpo.py and train_reward.py",
    tuple(replace(one, read=partial(each_rejected, read=one.read)) for one in _FORMATS),
)
