"""Which documents become validation: whole clusters of near-duplicates, chosen by a hash of their text.

A document whose near-duplicate was trained on tells nothing of what is new. The hash makes the choice independent of
where a document stood, so that it stays when other data are added before it.
"""

import numpy as np


def validation_of(keys: np.ndarray, clusters: np.ndarray, tokens: np.ndarray, ratio: float) -> np.ndarray:
    """Which documents are validation, bool [N]: the clusters of the lowest keys that hold `ratio` of all tokens.

    keys: uint8 [N, 16], hashes of the texts; clusters: int64 [N], the number of the document that stands for each;
    tokens: int [N]. At least one cluster is chosen, and one is left, where there are two.
    """
    chosen = np.zeros(len(tokens), bool)
    heads, members = np.unique(clusters, return_inverse=True)
    if len(heads) < 2 or ratio <= 0:
        return chosen
    sizes = np.bincount(members, weights=tokens)
    hashes = np.ascontiguousarray(keys[heads, :8]).view(np.uint64).ravel()
    order = np.argsort(hashes, kind="stable")
    before = np.cumsum(sizes[order]) - sizes[order]
    count = int(np.searchsorted(before, ratio * sizes.sum()))
    heads_chosen = np.zeros(len(heads), bool)
    heads_chosen[order[: min(max(count, 1), len(heads) - 1)]] = True
    return heads_chosen[members]
