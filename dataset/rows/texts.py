"""Rows of texts: slices of the stream of all documents of a file.

A file's stream is BOS d1 EOS BOS d2 EOS ...; call S what follows its first BOS. Row r of length T has the slice
S[rT : (r+1)T] as targets, and BOS followed by all of the slice but its last token as inputs:

    inputs    BOS  s0  s1 ... s(T-2)
    targets   s0   s1  s2 ... s(T-1)

So every row begins with BOS, any row is found without a table, long documents are split and nothing is
dropped: in one epoch every token is a target exactly once. The one exception is a BOS that comes first in its
row. The row's own BOS stands there already, and learning that BOS follows BOS would teach a model to begin
twice, so that one target is `IGNORE`. The end of a file's last row is padding, and `IGNORE` too.
"""

from collections.abc import Sequence

import numpy as np
import torch

from dataset.cache.texts import TextCache, TokenStream
from dataset.rows.rows import Batch, Kind, check_ids, check_rows
from model.errors import SproutError
from model.likelihood import IGNORE


class PackedTexts:
    """The rows of texts, `rows.PackedRows`. Each file is a part: rows are full but for the last, so none is shared."""

    left_out, identity = 0, ()

    def __init__(self, caches: Sequence[TextCache], streams: Sequence[TokenStream], max_seq_len: int, share_rows: bool):
        check_rows(caches)
        self._caches, self._streams, self.row_length = list(caches), list(streams), max_seq_len
        self.targets = np.array([max(stream.size.tokens - 1, 0) for stream in streams], np.int64)
        self.rows = -(-self.targets // max_seq_len)
        self.records_kept = sum(stream.size.documents for stream in streams)
        self.bytes = sum(stream.size.bytes for stream in streams)
        self._bos, self._eos, self._pad = caches[0].bos_id, caches[0].eos_id, caches[0].pad_id

    def gather(self, parts: np.ndarray, rows: np.ndarray) -> Batch:
        targets = np.full((len(parts), self.row_length), IGNORE, np.int64)
        for file in np.unique(parts):
            stream = self._streams[file].map()
            here = np.flatnonzero(parts == file)
            for place in here:
                start = 1 + int(rows[place]) * self.row_length  # 1: the stream's first BOS is no target
                piece = stream[start : start + self.row_length]
                targets[place, : len(piece)] = piece
            check_ids(targets[here], self._caches[file])
        tokens = np.empty_like(targets)
        tokens[:, 0] = self._bos
        tokens[:, 1:] = targets[:, :-1]
        tokens[tokens == IGNORE] = self._pad
        if self._bos != self._eos:  # else a document's end, which is trained wherever it stands
            targets[targets[:, 0] == self._bos, 0] = IGNORE
        trained = int(np.count_nonzero(targets != IGNORE))
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), None, trained)

    def check_trainable(self) -> None:
        for cache, rows in zip(self._caches, self.rows, strict=True):
            if rows == 0:
                raise SproutError(f"{cache.source}: no document is left to train on: all are held out")

    def summary(self, part: int, share: float, passes: float) -> list[str]:
        return [f"  {self._caches[part].source}: {share:.1%} of the rows, {passes:.2f} passes over the file"]

    def warnings(self) -> list[str]:
        return []


TEXTS = Kind("text", TextCache, PackedTexts, targets="tokens", sample="pretrain")
