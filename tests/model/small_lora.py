"""Small networks with adapters that do something, for the tests of adapters."""

import torch

from model.config import TransformerConfig
from model.fingerprint import fingerprint
from model.lora import Lora, add_lora
from model.whole import is_adapter

SMALL = TransformerConfig(vocab_size=272, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
NETWORKS = {
    "llama": SMALL,
    "qwen2": SMALL.replace(attention_bias=True),
    "qwen3, untied": SMALL.replace(qk_norm=True, tie_word_embeddings=False),
}
TOKENS = torch.arange(3, 43).view(2, 20)
POSITIONS = torch.tensor([[*range(7), *range(13)], [*range(20)]])  # two documents in the first row


def adapted(model, rank=4, alpha=8.0, seed=1, **settings):
    """`model` with adapters that do something."""
    add_lora(model, Lora(rank, alpha, base=fingerprint(model), **settings))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_adapter(name):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def logits(model, **more):
    with torch.no_grad():
        return model(TOKENS, POSITIONS, **more)
