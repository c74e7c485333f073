#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# On a CPU the backward pass of LayerNorm adds up what every token of a batch says about its bias and weight. If its
# input is in bfloat16, it does so in bfloat16, where 256 + 1 is 256: the sum soon stops growing, and the larger the
# batch, the more of the gradient is missing. In a network in bfloat16, as transformers 5 opens the files of most
# networks like GPT-2, biases of LayerNorm get a third of their gradient or less at 16,384 tokens. Linear layers add up
# in float32 and are right, RMSNorm too, and the same LayerNorm if it is compiled. Weights in float32 do not help where
# the input is in bfloat16, as behind a linear layer under autocast (a norm of queries and keys, say). Embedding has the
# fault for the most frequent words. Each thread adds up its own part, so the gradient depends on the number of threads.
# No warning is given, and the loss is right. An input cast by .float() keeps the gradient.
# Output seen (the length of gradients in parts of those in float32; of LayerNorm, biases of linear layers, a frequent
# word):
#   512 tokens: biases 0.83 to 1.00, weights 0.99 to 1.00, linear layers 1.00, a word 1.00
#   4,096 tokens: biases 0.37 to 0.82, weights 0.85 to 1.01, linear layers 1.00, a word 0.99
#   16,384 tokens: biases 0.15 to 0.37, weights 0.51 to 0.77, linear layers 1.00, a word 0.85
#   16,384 tokens, 4 threads: biases 0.38 to 0.83, weights 0.84 to 1.00, linear layers 1.00, a word 0.85
#   16,384 tokens, compiled: biases 1.00, weights 1.00, linear layers 1.00, a word 1.00
#   behind a linear layer under autocast, weights in float32: LayerNorm 0.03, RMSNorm 1.00, LayerNorm of float() 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/gradients.py" <<'PYTHON'
import copy
import sys

import torch
from torch import nn

drawn = torch.Generator().manual_seed(0)
words = torch.multinomial(1 / torch.arange(1.0, 1001), 16384, replacement=True, generator=drawn)  # as often as in texts


class Network(nn.Module):
    """Two blocks as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 64)
        block = nn.TransformerEncoderLayer(64, 2, 256, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, nn.LayerNorm(64), enable_nested_tensor=False)
        self.head = nn.Linear(64, 1000)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=self.head.weight.dtype)
        return self.head(self.blocks(self.embedding(tokens), mask, is_causal=True))


torch.manual_seed(0)
network = Network()


def gradients(count: int, kind: torch.dtype, threads: int, compiled: bool) -> dict[str, torch.Tensor]:
    torch.set_num_threads(threads)
    copied = copy.deepcopy(network).to(kind)
    tokens = words[:count].view(-1, 512)
    logits = (torch.compile(copied) if compiled else copied)(tokens[:, :-1]).float()
    nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    found = {name: weight.grad.float() for name, weight in copied.named_parameters()}
    return found | {"word": found["embedding.weight"][0]}


def show(name: str, count: int, threads: int = 1, compiled: bool = False) -> dict[str, list[float]]:
    exact, rounded = gradients(count, torch.float32, 1, False), gradients(count, torch.bfloat16, threads, compiled)
    part = {key: (rounded[key].norm() / exact[key].norm()).item() for key in exact}
    groups = {
        "biases": [part[key] for key in part if "norm" in key and key.endswith("bias")],
        "weights": [part[key] for key in part if "norm" in key and key.endswith("weight")],
        "linear layers": [part[key] for key in part if "norm" not in key and key.endswith(".bias")],
        "a word": [part["word"]],
    }
    said = []
    for group, parts in groups.items():
        low, high = f"{min(parts):.2f}", f"{max(parts):.2f}"
        said.append(f"{group} {low}" + (f" to {high}" if high != low else ""))
    print(f"{name}:", ", ".join(said), flush=True)
    return groups


def behind_a_linear_layer(norm: nn.Module, cast: bool = False) -> float:
    """The length of the gradient of its last weight under autocast, in parts of that in float32."""
    inputs, wanted = torch.randn(16384, 64), torch.rand(16384, 64)
    lengths = []
    for enabled in (False, True):
        norm.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            middle = network.blocks.layers[0].linear1(inputs)[:, :64]
            results = norm(middle.float() if cast else middle)
        (results.float() * wanted).sum().backward()
        lengths.append(list(norm.parameters())[-1].grad.norm())
    return (lengths[1] / lengths[0]).item()


few = show("512 tokens", 512)
show("4,096 tokens", 4096)
many = show("16,384 tokens", 16384)
shared = show("16,384 tokens, 4 threads", 16384, threads=4)
compiled = show("16,384 tokens, compiled", 16384, compiled=True)
torch.set_num_threads(1)
layer, root = behind_a_linear_layer(nn.LayerNorm(64)), behind_a_linear_layer(nn.RMSNorm(64))
cast = behind_a_linear_layer(nn.LayerNorm(64), cast=True)
seen = f"LayerNorm {layer:.2f}, RMSNorm {root:.2f}, LayerNorm of float() {cast:.2f}"
print("behind a linear layer under autocast, weights in float32:", seen)
biases = [max(found["biases"]) for found in (many, shared)]
if biases[0] > 0.5 or biases[1] < biases[0] + 0.1 or layer > 0.5 or many["a word"][0] > 0.95:
    sys.exit("no longer so: the gradients of many tokens are right")
if min(few["biases"]) < 0.7 or min(*compiled["biases"], *many["linear layers"], root, cast) < 0.98:
    sys.exit("no longer so: the other gradients are wrong, too")
PYTHON
"$folder/env/bin/python" "$folder/gradients.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
