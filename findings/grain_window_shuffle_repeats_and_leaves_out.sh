#!/usr/bin/env bash
# grain 0.2.18, Python 3.11 (seen 2026-11-30).
# WindowShuffleMapDataset of grain shuffles within windows of the data, for files that are read fastest in turn, and
# promises that no index comes twice in a window. It shuffles the last window as if that were full, and a place behind
# the end of the data is one at its start, as everywhere in grain. So unless the window divides the number of examples,
# some of the last ones are left out and as many of the first ones come twice; with a window larger than the data, as
# one writes who wants all shuffled, it is a third of them. len() is right and nothing is raised. A loop that goes over
# the data set once in each epoch leaves out the same ones every time, and so does a validation loss. Behind repeat()
# the next epoch goes on within the window and makes up for it. shuffle() and WindowShuffleIterDataset give each example
# once.
# Output seen (of 1,000 examples, how many are there in one pass, in ten passes and in one over repeat(10)):
#   WindowShuffleMapDataset, window 100: 1000, 1000, 1000
#   WindowShuffleMapDataset, window 300: 932, 932, 1000
#   WindowShuffleMapDataset, window 600: 862, 862, 1000
#   WindowShuffleMapDataset, window 10000: 638, 638, 1000
#   WindowShuffleIterDataset, window 600: 1000, 1000, 1000
#   WindowShuffleIterDataset, window 10000: 1000, 1000, 1000
#   shuffle(): 1000, 1000, 1000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet grain==0.2.18
cat > windows.py <<'PYTHON'
import sys

from grain import MapDataset
from grain.experimental import RepeatIterDataset, WindowShuffleIterDataset, WindowShuffleMapDataset

source = MapDataset.range(1000)
passes = {}
for window in (100, 300, 600, 10_000):
    shuffled = WindowShuffleMapDataset(source, window_size=window, seed=1)
    passes[f"WindowShuffleMapDataset, window {window}"] = (shuffled, shuffled.repeat(10))
for window in (600, 10_000):
    shuffled = WindowShuffleIterDataset(source.to_iter_dataset(), window_size=window, seed=1)
    passes[f"WindowShuffleIterDataset, window {window}"] = (shuffled, RepeatIterDataset(shuffled, 10))
passes["shuffle()"] = (source.shuffle(seed=1), source.shuffle(seed=1).repeat(10))
seen = {}
for name, (once, repeated) in passes.items():
    numbers = [[int(number) for number in once] for _ in range(10)]
    longer = [int(number) for number in repeated]
    if (len(numbers[0]), len(longer)) != (1000, 10_000):
        sys.exit(f"no longer so: {name} has another length")
    seen[name] = [len(set(some)) for some in (numbers[0], sum(numbers, []), longer)]
    print(f"{name}: {', '.join(map(str, seen[name]))}")
for name, (one, ten, repeated) in seen.items():
    whole = "Map" not in name or name.endswith(" 100")
    if one != ten or (one == 1000) != whole or repeated != 1000:
        sys.exit(f"no longer so: {name} leaves out others")
if not seen["WindowShuffleMapDataset, window 10000"][0] < 700:
    sys.exit("no longer so: fewer are left out")
PYTHON
env/bin/python windows.py 2> errors || { cat errors; exit 1; }
