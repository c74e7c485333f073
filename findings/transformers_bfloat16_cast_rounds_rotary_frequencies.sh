#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0, Python 3.11 (seen 2026-11-30).
# from_pretrained(folder, dtype=torch.bfloat16) keeps the frequencies of the rotary positions in float32. The same network
# opened in float32 and cast by model.to(torch.bfloat16), bfloat16() or half() does not: they are a buffer, and cast as
# all the rest. bfloat16 has 8 bits, so every frequency is off by up to 0.2 %, and so is the angle: it is multiplied by
# the position, and at some hundred tokens it is another one. Both are "the model in bfloat16", have the same weights and
# answer short questions alike; float() afterwards brings nothing back. evaluate() of Trainer with bf16_full_eval=True
# casts so, too: the loss it reports is that of another network, the more so the longer the texts, and the network stays
# so. No warning is given. model.model.rotary_emb.__init__(model.config) after the cast makes the frequencies anew.
# Output seen (random networks; how far logits are from those of float32, in parts of their length, in tokens 0 to 49,
# 900 to 999 and 3,000 to 3,999):
#   llama, opened in bfloat16: 0.03, 0.04, 0.04
#   llama, to(bfloat16): 0.03, 0.22, 0.66
#   llama, bfloat16().float(): 0.02, 0.22, 0.66
#   llama, half(): 0.00, 0.08, 0.31
#   llama, to(bfloat16), frequencies anew: 0.03, 0.04, 0.04
#   llama, after evaluate() with bf16_full_eval: 0.03, 0.22, 0.66 (and so on)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 numpy==2.3.4
cat > cast.py <<'PYTHON'
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainingArguments

PARTS = (slice(0, 50), slice(900, 1000), slice(3000, 4000))
shape = {"vocab_size": 64, "hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2}
shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2}


def opened(kind: str, **how):
    return AutoModelForCausalLM.from_pretrained(kind, **how).eval()


def made_anew(model):
    model.model.rotary_emb.__init__(model.config)
    return model


def evaluated(model):
    rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}]
    settings = TrainingArguments("out", bf16_full_eval=True, use_cpu=True, report_to=[], disable_tqdm=True)
    Trainer(model, settings, eval_dataset=rows).evaluate()
    return model.eval()


for kind in ("llama", "qwen2"):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **shape, max_position_embeddings=8192)
    AutoModelForCausalLM.from_config(config).save_pretrained(kind)
    text = torch.randint(0, 64, (1, 4000))
    with torch.no_grad():
        right = opened(kind)(text).logits
    for name, model in {
        "opened in bfloat16": opened(kind, dtype=torch.bfloat16),
        "to(bfloat16)": opened(kind).to(torch.bfloat16),
        "bfloat16().float()": opened(kind).bfloat16().float(),
        "half()": opened(kind).half(),
        "to(bfloat16), frequencies anew": made_anew(opened(kind).to(torch.bfloat16)),
        "after evaluate() with bf16_full_eval": evaluated(opened(kind)),
    }.items():
        with torch.no_grad():
            off = (model(text).logits.float() - right).norm(dim=-1) / right.norm(dim=-1)
        early, later, last = (off[0, part].mean().item() for part in PARTS)
        print(f"{kind}, {name}: {early:.2f}, {later:.2f}, {last:.2f}")
        astray = name not in ("opened in bfloat16", "to(bfloat16), frequencies anew")
        if early > 0.1 or (last > 0.1) != astray:
            sys.exit("no longer so: the frequencies are rounded otherwise")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python cast.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
