"""What several tests need: a tokenizer of 272 tokens, networks whose every weight matters, and a way to wait."""

import json
import time
from collections.abc import Callable

import hypothesis
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from model.config import TransformerConfig
from model.text.tokenizer import SPECIAL_TOKENS, Tokenizer
from model.transformer import Transformer


def examples(count: int) -> int:
    """How many examples a test draws that needs more or fewer than the usual 100; a search at random draws as many
    times more as of all tests."""
    return count * hypothesis.settings().max_examples // 100


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come about within {seconds} s"
        time.sleep(0.002)


def make_tokenizer(extra_tokens: tuple[str, ...] = ()) -> Tokenizer:
    """One token a byte, after the special tokens; `extra_tokens`, of two bytes each, follow with a merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*SPECIAL_TOKENS, *alphabet, *extra_tokens]
    backend = Backend(models.BPE({name: i for i, name in enumerate(names)}, [tuple(t) for t in extra_tokens]))
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}",
    }
    return Tokenizer.from_files({"tokenizer.json": backend.to_str(), "tokenizer_config.json": json.dumps(config)})


def random_network(config: TransformerConfig, seed: int = 0) -> Transformer:
    """A network with every weight drawn at random.

    As initialised, o_proj and down_proj are zero, so attention and MLP would not take part in any comparison.
    """
    generator = torch.Generator().manual_seed(seed)
    network = Transformer(config, initialize_weights=False)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.dim() >= 2 else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            if name.endswith("norm.weight"):
                parameter += 1
    return network
