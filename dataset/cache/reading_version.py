"""Whether a file of conversations is read as by earlier versions of Sprout, so that its caches of then stay valid.

The second version follows marks such as `"weight": 0` and calls named `function_call`, keeps prompts that answers go
on from, and leaves out the nulls of Arrow. The third reads `history` before any question, `system_prompt`, thoughts
by other names, labels of 0 and under `kto_tag`, and refuses marks and media that it cannot follow. The fourth reads
columns that only have the name of a mark, the fifth several rejected answers, whose chosen one counts once, the sixth
results of tools that come in their tags; a table does not show these before it is read. The seventh reads a thought
beside an answer. To the eighth no switch is a thought, every dialogue in one text is read, and a label of 0 or a text
beside two answers, or a score, is a class in every format. Files without any of these give the same tokens as before;
the others have a version in the key of their cache. Whatever else is read differently one day is to be added here.
"""

import re
from pathlib import Path

from dataset.records.reading import SAVED, TABLES, bytes_of, check_file, files_of
from dataset.records.turns import REASONING, SWITCHES

# What in a file asks for the second version, the third, ...: SECOND to EIGHTH.
NAMES = "weight|loss|loss_mask|train|training|label|masked?|train_detail|training_detail|loss_scale|loss_weight"
SECOND = re.compile(rb'"(?:%s|function_call|functions)"\s*:|:\s*null|"prompt"\s*:\s*\[' % NAMES.encode(), re.IGNORECASE)
NAMES_OF_3 = (
    r"kto_tag|system_prompt|reasoning|thinking|trainable|(?:image|video|audio)s?|weights|[a-z_]*loss(?:es|_[a-z]+)"
    r"|[a-z_]*(?:mask|ignore|skip|learn|supervised|exclude|_train)[a-z_]*"
)
VALUES_OF_3 = rb'"label"\s*:\s*(?:0|"(?:true|false|0|1|yes|no|chosen|rejected|good|bad|(?:un)?desirable)")'
WEIGHTS_OF_3 = rb'"(?:weight|loss_mask|train|training)"\s*:\s*(?:[2-9"\[-]|[01]\d|[01]\.0*[1-9])'
THIRD = re.compile(rb'"(?:%s)"\s*:|%s|%s' % (NAMES_OF_3.encode(), VALUES_OF_3, WEIGHTS_OF_3), re.IGNORECASE)
MARK_OF_4 = r"[a-z_]*(?:mask|loss|weight|train|learn|ignore|skip|supervised|exclude)[a-z_]*"
VALUES_OF_4 = rb'"(?:label|kto_tag)"\s*:\s*"(?:yes|no|good|bad)"'
FOURTH = re.compile(
    rb'"%s"\s*:\s*(?:["\[-]|[2-9]|1\d|1\.0*[1-9])|%s' % (MARK_OF_4.encode(), VALUES_OF_4), re.IGNORECASE
)
FIFTH = re.compile(rb'"(?:rejected[a-z_]*|non_preferred_output)"\s*:\s*\[\s*["\[]', re.IGNORECASE)
# These two together, of which the second stands for records that were always read so.
HISTORY, ALPACA = re.compile(rb'"history"\s*:', re.IGNORECASE), re.compile(rb'"instruction"\s*:', re.IGNORECASE)
# The nulls of calls in pairs, whose turns are put together from several lists.
CALLS, PAIRS = re.compile(rb'"arguments"\s*:\s*\{[^{}]*:\s*null'), re.compile(rb'"(?:chosen|rejected_response)"\s*:')
SIXTH = re.compile(rb'"(?:\\[nrt]| )*<tool_response>')
DIALOGUE = r'"(?:prompt|question|problem|query|input)"\s*:\s*"(?:\\[nr]| )*Human:'
SWITCH = rf'"(?:{"|".join(REASONING)})"\s*:\s*"\s*(?:{"|".join(sorted(SWITCHES))})\s*"'
EIGHTH = re.compile(rf"{DIALOGUE}|\\n\\r\\n(?:Human|Assistant):|{SWITCH}".encode(), re.IGNORECASE)
# These two together, too.
CLASS = re.compile(rb'"(?:label|kto_tag)"\s*:\s*[0"]', re.IGNORECASE)
JUDGED = re.compile(rb'"(?:rejected|score)"\s*:', re.IGNORECASE)
ANSWERS = ("output", "completion", "response", "answer")
THOUGHT, ANSWER = (
    re.compile(rb'"(?:%s)"\s*:' % "|".join(names).encode(), re.IGNORECASE) for names in (REASONING, ANSWERS)
)
OVERLAP = 64  # bytes, longer than any of these


def reading_version(path: str | Path) -> dict[str, int]:
    """What the key of the file's cache has besides: nothing, or the version of the reading."""
    file_type = check_file(path)
    sixth = False
    if file_type in (*TABLES, SAVED):
        import pyarrow

        names = _columns(path, file_type)
        second = file_type != ".parquet" or any(
            any(map(pyarrow.types.is_nested, kinds)) or re.fullmatch(f"{NAMES}|functions", name)
            for name, kinds in names.items()
        )
        fourth = any(
            re.fullmatch(f"{MARK_OF_4}|label|kto_tag", name) and not all(map(pyarrow.types.is_boolean, kinds))
            for name, kinds in names.items()
        )
        fifth = any(_has_several(name, kinds) for name, kinds in names.items())
        third = any(re.fullmatch(f"{NAMES_OF_3}|label", name) for name in names)
        third |= "history" in names and "instruction" not in names
        seventh = not names.keys().isdisjoint(REASONING) and not names.keys().isdisjoint(ANSWERS)
        labels = [kind for name in ("label", "kto_tag") for kind in names.get(name, ())]
        judged = not names.keys().isdisjoint(("rejected", "score"))
        eighth = not names.keys().isdisjoint(REASONING[1:])  # a switch is hardly called `reasoning_content`
        eighth |= judged and not all(map(pyarrow.types.is_boolean, labels))
    else:
        together = (HISTORY, ALPACA, CALLS, PAIRS, THOUGHT, ANSWER, CLASS, JUDGED)
        found = dict.fromkeys((SECOND, THIRD, FOURTH, FIFTH, SIXTH, EIGHTH, *together), False)
        for file in files_of(path):
            for part in _parts(file):
                for pattern in [each for each, is_found in found.items() if not is_found]:
                    found[pattern] = pattern.search(part) is not None
        second = found[SECOND]
        third = found[THIRD] or (found[HISTORY] and not found[ALPACA]) or (found[CALLS] and found[PAIRS])
        fourth, fifth, sixth = found[FOURTH], found[FIFTH], found[SIXTH]
        seventh = found[THOUGHT] and found[ANSWER]
        eighth = found[EIGHTH] or (found[CLASS] and found[JUDGED])
    versions = (second, third, fourth, fifth, sixth, seventh, eighth)
    return {"reading": max(number for number, is_met in enumerate(versions, 2) if is_met)} if any(versions) else {}


def _has_several(name: str, kinds: list) -> bool:
    """Whether a column of this name and these types may hold lists of rejected answers."""
    import pyarrow.types as types

    are_lists = any(types.is_list(kind) and not types.is_struct(kind.value_type) for kind in kinds)
    return are_lists and re.fullmatch("rejected[a-z_]*|non_preferred_output", name) is not None


def _parts(path: Path):
    """The file's bytes in parts that overlap, so that nothing is cut in two."""
    before = b""
    for block in bytes_of(path):
        yield before + block
        before = block[-OVERLAP:]


def _columns(path: str | Path, file_type: str) -> dict[str, list]:
    """The names of the columns and of the fields within them, in lower case, and their types."""
    import pyarrow.parquet

    from dataset.records.tables import schema_of

    try:
        schema = schema_of(str(path), file_type)
    except (pyarrow.ArrowException, OSError, ValueError):  # it is reported where the file is read
        return {}
    names, left = {}, list(schema)
    while left:
        field = left.pop()
        kind = getattr(field.type, "storage_type", field.type)
        inner = [kind.field(i) for i in range(kind.num_fields)] if pyarrow.types.is_nested(kind) else []
        names.setdefault(field.name.lower(), []).append(kind)
        left += inner
    return names
