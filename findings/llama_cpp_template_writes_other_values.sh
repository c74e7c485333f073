#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 brings it, gguf 0.19.0, Jinja2 3.1.6, Python 3.11 (seen 2026-11-29).
# llama.cpp runs the chat template of a GGUF file in a Jinja of its own. Some expressions mean something else there than
# in Jinja2, for which templates are written, and none of them fails. A mapping is written as nothing at all (so a
# template with {{ tool.parameters }} and no tojson drops them), a list without brackets and commas, none as no text.
# `length` of a text counts the bytes of UTF-8 and not the characters, so a limit on Chinese texts is met at a third;
# `upper` and `lower` know ASCII only. A variable that transformers gives as None (tools, documents) is undefined, so
# `tools is not none` holds where there are no tools. No warning is given.
# Output seen (the template, Jinja2 with the variables of transformers, llama.cpp):
#   {{ {"a": 1} }}  {'a': 1}  nothing
#   {{ [1, "b"] }}  [1, 'b']  1b
#   {{ none }}  None  nothing
#   {{ "中文字" | length }}  3  9
#   {{ "É" | lower }}  é  É
#   {% if tools is not none %}tools{% endif %}  nothing  tools
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.3.4 jinja2==3.1.6
cat > "$folder/render.py" <<'PYTHON'
import json
import sys
import urllib.request

import gguf
import jinja2
import numpy
import xllamacpp

EXPECTED = """{{ {"a": 1} }}  {'a': 1}  nothing
{{ [1, "b"] }}  [1, 'b']  1b
{{ none }}  None  nothing
{{ "中文字" | length }}  3  9
{{ "É" | lower }}  é  É
{% if tools is not none %}tools{% endif %}  nothing  tools"""
TURNS = """{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


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
    server = xllamacpp.Server(settings)
    urllib.request.urlopen(server.listening_address + "/slots", timeout=60).close()  # its loop has begun, so it can end
    return server


parts = [line.split("  ")[0] for line in EXPECTED.splitlines()]
template = "".join(f"{part}#" for part in parts) + TURNS
messages = [{"role": "user", "content": "Hello"}]
ours = jinja2.Template(template).render(messages=messages, add_generation_prompt=True, tools=None)
server = serve(template)
request = urllib.request.Request(server.listening_address + "/apply-template", json.dumps({"messages": messages}).encode())
with urllib.request.urlopen(request, timeout=60) as answer:
    theirs = json.load(answer)["prompt"]
rows = zip(parts, ours.split("#"), theirs.split("#"), strict=False)
seen = "\n".join("  ".join(text or "nothing" for text in row) for row in rows)
print(seen)
if seen != EXPECTED:
    sys.exit("no longer so: the lines above are others")
PYTHON
"$folder/env/bin/python" "$folder/render.py" "$folder"
