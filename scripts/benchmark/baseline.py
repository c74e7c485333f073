"""The baseline of the speed benchmarks: a straightforward script, as MiniMind's was in 2025.

It trains transformers' Llama of our shape in float32, eager, with AdamW tensor by tensor; every document or
conversation is cut and padded to the row length. Only trained tokens count, not padding.

    python -m scripts.benchmark.baseline text 512 16 5 a.jsonl b.jsonl       # row length, rows a step, measured steps
"""

import json
import time
from pathlib import Path

from scripts.benchmark.program import run_program

WARM_UP_STEPS = 3  # not measured, on either side


def main(argv: list[str]) -> None:
    """Prints trained tokens per second."""
    kind, row_length, batch_size, steps, *paths = argv
    row_length, batch_size, steps = int(row_length), int(batch_size), int(steps)
    from model.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load()
    records = spread_over_files(paths, batch_size * (steps + WARM_UP_STEPS))
    rows = [(ids[:row_length], trained[:row_length]) for ids, trained in TOKENS[kind](records, tokenizer)]
    print(train(rows, row_length, batch_size, tokenizer))


def spread_over_files(paths: list[str], count: int) -> list[dict]:
    """`count` records, one of each file in turn, evenly spread over each."""
    per_file = -(-count // len(paths))
    chosen = []
    for path in paths:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        chosen.append(lines[:: max(1, len(lines) // per_file)][:per_file])
    return [json.loads(line) for lines in zip(*chosen) for line in lines][:count]


def document_tokens(records: list[dict], tokenizer) -> list[tuple[list[int], list[bool]]]:
    """(ids, whether each is trained) of texts: every token but the first, which nothing predicts."""
    documents = tokenizer.encode_batch([record["text"] for record in records])
    return [([tokenizer.bos_id, *ids, tokenizer.eos_id], [False] + [True] * (len(ids) + 1)) for ids in documents]


def chat_tokens(records: list[dict], tokenizer) -> list[tuple[list[int], list[bool]]]:
    """(ids, whether each is trained) of conversations: the answers."""
    from dataset.records.chat_formats import CHAT
    from dataset.records.documents import detect_format
    from dataset.rendering import ChatRenderer

    conversations = [detect_format(record, CHAT).read(record) for record in records]
    return [(each.ids.tolist(), each.trained.tolist()) for each in ChatRenderer(tokenizer).render(conversations)]


TOKENS = {"text": document_tokens, "chat": chat_tokens}


def train(rows: list[tuple[list[int], list[bool]]], row_length: int, batch_size: int, tokenizer) -> float:
    """Trained tokens per second over all rows, without the first steps."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from model.config import PRESETS

    shape = PRESETS["26m"]
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
    count = seconds = 0.0
    for i in range(0, len(rows), batch_size):
        started = time.perf_counter()
        tokens = torch.full((batch_size, row_length), tokenizer.pad_id)
        labels = torch.full((batch_size, row_length), -100)
        for row, (ids, trained) in enumerate(rows[i : i + batch_size]):
            tokens[row, : len(ids)] = torch.tensor(ids)
            labels[row, : len(ids)] = torch.where(torch.tensor(trained), torch.tensor(ids), -100)
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if i >= batch_size * WARM_UP_STEPS:
            count += (labels[:, 1:] != -100).sum().item()
            seconds += time.perf_counter() - started
    return count / seconds


if __name__ == "__main__":
    run_program(__doc__, lambda *words: main(list(words)))
