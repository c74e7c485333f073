#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3, Python 3.11 (seen 2026-11-30).
# train_new_from_iterator promises a tokenizer of the same type as an old one, with a vocabulary of one's own texts. Two
# parts of the type get lost. Where the post-processor is a sequence, as in Llama 3, the token that begins a text keeps
# its old number: every text then begins with whatever has that number now, here half a letter, or with a number that
# the network does not have (in Llama 3 it is 128,000). bos_token_id is right, and so are chats, whose template writes
# the token. And where bytes stand in for characters that are not in the vocabulary (byte_fallback, as in Llama 2,
# Mistral and Gemma), the new one has no bytes: capitals, digits and characters that its texts lacked become <unk>, and
# cannot be learned or said. byte_fallback still says true. No message tells either. The tokenizers of GPT-2 and Qwen
# come out whole. Issue 30752 of transformers, closed, has the first; pull request 34246 would mend it.
# Output seen (a vocabulary of one English sentence; the first token of a text, and what comes back of it):
#   Llama 3, old: <begin>; 'Rhein 7, 河流'
#   Llama 3, new: ł; '�Rhein 7, 河流'
#   Llama 3 without the sequence, old: <begin>; 'Rhein 7, 河流'
#   Llama 3 without the sequence, new: <begin>; 'Rhein 7, 河流'
#   Llama 2, old: <begin>; 'Rhein 7, 河流'
#   Llama 2, new: <begin>; 'hein  '
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --no-compile transformers==5.24.0 tokenizers==0.23.3 numpy==2.4.6
cat > "$folder/vocabularies.py" <<'PYTHON'
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

TEXT = "Rhein 7, 河流"
TEXTS = ["the river runs to the sea and the road runs along the river"] * 50


def llama_3() -> Tokenizer:
    """Bytes, and special tokens behind them, with the processor of Llama 3: a sequence of two."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<begin>", "<end>"])
    template = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 256)])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def llama_3_without_sequence() -> Tokenizer:
    tokenizer = llama_3()
    tokenizer.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 256)])
    return tokenizer


def llama_2() -> Tokenizer:
    """Characters, and bytes for those that are not there, as Llama 2, Mistral and Gemma have them."""
    tokens = ["<unk>", "<begin>", "<end>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    model = models.BPE({t: i for i, t in enumerate(tokens)}, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<begin>", "<end>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<begin> $A", special_tokens=[("<begin>", 1)])
    return tokenizer


def opened(tokenizer: Tokenizer, name: str) -> PreTrainedTokenizerFast:
    given = {"unk_token": "<unk>"} if name == "Llama 2" else {}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<begin>", eos_token="<end>", **given)
    wrapped.save_pretrained(f"{sys.argv[1]}/{name}")
    return AutoTokenizer.from_pretrained(f"{sys.argv[1]}/{name}")


for name, made in {
    "Llama 3": llama_3(),
    "Llama 3 without the sequence": llama_3_without_sequence(),
    "Llama 2": llama_2(),
}.items():
    old = opened(made, name)
    new = old.train_new_from_iterator(TEXTS, 400)
    for kind, tokenizer in {"old": old, "new": new}.items():
        ids = tokenizer.encode(TEXT)
        first, back = tokenizer.convert_ids_to_tokens(ids[0]), tokenizer.decode(ids, skip_special_tokens=True)
        print(f"{name}, {kind}: {first}; {back!r}")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/vocabularies.py" "$folder" \
    > "$folder/printed" 2> "$folder/errors" || {
    cat "$folder/errors"
    exit 1
}
grep "^Llama" "$folder/printed" | tee "$folder/seen"
cat > "$folder/expected" <<'TEXT'
Llama 3, old: <begin>; 'Rhein 7, 河流'
Llama 3, new: ł; '�Rhein 7, 河流'
Llama 3 without the sequence, old: <begin>; 'Rhein 7, 河流'
Llama 3 without the sequence, new: <begin>; 'Rhein 7, 河流'
Llama 2, old: <begin>; 'Rhein 7, 河流'
Llama 2, new: <begin>; 'hein  '
TEXT
cmp -s "$folder/seen" "$folder/expected" || { echo "no longer so: the output above is another one"; exit 1; }
