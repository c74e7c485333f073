"""Which documents become validation: whole clusters of near-duplicates, chosen by a hash of their text.

A document whose near-duplicate was trained on tells nothing of what is new. The hash makes the choice independent of
where a document stood, so that it stays when other data are added before it.
"""

import numpy as np

from dataset.prepare.parts import slices

BITS = 16  # the first ones of a hash, by which clusters are grouped, so that only one group has to be sorted


def validation_of(keys: np.ndarray, clusters: np.ndarray, tokens: np.ndarray, ratio: float) -> np.ndarray:
    """Which documents are validation, bool [N]: the clusters of the lowest keys that hold `ratio` of all tokens.

    keys: uint8 [N, 16], hashes of the texts; clusters: int32 [N], the number of the document that stands for each;
    tokens: int [N]. At least one cluster is chosen, and one is left, where there are two; none where no
    document has a token.
    """
    chosen = np.zeros(len(tokens), bool)
    if ratio <= 0 or not len(tokens) or (clusters == clusters[0]).all():
        return chosen

    def hashes(numbers: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(keys[numbers, :8]).view(np.uint64).ravel()

    def groups(here: slice) -> np.ndarray:
        return (hashes(clusters[here]) >> np.uint64(64 - BITS)).astype(np.int64)

    sizes = np.zeros(2**BITS)
    for here in slices(len(tokens)):
        sizes += np.bincount(groups(here), weights=tokens[here], minlength=2**BITS)
    if not sizes.any():
        return chosen
    wanted = ratio * sizes.sum()  # tokens
    before = np.cumsum(sizes) - sizes
    # All groups before the last are validation, and of that one the clusters up to the highest.
    last = np.flatnonzero((before < wanted) & (sizes > 0))[-1]
    numbers = np.concatenate([np.flatnonzero(groups(here) == last) + here.start for here in slices(len(tokens))])
    heads, members = np.unique(clusters[numbers], return_inverse=True)
    order = np.argsort(hashes(heads), kind="stable")
    own = np.bincount(members, weights=tokens[numbers])[order]
    highest = heads[order[np.searchsorted(before[last] + np.cumsum(own) - own, wanted) - 1]]
    for here in slices(len(tokens)):
        found, most = hashes(clusters[here]), hashes(highest[None])
        chosen[here] = (found < most) | ((found == most) & (clusters[here] <= highest))
    return chosen if not chosen.all() else clusters != highest
