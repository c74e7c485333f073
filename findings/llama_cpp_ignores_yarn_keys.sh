#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 brings it, gguf 0.19.0, Python 3.11 (seen 2026-11-28).
# The package gguf writes rope.scaling.yarn_beta_fast, yarn_beta_slow, yarn_attn_factor and yarn_ext_factor, each by a
# method of its own, and for the architecture llama, llama.cpp computes as if they were not there: no logit
# differs. It obeys scaling.type, factor and attn_factor (without "yarn_") of the same file, and the
# same betas as settings of a run. So a network trained with other betas than 32 and 1 runs as another network from its
# own file.
# Output seen (how far log-probabilities after 301 tokens lie from those of YaRN by 4, in a random network):
#   the file again: 0.0
#   without YaRN: 6.1
#   betas 4 and 0.5 in the file: 0.0
#   yarn_attn_factor 2 in the file: 0.0
#   yarn_ext_factor 0 in the file: 0.0
#   attn_factor 2 in the file: 2.5
#   betas 4 and 0.5 as settings: 6.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.3.4
cat > "$folder/compare.py" <<'PYTHON'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp

WIDTH, INNER, VOCABULARY = 64, 128, 259


def write(name: str, **scaling) -> str:
    """A random network of one block, with heads of 32 numbers and a vocabulary of bytes."""
    path = f"{sys.argv[1]}/{name}.gguf"
    random = numpy.random.default_rng(0)
    file = gguf.GGUFWriter(path, "llama")
    file.add_block_count(1)
    file.add_context_length(1024)
    file.add_embedding_length(WIDTH)
    file.add_feed_forward_length(INNER)
    file.add_head_count(2)
    file.add_head_count_kv(2)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_freq_base(1e4)
    file.add_rope_dimension_count(32)
    file.add_vocab_size(VOCABULARY)
    file.add_tokenizer_model("llama")
    file.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))])
    file.add_token_scores([0.0] * VOCABULARY)
    file.add_token_types([2, 3, 3, *[6] * 256])
    file.add_bos_token_id(1)
    file.add_eos_token_id(2)
    for key, value in scaling.items():
        getattr(file, f"add_rope_scaling_{key}")(value)

    def add(name: str, rows: int, columns: int) -> None:
        values = 2 * random.standard_normal((rows, columns)) / columns**0.5
        if name == "output":  # only letters can win, so that the answer is a text
            values[:35] = values[130:] = 0
        file.add_tensor(f"{name}.weight", values.astype(numpy.float32))

    add("token_embd", VOCABULARY, WIDTH)
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        add(f"blk.0.{part}", WIDTH, WIDTH)
    add("blk.0.ffn_gate", INNER, WIDTH)
    add("blk.0.ffn_up", INNER, WIDTH)
    add("blk.0.ffn_down", WIDTH, INNER)
    add("output", VOCABULARY, WIDTH)
    for part in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        file.add_tensor(f"{part}.weight", numpy.ones(WIDTH, numpy.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def log_probabilities(path: str, **given) -> numpy.ndarray:
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = 512, 1, 0, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = settings.fit_params = False
    for name, value in given.items():
        setattr(settings, name, value)
    server = xllamacpp.Server(settings)
    body = {"prompt": [1, *(3 + i * 37 % 256 for i in range(300))], "n_predict": 1, "temperature": 0}
    body |= {"n_probs": VOCABULARY, "ignore_eos": True, "cache_prompt": False}
    data = json.dumps(body).encode()
    request = urllib.request.Request(server.listening_address + "/completion", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = json.load(answer)["completion_probabilities"][0]["top_logprobs"]
    assert len(found) == VOCABULARY
    values = {each["id"]: each["logprob"] for each in found}
    del values[2]  # the end, which is forbidden here
    return numpy.array([values[number] for number in sorted(values)])


yarn = {"type": gguf.RopeScalingType.YARN, "factor": 4.0, "orig_ctx_len": 256}
path = write("yarn", **yarn)
base = log_probabilities(path)
found = {
    "the file again": log_probabilities(path),
    "without YaRN": log_probabilities(write("plain")),
    "betas 4 and 0.5 in the file": log_probabilities(write("betas", **yarn, yarn_beta_fast=4.0, yarn_beta_slow=0.5)),
    "yarn_attn_factor 2 in the file": log_probabilities(write("yarn_attn", **yarn, yarn_attn_factor=2.0)),
    "yarn_ext_factor 0 in the file": log_probabilities(write("ext", **yarn, yarn_ext_factor=0.0)),
    "attn_factor 2 in the file": log_probabilities(write("attn", **yarn, attn_factors=2.0)),
    "betas 4 and 0.5 as settings": log_probabilities(path, yarn_beta_fast=4.0, yarn_beta_slow=0.5),
}
far = {name: float(abs(values - base).max()) for name, values in found.items()}
for name, value in far.items():
    print(f"{name}: {value:.1f}")
same = {"the file again", *(name for name in far if name.startswith(("betas", "yarn_")) and name.endswith("file"))}
assert all((value == 0) if name in same else (value > 1) for name, value in far.items()), far
PYTHON
"$folder/env/bin/python" "$folder/compare.py" "$folder"
