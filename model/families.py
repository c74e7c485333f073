"""Which network a configuration describes: Sprout's own, with or without experts, or a GPT-2."""

from model.config import TransformerConfig
from model.transformer import Transformer


def config_from_dict(values: dict) -> TransformerConfig:
    """The configuration that `to_dict` made these values of. Raises `UsageError` as `TransformerConfig` does."""
    kind = values.get("model_type")
    Config = TransformerConfig
    if kind == "gpt2":
        from model.gpt2 import GPT2Config as Config
    elif kind == "qwen3_moe":
        from model.experts import ExpertsConfig as Config
    return Config.from_dict(values)


def network_of(config: TransformerConfig) -> type[Transformer]:
    """The class of the network that has this configuration."""
    if config.model_type != "gpt2":
        return Transformer
    from model.gpt2 import GPT2

    return GPT2
