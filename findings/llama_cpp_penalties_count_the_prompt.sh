#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 brings it, gguf 0.19.0, Python 3.11 (seen 2026-11-29).
# presence_penalty and frequency_penalty of llama.cpp's OpenAI interface count the last 64 tokens (repeat_last_n), those
# of the prompt included: a word of the question is punished before the answer has begun, and in a longer answer what it
# said 65 tokens ago is free again. In vLLM, by its documentation, both names count the whole of the generated text and
# nothing of the prompt. So the same request with the same weights gets other answers from the two; with a short
# question, nearly all of its words are punished in the first words of the answer.
# Output seen (a network that has no preference, with a bias of 0.6 for "a" and 0.3 for "b"):
#   "xa": a
#   "xa", presence_penalty 1: b
#   "xa", frequency_penalty 1: b
#   "xx", presence_penalty 1: a
#   "xa" and 63 others, presence_penalty 1: b
#   "xa" and 64 others, presence_penalty 1: a
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.3.4
cat > "$folder/ask.py" <<'PYTHON'
import json
import sys
import urllib.request

import gguf
import numpy
import xllamacpp


def serve(template: str) -> xllamacpp.Server:
    """llama.cpp's server of a network of zeros, whose vocabulary is bytes, with this chat template."""
    path, width, tokens = f"{sys.argv[1]}/tiny.gguf", 32, ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    file = gguf.GGUFWriter(path, "llama")
    for key in ("embedding_length", "feed_forward_length", "rope_dimension_count"):
        getattr(file, f"add_{key}")(width)
    for key in ("block_count", "head_count", "head_count_kv", "bos_token_id"):
        getattr(file, f"add_{key}")(1)
    file.add_context_length(512)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_tokenizer_model("llama")
    file.add_token_list(tokens)
    file.add_token_scores([0.0] * len(tokens))
    file.add_token_types([2, 3, 3, *[6] * 256])
    file.add_eos_token_id(2)
    shapes = {f"blk.0.{part}": (width, width) for part in "attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down".split()}
    shapes |= {name: (width,) for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")}
    for name, shape in (shapes | {"token_embd": (len(tokens), width)}).items():
        file.add_tensor(f"{name}.weight", numpy.zeros(shape, numpy.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.chat_template, settings.use_jinja = path, template, True
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = 512, 1, 0, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = settings.fit_params = False
    return xllamacpp.Server(settings)


def first(prompt: str, **given) -> str:
    """The first letter of the answer."""
    body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "cache_prompt": False, **given}
    body["logit_bias"] = {str(3 + ord("a")): 0.6, str(3 + ord("b")): 0.3}
    request = urllib.request.Request(server.listening_address + "/v1/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["choices"][0]["text"]


server = serve("{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}")
found = {
    '"xa"': first("xa"),
    '"xa", presence_penalty 1': first("xa", presence_penalty=1),
    '"xa", frequency_penalty 1': first("xa", frequency_penalty=1),
    '"xx", presence_penalty 1': first("xx", presence_penalty=1),
    '"xa" and 63 others, presence_penalty 1': first("xa" + 63 * "x", presence_penalty=1),
    '"xa" and 64 others, presence_penalty 1': first("xa" + 64 * "x", presence_penalty=1),
}
for name, letter in found.items():
    print(f"{name}: {letter}")
if list(found.values()) != ["a", "b", "b", "a", "b", "a"]:
    sys.exit("no longer so: the letters above are others")
PYTHON
"$folder/env/bin/python" "$folder/ask.py" "$folder"
