#!/usr/bin/env bash
# optax 0.2.8 with flax 0.12.8 and jax 0.10.2, Python 3.11 (seen 2026-12-01).
# Muon is for the matrices inside of a network, and Adam for embeddings and head, at another learning rate. Muon of
# optax.contrib decides by the number of dimensions alone: what has two goes to Muon, all else to Adam, says its
# documentation, at the rate of Muon unless adam_learning_rate is given. In PyTorch that would nearly be the split that
# one wants. Flax keeps the kernels of attention with a dimension for the heads, [width, heads, size], which is three.
# So queries, keys, values and outputs, the matrices that Muon is for, get Adam at a rate of 0.02, twenty times what
# Adam is used with: each of their numbers moves by some 0.02 in a step, and the matrix, in its largest direction,
# twenty to fifty times as far as one that Muon steps. Embedding and head, which have two, get Muon. No message says so;
# torch.optim.Muon refuses what has not two dimensions. muon_weight_dimension_numbers, which names the dimensions of
# each weight, mends both.
# Output seen (the first step of a block of 128 numbers and 4 heads, in parts of the rate; largest singular value):
#   default, Dense_0 (512, 128): Muon, 1.2
#   default, Dense_1 (128, 512): Muon, 2.4
#   default, Dense_2 (128, 512): Muon, 2.3
#   default, Embed_0 (512, 128): Muon, 1.1
#   default, key (128, 4, 32): Adam, 47.0
#   default, out (4, 32, 128): Adam, 62.3
#   default, query (128, 4, 32): Adam, 45.3
#   default, value (128, 4, 32): Adam, 57.3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet optax==0.2.8 flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
cat > split.py <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import optax
from flax import linen

RATE = 0.02


class Network(linen.Module):
    """One block, with attention as flax makes it; Dense_2 is the head."""

    @linen.compact
    def __call__(self, tokens):
        x = linen.Embed(512, 128)(tokens)
        attention = linen.MultiHeadDotProductAttention(num_heads=4, use_bias=False)
        x = x + attention(x, mask=linen.make_causal_mask(tokens))
        x = x + linen.Dense(128, use_bias=False)(linen.gelu(linen.Dense(512, use_bias=False)(x)))
        return linen.Dense(512, use_bias=False)(x)


def loss(weights) -> jax.Array:
    logits = network.apply({"params": weights}, tokens)[:, :-1]
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def dimensions(weights):
    """Which dimensions of a weight are summed over and which are its output; None leaves it to Adam."""

    def of(path, weight):
        name = path[-2].key
        if name in ("Embed_0", "Dense_2"):
            return None
        if weight.ndim == 2:
            return optax.contrib.MuonDimensionNumbers((0,), (1,))
        return optax.contrib.MuonDimensionNumbers(*(((0, 1), (2,)) if name == "out" else ((0,), (1, 2))))

    return jax.tree_util.tree_map_with_path(of, weights)


def first_step(**settings) -> dict[str, tuple[str, float]]:
    """By name and shape: whose step it is (all of Adam's numbers are about one rate), and how far it reaches."""
    optimizer = optax.contrib.muon(RATE, **settings)
    steps, _ = optimizer.update(gradients, optimizer.init(weights), weights)
    found = {}
    for path, step in jax.tree_util.tree_leaves_with_path(steps):
        name = path[-2].key
        step = step / RATE
        whose = "Adam" if jnp.sqrt((step**2).mean()) > 0.5 else "Muon"
        matrix = step.reshape(-1, step.shape[-1]) if name == "out" else step.reshape(step.shape[0], -1)
        found[f"{name} {step.shape}"] = whose, float(jnp.linalg.norm(matrix, 2))
    return found


network = Network()
tokens = jax.random.randint(jax.random.key(0), (8, 32), 0, 512)
weights = network.init(jax.random.key(1), tokens)["params"]
gradients = jax.grad(loss)(weights)
default, named = first_step(), first_step(muon_weight_dimension_numbers=dimensions)
for name, (whose, reach) in default.items():
    print(f"default, {name}: {whose}, {reach:.1f}")
for name, (whose, reach) in default.items():
    three = name.count(",") == 2
    if whose != ("Adam" if three else "Muon") or (reach > 30) != three:
        sys.exit("no longer so")
    if named[name][0] != ("Adam" if name.split()[0] in ("Embed_0", "Dense_2") else "Muon"):
        sys.exit("no longer so: named dimensions")
PYTHON
JAX_PLATFORMS=cpu env/bin/python split.py 2> errors || { cat errors; exit 1; }
if grep -i "muon\|adam\|dimension" errors; then echo "no longer so: something is said"; exit 1; fi
