"""From a batch of judged answers to their rewards, and to what is logged of them."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from dataset.cache.chats import ChatEncoder
from dataset.records.conversations import Conversation
from dataset.rows.answers import AnswerBatch
from inference.evaluation import Scores, validation_means
from model.errors import UsageError
from model.reward import RewardModel, rewards
from training.losses.reward import bt, hinge, mse

LOSS_OF = {"preference": "bt", "scored": "mse"}  # where nothing is asked for


def loss_for(args, kind: str) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    """The name of the loss, and what it is of the rewards [E, R] of a batch (E: 2 for pairs, 1) and its labels [R].

    kind: "preference" or "scored". Raises `UsageError` for a loss that means nothing to such data.
    """
    name = args.loss_type or LOSS_OF[kind]
    if (name == "mse") != (kind == "scored"):
        what, other = ("scored answers", "mse") if kind == "scored" else ("pairs", "bt or hinge")
        raise UsageError(f"--loss_type {name} is not for {what}, which the data are: give {other}, or drop the flag")
    losses = {
        "bt": lambda found, margins: bt(*found, margins, args.center),
        "hinge": lambda found, margins: hinge(*found, margins, args.hinge_margin),
        "mse": lambda found, scores: mse(*found, scores),
    }
    return name, losses[name]


def judge(model: RewardModel, batch: AnswerBatch) -> Tensor:
    """The rewards of a batch, float32 [E, R]: of pairs chosen and rejected, of scored answers one row."""
    return rewards(model, batch.tokens, batch.positions, batch.ends).view(-1, batch.records)


def measures(found: Tensor) -> dict[str, Tensor]:
    """Sums over records of what is logged of rewards [E, R]: equal rewards are no success."""
    found = found.detach()
    sums = {"mean_reward": found.mean(dim=0).sum()}
    if len(found) == 2:
        chosen, rejected = found
        sums |= {"accuracy": (chosen > rejected).sum().float(), "margin": (chosen - rejected).sum()}
    return sums


def validate_rewards(run, model: RewardModel, rows, objective) -> Scores:
    """Means over the held-out records: `val_loss`, and `measures` under names that begin with `val_`; of scored
    answers `val_explained`, too: 1 - mean square error / variance of the scores.

    objective(rewards [E, R], labels [R]) -> loss of each record [R].
    """
    scores = []

    def sums(batch: AnswerBatch) -> dict[str, Tensor]:
        found = judge(model, batch)
        sums = {"loss": objective(found, batch.labels).sum(), **measures(found)}
        if len(found) == 1:
            sums["error"] = mse(found[0], batch.labels).sum()
            scores.append(batch.labels.cpu().double())
        return sums

    found = validation_means(run, model, rows, sums, lambda batch: batch.records)
    words = f"validation loss {found['val_loss']:.4f}"
    if "val_accuracy" in found:
        words += f", the chosen answer above in {found['val_accuracy']:.1%} of the pairs, by {found['val_margin']:.3f}"
    if scores:
        error, variance = found.pop("val_error"), torch.cat(scores).var(unbiased=False).item()
        if variance:
            found["val_explained"] = 1 - error / variance
            words += f", {found['val_explained']:.1%} of the variance of the scores explained"
    return Scores(found, words)


def score_conversations(
    model: RewardModel,
    tokenizer,
    conversations: Iterable[Conversation],
    *,
    max_seq_len: int,
    batch_size: int,
    autocast,
) -> Iterator[float | None]:
    """The reward of each conversation's last answer, in order; None where it has more than `max_seq_len` tokens."""
    chats = ChatEncoder(tokenizer)
    device = model.score.weight.device
    every = [ids for ids, _ in chats.encode(list(conversations))]
    found: list[float | None] = [None] * len(every)
    fitting = sorted((i for i, ids in enumerate(every) if 0 < len(ids) <= max_seq_len), key=lambda i: len(every[i]))
    model.eval()
    for start in range(0, len(fitting), batch_size):
        few = fitting[start : start + batch_size]
        width = max(len(every[i]) for i in few)
        tokens = np.full((len(few), width), tokenizer.pad_id, np.int64)  # on the right, where nothing looks
        for row, i in zip(tokens, few):
            row[: len(every[i])] = every[i]
        ends = torch.tensor([place * width + len(every[i]) - 1 for place, i in enumerate(few)], device=device)
        with torch.no_grad(), autocast():
            values = rewards(model, torch.from_numpy(tokens).to(device), None, ends)
        for i, value in zip(few, values.tolist()):
            found[i] = value
    yield from found
