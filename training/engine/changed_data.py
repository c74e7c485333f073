"""What changed in the data of a run that is not resumed, by the token caches of before and now. Loaded only then.

A run knows its files by the names of their caches, which stand for content, tokenizer and settings; what is in a cache
is in its meta.json. The cache of before may have been deleted: then the file is named, without what it was.
"""

import json
from pathlib import Path

ALIKE = "pairs left out as alike"  # `PackedRecords.identity`: not a cache, but what rows leave out of them
# Settings in meta.json that a cache depends on, in the words of the command line.
_SETTINGS = {
    "tokenizer": "the tokenizer",
    "file_kind": "the end of its name",
    "val_ratio": "--val_ratio",
    "on_bad_line": "--on_bad_line",
    "kind": "the kind",
}


def changes_of_data(before, now, caches: Path) -> str | None:
    """What differs between two lists of `<cache>:<weight>`, in words; None where it cannot be told."""
    if not all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in (before, now)):
        return None
    alike, alike_now = ([one for one in each if one.startswith(ALIKE)] for each in (before, now))
    before, now = ([one.partition(":")[::2] for one in each if not one.startswith(ALIKE)] for each in (before, now))
    gone = [cache for cache, _ in before if cache not in dict(now)]
    new = [(cache, _meta(caches, cache)) for cache, _ in now if cache not in dict(before)]
    sentences = []
    for cache in gone:
        meta = _meta(caches, cache)
        source = meta and meta.get("source")
        twin = next((pair for pair in new if pair[1] and pair[1].get("source") == source), None)
        if twin is None and len(gone) == len(new) == 1:
            twin = new[0]
        if twin:
            new.remove(twin)
            sentences.append(_between(meta, twin[1]))
        elif source:
            sentences.append(f"{source} ({_size(meta)}) is not among the files any more")
        else:
            sentences.append("one of its files has changed or is not given any more")
    sentences += [f"{meta['source']} ({_size(meta)}) is new" for _, meta in new if meta]
    for cache, weight in now:
        if cache in dict(before) and dict(before)[cache] != weight:
            source = (_meta(caches, cache) or {}).get("source", "a file")
            sentences.append(
                f"the weight of {source} was {dict(before)[cache] or 'not given'}, is {weight or 'not given'}"
            )
    if alike != alike_now and not sentences:
        said, said_now = (", ".join(each) or f"no {ALIKE}" for each in (alike, alike_now))
        sentences.append(f"the run was begun with {said}, as by an earlier version, and now it has {said_now}")
    if not sentences and before != now:
        sentences.append("the files are given in another order")
    return None if None in sentences or not sentences else "; ".join(sentences)


def _between(before: dict | None, now: dict | None) -> str | None:
    """What a file was and is."""
    if now is None:
        return None
    if before is None:
        return f"{now['source']} is not the file that it was (it has {_size(now)} now)"
    if before.get("content") == now.get("content"):
        differ = [name for name in _SETTINGS if before.get(name) != now.get(name)]
        words = [
            f"{_SETTINGS[name]} " + ("is another" if name == "tokenizer" else f"was {before[name]}, is {now[name]}")
            for name in differ
        ]
        return f"{now['source']} is read otherwise: {', '.join(words) or 'by another version or with another --format'}"
    name = now["source"] if now["source"] == before["source"] else f"{before['source']} became {now['source']}, which"
    if _checksums(before) and _checksums(before) == _checksums(now):
        return f"{name} holds the same {_size(now)}, but is another file, as one that was compressed"
    if _size(before) == _size(now):
        return f"{name} has changed: as before it has {_size(now)}, but not the same"
    return f"{name} has changed: it had {_size(before)}, and has {_size(now)}"


def _size(meta: dict) -> str:
    documents = sum(meta[part]["documents"] for part in ("train", "validation"))
    what = "answers" if meta["kind"].startswith("preference") else "records"  # a pair has two, or more if ranked
    return f"{documents:,} {what} with {meta['text_bytes']:,} bytes of text"


def _checksums(meta: dict) -> list:
    """Those of all tokens in a cache; empty for one of an earlier version, which has none."""
    parts = [meta[part] for part in ("train", "validation")]
    seals = [seal for part in parts for seal in part.get("seals") or [part.get("seal")]]
    return [seal[0] for seal in seals] if all(seals) else []


def _meta(caches: Path, name: str) -> dict | None:
    try:
        meta = json.loads((caches / name / "meta.json").read_text(encoding="utf-8"))
        _size(meta), meta["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return meta
