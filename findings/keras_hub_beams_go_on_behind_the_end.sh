#!/usr/bin/env bash
# keras-hub 0.32.0 with keras 3.15.1 and torch 2.13.0 (CPU build), Python 3.11 (seen 2026-12-01).
# Beam search keeps the most probable sentences and sets those aside that have ended. BeamSampler of keras-hub lets a
# sentence that has ended go on until all have ended, and multiplies its probability by that of each token behind the
# end. So which answer wins depends on what the network would write there, where most are never trained: unless it is
# sure to repeat the end, a short answer loses to a longer and less probable one, and a dead sentence fills the beams
# with copies of itself that differ behind the end only. Greedy search has the short answer then, so that beam search
# finds a less probable text than greedy search does. generate() cuts off what stands behind the end, so nobody sees
# it; only the score of return_all_beams is wrong. A network that was trained to write the end token again and again
# behind the end is not concerned. The documentation speaks of the highest accumulated probabilities.
# Output seen (the network ends at once in 6 cases of 10, and in 4 writes "a b c" and ends; in what follows the end, the
# network differs):
#   the end once more: greedy "", beam "" (0.60)
#   any token: greedy "", beam "a b c" (0.40)
#   the beginning of another text: greedy "", beam "a b c" (0.40)
#   any token, five beams: "a b c" (0.40), "" (0.10), "" (0.04), "" (0.02), "" (0.02)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 keras==3.15.1 kagglehub==1.0.2 kagglesdk==0.1.28 regex==2026.11.19 \
    sentencepiece==0.2.3 tokenizers==0.23.3 numpy==2.4.6
env/bin/pip install --quiet --no-deps keras-hub==0.32.0 # without TensorFlow, which it needs with another backend only
cat > beams.py <<'PYTHON'
import sys

import numpy as np
from keras import ops
from keras_hub.samplers import BeamSampler, GreedySampler

BEGIN, END, A, B, C, OTHER = range(6)
LENGTH = 8


def network(behind_the_end: dict[int, float]):
    """A network that looks at the last token only."""
    following = {BEGIN: {END: 0.6, A: 0.4}, END: behind_the_end, A: {B: 1}, B: {C: 1}, C: {END: 1}, OTHER: {END: 1}}
    table = np.full((6, 6), 1e-9, dtype="float32")
    for token, probabilities in following.items():
        for after, probability in probabilities.items():
            table[token, after] = probability

    def logits(prompt, cache, index):
        last = ops.convert_to_numpy(prompt)[:, int(index) - 1]
        return ops.convert_to_tensor(np.log(table[last])), None, cache

    return logits


def texts(tokens) -> list[str]:
    """What stands before the end."""
    rows = ops.convert_to_numpy(tokens).reshape(-1, LENGTH)[:, 1:].tolist()
    return [" ".join("?.abc?"[token] for token in row[: row.index(END)]) for row in rows]


def search(sampler, behind_the_end: dict[int, float]):
    prompt = np.zeros((1, LENGTH), dtype="int32")  # only BEGIN, at the first place
    mask = np.arange(LENGTH)[None] == 0
    return sampler(next=network(behind_the_end), prompt=prompt, index=1, mask=mask, stop_token_ids=[END])


anything = dict.fromkeys(range(6), 1 / 6)
for name, behind_the_end, expected in (
    ("the end once more", {END: 1}, ""),
    ("any token", anything, "a b c"),
    ("the beginning of another text", {A: 0.5, B: 0.5}, "a b c"),
):
    (greedy,) = texts(search(GreedySampler(), behind_the_end))
    (best,) = texts(search(BeamSampler(num_beams=2), behind_the_end))
    _, scores = search(BeamSampler(num_beams=2, return_all_beams=True), behind_the_end)
    print(f'{name}: greedy "{greedy}", beam "{best}" ({np.exp(ops.convert_to_numpy(scores)[0, 0]):.2f})')
    if (greedy, best) != ("", expected):
        sys.exit("no longer so: another answer is found")
beams, scores = search(BeamSampler(num_beams=5, return_all_beams=True), anything)
found = texts(beams)
shown = [f'"{text}" ({score:.2f})' for text, score in zip(found, np.exp(ops.convert_to_numpy(scores)[0]), strict=True)]
print(f"any token, five beams: {', '.join(shown)}")
if found != ["a b c", "", "", "", ""]:
    sys.exit("no longer so: other sentences are kept")
PYTHON
KERAS_BACKEND=torch KERAS_HOME="$folder" env/bin/python beams.py 2> errors || { cat errors; exit 1; }
