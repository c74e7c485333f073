"""The bytes that the stages take with compact optimizers, measured and as the plan says.

Each takes two real steps of a network of --preset on the CPU, with activation checkpointing, from rows of random tokens
such as the stage has; what counts is the peak of the storages of all tensors in the second (`tensors.py`). With
--preset 1b the process needs 12 GB, and some minutes for each stage on one core.
"""

from dataclasses import dataclass

import numpy as np
import torch

from dataset.rows.packed import RecordBatch
from dataset.rows.rows import Batch
from model.config import PRESETS
from model.likelihood import IGNORE
from model.lora import Lora, add_lora
from model.transformer import Transformer
from scripts.benchmark.program import run_program
from scripts.benchmark.scale.steps import bytes_of_steps
from training.engine.memory import Footprint
from training.losses.next_token import next_token_loss, next_token_loss_and_measures
from training.losses.preference import LOSSES, Settings
from training.stages.preferences import compare as compare_pairs

LENGTH, CONVERSATIONS = 1024, 4  # tokens of a row; conversations in a row of them
LORA_RANK = 16


@dataclass(frozen=True)
class Case:
    stage: str
    optimizer: str
    micro_batches: int = 1
    lora: int = 0  # the rank of adapters


CASES = (
    Case("pretraining", "adamw"),
    Case("pretraining", "adamw", micro_batches=2),
    Case("pretraining", "muon"),
    Case("SFT", "muon"),
    Case("DPO", "adamw"),
    Case("DPO", "adamw", micro_batches=2),
    Case("LoRA", "adamw", lora=LORA_RANK),
)


def compare(args) -> None:
    """Prints a row of the table for each case."""
    config = PRESETS[args.preset]
    print(f"\n{args.preset}: GiB of all tensors in a step with --optimizer_memory compact\n")
    print("| stage | optimizer | micro-batches | measured | by the plan |\n|---|---|---|---|---|")
    for case in CASES:
        found, said = measured(config, case) / 2**30, planned(config, case) / 2**30
        name = f"{case.stage}, rank {case.lora}" if case.lora else case.stage
        print(f"| {name} | {case.optimizer} | {case.micro_batches} | {found:.2f} | {said:.2f} |", flush=True)


def measured(config, case: Case, length: int = LENGTH) -> int:
    """The peak of the bytes of all tensors in the second step."""
    loss_of, batch_of = LOSS_AND_BATCH[case.stage]
    batches = [batch_of(config.vocab_size, length, seed) for seed in range(case.micro_batches)]
    torch.manual_seed(0)
    return bytes_of_steps(lambda: Transformer(config), loss_of, batches, case.optimizer, True, True, case.lora)


def planned(config, case: Case, length: int = LENGTH) -> int:
    """What the plan says of it for a CPU, without the program itself."""
    learns, row = config.num_parameters(), length * (2 if case.stage == "DPO" else 1)
    if case.lora:
        with torch.device("meta"):
            model = Transformer(config, initialize_weights=False)
            add_lora(model, Lora(case.lora, 2.0 * case.lora))
        learns = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    settings = {"keeps_attention": True, "compact": True, "adapters": bool(case.lora)}
    return Footprint(config, row, case.optimizer, learns, 2, **settings).total(1, checkpointing=True)


def texts(vocabulary: int, length: int, seed: int) -> Batch:
    """A row of text."""
    ids = _random(vocabulary, length + 1, seed)
    return Batch(ids[:, :-1], ids[:, 1:], None, length)


def chats(vocabulary: int, length: int, seed: int) -> Batch:
    """A row of conversations that do not see each other, of which the second halves are trained."""
    ids, positions = _random(vocabulary, length + 1, seed), torch.arange(length)[None] % (length // CONVERSATIONS)
    trained = positions >= length // CONVERSATIONS // 2
    targets = torch.where(trained, ids[:, 1:], IGNORE)
    return Batch(ids[:, :-1], targets, positions, int(trained.sum()))


def pairs(vocabulary: int, length: int, seed: int) -> RecordBatch:
    """A row of one pair, whose conversations are as long as they may be, as if its reference were computed."""
    both = [chats(vocabulary, length, 2 * seed + side) for side in range(2)]
    positions = torch.arange(length)[None]
    targets = [torch.where(positions >= length // 2, each.targets, IGNORE) for each in both]
    return RecordBatch(
        tokens=torch.cat([each.tokens for each in both], dim=1),
        targets=torch.cat(targets, dim=1),
        positions=torch.cat([positions, positions], dim=1),
        trained=sum(int((each != IGNORE).sum()) for each in targets),
        sequences=torch.arange(2 * length)[None] // length,
        ends=torch.tensor([length - 1, 2 * length - 1]),
        labels=torch.zeros(1),
        reference=torch.full((2,), -100.0),
        numbers=np.zeros(1, np.int64),
        records=1,
    )


def _random(vocabulary: int, length: int, seed: int) -> torch.Tensor:
    return torch.randint(3, vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))


def loss_of_texts(model, batch: Batch):
    return next_token_loss(model.features(batch.tokens), model.lm_head.weight, batch.targets), batch.trained


def loss_of_chats(model, batch: Batch):
    features = model.features(batch.tokens, batch.positions)
    return next_token_loss_and_measures(features, model.lm_head.weight, batch.targets)[0], batch.trained


def loss_of_pairs(model, batch: RecordBatch):
    pair, _ = compare_pairs(model, batch)
    return LOSSES["sigmoid"](pair, Settings()).sum(), batch.records


LOSS_AND_BATCH = {
    "pretraining": (loss_of_texts, texts),
    "SFT": (loss_of_chats, chats),
    "DPO": (loss_of_pairs, pairs),
    "LoRA": (loss_of_chats, chats),
}


if __name__ == "__main__":
    run_program(__doc__)
