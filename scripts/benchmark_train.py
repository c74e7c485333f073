"""Speed of pretraining: trained tokens per second of `train_pretrain.py` and of a plain baseline.

The baseline is what a straightforward script does (and MiniMind did, 2025): transformers' Llama of the same
shape in float32, eager, AdamW one tensor after another, every document cut and padded to the row length. Only
tokens that are trained count, padding does not. Each side runs in a process of its own, in turns, so that a
machine that slows down slows both.
"""

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW_LENGTH, WARM_UP_STEPS = 512, 3


def compare(args) -> None:
    """Prints a line a round and the ratio of medians; with --profile, where our time goes."""
    if args.profile:
        profile(args)
        return
    ours, baselines = [], []
    for round_number in range(1, args.rounds + 1):
        baseline = _in_another_process(args)
        own = run_train_pretrain(args)
        baselines.append(baseline)
        ours.append(own)
        print(
            f"round {round_number}: baseline {baseline:,.0f}, ours {own:,.0f} trained tokens/s,"
            f" ratio {own / baseline:.2f}",
            flush=True,
        )
    ratio = statistics.median(own / baseline for own, baseline in zip(ours, baselines))
    result = {
        "baseline": round(statistics.median(baselines)),
        "ours": round(statistics.median(ours)),
        "ratio": round(ratio, 2),
        "rounds": args.rounds,
    }
    print(json.dumps(result))


def run_train_pretrain(args) -> float:
    """Trained tokens per second of the real script, compiled, without its first steps."""
    out = Path(args.out_dir) / "train"
    for part in ("logs", "earlier"):
        shutil.rmtree(out / part, ignore_errors=True)
    steps = args.steps + WARM_UP_STEPS
    command = [sys.executable, "train_pretrain.py", "--data_path", *map(str, _absolute(args.data_path))]
    command += ["--batch_size", str(args.batch_size), "--accumulation_steps", "1", "--max_steps", str(steps)]
    command += ["--max_seq_len", str(ROW_LENGTH), "--compile", "on", "--eval_interval", "0", "--sample_interval", "0"]
    command += ["--out_dir", str(out.absolute()), "--save_interval", "1000000"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}{result.stderr}")
    (metrics,) = (out / "logs").glob("*/metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    seconds = sum(line["time"]["seconds"] for line in lines[WARM_UP_STEPS:])
    return (lines[-1]["tokens"] - lines[WARM_UP_STEPS - 1]["tokens"]) / seconds


def _absolute(paths) -> list[Path]:
    return [Path(path).absolute() for path in paths]


def _in_another_process(args) -> float:
    code = (
        "import sys; from scripts.benchmark_train import baseline;"
        "print(baseline(sys.argv[3:], int(sys.argv[1]), int(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(args.batch_size), str(args.steps)]
    command += map(str, _absolute(args.data_path))
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"the baseline failed:\n{result.stderr}")
    return float(result.stdout.split()[-1])


def baseline(paths: list[str], batch_size: int, steps: int) -> float:
    """Trained tokens per second of transformers' Llama in float32, eager, on padded rows of cut documents."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from model.config import PRESETS
    from model.tokenizer import Tokenizer

    tokenizer, shape = Tokenizer.load(), PRESETS["26m"]
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, foreach=False, fused=False)
    rows = _padded_rows(paths, tokenizer, batch_size * (steps + WARM_UP_STEPS))
    trained = seconds = 0.0
    for i in range(0, len(rows), batch_size):
        started = time.perf_counter()
        tokens, lengths = zip(*rows[i : i + batch_size])
        tokens = torch.tensor(tokens)
        labels = tokens.masked_fill(torch.arange(ROW_LENGTH) >= torch.tensor(lengths)[:, None], -100)
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if i >= batch_size * WARM_UP_STEPS:
            trained += sum(length - 1 for length in lengths)
            seconds += time.perf_counter() - started
    return trained / seconds


def _padded_rows(paths, tokenizer, count: int) -> list[tuple[list[int], int]]:
    """`count` documents, one of each file in turn, cut and padded: (ids of length 512, real length)."""
    chosen = []
    per_file = -(-count // len(paths))
    for path in paths:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        chosen.append(lines[:: max(1, len(lines) // per_file)][:per_file])
    texts = [json.loads(line)["text"] for lines in zip(*chosen) for line in lines]
    rows = []
    for ids in tokenizer.encode_batch(texts[:count]):
        ids = [tokenizer.bos_id, *ids, tokenizer.eos_id][:ROW_LENGTH]
        rows.append((ids + [tokenizer.pad_id] * (ROW_LENGTH - len(ids)), len(ids)))
    return rows


# What an operator of the profile is, by the beginning of its name.
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "mkldnn::", "onednn::", "aten::linear", "aten::mkl"),
    "attention": ("aten::bmm", "aten::_softmax", "aten::_scaled_dot_product", "BlockAttention"),
    "loss": ("aten::_log_softmax", "_LinearCrossEntropy", "aten::exp_", "aten::scatter_add_"),
}


def profile(args) -> None:
    """Prints the seconds of each phase of our training step, and what forward and backward consist of."""
    from torch.profiler import ProfilerActivity, profile

    from dataset.cache import build_or_open
    from dataset.rows import TextRows
    from model.config import PRESETS
    from model.tokenizer import Tokenizer
    from model.transformer import Transformer
    from training.device import choose_device, reuse_freed_memory
    from training.losses import next_token_loss
    from training.optimizers import build_optimizers
    from training.update import Updater

    tokenizer, device = Tokenizer.load(), choose_device("auto", "auto")
    reuse_freed_memory()  # as every run on a CPU does
    cache_dir = Path(args.out_dir) / "train" / "cache"
    caches = [build_or_open(path, tokenizer, cache_dir=cache_dir) for path in args.data_path]
    rows = TextRows([(cache, None) for cache in caches], ROW_LENGTH, seed=0)
    model = Transformer(PRESETS["26m"].replace(vocab_size=tokenizer.vocab_size)).to(device.device)
    for layer in model.model.layers:
        layer.compile()
    updater = Updater(build_optimizers(model, "muon", 0.02, 0.1), args.batch_size * ROW_LENGTH, 1.0, fp16=False)
    seconds = {"forward": 0.0, "backward": 0.0, "update": 0.0}

    def forward_and_backward(index: int) -> None:
        batch = device.move(rows.batch(0, range(index * args.batch_size, (index + 1) * args.batch_size)))
        started = time.perf_counter()
        with device.autocast():
            loss = next_token_loss(model.features(batch.tokens), model.lm_head.weight, batch.targets)
        between = time.perf_counter()
        updater.backward(loss, batch.trained)
        seconds["forward"] += between - started
        seconds["backward"] += time.perf_counter() - between

    for index in range(WARM_UP_STEPS + args.steps):
        if index == WARM_UP_STEPS:
            seconds = dict.fromkeys(seconds, 0.0)
        forward_and_backward(index)
        started = time.perf_counter()
        updater.update(1.0)
        seconds["update"] += time.perf_counter() - started
    for phase, total in seconds.items():
        print(f"{phase:16} {total / args.steps:6.2f} s a step {total / sum(seconds.values()):7.1%}")

    with contextlib.redirect_stderr(None), profile(activities=[ProfilerActivity.CPU]) as seen:
        for index in range(3):
            forward_and_backward(index)
    updater.discard()
    events = seen.key_averages()
    total = left = sum(event.self_cpu_time_total for event in events)
    print("\nof forward and backward")
    for kind, names in KINDS.items():
        share = sum(event.self_cpu_time_total for event in events if event.key.startswith(names))
        left -= share
        print(f"{kind:16} {share / total:6.1%}")
    print(f"{'element-wise':16} {left / total:6.1%}")
    print(events.table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60))
