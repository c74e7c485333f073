#!/usr/bin/env bash
# mlx-lm 0.32.2 with mlx 0.32.4 (CPU build) and transformers 5.24.0, Python 3.11 (seen 2026-11-30).
# mlx_lm.lora, the fine-tuning of mlx-lm on a Mac, is to sort examples by length before it makes batches. It takes the
# number of keys of a record for its length (issue 596), so the file is cut into batches as it stands, records with more
# keys ("tools" besides "messages") last, and what fills no batch at the end is dropped. These batches are made once:
# only their order is drawn anew, so the same examples meet in every epoch, and the last of the file, or those with
# tools, are never trained on. Validation and test leave them out in the same way, so a loss by batches of another size
# is one of other data. Nothing is printed. Other programs shuffle before they drop, or keep the last, smaller batch.
# Shuffle the file, give all records the same keys, make their number a multiple of the batch size, and test with
# --batch-size 1.
# Output seen (ten texts of 10, 20, ... 100 tokens in this order, a batch of 4, 20 epochs):
#   trained on: 10 20 30 40 | 50 60 70 80
#   trained on, the first has one key more: 20 30 40 50 | 60 70 80 90
#   tested: 10 20 30 40 | 50 60 70 80
#   tested by batches of 8: 10 20 30 40 50 60 70 80
#   tested by batches of 1: 10 | 20 | 30 | 40 | 50 | 60 | 70 | 80 | 90 | 100
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet mlx-lm==0.32.2 "mlx[cpu]==0.32.4" transformers==5.24.0 numpy==2.4.6
cat > examples.py <<'PYTHON'
import sys
from collections.abc import Iterable
from itertools import islice

import mlx.core as mx
from mlx import nn
from mlx_lm.tuner.datasets import CacheDataset, TextDataset
from mlx_lm.tuner.trainer import evaluate, iterate_batches


class Letters:
    eos_token_id = 0

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


def texts(with_more_keys: int | None = None) -> CacheDataset:
    records = [{"text": "a" * (length - 1)} for length in range(10, 101, 10)]  # and the end
    if with_more_keys is not None:
        records[with_more_keys]["source"] = "a book"
    return CacheDataset(TextDataset(records, Letters()))


def show(name: str, batches: Iterable[mx.array]) -> list[tuple[int, ...]]:
    """The different batches, each as the lengths of its texts."""
    found = sorted({tuple(lengths[:, 1].tolist()) for lengths in batches})
    print(f"{name}:", " | ".join(" ".join(map(str, batch)) for batch in found))
    return found


def trained(name: str, data: CacheDataset) -> list[tuple[int, ...]]:
    return show(name, (lengths for _, lengths in islice(iterate_batches(data, 4, 2048, loop=True, seed=0), 40)))


def tested(name: str, size: int) -> list[tuple[int, ...]]:
    seen = []

    def loss(model: nn.Module, batch: mx.array, lengths: mx.array) -> tuple[mx.array, mx.array]:
        seen.append(lengths)
        return mx.array(1.0), mx.array(1)

    evaluate(nn.Linear(1, 1), texts(), size, num_batches=-1, loss=loss)
    return show(name, seen)


plain = trained("trained on", texts())
more = trained("trained on, the first has one key more", texts(with_more_keys=0))
fours, eights, ones = tested("tested", 4), tested("tested by batches of 8", 8), tested("tested by batches of 1", 1)
if plain != [(10, 20, 30, 40), (50, 60, 70, 80)] or more != [(20, 30, 40, 50), (60, 70, 80, 90)]:
    sys.exit("no longer so: it is trained on other batches")
if fours != plain or eights != [plain[0] + plain[1]] or len(ones) != 10:
    sys.exit("no longer so: it is tested by other batches")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python examples.py 2> errors || { cat errors; exit 1; }
