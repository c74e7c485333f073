#!/usr/bin/env bash
# onnxruntime-genai 0.18.0 with onnxruntime 1.32.0, transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# The model builder of onnxruntime-genai makes an ONNX network of a Hugging Face folder. It knows positions stretched by
# a linear factor and by YaRN, and refuses other ways. But for a Llama another function stands in for that one: it knows
# Llama 3.1's way and leaves out all the rest, without a word. So a Llama that was trained with positions divided by 4
# converts, loads and computes as if they had never been stretched: wrong from the second token on. Qwen2 takes the
# general function; with YaRN as Qwen's own pages advise it, without beta_fast, that one divides by zero, which is seen.
# genai_config.json says nothing of either, so look at rope_parameters of config.json before, and compare logits.
# Output seen (random networks; how far logits of onnxruntime-genai in float32 are from those of transformers, in 10 and
# in 100 tokens; at last, from those of the same network with positions as they are):
#   llama, default: 0.00, 0.00; 0.00
#   llama, llama3: 0.00, 0.00; 13.60
#   llama, linear: 11.34, 14.69; 0.00
#   llama, yarn: 5.74, 14.11; 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --no-compile onnxruntime-genai==0.18.0 onnxruntime==1.32.0 onnx==1.23.2 onnx-ir==1.1.0 \
    transformers==5.24.0 tokenizers==0.23.3 torch==2.13.0 numpy==2.4.6
cat > stretched.py <<'PYTHON'
import subprocess
import sys

import numpy
import onnxruntime_genai
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)
SIZES = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
STRETCHED = {
    "default": {},
    "llama3": {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
    "linear": {},
    "yarn": {"beta_fast": 32.0, "beta_slow": 1.0, "original_max_position_embeddings": 32},
}
ids = torch.randint(3, 256, (1, 100), generator=torch.Generator().manual_seed(0))
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="!", eos_token="?", pad_token="?")


def network(kind: str) -> LlamaForCausalLM:
    rope = {"rope_type": kind, "rope_theta": 10000.0} | STRETCHED[kind] | ({"factor": 4.0} if kind != "default" else {})
    torch.manual_seed(0)
    given = SIZES | {"vocab_size": 256, "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 2}
    made = LlamaForCausalLM(LlamaConfig(rope_parameters=rope, **given))
    for weight in made.parameters():
        if weight.dim() == 2:
            torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def of_transformers(kind: str) -> numpy.ndarray:
    with torch.no_grad():
        return network(kind)(ids).logits[0].numpy()


def of_genai(kind: str) -> numpy.ndarray:
    network(kind).save_pretrained(kind)
    wrapped.save_pretrained(kind)
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", kind, "-o", f"{kind}_onnx"]
    subprocess.run([*builder, "-p", "fp32", "-e", "cpu", "-c", "cache"], check=True, stdout=subprocess.DEVNULL)
    model = onnxruntime_genai.Model(f"{kind}_onnx")
    settings = onnxruntime_genai.GeneratorParams(model)
    settings.set_search_options(max_length=128)
    generator = onnxruntime_genai.Generator(model, settings)
    generator.append_tokens(ids.numpy().astype(numpy.int32))
    return generator.get_output("logits")[0]


plain, wrong = of_transformers("default"), []
for kind in STRETCHED:
    right, found = of_transformers(kind), of_genai(kind)
    ten, hundred, unstretched = (
        numpy.abs(found - right)[:10].max(),
        numpy.abs(found - right).max(),
        numpy.abs(found - plain).max(),
    )
    print(f"llama, {kind}: {ten:.2f}, {hundred:.2f}; {unstretched:.2f}", flush=True)
    wrong.append((hundred > 0.1, unstretched > 0.1))
if wrong != [(False, False), (False, True), (True, False), (True, False)]:
    sys.exit("no longer so: the differences above are others")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python stretched.py 2> errors | grep --line-buffered "^llama" || { tail -20 errors; exit 1; }
