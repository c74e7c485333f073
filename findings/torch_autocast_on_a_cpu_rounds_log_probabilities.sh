#!/usr/bin/env bash
# torch 2.13.0 (CPU build), Python 3.11 (seen 2026-11-30).
# Autocast has a list of operations that compute in float32 for each kind of device, and the lists are not alike. That
# of CUDA (a header that torch installs) has softmax, log_softmax, logsumexp, sum, exp and layer_norm; that of a CPU has
# none of them, so there they take and give bfloat16. cross_entropy gives float32 on both, and pretraining shows nothing.
# But preference tuning and reinforcement learning take log_softmax, pick the tokens and add up an answer: on a CPU the
# log-probability of 400 tokens is then a multiple of 8 or 16, and the difference of a policy and its reference, some
# tenths after the first steps, is 0 or 16. So the script that trains on a GPU learns from noise on a CPU. No warning is
# given. logits.float() before log_softmax keeps the digits.
# Output seen (20 pairs of answers of 400 tokens, by a policy near its reference; the first margins):
#   float32 on CUDA, by the header: softmax, log_softmax, logsumexp, sum, exp, layer_norm
#   bfloat16 on a CPU: softmax, log_softmax, logsumexp, sum, exp, layer_norm
#   float32: an answer -4053.3, margins 0.1, 0.1, -0.3, -0.4, -0.2, 1.0; 20 of 20 have their sign
#   autocast: an answer -4048.0, margins -16.0, 0.0, 0.0, 0.0, 0.0, 0.0; 0 of 20 have their sign
#   autocast, logits.float(): an answer -4053.3, margins 0.4, 0.1, -0.4, -0.4, -0.3, 1.4; 20 of 20 have their sign
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 numpy==2.3.4
cat > "$folder/margins.py" <<'PYTHON'
import re
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
wide = set()
for name in ("AT_FORALL_FP32", "AT_FORALL_FP32_SET_OPT_DTYPE"):
    wide |= set(re.findall(r"_\((\w+)", re.search(rf"#define {name}\(_\)((?:.*\\\n)*.*)", header)[1]))
small = torch.randn(4, 16, dtype=torch.bfloat16)
operations = {
    "softmax": lambda: small.softmax(-1),
    "log_softmax": lambda: small.log_softmax(-1),
    "logsumexp": lambda: small.logsumexp(-1),
    "sum": lambda: small.sum(),
    "exp": lambda: small.exp(),
    "layer_norm": lambda: F.layer_norm(small, (16,)),
}
with torch.autocast("cpu", torch.bfloat16):
    narrow = {name for name, operation in operations.items() if operation().dtype == torch.bfloat16}
print(f"float32 on CUDA, by the header: {', '.join(name for name in operations if name in wide)}")
print(f"bfloat16 on a CPU: {', '.join(name for name in operations if name in narrow)}")
if narrow != set(operations) or not wide >= set(operations):
    sys.exit("no longer so: the lists are alike")

pairs, length = 20, 400
head, tokens = 0.2 * torch.randn(6400, 64), torch.randint(6400, (2 * pairs, length, 1))
reference = torch.randn(2 * pairs, length, 64)
policy = reference + 0.01 * torch.randn(2 * pairs, 1, 64)


def answers(states: torch.Tensor, cast: bool) -> torch.Tensor:
    """The log-probability of each answer."""
    logits = F.linear(states, head)
    logits = logits.float() if cast else logits
    return logits.log_softmax(-1).gather(-1, tokens).squeeze(-1).sum(-1)


def show(name: str, exact: torch.Tensor | None = None, cast: bool = False) -> tuple[torch.Tensor, int]:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=exact is not None):
        before = answers(reference, cast)
        chosen, rejected = (answers(policy, cast) - before).float().split(pairs)
    margins = chosen - rejected
    same = pairs if exact is None else int((margins.sign() == exact.sign()).sum())
    shown = ", ".join(f"{margin:.1f}" for margin in margins[:6])
    print(f"{name}: an answer {before[0].item():.1f}, margins {shown}; {same} of {pairs} have their sign")
    return margins, same


exact, _ = show("float32")
rounded, lost = show("autocast", exact)
cast, kept = show("autocast, logits.float()", exact, cast=True)
if lost > 0.8 * pairs or kept < 0.9 * pairs or (rounded % 4 != 0).any():
    sys.exit("no longer so: log-probabilities under autocast have their digits")
PYTHON
"$folder/env/bin/python" "$folder/margins.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
