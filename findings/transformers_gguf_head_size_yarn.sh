#!/usr/bin/env bash
# transformers 5.24.0, gguf 0.19.0, torch 2.13.0, Python 3.11 (seen 2026-11-28).
# What `from_pretrained(folder, gguf_file=...)` reads of a GGUF file leaves out two things that llama.cpp obeys:
# {arch}.attention.key_length, so that a Qwen3 whose heads are not 128 numbers gets matrices of other sizes and fails;
# and {arch}.rope.scaling.*, so that a network stretched by YaRN opens without any warning as one that is not, and
# computes other logits (3.3 off, in a random Qwen2).
# Output seen (the file says heads of 32 numbers, and YaRN by 4):
#   qwen2: rope default
#   qwen3: heads of 128, rope default
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 gguf==0.19.0
cat > "$folder/read.py" <<'PYTHON'
import sys

import gguf
import numpy
from transformers import AutoConfig

for kind in ("qwen2", "qwen3"):
    path = f"{sys.argv[1]}/{kind}.gguf"
    file = gguf.GGUFWriter(path, kind)
    file.add_block_count(1)
    file.add_context_length(4096)
    file.add_embedding_length(96)
    file.add_feed_forward_length(128)
    file.add_head_count(2)
    file.add_head_count_kv(1)
    file.add_key_length(32)
    file.add_value_length(32)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_freq_base(1e6)
    file.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    file.add_rope_scaling_factor(4.0)
    file.add_rope_scaling_orig_ctx_len(1024)
    file.add_tokenizer_model("gpt2")
    file.add_token_list(["a", "b"])
    file.add_tensor("output_norm.weight", numpy.ones(96, numpy.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    config = AutoConfig.from_pretrained(sys.argv[1], gguf_file=f"{kind}.gguf")
    heads = f"heads of {config.head_dim}, " if kind == "qwen3" else ""
    print(f"{kind}: {heads}rope {config.rope_parameters['rope_type']}")
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder" 2> "$folder/errors" | tee "$folder/seen" || { cat "$folder/errors"; exit 1; }
grep -qx "qwen2: rope default" "$folder/seen"
grep -qx "qwen3: heads of 128, rope default" "$folder/seen"
