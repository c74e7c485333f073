"""Answers sampled in a second, for reinforcement learning: ours against MiniMind's way, with the same weights.

Both write --group answers to each prompt at temperature 1, without top-k or top-p. Ours is one ragged batch through the
decoding engine, which answers leave when they end. MiniMind's `generate`, in a checkout of it, takes one batch of
prompts padded on the left, and goes on until the last answer has ended, in float32 on a CPU. Ours is measured in
float32, and in what the stages choose. Every side has a process of its own, and they take turns. This file runs in
MiniMind's folder as it stands, so it loads nothing of ours before it has to. At last, what learning from answers takes
(`scripts/benchmark/shared_prompts.py`).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS, STAGES, PEER = "ours", "ours, stages", "minimind"
PROMPTS, GROUP, NEW_TOKENS = 64, 8, 64


def compare(args) -> None:
    """Prints what each side reaches (the median of the rounds), and the ratio.

    args: `weight_path` of a network that MiniMind can load, `data_path` of prompts, `minimind`, `out_dir`, `rounds`.
    """
    from scripts.benchmark.shared_prompts import compare_layouts

    case, renderer = prepare(args)
    sides = {OURS: ROOT, STAGES: ROOT} | ({PEER: Path(args.minimind).resolve()} if args.minimind else {})
    found: dict[str, list] = {side: [] for side in sides}
    for _ in range(args.rounds):
        for side, folder in sides.items():
            found[side].append(run(side, folder, case))
    for side, runs in found.items():
        rates = sorted(each["answers_per_second"] for each in runs)
        tokens = statistics.median(each["tokens"] for each in runs)
        reached = f"{statistics.median(rates):8.1f} answers/s ({rates[0]:.1f} to {rates[-1]:.1f})"
        print(f"{side:14} {reached}, {tokens:,} tokens in all")
    if args.minimind:
        rates = {side: statistics.median(each["answers_per_second"] for each in runs) for side, runs in found.items()}
        print(f"ours is {rates[OURS] / rates[PEER]:.2f}x, as the stages sample {rates[STAGES] / rates[PEER]:.2f}x")
    compare_layouts(args, case["prompts"], renderer)


def prepare(args) -> tuple[dict, object]:
    """What both sides need, the weights, in a file of each, and the ids of the prompts; and the chat renderer."""
    from dataset.records.measured import all_documents
    from dataset.records.prompts import PROMPT_OR_CHAT
    from dataset.rendering import ChatRenderer
    from model.files.loading import load_model
    from model.files.minimind import write_bare

    loaded = load_model(args.weight_path)
    renderer, prompts = ChatRenderer(loaded.tokenizer), []
    for document in all_documents(args.data_path[0], PROMPT_OR_CHAT, "reading"):
        chat = document.content.conversation
        prompts.append(renderer.prompt(chat.messages, chat.tools))
        if len(prompts) == PROMPTS:
            break
    out = Path(args.out_dir).resolve()
    shutil.rmtree(out / "rollouts_minimind", ignore_errors=True)  # of an earlier run
    files, _ = write_bare(out / "rollouts_minimind", loaded.model, loaded.tokenizer, "policy", loaded.stored_dtype)
    names = """hidden_size num_hidden_layers num_attention_heads num_key_value_heads head_dim intermediate_size
        vocab_size rope_theta rms_norm_eps"""
    case = {
        "weight": str(Path(args.weight_path).resolve()),
        "bare": str(next(path for path in map(Path, files) if path.suffix == ".pth").resolve()),
        "config": {name: getattr(loaded.model.config, name) for name in names.split()},
        "prompts": prompts,
        "end": renderer.end_id,
        "pad": loaded.tokenizer.pad_id,
    }
    path = out / "rollouts.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return case | {"path": str(path)}, renderer


def run(side: str, folder: Path, case: dict) -> dict:
    command = [sys.executable, "-P", str(Path(__file__).resolve()), side, case["path"]]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def measure(side: str, path: str) -> None:
    """In the process of a side: a small batch to warm up, then all of them; prints what came out as JSON."""
    import torch

    case = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.manual_seed(0)
    write = {OURS: _ours, STAGES: _as_the_stages, PEER: _theirs}[side](case)
    write(case["prompts"][:2])
    started = time.perf_counter()
    answers = write(case["prompts"])
    seconds = time.perf_counter() - started
    print(json.dumps({"answers_per_second": len(answers) / seconds, "tokens": sum(map(len, answers))}))


def _ours(case: dict):
    from model.files.loading import load_model
    from model.generation import generate_batch

    network = load_model(case["weight"]).model

    def write(prompts: list[list[int]]) -> list[list[int]]:
        every = [prompt for prompt in prompts for _ in range(GROUP)]
        return generate_batch(network, every, max_new_tokens=NEW_TOKENS, eos_ids={case["end"]})

    return write


def _as_the_stages(case: dict):
    import torch

    from model.device import choose_device

    write, dtype = _ours(case), choose_device("cpu", "auto").dtype

    def write_so(prompts: list[list[int]]) -> list[list[int]]:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return write(prompts)

    return write_so


def _theirs(case: dict):
    import torch
    from model.model_minimind import MiniMindConfig, MiniMindForCausalLM

    network = MiniMindForCausalLM(MiniMindConfig(use_moe=False, **case["config"]))
    network.load_state_dict({name: tensor.float() for name, tensor in torch.load(case["bare"]).items()}, strict=False)
    network.eval()
    end, pad = case["end"], case["pad"]

    def write(prompts: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, prompts))
        tokens = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = (tokens != pad).long()
        with torch.no_grad():
            written = network.generate(
                input_ids=tokens.repeat_interleave(GROUP, 0),
                attention_mask=mask.repeat_interleave(GROUP, 0),
                max_new_tokens=NEW_TOKENS,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                eos_token_id=end,
                pad_token_id=pad,
            )
        answers = written[:, longest:].tolist()
        return [answer[: answer.index(end) + 1] if end in answer else answer for answer in answers]

    return write


if __name__ == "__main__":
    measure(*sys.argv[1:]) if len(sys.argv) == 3 else print(__doc__)
