"""The reward of GRPO in the quickstart, written as one of your own: `--reward scripts/quickstart_rewards.py:right`.

`contains` alone can be had more cheaply than by answering: thinking aloud, line after line, says the right word, too.
"""

from dataset.sample.manners import tidy
from training.rewards.built_in import contains


def right(prompts, completions, **columns) -> list[float | None]:
    """1 for a tidy reply that contains the right word or number, 0 for another, None where no answer is known."""
    held = contains(prompts, completions, **columns)
    return [None if one is None else one * is_tidy for one, is_tidy in zip(held, tidy(completions), strict=True)]


if __name__ == "__main__":
    print(__doc__)
