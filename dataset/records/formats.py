"""What a record means: its format is detected from its keys, once per file, and printed.

A new format is one more function from a record's fields to what it stands for, and one more `Format`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dataset.records.conversations import (
    Conversation,
    from_alpaca,
    from_completion,
    from_conversations,
    from_inline,
    from_sharegpt,
    has_role_tags,
    has_roles,
    is_sharegpt,
)
from dataset.records.fields import BadRecord, clean_string, list_keys
from dataset.records.preferences import Preference, from_pair, from_ranked
from dataset.records.scored import ScoredAnswer, from_scored


@dataclass(frozen=True)
class Format:
    """A shape of records: the keys it needs, and the function that reads one."""

    name: str
    shape: str  # what is shown to somebody whose record fits no format
    keys: frozenset[str]
    read: Callable[[dict], str | Conversation | Preference | ScoredAnswer]
    fits: Callable[[dict], bool] = lambda fields: True  # looks at values where keys do not tell


def text_of(fields: dict) -> str:
    """The document of a text record, unchanged. Raises BadRecord."""
    return clean_string(fields, "text")


TEXT = Format("text", '{"text": "..."}', frozenset({"text"}), text_of)

CHAT = (
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
)

PREFERENCE = (
    Format(
        "prompt/chosen/rejected",
        '{"prompt": "...", "chosen": "...", "rejected": "..."}',
        frozenset({"prompt", "chosen", "rejected"}),
        from_pair,
    ),
    Format(
        "chosen/rejected",
        '{"chosen": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "rejected": [...]}',
        frozenset({"chosen", "rejected"}),
        from_pair,
    ),
    Format(
        "ranked choices",
        '{"input": "...", "choices": [{"text": "...", "rank": 1}, ...]}',
        frozenset({"input", "choices"}),
        from_ranked,
    ),
)

SCORED = (
    Format(
        "scored",
        '{"input": "...", "output": "...", "score": 4.5}',
        frozenset({"input", "output", "score"}),
        from_scored,
    ),
)

# What each kind of training accepts, the first that fits wins.
FORMATS: dict[str, tuple[Format, ...]] = {"text": (TEXT,), "chat": CHAT, "preference": PREFERENCE, "scored": SCORED}

# What is said of a record that another kind of training accepts.
OTHER_KINDS = {
    "text": "a text, for pretraining",
    "chat": "a conversation, for fine-tuning",
    "preference": "a preference between answers, which train_dpo.py and train_reward.py learn from",
    "scored": "an answer with a score, which train_reward.py learns from",
}


def detect_format(fields: dict, kind: str) -> Format:
    """The format of a record with these fields, keys in lower case. Raises BadRecord naming the accepted ones."""
    for candidate in FORMATS[kind]:
        if candidate.keys <= fields.keys() and candidate.fits(fields):
            return candidate
    raise unknown_shape(fields, (kind,))


def unknown_shape(fields: dict, kinds: tuple[str, ...]) -> BadRecord:
    """What is said of a record that is of none of these kinds: what would be, and what it is otherwise."""
    accepted = " or ".join(candidate.shape for kind in kinds for candidate in FORMATS[kind])
    for other, uses in OTHER_KINDS.items():
        if other not in kinds and any(one.keys <= fields.keys() and one.fits(fields) for one in FORMATS[other]):
            accepted += f"; this is {uses}"
    return BadRecord("the shape is unknown", f"{list_keys(fields)}; accepted: {accepted}")
