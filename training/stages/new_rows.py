"""`--train_only embeddings`: only the rows of new tokens learn, in the embedding and in an untied head.

A tokenizer that was extended gives a network rows that it has never used, while everything else is trained already.
So they learn first, alone, and then the whole network goes on.
"""

import torch

from model.errors import UsageError


def train_new_rows(model, count: int, args) -> str:
    """Freezes a network in place but for its last `count` rows; returns in words what learns.

    The optimizer holds the whole matrix. An old row has the gradient 0, so AdamW's moments of it stay 0, and so does
    its step. Raises `UsageError` for flags by which an old row would change, or nothing could learn.
    """
    if not count:
        raise UsageError(
            "--train_only embeddings trains the rows of new tokens, and there are none: give a tokenizer that"
            " train_tokenizer.py --extend made, with --tokenizer_path"
        )
    if args.freeze_layers or args.weight_decay or args.optimizer != "adamw":
        raise UsageError(
            "--train_only embeddings freezes all but the new rows, and trains them by AdamW without weight decay: leave"
            " --freeze_layers, --weight_decay and --optimizer out"
        )
    model.requires_grad_(False)
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    for matrix in {embedding, head}:
        matrix.requires_grad_(True)
        matrix.register_post_accumulate_grad_hook(_keep_last(count))
        matrix.learning_rows = count  # for the plan, which says how much is trained
    where = "the embedding" if head is embedding else "embedding and head"
    return f"only the {count:,} new rows of {where} learn"


def _keep_last(count: int):
    """A hook that leaves a gradient in the last `count` rows only."""

    @torch.no_grad()
    def clear_old_rows(parameter: torch.Tensor) -> None:
        parameter.grad[:-count].zero_()

    return clear_old_rows
