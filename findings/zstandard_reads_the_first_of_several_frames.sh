#!/usr/bin/env bash
# zstandard 0.25.0, beside backports.zstd 1.8.0, pyarrow 26.0.1 and datasets 5.2.0, Python 3.11 (seen 2026-11-30).
# A .zst file may be several frames, one behind the other: pzstd writes it so, a program that appends to a file does,
# and `cat part1.zst part2.zst` makes one, which is how shards of a corpus are put together. Of such a file three of six
# ways of the package zstandard give the first frame as if it were all: decompress, decompressobj and read_to_iter. The
# other three, stream_reader, copy_stream and open, go on. Nothing is raised, lines are whole, and whoever tries the
# code on a file of one frame sees no fault; of the real one the most is never trained on. decompress has an argument
# for it, read_across_frames, which is not implemented. What reads by streams (datasets, pandas), pyarrow, the command
# zstd and Python's own module from 3.14 on (here as backports.zstd) read everything. Issues 59 and 196 of
# python-zstandard, of 2018 and 2023, are open.
# Output seen (lines read of three frames of 100 lines):
#   zstandard: decompress 100, decompressobj 100, read_to_iter 100
#   zstandard: stream_reader 300, copy_stream 300, open 300
#   others: backports.zstd 300, pyarrow 300, datasets 300, datasets streaming 300
#   read_across_frames: ZstdError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet zstandard==0.25.0 backports.zstd==1.8.0 pyarrow==26.0.1 datasets==5.2.0
cat > frames.py <<'PYTHON'
import io
import json
import sys
from pathlib import Path

import pyarrow
import zstandard
from backports import zstd
from datasets import disable_progress_bars, load_dataset

disable_progress_bars()
parts = ["".join(json.dumps({"text": f"{part}, {line}"}) + "\n" for line in range(100)) for part in range(3)]
whole = b"".join(zstandard.compress(part.encode()) for part in parts)
path = Path("corpus.jsonl.zst")
path.write_bytes(whole)
new = zstandard.ZstdDecompressor
copied = io.BytesIO()
new().copy_stream(io.BytesIO(whole), copied)
loaded = {"path": "json", "data_files": str(path), "split": "train"}
found = {
    "decompress": new().decompress(whole),
    "decompressobj": new().decompressobj().decompress(whole),
    "read_to_iter": b"".join(new().read_to_iter(io.BytesIO(whole))),
    "stream_reader": new().stream_reader(io.BytesIO(whole)).read(),
    "copy_stream": copied.getvalue(),
    "open": zstandard.open(path, "rb").read(),
    "backports.zstd": zstd.decompress(whole),
    "pyarrow": pyarrow.CompressedInputStream(pyarrow.PythonFile(io.BytesIO(whole), "r"), "zstd").read(),
}
lines = {name: text.count(b"\n") for name, text in found.items()}
lines["datasets"] = len(load_dataset(**loaded))
lines["datasets streaming"] = sum(1 for _ in load_dataset(**loaded, streaming=True))
names = list(lines)
for who, some in (("zstandard", names[:3]), ("zstandard", names[3:6]), ("others", names[6:])):
    print(f"{who}: {', '.join(f'{name} {lines[name]}' for name in some)}")
try:
    new().decompress(whole, read_across_frames=True)
    sys.exit("no longer so: read_across_frames works")
except zstandard.ZstdError as error:
    print(f"read_across_frames: {type(error).__name__}")
if list(lines.values()) != [100] * 3 + [300] * 7:
    sys.exit("no longer so: another number of frames is read")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python frames.py 2> errors || { cat errors; exit 1; }
