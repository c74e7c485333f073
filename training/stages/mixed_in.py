"""The fine-tuning loss that is added to the policy loss, against forgetting (eq. 2, https://arxiv.org/abs/2203.02155)."""

import random

import torch

from dataset.cache.token_cache import build_or_open
from dataset.command_line import parse_sources
from dataset.rows.chats import CHATS
from dataset.rows.rows import Rows
from dataset.sample.files import sample_file
from training.engine import distributed
from training.losses.next_token import next_token_loss


class MixedIn:
    """Conversations of --ptx_path, of which every micro-batch of answers brings one row; none if --ptx_weight is 0.

    Attributes: `identity`, what a resumed run compares.
    """

    def __init__(self, args, tokenizer, machine, say):
        self.weight, self.machine, self.rows, self.identity = args.ptx_weight, machine, None, []
        if not self.weight:
            return
        sources = parse_sources(args.ptx_path or [sample_file("sft", args.out_dir)])
        caches = [
            build_or_open(source.path, tokenizer, CHATS.cache, val_ratio=0.0, cache_dir=f"{args.out_dir}/cache")
            for source in sources
        ]
        self.rows = Rows(CHATS, list(zip(caches, [source.weight for source in sources])), args.max_seq_len, args.seed)
        self.identity = [f"{self.weight:g}", *self.rows.identity]
        for warning in self.rows.packed.warnings():
            say(f"warning: {warning}")
        say(f"mixes in {self.rows.tokens_per_epoch:,} tokens of conversations, weight {self.weight:g}")

    def loss(self, step, model, key: tuple, count: int) -> torch.Tensor | float:
        """`weight` times the mean loss of the tokens of a row, in nats, times `count`, since an update divides by the
        counts; 0 without --ptx_weight.

        key: what decides the row besides the step, such as update and micro-batch. Notes the loss as `loss/ptx`.
        """
        if self.rows is None:
            return 0.0
        chooses = random.Random(f"mixed in {(step.number, *key)} {distributed.rank()}")
        batch = self.machine.move(self.rows.batch(0, [chooses.randrange(self.rows.rows_per_epoch)]))
        features = model.features(batch.tokens, batch.positions)
        loss = next_token_loss(features, model.lm_head.weight, batch.targets)
        step.measure(batch.trained, **{"loss/ptx": loss})
        return self.weight * count / batch.trained * loss
