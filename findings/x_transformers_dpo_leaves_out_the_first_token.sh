#!/usr/bin/env bash
# x-transformers 2.31.10 with torch 2.13.0, Python 3.11 (seen 2026-12-01).
# The logits at a token are about the next one, so a loss over an answer begins at the last token of the prompt. DPO of
# x-transformers lays prompt_mask and the padding over the logits one token too late: the first token of an answer is in
# no loss, and what stands behind the answer, padding, is. The first token is where most pairs part: of "yes" and "no"
# nothing at all is learned, the loss stays at 0.6931, and of answers that differ in it alone, DPO learns after which of
# them to end. The log-probabilities are averaged over the answer, besides, where the paper sums them. Nothing is
# printed, and the loss of longer answers falls. Give masks of the tokens that are to be predicted, one shorter than the
# rows (prompt_mask[:, 1:] and so on), in place of pad_id.
# Output seen (the tokens of the two answers that have a gradient; the loss before and after 50 steps):
#   yes sir end pad, no end pad pad: sir end pad and end pad; 0.6931 to 0.0002
#   yes, no: nothing and nothing; 0.6931 to 0.6931
#   yes end, no end: end and end; 0.6931 to 0.0002
#   yes, no, with masks of the next tokens: yes and no; 0.6931 to 0.0002
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet x-transformers==2.31.10 torch==2.13.0 numpy==2.3.4
cat > "$folder/pairs.py" <<'PYTHON'
import sys

import torch
from x_transformers import Decoder, TransformerWrapper
from x_transformers.dpo import DPO

torch.set_num_threads(1)
WORDS = ["pad", "question", "yes", "no", "sir", "end"]


def rows(answer: str) -> torch.Tensor:
    return torch.tensor([[WORDS.index(word) for word in ["question", "question", *answer.split()]]])


def pair(chosen: str, rejected: str, of_next_tokens: bool = False) -> tuple[list[str], float]:
    torch.manual_seed(0)
    layers = Decoder(dim=32, depth=1, heads=2)
    dpo = DPO(TransformerWrapper(num_tokens=len(WORDS), max_seq_len=8, attn_layers=layers), beta=1.0)
    both = rows(chosen), rows(rejected)
    masks = {
        "prompt_mask": torch.arange(both[0].shape[1])[None] < 2,
        "preferred_seq_mask": both[0] != WORDS.index("pad"),
        "unpreferred_seq_mask": both[1] != WORDS.index("pad"),
    }
    if of_next_tokens:
        masks = {name: mask[:, 1:] for name, mask in masks.items()}
    logits = []
    dpo.policy_model.register_forward_hook(lambda module, inputs, output: logits.append(output))
    optimizer = torch.optim.Adam(dpo.parameters(), lr=0.01)
    losses = []
    for step in range(51):
        logits.clear()
        losses.append(dpo(*both, **masks))
        if step == 0:
            gradients = torch.autograd.grad(losses[0], logits, retain_graph=True)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    trained = [
        " ".join(WORDS[token] for token, hit in zip(row[0, 1:].tolist(), gradient[0].any(-1), strict=True) if hit)
        for row, gradient in zip(both, gradients, strict=True)
    ]
    name = f"{chosen}, {rejected}" + ", with masks of the next tokens" * of_next_tokens
    print(f"{name}: {' and '.join(each or 'nothing' for each in trained)}; {losses[0]:.4f} to {losses[-1]:.4f}")
    return trained, losses[-1].item()


if pair("yes sir end pad", "no end pad pad")[0] != ["sir end pad", "end pad"]:
    sys.exit("no longer so: other tokens of the answers are trained")
trained, loss = pair("yes", "no")
if trained != ["", ""] or loss < 0.693:
    sys.exit("no longer so: something is learned of answers of one token")
if pair("yes end", "no end")[0] != ["end", "end"]:
    sys.exit("no longer so: other tokens of the answers are trained")
trained, loss = pair("yes", "no", of_next_tokens=True)
if trained != ["yes", "no"] or loss > 0.1:
    sys.exit("no longer so: masks of the next tokens are read otherwise")
PYTHON
"$folder/env/bin/python" "$folder/pairs.py"
