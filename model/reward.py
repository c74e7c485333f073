"""The reward model: a network that reads a conversation and says how good its answer is, as one number.

    r = score . h        h [D]: the last hidden state of the token that ends the answer

The head that makes logits is gone, a scalar one is there instead, under the name it has in Hugging Face's
`LlamaForSequenceClassification` and its relatives: `score.weight` [1, D]. It begins at zero, so every reward does.
"""

import torch
from torch import Tensor, nn

from model.config import TransformerConfig
from model.errors import UsageError
from model.transformer import Transformer
from model.whole import adapters_of


class RewardModel(Transformer):
    """A `Transformer` with a scalar head. `initialize_weights=False` leaves the network unset, as there."""

    def __init__(self, config: TransformerConfig, initialize_weights: bool = True):
        if config.model_type == "gpt2":
            raise UsageError("Sprout makes no reward model or critic of a GPT-2: begin with a Llama, Qwen2 or Qwen3")
        super().__init__(config, initialize_weights)
        device = self.lm_head.weight.device
        del self.lm_head
        self.score = nn.Linear(config.hidden_size, 1, bias=False, device=device, dtype=torch.float32)
        nn.init.zeros_(self.score.weight)
        self.skips_padding = False  # True: it learned from another program, which reads before an end that also pads

    @classmethod
    def of(cls, network: Transformer) -> "RewardModel":
        """The reward model that a language model becomes: it takes over the network, adapters included."""
        reward = cls(network.config, initialize_weights=False)
        reward.model = network.model
        reward.to(network.model.embed_tokens.weight.device)
        if (lora := adapters_of(network)) is not None:
            reward.lora = lora
        return reward.train(network.training)

    def forward(self, tokens: Tensor, positions: Tensor | None = None, cache=None) -> Tensor:
        """[B, T] float32: the reward of a conversation that ends with each of `tokens` [B, T]."""
        return self.head(self.features(tokens, positions, cache))

    def head(self, features: Tensor) -> Tensor:
        """[...] float32 of features [..., D]. Not a matrix product, so autocast leaves all digits of a reward."""
        return (features.float() * self.score.weight[0].float()).sum(dim=-1)


def rewards(model: RewardModel, tokens: Tensor, positions: Tensor | None, ends: Tensor) -> Tensor:
    """The reward of each of S conversations in some rows, float32 [S].

    tokens: [B, T]; positions: [B, T], a 0 beginning a new conversation, or None where each row is one.
    ends: [S] int64, where in tokens.flatten() the last token of each conversation stands.
    """
    return model.head(model.features(tokens, positions).flatten(0, 1)[ends])
