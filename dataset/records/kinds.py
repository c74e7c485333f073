"""All kinds of records, so that the error about a record of the wrong kind can say which kind it is.

A new kind is added to `KINDS`. This module is loaded only when something does not fit: a command reads one kind, and
loads the readers of that one.
"""

from collections.abc import Sequence

from dataset.records.conversations import CHAT
from dataset.records.formats import TEXT, BadRecord, RecordKind, list_keys
from dataset.records.preferences import PREFERENCE
from dataset.records.scored import SCORED

KINDS = (TEXT, CHAT, PREFERENCE, SCORED)


def unknown_shape(fields: dict, wanted: Sequence[RecordKind]) -> BadRecord:
    """The error for a record of none of the `wanted` kinds: which shapes are accepted, and what the record is."""
    accepted = " or ".join(one.shape for kind in wanted for one in kind.formats)
    for other in KINDS:
        if other not in wanted and other.find_format(fields) is not None:
            accepted += f"; this is {other.what}"
    return BadRecord("the shape is unknown", f"{list_keys(fields)}; accepted: {accepted}")
