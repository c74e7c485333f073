#!/usr/bin/env bash
# datatrove 0.10.1 with spacy 3.8.18 and xxhash 3.6.0, Python 3.11 (seen 2026-11-30).
# Before MinHash of datatrove compares two texts it makes every number of them 0 and takes out all signs (norm_numbers
# and remove_punctuation of TextNormConfig, both on by default), so that copies with another date are found. Where
# numbers are what a text is about, all texts of a form are then one: of 20 pages of sums, tables of a year, or records
# of a shop, the first is kept, and 19 are removed as copies of it. Words keep the texts apart: numbers written out, or
# in Chinese characters, are compared. The log only counts what is removed.
# MinhashConfig(norm_config=TextNormConfig(norm_numbers=False)) compares the numbers, too.
# Output seen (20 texts each, no two alike; how many are kept by default, and with norm_numbers=False):
#   sums: 1 and 20
#   table: 1 and 20
#   sums in words: 20 and 20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet datatrove==0.10.1 spacy==3.8.18 xxhash==3.6.0 fasteners==0.20 regex==2026.11.19 \
    tokenizers==0.23.3 numpy==2.3.4
cat > kept.py <<'PYTHON'
import random
import sys

from datatrove.data import Document
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.utils.text import TextNormConfig

drawn = random.Random(0)
words = "zero one two three four five six seven eight nine ten eleven twelve".split()


def sums(names: list) -> str:
    pairs = [(drawn.randrange(7), drawn.randrange(6)) for _ in range(30)]
    return "\n".join(f"{names[a]} + {names[b]} = {names[a + b]}" for a, b in pairs)


def table() -> str:
    months = "January February March April May June July August September October November December".split()
    return "\n".join(f"| {month} | {drawn.randrange(100)} mm | {drawn.randrange(30)} C |" for month in months)


def kept(texts: list[str], folder: str, config: MinhashConfig) -> int:
    """How many documents come through the four steps of the guide."""
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    MinhashDedupSignature(f"{folder}/signatures", config=config).run(iter(documents))
    for bucket in range(config.num_buckets):
        buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
        buckets.run(rank=bucket, world_size=config.num_buckets)
    MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config).run()
    return len(list(MinhashDedupFilter(f"{folder}/remove").run(iter(documents))))


digits = [str(number) for number in range(13)]
seen = {}
for name, texts in {
    "sums": [sums(digits) for _ in range(20)],
    "table": [table() for _ in range(20)],
    "sums in words": [sums(words) for _ in range(20)],
}.items():
    exact = MinhashConfig(norm_config=TextNormConfig(norm_numbers=False))
    seen[name] = kept(texts, f"{name}, default", MinhashConfig()), kept(texts, f"{name}, exact", exact)
    print("{}: {} and {}".format(name, *seen[name]))
if any(seen[name] != (1, 20) for name in ("sums", "table")) or seen["sums in words"] != (20, 20):
    sys.exit("no longer so: numbers are compared otherwise")
PYTHON
env/bin/python kept.py 2> errors || { cat errors; exit 1; }
