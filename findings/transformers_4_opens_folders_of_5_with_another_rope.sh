#!/usr/bin/env bash
# transformers 5.24.0 and 4.57.6 with torch 2.13.0, Python 3.11 (seen 2026-11-29).
# save_pretrained of transformers 5 writes the base of the rotary positions, and how they are stretched, only in
# rope_parameters. transformers 4, which many frameworks still pin, takes the folder without a warning, does not know
# that key, and uses the default of its class: a base of 10,000 and no stretching, for Llama, Qwen2, Qwen3 and Mistral.
# All weights load, the first words look right, and the logits go astray with every token. The config keeps the key, so
# whoever prints it sees the right base there. vLLM met it (its pull request 42624). With rope_theta and rope_scaling
# written beside rope_parameters, both versions compute the same.
# Output seen (random networks; the base that 4.57.6 uses, how far its logits are from those of 5.24.0 within 2, 10 and
# 300 tokens; old_keys: the keys of version 4 beside):
#   llama: 10000; 0.02, 2.26, 7.55
#   llama_old_keys: 1e+06; 0.00, 0.00, 0.00
#   llama_yarn: 10000; 0.09, 3.25, 8.53
#   llama_yarn_old_keys: 1e+06; 0.00, 0.00, 0.00
#   mistral: 10000; 0.02, 2.26, 7.55 (and so on)
#   qwen2: 10000; 0.01, 3.10, 8.96 (and so on)
#   qwen3: 10000; 0.02, 1.27, 7.84 (and so on)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
export HF_HUB_OFFLINE=1
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.3.4
cat > "$folder/write.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

torch.set_num_threads(1)
folder = Path(sys.argv[1])
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3}
plain = {"rope_type": "default", "rope_theta": 1e6}
yarn = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 128}
tokens = torch.randint(0, 32, (1, 300), generator=torch.Generator().manual_seed(0))
for kind in (LlamaConfig, Qwen2Config, Qwen3Config, MistralConfig):
    for stretched, rope in (("", plain), ("_yarn", yarn)):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(kind(**shape, rope_parameters=dict(rope)))
        logits = model(tokens).logits.detach()
        for written in ("", "_old_keys"):
            place = folder / (model.config.model_type + stretched + written)
            model.save_pretrained(place)
            torch.save((tokens, logits), place / "expected")
            if written:
                config = json.loads((place / "config.json").read_text())
                config["rope_theta"] = config["rope_parameters"]["rope_theta"]
                scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
                config["rope_scaling"] = scaling if stretched else None
                (place / "config.json").write_text(json.dumps(config))
PYTHON
cat > "$folder/read.py" <<'PYTHON'
import sys
from pathlib import Path

import torch
import transformers

torch.set_num_threads(1)
for place in sorted(Path(sys.argv[1]).iterdir()):
    model = transformers.AutoModelForCausalLM.from_pretrained(place)
    tokens, expected = torch.load(place / "expected")
    far = (model(tokens).logits.detach() - expected).abs().amax(-1)[0]
    base = getattr(model.config, "rope_theta", None) or model.config.rope_parameters["rope_theta"]
    print(f"{place.name}: {base:g}; " + ", ".join(f"{far[:count].max():.2f}" for count in (2, 10, 300)))
    right = transformers.__version__ > "5" or "old_keys" in place.name
    if (far.max() < 0.01) != right:
        sys.exit("no longer so")
PYTHON
"$folder/env/bin/python" "$folder/write.py" "$folder/models" > "$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
"$folder/env/bin/python" "$folder/read.py" "$folder/models" > "$folder/said" 2>&1 || { cat "$folder/said"; exit 1; }
"$folder/env/bin/pip" install --quiet transformers==4.57.6
"$folder/env/bin/python" "$folder/read.py" "$folder/models" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
if [ -s "$folder/errors" ]; then cat "$folder/errors"; echo "no longer so: something is said"; exit 1; fi
