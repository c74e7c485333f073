#!/usr/bin/env bash
# ctranslate2 4.8.5, transformers 4.57.6 and 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-29).
# CTranslate2's converter asks for no version of transformers. With version 4 it takes rope_theta of a Llama, Mistral or
# Qwen from the config only where rope_scaling is empty. If positions are stretched, it looks for the base within
# rope_scaling, where version 5 keeps it and version 4 does not, and takes its default, 10,000 (for Qwen3 1,000,000). So
# a network stretched by a linear factor, or a Llama from 3.1 on (500,000), converts without a word and computes other
# logits; the same folder converts right with transformers 5. Nobody sees it who stretches nothing or has that base.
# Output seen (random networks; how far logits of CTranslate2 in float32 are from those of transformers, in 300 tokens):
#   transformers 4.57.6, llama, theta 500,000, not stretched: 0.00
#   transformers 4.57.6, llama, theta 10,000, stretched: 0.00
#   transformers 4.57.6, llama, theta 500,000, stretched: 8.83
#   transformers 4.57.6, mistral, theta 500,000, stretched: 8.83
#   transformers 5.24.0, llama, theta 500,000, stretched: 0.00
#   transformers 5.24.0, mistral, theta 500,000, stretched: 0.00 (and so on)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet ctranslate2==4.8.5 torch==2.13.0 transformers==4.57.6 numpy==2.3.4
cat > "$folder/convert.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import ctranslate2
import numpy
import torch
import transformers
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedTokenizerFast

torch.set_num_threads(1)
words = ["<unk>", "<s>", "</s>", *(f"word{number}" for number in range(29))]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<unk>"))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
tokens = torch.randint(3, 32, (1, 300), generator=torch.Generator().manual_seed(0))
shape = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "initializer_range": 0.3}
shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 2048}


def far(kind: type, theta: float, scaling: dict | None, place: Path) -> float:
    """Difference of the logits, for a folder as transformers 4 writes it."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(kind(**shape)).save_pretrained(place)
    tokenizer.save_pretrained(place)
    config = json.loads((place / "config.json").read_text())
    config.pop("rope_parameters", None)
    (place / "config.json").write_text(json.dumps(config | {"rope_theta": theta, "rope_scaling": scaling}))
    expected = AutoModelForCausalLM.from_pretrained(place)(tokens).logits[0].detach().numpy()
    ctranslate2.converters.TransformersConverter(str(place)).convert(f"{place}-ct2")
    generator = ctranslate2.Generator(f"{place}-ct2", compute_type="float32", intra_threads=1)
    seen = numpy.array(generator.forward_batch([[words[token] for token in tokens[0]]]))[0]
    return float(numpy.abs(seen - expected).max())


version, linear = transformers.__version__, {"rope_type": "linear", "factor": 2.0}
for kind in (LlamaConfig, MistralConfig):
    for theta, scaling in ((500000.0, None), (10000.0, linear), (500000.0, linear)):
        place = Path(sys.argv[1]) / f"{version}-{kind.model_type}-{theta:.0f}-{scaling is None}"
        found = far(kind, theta, scaling, place)
        stretched = "stretched" if scaling else "not stretched"
        print(f"transformers {version}, {kind.model_type}, theta {theta:,.0f}, {stretched}: {found:.2f}", flush=True)
        wrong = version < "5" and theta > 10000 and scaling is not None
        if (found > 0.5) != wrong:
            sys.exit("no longer so")
PYTHON
export HF_HUB_OFFLINE=1
"$folder/env/bin/python" "$folder/convert.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
"$folder/env/bin/pip" install --quiet transformers==5.24.0
"$folder/env/bin/python" "$folder/convert.py" "$folder" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
