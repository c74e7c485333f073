#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 brings it, gguf 0.19.0, Jinja2 3.1.6, Python 3.11 (seen 2026-11-29).
# llama.cpp runs chat templates in a Jinja of its own, whose `tojson` writes a number that is no integer with six digits:
# the latitude 52.5200066 of an earlier tool call becomes 52.52, a price of 1234567.5 becomes 1.23457e+06, and 1.0 is 1.
# The server reads the arguments of a call as JSON, so they pass through it although the client sent a text; and so do
# the bounds in the schema of a tool. The model never sees the numbers that it or the user gave. Integers, texts, and
# numbers of up to six digits stay as they are (but for 1.0), so it is rarely noticed.
# Output seen:
#   Jinja2:    {"exact": 12345678901, "latitude": 52.5200066, "price": 1234567.5, "time": 1700000000.25, "whole": 1.0}
#   llama.cpp: {"exact": 12345678901, "latitude": 52.52, "price": 1.23457e+06, "time": 1.7e+09, "whole": 1}
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

TEMPLATE = """{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% for call in message.tool_calls or [] %}
CALL {{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}<|end|>
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


def calls(prompt: str) -> str:
    return prompt.partition("CALL weather ")[2].partition("<|end|>")[0]


values = {"exact": 12345678901, "latitude": 52.5200066, "price": 1234567.5, "time": 1700000000.25, "whole": 1.0}
call = {"name": "weather", "arguments": values}
messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "", "tool_calls": [{"function": call}]}]
messages += [{"role": "tool", "content": "rain"}]
theirs = calls(jinja2.Template(TEMPLATE).render(messages=messages, add_generation_prompt=True))
messages[1]["tool_calls"] = [{"id": "1", "type": "function", "function": call | {"arguments": json.dumps(values)}}]
server = serve(TEMPLATE)
request = urllib.request.Request(server.listening_address + "/apply-template", json.dumps({"messages": messages}).encode())
with urllib.request.urlopen(request, timeout=60) as answer:
    found = calls(json.load(answer)["prompt"])
print("Jinja2:   ", theirs)
print("llama.cpp:", found)
six = '{"exact": 12345678901, "latitude": 52.52, "price": 1.23457e+06, "time": 1.7e+09, "whole": 1}'
if theirs != json.dumps(values) or found != six:
    sys.exit("no longer so: the numbers above are others")
PYTHON
"$folder/env/bin/python" "$folder/render.py" "$folder"
