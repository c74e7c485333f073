"""How long GRPO takes to learn from answers: with the prompt once for all answers to it, and with one for each."""

import random
import statistics
import time
from contextlib import nullcontext
from types import SimpleNamespace

import torch

from model.device import choose_device
from model.files.loading import load_model
from training.stages.answer_rows import action_log_probabilities, answer_batches
from training.stages.rollouts import sample_answers

PROMPTS, GROUP, NEW_TOKENS, ROW_TOKENS = 16, 8, 64, 8192


def compare_layouts(args, prompts: list[list[int]], renderer) -> None:
    """Prints seconds and tokens of a pass, forward and backward, over 8 answers to each of 16 prompts.

    prompts: their ids; `args` as in `scripts.benchmark.rollouts.compare`. Both layouts take turns.
    """
    model, choice = load_model(args.weight_path).model.train(), choose_device("cpu", "auto")
    machine = SimpleNamespace(inference=torch.no_grad, poll=lambda: False)
    every = [prompt for prompt in prompts[:PROMPTS] for _ in range(GROUP)]
    generator = torch.Generator().manual_seed(0)
    answers = sample_answers(
        model, every, renderer, machine, max_new_tokens=NEW_TOKENS, temperature=1.0, generator=generator
    )
    length = -(-max(len(answer.ids) for answer in answers) // 64) * 64
    seconds: dict[bool, list[float]] = {False: [], True: []}
    tokens = {}
    for number in range(2 * (args.rounds + 1)):
        share, started = bool(number % 2), time.perf_counter()
        tokens[share] = _learn(model, answers, length, choice, share)
        if number > 1:  # the first of each compiles its kernels
            seconds[share].append(time.perf_counter() - started)
    alone, shared = (statistics.median(seconds[share]) for share in (False, True))
    read = statistics.mean(map(len, every))
    print(
        f"learning from {len(answers)} answers of {statistics.mean(len(a.ids) for a in answers) - read:.0f} tokens",
        end="",
    )
    print(f" to prompts of {read:.0f}: {alone:.2f} s, {tokens[False]:,} tokens;", end="")
    print(f" with the prompt shared {shared:.2f} s, {tokens[True]:,} tokens ({alone / shared:.2f}x)")


def _learn(model, answers, length: int, choice, share: bool) -> int:
    """A pass over the answers, forward and backward; returns how many tokens it took."""
    model.zero_grad()
    tokens, cast = 0, torch.autocast("cpu", choice.dtype) if choice.dtype != torch.float32 else nullcontext()
    numbers = random.Random(0).sample(range(len(answers)), len(answers))
    for batch in answer_batches(
        answers, numbers, length, max(1, ROW_TOKENS // length), model.config.pad_token_id, share
    ):
        with cast:
            log_p, _ = action_log_probabilities(model, batch, 1.0)
        log_p.sum().backward()
        tokens += batch.tokens.numel()
    return tokens


if __name__ == "__main__":
    print(__doc__)
