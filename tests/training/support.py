"""What the tests of training build: a small network, and the flags of a stage."""

from model.config import TransformerConfig
from training.stages.arguments import StageParser, add_optimization_arguments

SMALL = TransformerConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)


def flags(*words: str):
    """The optimization flags as a stage parses them."""
    parser = StageParser()
    add_optimization_arguments(parser, optimizer="muon", weight_decay=0.1)
    return parser.parse_args(words)
