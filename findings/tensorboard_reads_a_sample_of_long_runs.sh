#!/usr/bin/env bash
# tensorboard 2.21.0, Python 3.11 (seen 2026-11-30).
# EventAccumulator is TensorBoard's own reader of event files, and what scripts and answers on the web use to get curves
# into a table. Of a curve of more than 10,000 values it keeps 10,000, drawn by chance (always the same ones), and the
# last one. Scalars() returns them without a word, and steps with gaps are all that shows it. So the spikes of a run of
# 30,000 steps, its lowest loss, the step at which a limit was reached and every sum over steps (tokens, seconds) come
# out wrong; two runs of different lengths are not thinned alike. size_guidance={"scalars": 0} reads everything. Only
# the comments in its source say so; the figures of the web page are a sample as well (--samples_per_plugin).
# Output seen (a run of 30,000 steps of 512 tokens, with a spike in every thousandth step; a run of 8,000):
#   30,000 steps written: 10,000 read, the first are 2, 5, 7, 15, the last is 29999; 5 of 30 spikes
#   tokens: 15,360,000 written, 5,120,000 read
#   size_guidance 0: 30,000 read, the first are 0, 1, 2, 3, the last is 29999; 30 of 30 spikes
#   8,000 steps written: 8,000 read, the first are 0, 1, 2, 3, the last is 7999; 8 of 8 spikes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet tensorboard==2.21.0
cat > read.py <<'PYTHON'
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(count: int) -> str:
    """A run whose loss is 2, with a spike of 9 in every thousandth step."""
    folder = f"run_{count}"
    writer = EventFileWriter(folder)
    for step in range(count):
        loss = 9.0 if step % 1000 == 500 else 2.0
        values = [Summary.Value(tag="loss", simple_value=loss), Summary.Value(tag="tokens", simple_value=512)]
        writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=values)))
    writer.close()
    return folder


def show(name: str, folder: str, **given) -> EventAccumulator:
    reader = EventAccumulator(folder, **given)
    reader.Reload()
    events = reader.Scalars("loss")
    steps, losses = [event.step for event in events], [event.value for event in events]
    spikes, all_spikes = losses.count(9.0), int(folder.split("_")[1]) // 1000
    first = ", ".join(map(str, steps[:4]))
    said = f"{len(steps):,} read, the first are {first}, the last is {steps[-1]}"
    print(f"{name}: {said}; {spikes} of {all_spikes} spikes")
    return reader


long = write(30_000)
sampled = show("30,000 steps written", long)
tokens = sum(event.value for event in sampled.Scalars("tokens"))
print(f"tokens: {30_000 * 512:,} written, {int(tokens):,} read")
whole = show("size_guidance 0", long, size_guidance={"scalars": 0})
short = show("8,000 steps written", write(8_000))
if len(sampled.Scalars("loss")) != 10_000 or tokens > 0.4 * 30_000 * 512:
    sys.exit("no longer so: long runs are read as a whole")
if len(whole.Scalars("loss")) != 30_000 or len(short.Scalars("loss")) != 8_000:
    sys.exit("no longer so: the other two are read in part, too")
PYTHON
env/bin/python read.py 2> errors || { cat errors; exit 1; }
