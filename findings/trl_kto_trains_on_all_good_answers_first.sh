#!/usr/bin/env bash
# trl 1.16.0 with transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# KTOTrainer takes pairs, too, and makes single answers of them: of each 1,000 pairs first all chosen, then all rejected
# ones. It trains in the order of the data, since each batch estimates the KL divergence by its own answers, and
# shuffles neither before nor between epochs. So with up to 1,000 pairs the first half of an epoch has good answers
# only, the second half bad ones, and with more it goes on by turns of 1,000. A batch of good answers has nothing to
# compare with: its loss stays at 0.5. The bad ones can be made unlikely by making everything unlikely. The run ends
# with a loss that is far better than that of the right order, and a network that has unlearned its good answers;
# rewards/margins, which would show it, is never logged, as no batch has both. The guide says that pairs are taken apart
# and that sampling is sequential, not what follows from both. Call unpair_preference_dataset(pairs).shuffle(seed=0) and
# hand over its result. Data with a label of each answer are not shuffled either: a file of all good ones and then all
# bad ones has the same fate.
# Output seen (800 pairs, one epoch; log ratios of the trained network to the one it began with, over 100 pairs):
#   pairs: 0 of 200 batches have both kinds, loss 0.500 at first and 0.025 at last, margins are not logged; log ratio of
#     chosen -39.0, of rejected -38.3; 6 % of the chosen are likelier
#   unpaired and shuffled: 200 of 200 batches have both kinds, loss 0.468 at first and 0.252 at last, margins are logged;
#     log ratio of chosen 9.3, of rejected -15.4; 100 % of the chosen are likelier
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 transformers==5.24.0 torch==2.13.0 datasets==5.2.0 accelerate==1.15.0 numpy==2.3.4
cat > kto.py <<'PYTHON'
import random
import sys

import torch
from datasets import Dataset, disable_progress_bars
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import KTOConfig, KTOTrainer, unpair_preference_dataset

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", *"abcdefgh", "good", "bad", *(f"q{number}" for number in range(40))]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
drawn = random.Random(0)
records = []
for _ in range(800):
    question, body = f"q{drawn.randrange(40)} ", "".join(f"{drawn.choice('abcdefgh')} " for _ in range(4))
    records.append({"prompt": question, "chosen": f"{body}good ", "rejected": f"{body}bad "})
pairs = Dataset.from_list(records)
shape = {"vocab_size": len(words), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
config = LlamaConfig(**shape, num_attention_heads=2, bos_token_id=None, eos_token_id=0, pad_token_id=1)
settings = KTOConfig(
    "out", per_device_train_batch_size=8, num_train_epochs=1, learning_rate=5e-4, lr_scheduler_type="constant",
    logging_steps=20, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True, bf16=False,
)  # fmt: skip


def log_likelihood(model: LlamaForCausalLM, text: str) -> float:
    tokens = torch.tensor([[*tokenizer(text)["input_ids"], tokenizer.eos_token_id]])
    with torch.no_grad():
        logs = model(tokens).logits.log_softmax(-1)[0, :-1]
    return logs.gather(1, tokens[0, 1:, None]).sum().item()


def show(name: str, data: Dataset) -> tuple[float, float, float]:
    """The log ratios of chosen and rejected answers, and how often that of the chosen is larger."""
    torch.manual_seed(0)
    model, reference = LlamaForCausalLM(config), LlamaForCausalLM(config)
    reference.load_state_dict(model.state_dict())
    trainer = KTOTrainer(model, reference, args=settings, train_dataset=data, processing_class=tokenizer)
    labels = trainer.train_dataset["label"]
    both = sum(0 < sum(labels[start : start + 8]) < 8 for start in range(0, len(labels), 8))
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    first, last = float(logs[0]["loss"]), float(logs[-1]["loss"])
    logged = "are logged" if any("rewards/margins" in entry for entry in logs) else "are not logged"
    model.eval()
    ratios = {
        kind: [
            log_likelihood(model, record["prompt"] + record[kind])
            - log_likelihood(reference, record["prompt"] + record[kind])
            for record in records[:100]
        ]
        for kind in ("chosen", "rejected")
    }
    chosen, rejected = (sum(ratios[kind]) / 100 for kind in ("chosen", "rejected"))
    likelier = sum(better > worse for better, worse in zip(ratios["chosen"], ratios["rejected"]))
    loss = f"loss {first:.3f} at first and {last:.3f} at last, margins {logged}"
    print(f"{name}: {both} of {len(labels) // 8} batches have both kinds, {loss};")
    print(f"  log ratio of chosen {chosen:.1f}, of rejected {rejected:.1f}; {likelier} % of the chosen are likelier")
    return both, last, chosen


in_blocks = show("pairs", pairs)
mixed = show("unpaired and shuffled", unpair_preference_dataset(pairs).shuffle(seed=0))
if in_blocks[0] != 0 or in_blocks[2] > -5 or in_blocks[1] > mixed[1]:
    sys.exit("no longer so: pairs are trained on in another order")
if mixed[0] < 150 or mixed[2] < 1:
    sys.exit("no longer so: shuffled answers are not learned")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python kto.py > seen 2> errors || { cat seen errors; exit 1; }
grep -v "^{" seen
