#!/usr/bin/env bash
# peft 0.21.2 with transformers 5.24.0 and torch 2.13.0, Python 3.11 (seen 2026-11-30).
# PiSSA puts the largest singular vectors of a weight into an adapter and trains these; the rest stays in the base. The
# file of the adapter holds the trained part only, and PeftModel.from_pretrained makes the rest anew from the original
# base. With init_lora_weights="pissa" it finds the same vectors again. The fast way beside it, "pissa_niter_16", draws
# them by chance, so each opening has another rest under the same trained part: the network is not the one that was
# trained, and no two openings are alike. No warning is given, and while it trains all is right. merge_and_unload()
# before saving keeps what was trained. Weights are random here, so their singular values fall slowly; more iterations
# bring the openings nearer to the network.
# Output seen (a small random network that learns eight texts by heart; the loss before, after training, of the adapter
# that was saved, opened twice, and of the merged network that was saved; the digits vary):
#   true: 4.18, 2.98, 2.98, 2.98, 2.98
#   pissa: 4.18, 2.99, 2.99, 2.99, 2.99
#   pissa_niter_4: 4.18, 2.99, 3.36, 3.37, 2.99
#   pissa_niter_16: 4.18, 2.99, 3.10, 3.17, 2.99
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --no-compile peft==0.21.2 transformers==5.24.0 accelerate==1.15.0 torch==2.13.0 numpy==2.4.6
cat > opened.py <<'PYTHON'
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
ids = torch.randint(64, (8, 16))
sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes)).save_pretrained("base")
differences = {}


def opened(folder: str) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder).eval()


def loss(network: torch.nn.Module) -> torch.Tensor:
    return network(ids, labels=ids).loss


for initial in (True, "pissa", "pissa_niter_4", "pissa_niter_16"):
    settings = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=initial)
    network = get_peft_model(opened("base"), settings).eval()
    losses = [loss(network).item()]
    optimizer = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=3e-3)
    for _ in range(150):
        loss(network).backward()
        optimizer.step()
        optimizer.zero_grad()
    losses.append(loss(network).item())
    network.save_pretrained("adapter")
    losses += [loss(PeftModel.from_pretrained(opened("base"), "adapter").eval()).item() for _ in range(2)]
    network.merge_and_unload().save_pretrained("merged")
    losses.append(loss(opened("merged")).item())
    print(f"{str(initial).lower()}: {', '.join(f'{value:.2f}' for value in losses)}")
    differences[initial] = [abs(value - losses[1]) for value in losses[2:]]
for initial, (first, second, merged) in differences.items():
    fast = str(initial).startswith("pissa_niter")
    if merged > 1e-3 or (min(first, second) > 0.05) != fast or (max(first, second) > 1e-3) != fast:
        sys.exit(f"no longer so: the losses of {initial} are others")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python opened.py 2> errors | grep "^true\|^pissa" || { tail -20 errors; exit 1; }
