"""The time of a pretraining step: its phases, and the operators of forward and backward."""

import contextlib
import time
from pathlib import Path

from scripts.benchmark.program import run_program

ROW_LENGTH, WARM_UP_STEPS = 512, 3

# The kind of an operator in the profile, by the beginning of its name.
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "mkldnn::", "onednn::", "aten::linear", "aten::mkl"),
    "attention": ("aten::bmm", "aten::_softmax", "aten::_scaled_dot_product", "BlockAttention"),
    "loss": ("aten::_log_softmax", "_LinearCrossEntropy", "aten::exp_", "aten::scatter_add_"),
}


def profile(args) -> None:
    """Prints the seconds of each phase of our training step, and what forward and backward consist of."""
    from torch.profiler import ProfilerActivity, profile

    from dataset.cache.token_cache import build_or_open
    from dataset.rows.rows import Rows
    from dataset.rows.texts import TEXTS
    from model.config import PRESETS
    from model.device import choose_device, reuse_freed_memory
    from model.text.tokenizer import Tokenizer
    from model.transformer import Transformer
    from training.engine.optimizers import build_optimizers
    from training.engine.update import Updater
    from training.losses.next_token import next_token_loss

    tokenizer, device = Tokenizer.load(), choose_device("auto", "auto")
    reuse_freed_memory()  # as every run on a CPU does
    cache_dir = Path(args.out_dir) / "train" / "cache"
    caches = [build_or_open(path, tokenizer, TEXTS.cache, cache_dir=cache_dir) for path in args.data_path]
    rows = Rows(TEXTS, [(cache, None) for cache in caches], ROW_LENGTH, seed=0)
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
    print("\nforward and backward")
    for kind, names in KINDS.items():
        share = sum(event.self_cpu_time_total for event in events if event.key.startswith(names))
        left -= share
        print(f"{kind:16} {share / total:6.1%}")
    print(f"{'element-wise':16} {left / total:6.1%}")
    print(events.table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60))


if __name__ == "__main__":
    run_program(__doc__)
