#!/usr/bin/env bash
# peft 0.21.2 with transformers 5.24.0 and torch 2.13.0, Python 3.11 (seen 2026-12-01).
# Prefix tuning, prompt tuning and p-tuning train a few vectors before the text and leave the network alone. In the loop
# of generate(), transformers 5.24 calls the cache of keys and values "cache"; up to 5.23 it was "past_key_values", and
# that is the name that peft looks for. It finds none and takes every step for the first one. A prefix is handed on
# under the old name, which loses against the new, so generate() answers like the network without it. The vectors of the
# other two are set before every new token again. Nothing is raised, and the losses of training and evaluation are
# right; only the answers are as if nothing, or something else, had been learned. All that shows is a FutureWarning
# about the name, with a prefix. With use_cache=False, prompt tuning and p-tuning answer rightly, prefix tuning does
# not. Stay with transformers 5.23, where all three answer rightly with the cache, or use LoRA.
# Output seen (each learns to answer 1 2 3 4 5 6 7 8; the likeliest tokens one by one without generate() | with it |
# with it and use_cache=False):
#   the network itself: 5 25 9 1 20 20 4 21
#   LoRA: 1 2 3 4 5 6 7 8 | 1 2 3 4 5 6 7 8 | 1 2 3 4 5 6 7 8
#   prefix tuning: 1 2 3 4 5 6 7 8 | 5 25 9 1 20 20 4 21 | 1 2 3 4 5 6 4 5
#   prompt tuning: 1 2 3 4 5 6 7 8 | 1 31 2 8 8 8 8 8 | 1 2 3 4 5 6 7 8
#   p-tuning: 1 2 3 4 5 6 7 8 | 1 2 7 24 24 8 4 24 | 1 2 3 4 5 6 7 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet peft==0.21.2 transformers==5.24.0 torch==2.13.0 numpy==2.3.4
cat > "$folder/prompts.py" <<'PYTHON'
import sys

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
QUESTION, ANSWER = [20, 21, 22], [1, 2, 3, 4, 5, 6, 7, 8]
asked = torch.tensor([QUESTION])


def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"vocab_size": 32, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    more = {"num_attention_heads": 2, "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(**shape, **more)).eval()


def generated(model: torch.nn.Module, **more: bool) -> list[int]:
    settings = {"max_new_tokens": len(ANSWER), "do_sample": False, "pad_token_id": 0, **more}
    tokens = model.generate(input_ids=asked, attention_mask=torch.ones_like(asked), **settings)
    return tokens[0, len(QUESTION) :].tolist()


def one_by_one(model: torch.nn.Module) -> list[int]:
    tokens = asked
    for _ in ANSWER:
        with torch.no_grad():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        tokens = torch.cat((tokens, logits[:, -1:].argmax(-1)), dim=1)
    return tokens[0, len(QUESTION) :].tolist()


def tuned(config) -> torch.nn.Module:
    model = get_peft_model(network(), config)
    tokens = torch.tensor([QUESTION + ANSWER])
    labels = torch.tensor([[-100] * len(QUESTION) + ANSWER])
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


virtual = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 8}
ways = {
    "LoRA": LoraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj", "up_proj"]),
    "prefix tuning": PrefixTuningConfig(**virtual),
    "prompt tuning": PromptTuningConfig(**virtual),
    "p-tuning": PromptEncoderConfig(**virtual, encoder_hidden_size=64),
}
before = generated(network())
print("the network itself:", *before)
for way, config in ways.items():
    model = tuned(config)
    learned, answer, uncached = one_by_one(model), generated(model), generated(model, use_cache=False)
    print(f"{way}:", *learned, "|", *answer, "|", *uncached)
    if learned != ANSWER:
        sys.exit("this run shows nothing: the answer was not learned")
    if (answer == ANSWER) != (way == "LoRA") or (way == "prefix tuning" and answer != before):
        sys.exit("no longer so: generate() answers otherwise than it did")
    if (uncached == ANSWER) == (way == "prefix tuning"):
        sys.exit("no longer so: without a cache it answers otherwise than it did")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/prompts.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
