"""A folder that transformers saved goes through one stage after another, and comes back to transformers as it was."""

import json
import os

import pytest
import torch
from tokenizers import Tokenizer as Backend
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from dataset.rendering import ChatRenderer
from model.files.loading import load_model
from model.files.reading import read_checkpoint
from model.text.chat_template import template_of
from model.text.tokenizer import Tokenizer
from scripts import export_hf, merge_lora
from tests.stages.workshop import SHAPE, SIZE, Workshop

os.environ["HF_HUB_OFFLINE"] = "1"
TOKENS = torch.arange(3, 35).view(2, 16)
# Steps that change a network enough for a comparison to say something.
STEPS = ("--max_steps=3", "--warmup_steps=0", "--learning_rate=0.01", "--optimizer=adamw", "--eval_interval=0")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.fixture(params=[LlamaConfig, Qwen2Config, Qwen3Config], ids=lambda kind: kind.model_type)
def workshop(request, tmp_path) -> Workshop:
    """Data, and in `hf` a network and a tokenizer that transformers saved; its biases and norms are drawn too."""
    workshop = Workshop.create(tmp_path)
    backend = Backend.from_file(str(tmp_path / "tokenizer" / "tokenizer.json"))
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=TEMPLATE, **special)
    tokenizer.save_pretrained(tmp_path / "hf")
    tied = request.param is Qwen2Config
    shape = SHAPE | {"vocab_size": 288, "head_dim": 16, "max_position_embeddings": 64, "tie_word_embeddings": tied}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(request.param(**shape))
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            torch.nn.init.normal_(parameter, mean=float("norm" in name), std=0.2)
    model.save_pretrained(tmp_path / "hf")
    return workshop


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        result = model.eval()(TOKENS)
    return getattr(result, "logits", result)


def test_every_stage_trains_it_and_transformers_opens_the_result(workshop):
    folder, out = workshop.folder, workshop.folder / "out"
    seen = [logits(load_model(folder / "hf").model)]

    def train(stage: str, begins_with: str) -> None:
        Workshop(folder, stage).train("out", *STEPS, "--from_weight", folder / begins_with)

    def opened(name: str) -> torch.Tensor:
        """The logits of what a stage wrote, which are none that were seen before."""
        found = logits(load_model(out / f"{name}_{SIZE}.pth").model)
        assert all((found - before).abs().max() > 1e-3 for before in seen)
        seen.append(found)
        return found

    train("full_sft", "hf")
    opened("full_sft")
    assert load_model(out / f"full_sft_{SIZE}.pth").imported  # and learns at the rates of such a network from now on
    train("lora", f"out/full_sft_{SIZE}.pth")
    merge_lora.main(["--lora", "lora", "--out_dir", str(out), "--weight_name", "merged"])
    opened("merged")
    assert load_model(out / f"merged_{SIZE}.pth").imported
    train("dpo", f"out/merged_{SIZE}.pth")
    expected = opened("dpo")

    export_hf.main(["--weight_path", str(out / f"dpo_{SIZE}.pth"), "--save_dir", str(folder / "again")])
    before, after = (json.loads((folder / name / "config.json").read_text()) for name in ("hf", "again"))
    assert after["architectures"] == before["architectures"] and after["model_type"] == before["model_type"]
    again = AutoModelForCausalLM.from_pretrained(folder / "again")
    torch.testing.assert_close(logits(again), expected, rtol=0, atol=1e-5)
    theirs, ours = (AutoTokenizer.from_pretrained(folder / name) for name in ("hf", "again"))
    for text in ("The fox ran home.", "从前，新芽。\n<|im_end|> 42"):
        assert ours.encode(text) == theirs.encode(text)
    talk = [{"role": "user", "content": "abc"}, {"role": "assistant", "content": "cab"}]
    assert ours.apply_chat_template(talk, tokenize=False) == theirs.apply_chat_template(talk, tokenize=False)


@pytest.mark.parametrize("stage", ["full_sft", "dpo", "reward", "reason"])
def test_what_is_written_asks_as_it_was_trained(workshop, stage):
    """The folder has a chat template of its own, and no stage renders by it."""
    folder = workshop.folder
    (folder / "hf" / "chat_template.jinja").write_text("{{ 'Answer: ' }}")
    Workshop(folder, stage).train("out", "--max_steps=1", "--from_weight", folder / "hf")
    tokenizer = Tokenizer.from_files(read_checkpoint(folder / "out" / f"{stage}_{SIZE}.pth")["tokenizer"]["files"])
    assert template_of(tokenizer) == template_of(ChatRenderer(tokenizer).tokenizer)
