"""What is compared of chats and preference pairs: the question, the answers, or both."""

from dataset.records.conversations import Conversation
from dataset.records.preferences import Preference
from dataset.records.scored import ScoredAnswer
from dataset.records.unpaired import LabelledAnswers

SIDES = {"prompt": ("user",), "answer": ("assistant",), "both": ("user", "assistant")}


def compared_text(record: Conversation | Preference | ScoredAnswer | LabelledAnswers, by: str = "both") -> str:
    """The turns that count, a paragraph each, once where several answers share them; to be given to the keys.

    by: "prompt" is what the user says, "answer" what the assistant says (chosen and rejected ones alike), "both" all of
    it. System messages and tools never count: they are the same everywhere, and would make all short chats alike.
    """
    said = [
        message["content"]
        for conversation in record.conversations
        for message in conversation.messages
        if message["role"] in SIDES[by]
    ]
    return "\n\n".join(dict.fromkeys(text for text in said if text))
