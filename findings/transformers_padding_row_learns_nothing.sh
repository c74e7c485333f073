#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0, Python 3.11 (seen 2026-11-29).
# Many tokenizers have one token that begins a text, ends it and pads, as GPT-2's <|endoftext|>, and configs say so:
# pad_token_id = bos_token_id. Llama, Mistral, Qwen2 and Qwen3 hand pad_token_id to nn.Embedding as padding_idx, which
# means that the input row of this token has no gradient, and from_config sets that row to zero. So in a network trained
# from scratch the token that stands before every text stays a zero vector. RMSNorm and layers without bias keep it zero
# at the first position through all blocks: its logits are all 0, and the first token of a text is guessed evenly, at a
# loss of ln(vocabulary), however long the training lasts. Nothing is said. With tied embeddings only the head moves the
# row; in a network opened from a file it keeps the value it came with. GPT2LMHeadModel does not hand it over. A padding
# token of its own, or pad_token_id=None while the network is built, avoids it: the attention mask keeps padding out
# anyhow.
# Output seen (150 steps on texts that all begin with the same word; 32 tokens, whose logarithm is 3.47):
#   llama, padding is the token before texts: its row has the norm 0.00, loss of the first word 3.47, of the second 0.01
#   llama, padding is a token of its own: its row has the norm 0.17, loss of the first word 0.01, of the second 0.01
#   qwen3, padding is the token before texts: its row has the norm 0.00, loss of the first word 3.47, of the second 0.01
#   qwen3, padding is a token of its own: its row has the norm 0.16, loss of the first word 0.01, of the second 0.01
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet torch==2.13.0 transformers==5.24.0 numpy==2.3.4
cd "$folder"
cat > train.py <<'PYTHON'
import math
import sys

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM

EDGE, WORDS = 0, 32  # token 0 stands before every text
torch.set_num_threads(1)
texts = torch.tensor([[EDGE, 5, 9, first, first + 1] for first in range(10, 26)])


def trained(kind: str, padding: int) -> tuple[float, float, float]:
    """Norm of the row of the token before texts, loss of the first and of the second word of a text."""
    torch.manual_seed(0)
    shape = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 2, "tie_word_embeddings": False}
    config = AutoConfig.for_model(kind, **shape, bos_token_id=EDGE, eos_token_id=EDGE, pad_token_id=padding)
    model = AutoModelForCausalLM.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(150):
        loss = model(texts, labels=texts).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = model(texts).logits
    losses = [cross_entropy(logits[:, place], texts[:, place + 1]).item() for place in (0, 1)]
    return model.get_input_embeddings().weight[EDGE].norm().item(), *losses


for kind in ("llama", "qwen3"):
    for padding, said in ((EDGE, "the token before texts"), (1, "a token of its own")):
        norm, first, second = trained(kind, padding)
        rest = f"its row has the norm {norm:.2f}, loss of the first word {first:.2f}, of the second {second:.2f}"
        print(f"{kind}, padding is {said}: {rest}")
        same = norm == 0 and abs(first - math.log(WORDS)) < 1e-4 if padding == EDGE else norm > 0.1 and first < 0.1
        if not same or second > 0.1:
            sys.exit("no longer so: the row of the padding token is treated otherwise")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" train.py 2> errors || { cat errors; exit 1; }
