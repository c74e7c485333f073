#!/usr/bin/env bash
# peft 0.21.2 with torch 2.13.0 and transformers 5.24.0, Python 3.11 (seen 2026-11-30).
# add_weighted_adapter(["one"], [1.0], "copy") makes a new adapter of one old one at full weight, which should be the
# same. For plain LoRA it is. With use_rslora the new adapter is the root of its rank times too large: its factors hold
# the scale already, and the new config, copied from the old one with lora_alpha = r, applies that of rsLoRA once more.
# With use_dora the magnitudes that were trained are left out and made anew, and with lora_bias the bias is. It is so
# for each combination_type, nothing is raised, and the network still answers. Reported as issue 3761 of peft; its pull
# request 3449, which mends the scale, is merged, but not in this version. Combine adapters of plain LoRA only, or merge
# each into weights of its own and average those.
# Output seen (random adapters of rank 16; how far the outputs of the layer move by the adapter, in parts of how far
# they should, and the cosine of the two moves):
#   plain, linear: 1.00, 1.00
#   plain, cat: 1.00, 1.00
#   use_rslora, linear: 4.00, 1.00
#   use_rslora, cat: 4.00, 1.00
#   use_dora, linear: 0.95, 0.95
#   use_dora, cat: 0.95, 0.95
#   lora_bias, linear: 0.94, 0.94
#   lora_bias, cat: 0.94, 0.94
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet peft==0.21.2 torch==2.13.0 transformers==5.24.0 numpy==2.3.4
cat > "$folder/combine.py" <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model

torch.set_num_threads(1)
inputs = torch.randn(500, 64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def moves(kind: str, combination: str) -> tuple[torch.Tensor, torch.Tensor]:
    """By how much the adapter changes the outputs of a layer, and by how much its copy does."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(64, 64))
    before = base(inputs)
    switches = {} if kind == "plain" else {kind: True}
    settings = LoraConfig(r=16, lora_alpha=16, target_modules=["0"], **switches)
    model = get_peft_model(base, settings, adapter_name="one")
    for parameter in model.parameters():  # as if it had been trained
        if parameter.requires_grad:
            parameter += 0.05 * torch.randn_like(parameter)
    moved = model(inputs) - before
    model.add_weighted_adapter(["one"], [1.0], "copy", combination_type=combination)
    model.set_adapter("copy")
    return moved, model(inputs) - before


for kind in ("plain", "use_rslora", "use_dora", "lora_bias"):
    for combination in ("linear", "cat"):
        right, found = moves(kind, combination)
        length = (found.norm() / right.norm()).item()
        cosine = torch.cosine_similarity(found.flatten(), right.flatten(), dim=0).item()
        print(f"{kind}, {combination}: {length:.2f}, {cosine:.2f}")
        if torch.allclose(found, right, atol=1e-4) != (kind == "plain"):
            sys.exit(f"no longer so: {kind}")
        if kind == "use_rslora" and abs(length - 4) > 0.01:
            sys.exit("no longer so: the scale of rsLoRA is another")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/combine.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
