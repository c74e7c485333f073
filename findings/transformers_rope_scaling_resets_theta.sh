#!/usr/bin/env bash
# transformers 5.24.0, Python 3.11 (seen 2026-11-27).
# transformers 5 keeps everything about rotary positions in `rope_parameters`. A config.json of today to which somebody
# adds `rope_scaling`, as READMEs of models still advise for longer texts, silently loses its `rope_theta`: the added
# object replaces `rope_parameters` as a whole, and the base falls back to 10,000. No warning names it.
# Output seen:
#   without rope_scaling: 1000000.0
#   with rope_scaling: 10000.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet transformers==5.24.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/env/bin/python" - <<'PYTHON'
import json

from transformers import AutoConfig

shape = {"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
shape |= {"max_position_embeddings": 1024, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}


def theta(config: dict) -> float:
    with open("config.json", "w") as file:
        json.dump(config, file)
    return AutoConfig.from_pretrained(".").rope_parameters["rope_theta"]


before, after = theta(shape), theta(shape | {"rope_scaling": scaling})
print("without rope_scaling:", before)
print("with rope_scaling:", after)
assert (before, after) == (1e6, 1e4)
PYTHON
