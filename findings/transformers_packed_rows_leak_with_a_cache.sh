#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0, Python 3.11 (seen 2026-11-29).
# Several texts in one row, with position_ids that begin anew at each, as DataCollatorWithFlattening makes them: with
# sdpa and eager attention the network finds the borders in position_ids and keeps the texts apart. But it looks for
# them only where there is neither an attention_mask, which the documentation warns of, nor a cache, and use_cache is
# True by default, in training mode too. So a loop of one's own, model(**batch), lets every text attend to those before
# it, without a warning; Trainer sets use_cache to False, and the same batch has another loss there. A script that
# measures perplexity by such rows measures that of other texts. use_cache=False keeps them apart.
# Output seen (random networks; how far the logits of the second text are from those that it has alone, and the loss of
# the row, where that of the texts alone is 3.936 and 3.937):
#   llama, sdpa, as the batch is: 5.39, 3.869
#   llama, sdpa, use_cache=False: 0.00, 3.936
#   llama, sdpa, use_cache=False and a mask of ones: 5.39, 3.869
#   llama, eager, as the batch is: 5.39, 3.869
#   llama, eager, use_cache=False: 0.00, 3.936
#   llama, eager, use_cache=False and a mask of ones: 5.39, 3.869
#   qwen3, sdpa, as the batch is: 4.29, 3.793
#   qwen3, sdpa, use_cache=False: 0.00, 3.937
#   qwen3, sdpa, use_cache=False and a mask of ones: 4.29, 3.793
#   qwen3, eager, as the batch is: 4.29, 3.793
#   qwen3, eager, use_cache=False: 0.00, 3.937
#   qwen3, eager, use_cache=False and a mask of ones: 4.29, 3.793
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.3.4
cat > "$folder/pack.py" <<'PYTHON'
import sys

import torch
from transformers import AutoModelForCausalLM, DataCollatorWithFlattening, LlamaConfig, Qwen3Config

torch.set_num_threads(1)
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2}
texts = torch.randint(0, 32, (2, 20), generator=torch.Generator().manual_seed(0))
batch = DataCollatorWithFlattening(return_tensors="pt")([{"input_ids": text.tolist()} for text in texts])
if sorted(batch) != ["input_ids", "labels", "position_ids"]:
    sys.exit(f"no longer so: the batch has {sorted(batch)}")
ways = {"as the batch is": {}, "use_cache=False": {"use_cache": False}}
ways["use_cache=False and a mask of ones"] = {"use_cache": False, "attention_mask": torch.ones(1, 40)}

for config in (LlamaConfig(**shape), Qwen3Config(**shape)):
    for attention in ("sdpa", "eager"):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
        alone = model(input_ids=texts, labels=texts)
        for way, settings in ways.items():
            packed = model(**batch, **settings)
            far = (packed.logits[:, 20:] - alone.logits[1:]).abs().max().item()
            print(f"{config.model_type}, {attention}, {way}: {far:.2f}, {packed.loss:.3f}")
            apart = far < 1e-3 and abs(packed.loss - alone.loss) < 1e-3
            if apart != (way == "use_cache=False"):
                sys.exit(f"no longer so: apart is {apart}")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/pack.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
