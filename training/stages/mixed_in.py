"""The loss of an earlier stage that is added to the policy loss, against forgetting.

Of conversations it is that of fine-tuning, of plain texts that of pretraining (eq. 2, https://arxiv.org/abs/2203.02155).
"""

import random
from pathlib import Path

import torch

from dataset.cache.texts import Cache
from dataset.cache.token_cache import build_or_open
from dataset.command_line import parse_sources
from dataset.records.measured import kind_of_file
from dataset.rows.chats import CHATS
from dataset.rows.rows import Kind, Rows
from dataset.rows.texts import TEXTS
from dataset.sample.files import sample_file
from training.engine import distributed
from training.losses.next_token import next_token_loss
from training.stages.data import warnings_about


class MixedIn:
    """The files of --ptx_path, of which every micro-batch of answers brings one row; none if --ptx_weight is 0.

    As in pretraining, a file's weight is its share of the rows; without weights all rows are equally likely.

    Attributes: `rows` and `shares`, one for each kind of data; `identity`, what a resumed run compares.
    """

    def __init__(self, args, tokenizer, machine, say):
        self.weight = args.ptx_weight
        self.machine = machine
        self.rows, self.shares, self.identity = [], [], []
        if not self.weight:
            return
        sources = parse_sources(args.ptx_path or [sample_file("sft", args.out_dir)])
        kinds = {source: kind_of_file(source.path, ("chat", "text"))[0].name for source in sources}
        self.identity.append(f"{self.weight:g}")
        for kind, called in ((CHATS, "conversations"), (TEXTS, "texts")):
            files = [
                (_cache_of(source.path, kind, args, tokenizer, say), source.weight)
                for source in sources
                if kinds[source] == kind.name
            ]
            if not files:
                continue
            rows = Rows(kind, files, args.max_seq_len, args.seed)
            self.rows.append(rows)
            self.shares.append(sum(weight for _, weight in files) if sources[0].weight else rows.rows_per_epoch)
            self.identity += rows.identity
            for warning in rows.packed.warnings():
                say(f"warning: {warning}")
            say(f"mixes in {rows.tokens_per_epoch:,} tokens of {called}, weight {self.weight:g}")

    def loss(self, step, model, key: tuple, count: int) -> torch.Tensor | float:
        """`weight` times the mean loss of the tokens of a row, in nats, times `count`, since an update divides by the
        counts; 0 without --ptx_weight.

        key: what decides the row besides the step, such as update and micro-batch. Notes the loss as `loss/ptx`.
        """
        if not self.rows:
            return 0.0
        chooses = random.Random(f"mixed in {(step.number, *key)} {distributed.rank()}")
        rows = chooses.choices(self.rows, self.shares)[0]
        batch = self.machine.move(rows.batch(0, [chooses.randrange(rows.rows_per_epoch)]))
        features = model.features(batch.tokens, batch.positions)
        loss = next_token_loss(features, model.lm_head.weight, batch.targets)
        step.measure(batch.trained, **{"loss/ptx": loss})
        return self.weight * count / batch.trained * loss


def _cache_of(path: Path, kind: Kind, args, tokenizer, say) -> Cache:
    """The tokens of a file, none of which is held out; says what is odd about it."""
    cache = build_or_open(
        path,
        tokenizer,
        kind.cache,
        val_ratio=0.0,
        on_bad_line=args.on_bad_line,
        cache_dir=f"{args.out_dir}/cache",
        progress=distributed.is_main() or None,
    )
    for warning in warnings_about(cache, tokenizer):
        say(f"warning: {warning}")
    return cache
