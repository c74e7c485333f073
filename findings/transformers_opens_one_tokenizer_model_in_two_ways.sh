#!/usr/bin/env bash
# transformers 5.24.0 and 4.57.6, sentencepiece 0.2.3, Python 3.11 (seen 2026-11-30).
# SentencePiece keeps its normalisation in tokenizer.model, by default NFKC with further rules: a full-width comma
# becomes an ASCII one, a line break a space, several spaces one. Whether transformers obeys depends on the class that
# opens the folder, and this turned round with version 5: LlamaTokenizer obeyed in 4 and does not in 5, where it has
# "no normalization" by its docstring; AutoTokenizer did not in 4 and does in 5, unless tokenizer_config.json names
# LlamaTokenizer. Opened without it, a Chinese comma is three byte tokens, which the network never saw in training, and
# a vocabulary of the kind unigram is cut by merges on top of that. Nothing is said. A vocabulary that is trained with
# normalization_rule_name="identity" and remove_extra_whitespaces=False, as Llama's own, is cut alike by all of them,
# but for LlamaTokenizer of version 5 where a text begins with a space.
# Output seen (of eight texts, how many get other ids than from sentencepiece; at last, a character and a comma):
#   bpe, 4.57.6: LlamaTokenizer 0; AutoTokenizer 6; AutoTokenizer, class named 6
#   unigram, 4.57.6: LlamaTokenizer 0; AutoTokenizer 6; AutoTokenizer, class named 6
#   bpe, identity, 4.57.6: LlamaTokenizer 0; AutoTokenizer 0; AutoTokenizer, class named 0
#   bpe, 5.24.0: LlamaTokenizer 5; AutoTokenizer 0; AutoTokenizer, class named 5
#   unigram, 5.24.0: LlamaTokenizer 8; AutoTokenizer 0; AutoTokenizer, class named 8
#   bpe, identity, 5.24.0: LlamaTokenizer 1; AutoTokenizer 0; AutoTokenizer, class named 1
#   bpe, sentencepiece: ▁ 了 ,
#   bpe, 5.24.0, LlamaTokenizer: ▁ 了 <0xEF> <0xBC> <0x8C>
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > open.py <<'PYTHON'
import json
import shutil
from pathlib import Path

import sentencepiece
import transformers
from transformers import AutoTokenizer, LlamaTokenizer

transformers.logging.set_verbosity_error()
LEARNED = (
    "北京是中国的首都，也是一座古老的城市。城里有许多宫殿、寺庙和园林，每年都有很多人来这里参观。",
    "（一）他们喜欢在老街上走，听老人讲过去的故事；天黑了，灯亮了，街上还是很热闹！",
    "The old town has many streets, and every street has its own story; people like to walk there.",
    "Running water was brought to the old streets in 1912, and lamps were lit there every evening.",
)
READ = (
    "the old town",
    "天黑了，灯亮了。",
    "（一）你好！",
    "ＴＨＥ　１９１２",
    "old\nstreets",
    "old  streets",
    " old streets",
    "他们很喜欢听running water的故事",
)
KINDS = {  # how a vocabulary is trained: the model, and what is not by default
    "bpe": ("bpe", {}),
    "unigram": ("unigram", {}),
    "bpe, identity": ("bpe", {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}),
}


def train(kind: str, folder: Path) -> None:
    model, rules = KINDS[kind]
    folder.mkdir()
    settings = {"model_type": model, "vocab_size": 360, "byte_fallback": True, "minloglevel": 2} | rules
    settings |= {"hard_vocab_limit": False, "num_threads": 1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARNED * 20), model_prefix=str(folder / "tokenizer"), **settings
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))


for kind in KINDS:
    folder, named = Path(kind), Path(f"{kind}, named")
    if not folder.exists():
        train(kind, folder)
        shutil.copytree(folder, named)
        (named / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    right = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    ways = {"LlamaTokenizer": LlamaTokenizer.from_pretrained(folder)}
    ways |= {"AutoTokenizer": AutoTokenizer.from_pretrained(folder)}
    ways |= {"AutoTokenizer, class named": AutoTokenizer.from_pretrained(named)}
    other = {}
    for way, tokenizer in ways.items():
        found = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in READ]
        other[way] = sum(ids != right.encode(text) for ids, text in zip(found, READ))
    line = "; ".join(f"{way} {count}" for way, count in other.items())
    print(f"{kind}, {transformers.__version__}: {line}")
if transformers.__version__ > "5":
    right = sentencepiece.SentencePieceProcessor(model_file="bpe/tokenizer.model")
    print("bpe, sentencepiece:", *right.encode_as_pieces("了，"))
    print("bpe, 5.24.0, LlamaTokenizer:", *LlamaTokenizer.from_pretrained("bpe").tokenize("了，"))
PYTHON
for version in 4.57.6 5.24.0; do
    python3 -m venv "env_$version"
    "env_$version/bin/pip" install --quiet "transformers==$version" sentencepiece==0.2.3 protobuf==7.36.2
    HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "env_$version/bin/python" -W ignore open.py
done > seen 2> errors || { cat errors; exit 1; }
cat seen
cat > expected <<'TEXT'
bpe, 4.57.6: LlamaTokenizer 0; AutoTokenizer 6; AutoTokenizer, class named 6
unigram, 4.57.6: LlamaTokenizer 0; AutoTokenizer 6; AutoTokenizer, class named 6
bpe, identity, 4.57.6: LlamaTokenizer 0; AutoTokenizer 0; AutoTokenizer, class named 0
bpe, 5.24.0: LlamaTokenizer 5; AutoTokenizer 0; AutoTokenizer, class named 5
unigram, 5.24.0: LlamaTokenizer 8; AutoTokenizer 0; AutoTokenizer, class named 8
bpe, identity, 5.24.0: LlamaTokenizer 1; AutoTokenizer 0; AutoTokenizer, class named 1
bpe, sentencepiece: ▁ 了 ,
bpe, 5.24.0, LlamaTokenizer: ▁ 了 <0xEF> <0xBC> <0x8C>
TEXT
cmp -s seen expected || { echo "no longer so: the output above is another one"; exit 1; }
