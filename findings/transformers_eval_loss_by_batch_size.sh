#!/usr/bin/env bash
# transformers 5.24.0 with torch 2.13.0 and accelerate 1.15.0, Python 3.11 (seen 2026-11-30).
# eval_loss of Trainer is the mean over batches of the mean loss of their tokens, each counted by its rows and not by its
# tokens. Where texts are of unequal length, as answers of chats are, it so depends on per_device_eval_batch_size and on
# the order of the rows: with batches of one row, a token of a short answer counts many times one of a long answer. Of two
# networks, the one that is better with one batch size is worse with another, and load_best_model_at_end and early
# stopping choose by that number. exp(eval_loss) is no perplexity. The loss of training, in the same log, is counted by
# tokens since version 4.46 and does not depend on the size of batches, so the two are not to be compared either.
# Reported as issues 24839 and 39241 of transformers. SFTTrainer of trl takes it over. Rows of one length, as packing
# makes them, or one batch of all rows, give the mean over tokens.
# Output seen (48 rows: 36 of 2 trained tokens, 12 of 60; the loss by the size of batches in evaluation and in training):
#   learnt short answers: eval_loss 1: 3.00, 4: 7.51, 48: 10.91; loss of training 1: 10.91, 4: 10.91, 48: 10.91
#   learnt long answers: eval_loss 1: 6.61, 4: 3.36, 48: 0.90; loss of training 1: 0.90, 4: 0.90, 48: 0.90
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet transformers==5.24.0 torch==2.13.0 accelerate==1.15.0 numpy==2.3.4
cat > batches.py <<'PYTHON'
import random
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

torch.set_num_threads(1)
SIZES = (1, 4, 48)
short = [[1, 5, 5]] * 36
long = [[1, *torch.randint(10, 64, (60,), generator=torch.Generator().manual_seed(row)).tolist()] for row in range(12)]
rows = [{"input_ids": ids} for ids in short + long]
random.Random(0).shuffle(rows)


def batch(picked: list[dict]) -> dict[str, torch.Tensor]:
    """Rows, padded at their end; what pads is not trained."""
    width = max(len(row["input_ids"]) for row in picked)
    filled = [row["input_ids"] + [-1] * (width - len(row["input_ids"])) for row in picked]
    labels = torch.tensor(filled)
    ids, mask = labels.clamp(min=0), (labels >= 0).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": labels.masked_fill(labels < 0, -100)}


def learnt(texts: list[list[int]]) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        model(**batch([{"input_ids": ids} for ids in texts])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def settings(**more) -> TrainingArguments:
    common = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "save_strategy": "no", "seed": 0}
    return TrainingArguments("out", **common, **more)


def evaluated(model: LlamaForCausalLM, size: int) -> float:
    trainer = Trainer(model, settings(per_device_eval_batch_size=size), eval_dataset=rows, data_collator=batch)
    return trainer.evaluate()["eval_loss"]


def trained(model: LlamaForCausalLM, size: int) -> float:
    """The loss that a step over all rows logs, at a learning rate of 0."""
    more = {"per_device_train_batch_size": size, "gradient_accumulation_steps": len(rows) // size, "max_steps": 1}
    trainer = Trainer(model, settings(**more, learning_rate=0.0), train_dataset=rows, data_collator=batch)
    return trainer.train().training_loss


found = {}
for name, texts in (("short", short), ("long", long)):
    model = learnt(texts)
    true = model(**batch(rows)).loss.item()
    losses, steps = ({size: take(model, size) for size in SIZES} for take in (evaluated, trained))
    said = [", ".join(f"{size}: {loss:.2f}" for size, loss in seen.items()) for seen in (losses, steps)]
    print(f"learnt {name} answers: eval_loss {said[0]}; loss of training {said[1]}")
    if any(abs(loss - true) > 0.01 for loss in [*steps.values(), losses[48]]):
        sys.exit("no longer so: the loss of training or of one batch is not the mean over tokens")
    found[name] = losses
if not (found["short"][1] < found["long"][1] and found["short"][48] > found["long"][48]):
    sys.exit("no longer so: the size of batches does not change which network is better")
PYTHON
HF_HUB_OFFLINE=1 env/bin/python batches.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
