"""A network that has learned a handful of conversations by heart, and the conversations.

It knows who is speaking from the turn before, thinks when told to, and, asked to go on, never stops talking.
"""

import functools
import json

import torch

from dataset.records.conversations import Conversation
from dataset.rendering import ChatRenderer
from inference.evaluation import answers_as_targets
from model.config import TransformerConfig
from model.text.tokenizer import THINK_AND_TOOLS, Tokenizer
from model.transformer import Transformer
from tests.support import make_tokenizer
from training.losses.next_token import next_token_loss

POSITIONS = 2048
GO_ON = "Go on"


def turns(*texts: str) -> list[dict]:
    """User and assistant in turn."""
    return [{"role": role, "content": text} for role, text in zip(("user", "assistant") * len(texts), texts)]


# (turns, skill, language); the last answer is what the network learned to say.
LEARNED = (
    (turns("Capital of France?", "Paris."), "capital", "en"),
    (turns("法国的首都？", "巴黎。"), "capital", "zh"),
    (turns("I am Bo.", "Hello!", "Who am I?", "You are Bo."), "memory", "en"),
    (turns("I am Cy.", "Hello!", "Who am I?", "You are Cy."), "memory", "en"),
    (turns("Who am I?", "No idea."), "memory", "en"),
    ([{"role": "system", "content": "Be curt."}, *turns("Who am I?", "Guess.")], "memory", "en"),
    (turns("Think.", "<think>\nhm\n</think>\n\nYes."), "thinking", None),
)
ENDLESS = turns(GO_ON, "na " * 40)


def tokenizer_that_shows_thinking() -> Tokenizer:
    """Of a token a byte, its tags of thinking and tools flagged as in the tokenizer that is shipped."""
    files = make_tokenizer().files
    content = json.loads(files["tokenizer.json"])
    for token in content["added_tokens"]:
        token["special"] = token["content"] not in THINK_AND_TOOLS
    return Tokenizer.from_files(files | {"tokenizer.json": json.dumps(content)})


@functools.cache
def talker() -> tuple[Transformer, Tokenizer]:
    """Trained in a few seconds, once a process."""
    tokenizer = tokenizer_that_shows_thinking()
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        rope_theta=10_000.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Transformer(config)
    conversations = [Conversation(tuple(messages)) for messages, _, _ in LEARNED]
    rows = ChatRenderer(tokenizer).render([*conversations, Conversation(tuple(ENDLESS))])
    batch = answers_as_targets(rows, tokenizer.pad_id)
    endless_end = len(rows[-1].ids) - 3  # the end of its turn, as a target, is not learned
    assert batch.targets[-1, endless_end] == tokenizer.eos_id
    batch.targets[-1, endless_end] = -100
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(200):
        loss = next_token_loss(network.features(batch.tokens), network.lm_head.weight, batch.targets)
        (loss / batch.trained).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if loss / batch.trained < 1e-3:
            break
    assert loss / batch.trained < 0.01, loss
    return network.eval(), tokenizer
