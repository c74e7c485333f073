"""From a record that only asks something to the turns of the question, for a network to answer."""

from dataclasses import dataclass

from dataset.records.conversations import from_completion
from dataset.records.formats import BadRecord, Format, RecordKind
from dataset.records.turns import as_turns


@dataclass(frozen=True)
class Prompt:
    """The turns before an answer, and the tools, both as in a `Conversation`."""

    messages: tuple[dict, ...]
    tools: tuple[dict, ...] = ()

    @property
    def characters(self) -> int:
        return sum(len(message["content"]) for message in self.messages)


def from_prompt(fields: dict) -> Prompt:
    """`{"prompt": "..."}`, a text or a list of messages; optional `system` and `tools`. Raises BadRecord."""
    turns = as_turns(fields.get("prompt"))
    if turns and isinstance(turns[-1], dict) and turns[-1].get("role") == "assistant":
        raise BadRecord("the last turn of the prompt is the assistant's")
    asked = from_completion({**fields, "answer": "."}, answer="answer")
    return Prompt(asked.messages[:-1], asked.tools)


PROMPT = RecordKind(
    "prompt",
    "a question without an answer, which no stage trains on",
    (Format("prompt", '{"prompt": "..."}', frozenset({"prompt"}), from_prompt),),
)
