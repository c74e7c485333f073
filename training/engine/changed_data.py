"""What changed in the data of a run that is not resumed, by the token caches of before and now. Loaded only then.

A run knows its files by the names of their caches, which stand for content, tokenizer and settings; what is in a cache
is in its meta.json. The cache of before may have been deleted: then the file is named, without what it was.
"""

import json
from pathlib import Path

from dataset.cache.folder import read_meta

ALIKE = "pairs left out as alike"  # `PackedRecords.identity`: not a cache, but what rows leave out of them
# Settings in meta.json that a cache depends on, in the words of the command line.
_SETTINGS = {
    "tokenizer": "the tokenizer",
    "file_kind": "the end of its name",
    "val_ratio": "--val_ratio",
    "on_bad_line": "--on_bad_line",
    "kind": "the kind",
}


# What the tokens of a cache mean, beside the streams.
_MEANING = ("kind", "tokenizer", "dtype", "bos_id", "eos_id", "pad_id", "end_id")


def same_tokens(before: dict, now: dict, caches: Path) -> dict:
    """Those entries of `now` that stand for the tokens of `before`, although their caches have other names.

    A newer version of Sprout, which reads some records otherwise, tokenises all of them anew; and a compressed file is
    another file. before, now: flattened identities of runs. A cache of before that was deleted is not compared.
    """
    equal = {}
    for name, files in now.items():
        if name.startswith("data.") and _are_lists(before.get(name), files):
            if _renamed(before[name], files, caches) == files:
                equal[name] = files
    if "data.training" in equal:
        lessons, lessons_now = (_lessons(caches, each.get("data.teacher")) for each in (before, now))
        if lessons is not None and lessons == lessons_now:
            equal["data.teacher"] = now["data.teacher"]
    return equal


def _are_lists(*values) -> bool:
    return all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in values)


def _renamed(before: list[str], now: list[str], caches: Path) -> list[str]:
    """The list of before, in which a cache has its name of now if another of the same tokens took its place. Where
    several have the same tokens, they take their places in order."""
    caches_before, caches_now = ([one.partition(":")[0] for one in each] for each in (before, now))
    names: dict[tuple, list[str]] = {}
    for cache in caches_now:
        if cache not in caches_before and (tokens := _tokens(caches, cache)):
            names.setdefault(tokens, []).append(cache)
    renamed = []
    for one in before:
        cache, colon, weight = one.partition(":")
        alike = None if cache in caches_now else names.get(_tokens(caches, cache))
        renamed.append(alike.pop(0) + colon + weight if alike else one)
    return renamed


def _tokens(caches: Path, name: str) -> tuple | None:
    """What is equal for caches of the same tokens; None for one that cannot tell, as it is of an early version."""
    meta = _meta(caches, name)
    if meta is None or not (checksums := _checksums(meta)):
        return None
    counts = [meta[part].get(count) for part in ("train", "validation") for count in ("documents", "tokens")]
    return (*(meta.get(fact) for fact in _MEANING), *counts, *checksums)


def _lessons(caches: Path, name: str | None) -> dict | None:
    """What the cached predictions of a teacher depend on, but for the names of the caches that it read."""
    meta = read_meta(caches / "teacher" / name) if isinstance(name, str) else None
    return meta and {fact: value for fact, value in meta.items() if fact not in ("data", "seals")}


def changes_of_data(before, now, caches: Path) -> str | None:
    """What differs between two lists of `<cache>:<weight>`, in words; None where it cannot be told."""
    if not _are_lists(before, now):
        return None
    before = _renamed(before, now, caches)
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
