"""The rewards of sampled answers: what the functions of `training/rewards` are given of each."""

import torch
from torch import Tensor

from training.rewards.loading import rate
from training.stages.answer_rows import Answer

REPLACED = "the reward model of this one, so that --resume would refuse it"  # for `given_weight.warn_of_its_run`
LOOKED_AT = 512  # prompts, for the names of their columns: those of a step may be few, and all without an answer


def columns_of(rows) -> list[str]:
    """The names of the columns that prompts have, as far as the first of an epoch show them."""
    prompts = rows.batch(0, range(min(rows.rows_per_epoch, LOOKED_AT))).prompts
    return list(dict.fromkeys(name for prompt in prompts for name in prompt.columns))


def rewards_of(rewards, prompts: list, answers: list[Answer], args, tokenizer, columns=()) -> Tensor:
    """The rewards of each answer: float64 [S, functions], NaN for an answer that a function has not rated.

    columns: names that the rewards are given whether these prompts have them or not.
    """
    if not answers:  # of a process without rows, in the last step of an epoch
        return torch.zeros(0, len(rewards), dtype=torch.float64)
    ids = [answer.ids[answer.last :] for answer in answers]
    before = [answer.ids[: answer.last] for answer in answers]
    texts = [tokenizer.decode(each) for each in ids]
    names = dict.fromkeys([*columns, *(name for prompt in prompts for name in prompt.columns)])
    columns = {name: [prompt.columns.get(name) for prompt in prompts] for name in names}
    columns |= {
        "messages": [
            [*map(dict, [*prompt.messages, *answer.between]), {"role": "assistant", "content": text}]
            for prompt, answer, text in zip(prompts, answers, texts, strict=True)
        ],
        "prompt_ids": before,
        "completion_ids": ids,
        "ended": [answer.ended for answer in answers],
        "max_new_tokens": [args.max_new_tokens] * len(answers),
    }
    return rate(rewards, [tokenizer.decode(each) for each in before], texts, columns)
