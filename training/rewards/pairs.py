"""From rated answers to the same prompt to pairs of a better and a worse one."""

import math
from collections.abc import Sequence

from training.losses.advantages import ALIKE


def pairs_of(rewards: Sequence[float], most: int = 1) -> list[tuple[int, int]]:
    """The places of a better and a worse answer, at most `most` times: the best with the worst, the second best with
    the second worst, and so on, as long as their rewards differ by more than rounding.

    rewards: one for each answer to a prompt; NaN for an answer that takes no part. Of equal ones the first comes first.
    """
    places = [place for place, reward in enumerate(rewards) if not math.isnan(reward)]
    best = sorted(places, key=lambda place: -rewards[place])  # sorting is stable
    worst = sorted(places, key=lambda place: rewards[place])
    return [(good, bad) for good, bad in list(zip(best, worst))[:most] if rewards[good] > rewards[bad] + ALIKE]
