#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11, a CPU with AVX512-BF16 (seen 2026-11-27).
# A bfloat16 product on a CPU keeps memory for every number of rows that it ever had: forward and backward of a linear
# layer of 4,000 x 256 keep about 30 MB for each of 40 numbers of rows, although no tensor is alive. It is no leak:
# oneDNN caches 1,024 compiled programs (ONEDNN_PRIMITIVE_CACHE_CAPACITY), and torch's binding 1,024 of its own with
# their working memory (LRU_CACHE_CAPACITY); bounding only one of the two does not end it. So a loss that picks the trained tokens of a batch, as many as there happen to be, looks like a leak of gigabytes;
# rounding their number up, to a multiple of 64, say, ends it.
# Output seen:
#   40 numbers of rows: some hundred MB
#   the same with caches of 1: less than a tenth of it
#   one number of rows: next to nothing
set -euo pipefail
grep -q avx512_bf16 /proc/cpuinfo || { echo "this CPU has no AVX512-BF16, where it was seen"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/grown.py" <<'PYTHON'
import sys

import torch

torch.set_num_threads(1)
kept = torch.nn.Linear(256, 4000, dtype=torch.bfloat16)
inputs = torch.randn(3000, 256, dtype=torch.bfloat16)


def megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def use(rows: int) -> None:
    kept(inputs[:rows]).sum().backward()
    kept.zero_grad()


use(2999)
before = megabytes()
for number in range(40):
    use(2000 + number * int(sys.argv[1]))
print(round(megabytes() - before))
PYTHON
many=$("$folder/env/bin/python" "$folder/grown.py" 1)
bounded=$(ONEDNN_PRIMITIVE_CACHE_CAPACITY=1 LRU_CACHE_CAPACITY=1 "$folder/env/bin/python" "$folder/grown.py" 1)
one=$("$folder/env/bin/python" "$folder/grown.py" 0)
echo "40 numbers of rows: $many MB"
echo "the same with caches of 1: $bounded MB"
echo "one number of rows: $one MB"
((many > 100 && bounded * 10 < many && one * 10 < many))
