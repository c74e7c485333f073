#!/usr/bin/env bash
# webdataset 1.0.2, Python 3.11 (seen 2026-12-01).
# WebDataset(shardshuffle=100) shuffles the archives, but it draws one number when it is made, and every epoch shuffles
# by this number from the beginning. The next run has another order, so it looks right; within a run all epochs open the
# archives in the same one, though nobody gave a seed. What .shuffle() adds behind it moves a text within its buffer
# only. So a text that came late comes late in every epoch, with the same texts around it, and epochs that end earlier
# (with_epoch, a number of steps) see one part of the data again and again and never the rest. wds.shuffle in a
# DataPipeline has a new order in every epoch. The description of the class, in which the seed is None, says nothing of
# it; it is reported as pull request 502 of webdataset, not merged. detshuffle=True gives every epoch an order of its
# own, too. In workers of a DataLoader that needs persistent_workers=True, as a worker counts the epochs it has begun.
# Output seen (20 archives of 50 texts; of 5 epochs: how many orders of archives there are, the mean correlation of the
# places of a text with .shuffle(100) behind, and how many of 1,000 texts are seen if epochs end after 500; of the last
# two numbers, which depend on the clock, the digits change):
#   WebDataset(shardshuffle=100): 1 order, correlation 0.9, 580 texts
#   WebDataset(shardshuffle=100, detshuffle=True): 5 orders, correlation 0.1, 938 texts
#   DataPipeline with wds.shuffle(100): 5 orders, correlation -0.1, 977 texts
#   two objects of the first kind: another order each
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet webdataset==1.0.2 numpy==2.4.6
cat > epochs.py <<'PYTHON'
import random
import sys
from itertools import combinations
from pathlib import Path
from statistics import correlation, mean

import webdataset

random.seed(1)  # WebDataset draws its number here
Path("data").mkdir()
with webdataset.ShardWriter("data/%03d.tar", maxcount=50, verbose=0) as writer:
    for number in range(1000):
        writer.write({"__key__": f"{number:04d}", "txt": str(number)})
archives = sorted(map(str, Path("data").iterdir()))


def pipeline() -> webdataset.DataPipeline:
    stages = webdataset.SimpleShardList(archives), webdataset.shuffle(100), webdataset.tarfile_to_samples()
    return webdataset.DataPipeline(*stages)


def numbers(dataset: webdataset.DataPipeline) -> list[int]:
    """Of the texts of one epoch, as they come."""
    return [int(example["txt"]) for example in dataset]


def order(dataset: webdataset.DataPipeline) -> tuple[int, ...]:
    """The archives of one epoch, as they are opened."""
    return tuple(dict.fromkeys(number // 50 for number in numbers(dataset)))


ways = {
    "WebDataset(shardshuffle=100)": lambda: webdataset.WebDataset(archives, shardshuffle=100),
    "WebDataset(shardshuffle=100, detshuffle=True)": lambda: webdataset.WebDataset(
        archives, shardshuffle=100, detshuffle=True
    ),
    "DataPipeline with wds.shuffle(100)": pipeline,
}
found = []
for name, make in ways.items():
    dataset = make()
    orders = {order(dataset) for _ in range(5)}
    dataset = make().compose(webdataset.shuffle(100))
    epochs = [numbers(dataset) for _ in range(5)]
    if any(sorted(epoch) != list(range(1000)) for epoch in epochs):
        sys.exit("no longer so: an epoch does not have every text once")
    places = [sorted(range(1000), key=epoch.__getitem__) for epoch in epochs]
    alike = mean(correlation(one, other) for one, other in combinations(places, 2))
    seen = len({number for epoch in epochs for number in epoch[:500]})
    print(f"{name}: {len(orders)} order{'s'[: len(orders) - 1]}, correlation {alike:.1f}, {seen} texts", flush=True)
    found.append((len(orders), alike, seen))
others = {order(ways["WebDataset(shardshuffle=100)"]()) for _ in range(2)}
print(f"two objects of the first kind: {'another order each' if len(others) == 2 else 'the same order'}")
(one, alike, seen), *right = found
if one != 1 or alike < 0.8 or seen > 700 or len(others) < 2:
    sys.exit("no longer so: epochs open the archives in other orders")
if any(orders < 5 or alike > 0.4 or seen < 800 for orders, alike, seen in right):
    sys.exit("no longer so: other ways to shuffle have one order too")
PYTHON
env/bin/python epochs.py 2> errors || { cat errors; exit 1; }
