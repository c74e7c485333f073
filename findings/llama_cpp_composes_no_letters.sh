#!/usr/bin/env bash
# llama.cpp as xllamacpp 2026.10.11549 brings it, gguf 0.19.0, tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# The tokenizers of Qwen2 and Qwen3 compose a letter and its accent to one character (NFC) before they cut a text: a
# network never sees the two apart, whatever its data had. llama.cpp, which knows these tokenizers by the name "qwen2"
# in a GGUF file, leaves that step out: the same text becomes other tokens, which training never had, and several times
# as many. Texts come decomposed from PDF files and from names of files on macOS, and look the same on every screen;
# accents of Vietnamese and the syllables of Korean suffer most. No warning is given. What is composed already is cut
# alike, so a test in plain English or Chinese shows nothing. unicodedata.normalize("NFC", text) before the request
# avoids it.
# Output seen (tokens of tokenizers, tokens of llama.cpp):
#   café: 1 and 1, decomposed 1 and 4
#   Việt Nam: 2 and 2, decomposed 2 and 8
#   ガギグ: 1 and 1, decomposed 1 and 12
#   한국어: 1 and 1, decomposed 1 and 24
#   你好: 1 and 1, decomposed 1 and 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 tokenizers==0.23.3 numpy==2.3.4
cat > "$folder/tokens.py" <<'PYTHON'
import json
import sys
import unicodedata
import urllib.request

import gguf
import numpy
import xllamacpp
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

texts = ["café", "Việt Nam", "ガギグ", "한국어", "你好"]
qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
tokenizer = Tokenizer(models.BPE())
tokenizer.normalizer = normalizers.NFC()
tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(qwen), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
)
letters = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=letters, special_tokens=["<end>"], show_progress=False)
tokenizer.train_from_iterator(texts * 5, trainer)


def serve() -> xllamacpp.Server:
    """llama.cpp's server of a network of zeros with this tokenizer."""
    path, width = f"{sys.argv[1]}/tiny.gguf", 32
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    file = gguf.GGUFWriter(path, "llama")
    for key in ("embedding_length", "feed_forward_length", "rope_dimension_count"):
        getattr(file, f"add_{key}")(width)
    for key in ("block_count", "head_count", "head_count_kv"):
        getattr(file, f"add_{key}")(1)
    file.add_context_length(512)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("qwen2")
    file.add_token_list(tokens)
    file.add_token_types([3] + [1] * (len(tokens) - 1))
    file.add_token_merges([" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]])
    file.add_eos_token_id(0)
    file.add_add_bos_token(False)
    parts = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    shapes = {f"blk.0.{part}": (width, width) for part in parts}
    shapes |= {name: (width,) for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")}
    for name, shape in (shapes | {"token_embd": (len(tokens), width)}).items():
        file.add_tensor(f"{name}.weight", numpy.zeros(shape, numpy.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    settings = xllamacpp.CommonParams()
    settings.model.path = path
    settings.n_ctx, settings.n_parallel, settings.port, settings.verbosity = 512, 1, 0, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.warmup = settings.fit_params = False
    server = xllamacpp.Server(settings)
    urllib.request.urlopen(server.listening_address + "/slots", timeout=60).close()  # its loop has begun, so it can end
    return server


def of_llama_cpp(text: str) -> list[int]:
    body = json.dumps({"content": text, "add_special": False}).encode()
    request = urllib.request.Request(server.listening_address + "/tokenize", body)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["tokens"]


server = serve()
for text in texts:
    said = []
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, text)
        expected, found = tokenizer.encode(written).ids, of_llama_cpp(written)
        said.append(f"{len(expected)} and {len(found)}")
        if (expected == found) != (form == "NFC" or text == "你好"):
            sys.exit(f"no longer so: {text} in {form} is {expected} and {found}")
    print(f"{text}: {said[0]}, decomposed {said[1]}")
PYTHON
"$folder/env/bin/python" "$folder/tokens.py" "$folder"
