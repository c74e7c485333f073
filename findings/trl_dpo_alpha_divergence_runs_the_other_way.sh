#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0 and torch 2.13.0, Python 3.11 (seen 2026-12-01).
# f-DPO (arXiv:2309.16240) puts (1 - u^-alpha) / alpha in place of log u, where u is the ratio of the policy to the
# reference: at an alpha near 0 that is plain DPO with its reverse KL; at 1 it is the forward KL, by which an answer
# that becomes rarer counts exponentially and one that becomes more frequent hardly. DPOConfig still describes
# f_alpha_divergence_coef by u^-alpha, and up to version 0.28 it was so. Since 0.29 the trainer computes
# (u^(alpha - 1) - 1) / (alpha - 1), which is the paper's loss at 1 - alpha; only at 0.5, the new default, the two are
# the same. Whoever sets 0.1 by the paper or an old script, to stay close to DPO, trains almost with the forward KL,
# and 1.0, the default of old, is now plain DPO. Nothing is printed, and the rewards in the log are those of plain DPO
# at any alpha. Set 1 - alpha.
# Output seen (the loss of one pair at beta 1: trl's, the paper's, the paper's at 1 - alpha):
#   log-ratios -1.346 and -0.349; plain DPO 1.3113
#   alpha 0.0: 2.5106, 1.3113, 2.5106
#   alpha 0.1: 2.3154, 1.3768, 2.3154
#   alpha 0.3: 1.9893, 1.5339, 1.9893
#   alpha 0.5: 1.7339, 1.7339, 1.7339
#   alpha 0.7: 1.5339, 1.9893, 1.5339
#   alpha 0.9: 1.3768, 2.3154, 1.3768
#   alpha 1.0: 1.3113, 2.5106, 1.3113
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 \
    transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > alpha.py <<'PYTHON'
import math
import sys

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefgh"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
data = Dataset.from_list([{"prompt": "question", "chosen": " a b c", "rejected": " e f"}])


def network(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    more = {"num_attention_heads": 2, "initializer_range": 0.1, "bos_token_id": None, "eos_token_id": 0}
    return LlamaForCausalLM(LlamaConfig(**shape, **more))


def evaluated(**more: str | float) -> dict[str, float]:
    settings = DPOConfig("out", beta=1.0, report_to=[], disable_tqdm=True, use_cpu=True, bf16=False, **more)
    policy, reference = network(3), network(2)
    trainer = DPOTrainer(
        policy, reference, args=settings, train_dataset=data, eval_dataset=data, processing_class=tokenizer
    )
    return trainer.evaluate()


def paper(alpha: float, chosen: float, rejected: float) -> float:
    """-log sigmoid(f'(u of chosen) - f'(u of rejected)), given the logarithms of u."""
    scores = [(1 - math.exp(-alpha * ratio)) / alpha if alpha else ratio for ratio in (chosen, rejected)]
    return math.log1p(math.exp(scores[1] - scores[0]))


plain = evaluated()
ratios = plain["eval_rewards/chosen"], plain["eval_rewards/rejected"]
print("log-ratios {:.3f} and {:.3f}; plain DPO {:.4f}".format(*ratios, plain["eval_loss"]))
for alpha in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
    loss = evaluated(f_divergence_type="alpha_divergence", f_alpha_divergence_coef=alpha)["eval_loss"]
    there, other = paper(alpha, *ratios), paper(1 - alpha, *ratios)
    print(f"alpha {alpha}: {loss:.4f}, {there:.4f}, {other:.4f}")
    if abs(loss - other) > 1e-4:
        sys.exit("no longer so: trl's loss is not that of 1 - alpha")
    if alpha != 0.5 and abs(loss - there) < 1e-3:
        sys.exit("no longer so: trl's loss is the paper's")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python alpha.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
