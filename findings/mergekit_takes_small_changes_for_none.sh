#!/usr/bin/env bash
# mergekit 0.1.5 with transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-12-01).
# SCE (arXiv:2408.07990) weighs the changes that several fine-tunings made to one network by their mean squares, matrix
# by matrix; Model Stock (arXiv:2403.19522) goes from the network towards the average of its fine-tunings, the further
# the more alike their changes are. Neither formula knows a size: changes ten times as large give a change ten times as
# large. mergekit compares with constants. Where the mean squares add up to less than 1e-6 (two changes of 0.0007, for
# which AdamW at a rate of 1e-5 needs some 70 steps at least), sce gives all networks the same weight. Where the norms
# of two changes multiply to less than 1e-6, model_stock divides by 1e-6 instead, takes the changes for less alike than
# they are, and stays near the first network, which the norms and biases of a small network meet first. So gentle
# fine-tunings, as by DPO, are merged by another rule than strong ones, and often some matrices of a network by one rule
# and some by the other, without a word; the documentation names neither constant. Multiplying all changes by a thousand
# before the merge and dividing the result's by it after mends it.
# Output seen (the change that is merged, in parts of the first network's):
#   sce, changes of 0.002 and 0.00020: 0.99 in matrices, 0.99 in norms
#   sce, changes of 0.0005 and 0.00005: 0.55 in matrices, 0.55 in norms
#   model_stock, two changes of 0.002 that are 0.8 alike: 0.84 in matrices, 0.84 in norms
#   model_stock, two changes of 0.00002 that are 0.8 alike: 0.84 in matrices, 0.04 in norms
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 mergekit==0.1.5 transformers==5.24.0 numpy==2.3.4
cd "$folder"
cat > merge.py <<'PYTHON'
import sys
import tempfile
from pathlib import Path

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
config = LlamaConfig(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_hidden_layers=1, vocab_size=100)
start = LlamaForCausalLM(config).state_dict()


def save(name: str, changes: dict[str, torch.Tensor]) -> str:
    """Keep the first network with changes added."""
    model = LlamaForCausalLM(config)
    model.load_state_dict({key: value + changes.get(key, 0) for key, value in start.items()})
    model.save_pretrained(name)
    return str(Path(name).resolve())


def changes(size: float, sign: float, common: float) -> dict[str, torch.Tensor]:
    """Return a change of this size for each matrix and norm, of which a part is the same for either sign."""
    found = {}
    for key, value in start.items():
        apart = torch.ones(value.numel())
        apart[::2] = -1
        found[key] = size * (common**0.5 + sign * (1 - common) ** 0.5 * apart.reshape(value.shape))
    return found


def merged(method: str, first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Merge by a method, and return how large the change is beside the first network's, in matrices and in norms."""
    here = tempfile.mkdtemp(dir=".")  # mergekit remembers what it read from a path
    base = save(f"{here}/base", {})
    paths = [save(f"{here}/first", first), save(f"{here}/second", second)]
    models = [{"model": path} for path in paths]
    plan = {"merge_method": method, "base_model": base, "models": models, "dtype": "float32"}
    options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True)
    run_merge(MergeConfiguration.model_validate(plan), f"{here}/result", options)
    result = load_file(f"{here}/result/model.safetensors")
    shares = {1: [], 2: []}
    for key, value in result.items():
        shares[value.dim()].append(((value - start[key]).norm() / first[key].norm()).item())
    for each in shares.values():
        if max(each) - min(each) > 0.01:
            sys.exit(f"no longer so: the matrices of one size differ, {each}")
    return sum(shares[2]) / len(shares[2]), sum(shares[1]) / len(shares[1])


found = {}
for size in (0.002, 0.0005):
    found["sce", size] = matrices, norms = merged("sce", changes(size, 1, 1), changes(size / 10, 1, 1))
    print(f"sce, changes of {size} and {size / 10:.5f}: {matrices:.2f} in matrices, {norms:.2f} in norms")
for size in (0.002, 0.00002):
    found["stock", size] = matrices, norms = merged("model_stock", changes(size, 1, 0.9), changes(size, -1, 0.9))
    text = f"{size:.5f}".rstrip("0")
    print(f"model_stock, two changes of {text} that are 0.8 alike: {matrices:.2f} in matrices, {norms:.2f} in norms")
expected = {
    ("sce", 0.002): (0.99, 0.99),
    ("sce", 0.0005): (0.55, 0.55),
    ("stock", 0.002): (0.84, 0.84),
    ("stock", 0.00002): (0.84, 0.04),
}
for key, values in expected.items():
    if any(abs(one - other) > 0.02 for one, other in zip(found[key], values)):
        sys.exit(f"no longer so: {key} gives {found[key]}, not {values}")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" merge.py 2> log.txt || { cat log.txt; exit 1; }
