"""The formats of a chat: the keys by which each is known, and the function that reads it.

Formats that share keys are told apart by the first turn, or the first tag.
"""

from functools import partial

from dataset.records.conversations import (
    ANGLE_TAG,
    CHINESE_TAG,
    from_alpaca,
    from_completion,
    from_conversations,
    from_inline,
    from_rounds,
    from_sharegpt,
)
from dataset.records.formats import Format, RecordKind
from dataset.records.turns import ROUNDS, as_turns, lower


def has_roles(fields: dict, key: str = "conversations") -> bool:
    return "role" in _first_turn(fields, key)


def is_sharegpt(fields: dict, key: str = "conversations") -> bool:
    return "from" in _first_turn(fields, key)


def has_rounds(fields: dict, key: str) -> bool:
    return any(question in _first_turn(fields, key) for question, _ in ROUNDS)


def has_role_tags(fields: dict, key: str = "prompt") -> bool:
    text = fields.get(key)
    return isinstance(text, str) and bool(ANGLE_TAG.match(text.lstrip()) or CHINESE_TAG.match(text.lstrip()))


def _first_turn(fields: dict, key: str) -> dict:
    """The first turn with its keys in lower case; empty if there is none."""
    turns = as_turns(fields.get(key))
    return lower(turns[0]) if turns and isinstance(turns[0], dict) else {}


CHAT = RecordKind(
    "chat",
    "a conversation, for train_full_sft.py",
    (
        Format(
            "conversations",
            '{"conversations": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
            frozenset({"conversations"}),
            from_conversations,
            has_roles,
        ),
        Format(
            "sharegpt",
            '{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
            frozenset({"conversations"}),
            from_sharegpt,
            is_sharegpt,
        ),
        Format(
            "messages",
            '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
            frozenset({"messages"}),
            partial(from_conversations, key="messages"),
            partial(has_roles, key="messages"),
        ),
        Format(
            "sharegpt",
            '{"messages": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
            frozenset({"messages"}),
            partial(from_sharegpt, key="messages"),
            partial(is_sharegpt, key="messages"),
        ),
        Format(
            "alpaca",
            '{"instruction": "...", "input": "...", "output": "..."}',
            frozenset({"instruction", "output"}),
            from_alpaca,
        ),
        Format(
            "prompt/completion",
            '{"prompt": "...", "completion": "..."}',
            frozenset({"prompt", "completion"}),
            from_completion,
        ),
        Format(
            "prompt/response",
            '{"prompt": "...", "response": "..."}',
            frozenset({"prompt", "response"}),
            partial(from_completion, answer="response"),
        ),
        Format(
            "query/response",
            '{"query": "...", "response": "..."}',
            frozenset({"query", "response"}),
            partial(from_completion, answer="response", prompt="query"),
        ),
        Format(
            "instruction/response",
            '{"instruction": "...", "context": "...", "response": "..."}',
            frozenset({"instruction", "response"}),
            partial(from_alpaca, answer="response", below="context"),
        ),
        Format(
            "question/answer",
            '{"question": "...", "answer": "..."}',
            frozenset({"question", "answer"}),
            partial(from_completion, answer="answer", prompt="question"),
        ),
        *(
            Format(
                "human/assistant",
                f'{{"{key}": [{{"human": "...", "assistant": "..."}}]}}',
                frozenset({key}),
                partial(from_rounds, key=key),
                partial(has_rounds, key=key),
            )
            for key in ("conversation", "conversations")
        ),
        Format(
            "conversation",
            '{"conversation": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
            frozenset({"conversation"}),
            partial(from_conversations, key="conversation"),
            partial(has_roles, key="conversation"),
        ),
        Format(
            "sharegpt",
            '{"conversation": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
            frozenset({"conversation"}),
            partial(from_sharegpt, key="conversation"),
            partial(is_sharegpt, key="conversation"),
        ),
        Format(
            "inline",
            '{"prompt": "<|user|> ... <|assistant|> ..."}',
            frozenset({"prompt"}),
            from_inline,
            has_role_tags,
        ),
        Format(
            "inline",
            '{"text": "用户：...\\n助手：..."}',
            frozenset({"text"}),
            partial(from_inline, key="text"),
            partial(has_role_tags, key="text"),
        ),
    ),
)
