#!/usr/bin/env bash
# torchao 0.18.0 with transformers 5.24.0 and 4.57.6, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# quantize_ of torchao, and TorchAoConfig of transformers, which calls it, take each nn.Linear of a network. Up to version
# 4, an expert of Mixtral, Qwen2-MoE, Qwen3-MoE or OLMoE was made of such layers; version 5 keeps all experts of a block
# in one parameter of three dimensions. So the same two lines that made such a network half as large now leave nearly all
# of it as it was, attention and head aside, and no message says so: what is served "in int8" has its experts in
# bfloat16, with their memory and their exact answers, and a comparison with figures of version 4 compares other
# networks. Networks without experts are as before. Looking at the type of each weight afterwards shows it. NVIDIA's
# Model-Optimizer met the same (its issue 1173).
# Output seen (small random networks of bfloat16; of experts, and of all other weights of blocks, how much is int8):
#   4.57.6, mixtral, quantize_: experts 100 %, others 100 %
#   4.57.6, mixtral, TorchAoConfig: experts 100 %, others 100 %
#   5.24.0, mixtral, quantize_: experts 0 %, others 98 %
#   5.24.0, mixtral, TorchAoConfig: experts 0 %, others 98 % (qwen2_moe, qwen3_moe and olmoe likewise)
#   5.24.0, llama, quantize_: others 100 % (and so on)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > experts.py <<'PYTHON'
import sys

import torch
import transformers
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from transformers import AutoConfig, AutoModelForCausalLM, TorchAoConfig

old = transformers.__version__.startswith("4.")
shape = {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
shape |= {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32}
experts = {"moe_intermediate_size": 128, "shared_expert_intermediate_size": 128, "num_experts_per_tok": 2}
experts |= {"num_experts": 8, "num_local_experts": 8}


def share(model, of_experts: bool) -> float | None:
    """Of the matrices in blocks, those of experts or all others: how much of their numbers is quantised, in percent."""
    sizes = {True: 0, False: 0}
    for name, weight in model.model.layers.named_parameters():
        if weight.dim() > 1 and (".experts." in name) == of_experts:
            sizes[type(weight.data) is not torch.Tensor] += weight.numel()
    return 100 * sizes[True] / sum(sizes.values()) if any(sizes.values()) else None


for kind in ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "llama"):
    config = AutoConfig.for_model(kind, **shape, **(experts if kind != "llama" else {}))
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(kind)
    quantize_(model, Int8WeightOnlyConfig())
    how = {"dtype": torch.bfloat16, "quantization_config": TorchAoConfig(Int8WeightOnlyConfig())}
    opened = AutoModelForCausalLM.from_pretrained(kind, **how)
    for name, result in (("quantize_", model), ("TorchAoConfig", opened)):
        inner, outer = share(result, True), share(result, False)
        said = f"experts {inner:.0f} %, " if inner is not None else ""
        print(f"{transformers.__version__}, {kind}, {name}: {said}others {outer:.0f} %")
        if outer < 90 or inner not in (None, 100 if old else 0):
            sys.exit("no longer so: another share of the weights is quantised")
PYTHON
for version in 4.57.6 5.24.0; do
    python3 -m venv "env_$version"
    "env_$version/bin/pip" install --quiet "transformers==$version" torch==2.13.0 torchao==0.18.0 accelerate==1.15.0 numpy==2.3.4
    HF_HUB_OFFLINE=1 "env_$version/bin/python" experts.py 2> errors || { cat errors; exit 1; }
done
