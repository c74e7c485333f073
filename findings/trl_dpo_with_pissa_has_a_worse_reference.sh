#!/usr/bin/env bash
# trl 1.16.0 with peft 0.21.2, transformers 5.24.0, torch 2.13.0, Python 3.11 (seen 2026-11-30).
# With an adapter, DPOTrainer needs no second network: it switches the adapter off, and takes what is left for the
# reference, which is to be the network before training. PiSSA and OLoRA put the most important part of each weight into
# the adapter and take it off the base (issue 2184 of peft), so what is left, with the adapter off, is a network that
# nobody had. The answers are compared with its, not with those of the network that training starts from: the first loss
# is not ln 2, rewards are not zero, each answer is rewarded for what the base knew already, and the penalty draws
# towards the worse network. precompute_ref_log_probs=True takes the same one. No message says so; trained as usual,
# without a reference, both are right. GRPOTrainer, RLOOTrainer and KTOTrainer have no other reference for an adapter
# either. A ref_model of one's own mends it, at the memory that the adapter was to save; plain LoRA needs none.
# Output seen (the loss of a network on good and bad answers that it knows alike; then the first step of DPO):
#   the base: 0.80
#   plain LoRA: with the adapter 0.80, without 0.80; first loss 0.693, rewards 0.00 and 0.00
#   pissa: with the adapter 0.80, without 1.24; first loss 0.626, rewards 0.17 and 0.03
#   olora: with the adapter 0.80, without 1.39; first loss 0.630, rewards 0.22 and 0.09
#   pissa, ref_model: with the adapter 0.80, without 1.24; first loss 0.693, rewards -0.00 and -0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet trl==1.16.0 peft==0.21.2 \
    transformers==5.24.0 datasets==5.2.0 accelerate==1.15.0 torch==2.13.0 numpy==2.3.4
cat > adapters.py <<'PYTHON'
import copy
import math
import sys

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

torch.set_num_threads(1)
disable_progress_bars()
words = ["<|endoftext|>", "<|pad|>", "question", *"abcdefghijkl"]
backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "<|endoftext|>"))
backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|pad|>")
pairs = [{"prompt": "question", "chosen": f" {x} b c d", "rejected": f" {x} e f g"} for x in "abcdefghijkl"]
answers = [pair["prompt"] + pair[side] for pair in pairs for side in ("chosen", "rejected")]
rows = torch.tensor(tokenizer(answers).input_ids)
shape = {"vocab_size": len(words), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
torch.manual_seed(0)
base = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=4, bos_token_id=None, eos_token_id=0))
optimizer = torch.optim.AdamW(base.parameters(), lr=3e-3)
for _ in range(100):  # it knows good and bad answers alike
    optimizer.zero_grad()
    base(input_ids=rows, labels=rows).loss.backward()
    optimizer.step()
base.eval()


@torch.no_grad()
def loss_of(model: torch.nn.Module) -> float:
    return model(input_ids=rows, labels=rows).loss.item()


def first_step(kind: bool | str, own_reference: bool = False) -> tuple[float, float]:
    settings = DPOConfig(
        "out", per_device_train_batch_size=len(pairs), max_steps=1, logging_steps=1, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=True, bf16=False,
    )  # fmt: skip
    adapter = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", init_lora_weights=kind)
    trainer = DPOTrainer(
        copy.deepcopy(base), copy.deepcopy(base) if own_reference else None, args=settings, peft_config=adapter,
        train_dataset=Dataset.from_list(pairs), processing_class=tokenizer,
    )  # fmt: skip
    start = loss_of(trainer.model)
    with trainer.model.disable_adapter():
        without = loss_of(trainer.model)
    trainer.train()
    entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
    loss, chosen, rejected = (float(entry[key]) for key in ("loss", "rewards/chosen", "rewards/rejected"))
    name = f"{kind}, ref_model" if own_reference else "plain LoRA" if kind is True else kind
    begins = f"first loss {loss:.3f}, rewards {chosen:.2f} and {rejected:.2f}"
    print(f"{name}: with the adapter {start:.2f}, without {without:.2f}; {begins}")
    if abs(start - loss_of(base)) > 1e-3:
        sys.exit("no longer so: the adapter changes the network before it is trained")
    return without - start, loss


print(f"the base: {loss_of(base):.2f}")
plain, pissa, olora = first_step(True), first_step("pissa"), first_step("olora")
helped = first_step("pissa", own_reference=True)
if abs(plain[0]) > 1e-3 or any(abs(loss - math.log(2)) > 1e-3 for loss in (plain[1], helped[1])):
    sys.exit("no longer so: the reference is another network with plain LoRA, or with a ref_model")
if any(worse < 0.2 or abs(loss - math.log(2)) < 0.02 for worse, loss in (pissa, olora)):
    sys.exit("no longer so: the reference is the base")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 env/bin/python adapters.py 2> errors | grep -v "^{" || { cat errors; exit 1; }
