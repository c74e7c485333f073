#!/usr/bin/env bash
# keras-hub 0.32.0 with keras 3.15.1 and torch 2.13.0 (CPU build), Python 3.11 (seen 2026-12-01).
# Speculative sampling lets a small draft network propose tokens and gives what the large one would have drawn alone, by
# keeping a proposal with the probability p/q (arXiv:2211.17192). SpeculativeSampler of keras-hub with a base_sampler
# cites that paper. But it always proposes the most probable token of the draft, not one drawn from q, and keeps it by
# that rule all the same: the better the draft, the more the answer is greedy, and a bad one makes its favourite token
# too frequent and others impossible. Of base_sampler, whose temperature, top-k and top-p it says it uses, top-k and
# top-p are ignored, and the temperature is overwritten, in the object that was handed over, by its own of 1. In a batch
# all rows end where the first of them rejects; a row that rejected nothing then draws from the rest max(0, p - q), of
# which nothing is left where draft and network agree, so that it gets any token of the vocabulary. Gemma4CausalLM
# takes this sampler for assistant_model. No message shows it, but measured quality and diversity are those of another
# sampler. With no base_sampler the answers are greedy, as its documentation says.
# Output seen (shares of four tokens in what is drawn):
#   p: 0.40 0.30 0.20 0.10
#   drawn from p: 0.39 0.32 0.22 0.07
#   the draft has p, too: 0.88 0.05 0.06 0.01
#   the draft has p the other way round: 0.55 0.18 0.00 0.27
#   the draft has p, base_sampler of top-k 1 and temperature 0.5: 0.88 0.05 0.06 0.01, its temperature is now 1.0
#   sure of the first token, as is the draft: 0.99 0.00 0.01 0.00
#   the same beside a row whose draft is bad: 0.45 0.18 0.18 0.19
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 keras==3.15.1 kagglehub==1.0.2 kagglesdk==0.1.28 regex==2026.11.19 \
    sentencepiece==0.2.3 tokenizers==0.23.3 numpy==2.4.6
env/bin/pip install --quiet --no-deps keras-hub==0.32.0 # without TensorFlow, which it needs with another backend only
cat > shares.py <<'PYTHON'
import sys

import numpy as np
from keras import ops
from keras_hub.samplers import RandomSampler, Sampler, SpeculativeSampler, TopKSampler

TOKENS = 400
P = (0.4, 0.3, 0.2, 0.1)
SURE = (0.97, 0.01, 0.01, 0.01)


def network(*rows: tuple[float, ...]):
    """A network that gives each row the same probabilities at every place."""
    logits = ops.convert_to_tensor(np.log(np.array(rows, dtype="float32")))
    return lambda prompt, cache, index: (logits, None, cache)


def draw(name: str, sampler: Sampler, *rows: tuple[float, ...], draft: tuple | None = None) -> np.ndarray:
    """Shares of the tokens in the first row of what is drawn."""
    drafting = {} if draft is None else {"draft_next": network(*draft)}
    prompt = np.zeros((len(rows), TOKENS), dtype="int32")
    drawn = ops.convert_to_numpy(sampler(next=network(*rows), prompt=prompt, index=0, **drafting))[0]
    shares = np.bincount(drawn, minlength=4) / TOKENS
    print(f"{name}: {' '.join(f'{share:.2f}' for share in shares)}", end="")
    return shares


def speculative(base: Sampler) -> Sampler:
    return SpeculativeSampler(num_speculative_tokens=4, base_sampler=base, seed=2)


def check(shares: np.ndarray, *expected: float) -> None:
    print()
    if np.abs(shares - expected).max() > 0.08:
        sys.exit("no longer so: other shares are drawn")


print(f"p: {' '.join(f'{share:.2f}' for share in P)}")
check(draw("drawn from p", RandomSampler(seed=1), P), *P)
plain = speculative(RandomSampler(seed=1))
check(draw("the draft has p, too", plain, P, draft=(P,)), 0.88, 0.06, 0.04, 0.02)
check(draw("the draft has p the other way round", plain, P, draft=(P[::-1],)), 0.56, 0.19, 0, 0.25)
base = TopKSampler(k=1, temperature=0.5, seed=1)
name = "the draft has p, base_sampler of top-k 1 and temperature 0.5"
shares = draw(name, speculative(base), P, draft=(P,))
print(f", its temperature is now {base.temperature}", end="")
check(shares, 0.88, 0.06, 0.04, 0.02)
check(draw("sure of the first token, as is the draft", plain, SURE, draft=(SURE,)), 0.99, 0, 0, 0)
name = "the same beside a row whose draft is bad"
check(draw(name, plain, SURE, P, draft=(SURE, P[::-1])), 0.45, 0.18, 0.18, 0.18)
if base.temperature != 1:
    sys.exit("no longer so: base_sampler keeps its temperature")
PYTHON
KERAS_BACKEND=torch KERAS_HOME="$folder" env/bin/python shares.py 2> errors || { cat errors; exit 1; }
