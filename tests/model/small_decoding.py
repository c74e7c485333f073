"""A small network, prompts of different lengths, and ways to sample, for the tests of decoding."""

from model.config import TransformerConfig
from model.sampling import Sampling

SMALL = TransformerConfig(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
)
PROMPTS = [[5, 40, 17, 8, 33, 60, 21], [9, 50, 3], [7], [44, 45, 46, 47, 48, 49, 50, 51, 52], [9, 50, 4]]
ENDS = {11, 23, 37, 52, 3}
NUCLEUS = Sampling(0.9, top_p=0.9)
PENALISED = Sampling(1.2, top_k=20, repetition_penalty=1.2)
