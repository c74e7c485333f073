"""A small training, whose passes are run in one way or another, to be compared."""

import contextlib

import torch

from dataset.rows.rows import Batch
from model.experts import ExpertsConfig
from model.likelihood import IGNORE
from model.lora import Lora, add_lora
from tests.support import random_network
from tests.training.support import SMALL
from training.engine import captured
from training.engine.balance import Balance
from training.engine.optimizers import build_optimizers
from training.engine.update import Measures, Updater, forward_backward
from training.losses.next_token import next_token_loss_and_measures

ROWS = 4
EXPERTS = {"vocab_size": SMALL.vocab_size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
EXPERTS |= {"intermediate_size": 48, "num_experts": 4}


def batch_of(rows: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    tokens, targets = torch.randint(0, SMALL.vocab_size, (2, rows, 12), generator=generator)
    targets[0, : seed % 12] = IGNORE
    return Batch(tokens, targets, torch.arange(12).repeat(rows, 1) % 5, int((targets != IGNORE).sum()))


class Line:
    """A training with two whole micro-batches a step, and half a one."""

    def __init__(self, run, dropout: float = 0.0, fp16: bool = False, config=SMALL):
        self.run, self.model, self.found = run, random_network(config), []
        if dropout:
            torch.manual_seed(0)
            add_lora(self.model, Lora(rank=4, alpha=8.0, dropout=dropout))
        self.model.train()
        self.updater = Updater(build_optimizers(self.model, "muon", 0.02, 0.1), 100, 1.0, fp16)
        if isinstance(config, ExpertsConfig):
            self.updater.balance = Balance(self.model)
        self.factor = torch.ones(())  # of the loss, to spoil it

        def loss_of(batch):
            features = self.model.features(batch.tokens, batch.positions)
            loss, *measures = next_token_loss_and_measures(features, self.model.lm_head.weight, batch.targets)
            return loss * self.factor, *measures

        self.loss_of = loss_of

    def step(self, number: int):
        torch.manual_seed(number)
        for place, rows in enumerate((ROWS, ROWS, ROWS // 2)):
            batch = batch_of(rows, 10 * number + place)
            loss, *measures = self.run(self.loss_of, batch, contextlib.nullcontext, self.updater)
            self.updater.add(loss, batch.trained)
            self.found.append((loss, *measures))
        self.found.append(self.updater.update(1.0, Measures()))
        return self.found[-1]

    def steps(self, count: int) -> "Line":
        for number in range(count):
            self.step(number)
        return self


def plain(loss_of, batch, autocast, updater):
    """What `Passes` does, without a graph."""
    lacks_rows = len(batch.tokens) < ROWS and not updater.balance
    return forward_backward(loss_of, captured._filled(batch, ROWS) if lacks_rows else batch, autocast, updater)


def assert_same(one: Line, other: Line) -> None:
    assert one.found == other.found
    assert all(map(torch.equal, one.model.parameters(), other.model.parameters()))
    assert one.updater.scale == other.updater.scale
