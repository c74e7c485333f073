"""MinHash against datasketch, by the time a document takes, and near-duplicates against a comparison of all pairs.

datasketch gets texts that are normalised already and makes a signature of 112 entries from their shingles, by its
default hash (SHA-1) and by a faster one; ours starts from the raw text and makes the bands as well. All take turns, and
what counts is the processor time of this process. Needs `pip install datasketch`.

Then the documents of all files are looked for duplicates, and what would be merged is shown. The truth for --labelled
is brute force: the shingles of every pair as sets of strings, which shares only the normalisation with MinHash.
"""

import statistics
import time
import zlib

import numpy as np

from dataset.prepare.duplicates.clusters import find_duplicates
from dataset.prepare.duplicates.minhash import WIDTH, band_keys, jaccard, shingles
from dataset.prepare.duplicates.normalised import END, compared_characters, text_key
from dataset.records.documents import read_documents
from dataset.records.formats import BadLine, read_text
from model.errors import UsageError
from scripts.benchmark.program import run_program

TIMED, SHOWN, THRESHOLD = 1000, 20, 0.7


def compare(args) -> None:
    """Prints times for each file, the merges among all of them, and how good the clusters of `args.labelled` are."""
    files = {path: texts_of(path, args.limit) for path in args.data_path}
    for path, texts in files.items():
        compare_speed(path, texts[:TIMED], args.rounds)
    show_merges([text for texts in files.values() for text in texts])
    if args.labelled:
        judge(args.labelled, texts_of(args.labelled, args.limit))


def texts_of(path: str, limit: int | None) -> list[str]:
    documents = read_documents(path, read_text)
    return [document.content for document in documents if not isinstance(document, BadLine)][:limit]


def compare_speed(path: str, texts: list[str], rounds: int) -> None:
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise UsageError("duplicates compares with datasketch: pip install datasketch") from error

    normal = compared(texts)

    def theirs(**hashing) -> None:
        for text in normal:
            found = {text[i : i + WIDTH].encode("utf-8", "surrogatepass") for i in range(len(text) - WIDTH + 1)}
            MinHash(num_perm=112, **hashing).update_batch(found)

    sides = {
        "ours": lambda: band_keys(texts),
        "datasketch": theirs,
        "datasketch with CRC-32": lambda: theirs(hashfunc=zlib.crc32),
    }
    band_keys(texts[:1])  # makes its tables
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, work in sides.items():
            began = time.process_time()
            work()
            taken[side].append((time.process_time() - began) / len(texts) * 1000)
    ours = statistics.median(taken["ours"])
    print(f"{path}: {len(texts):,} documents of {statistics.mean(map(len, texts)):,.0f} characters", end="")
    print(f", median of {rounds} rounds")
    for side, times in taken.items():
        median = statistics.median(times)
        print(f"  {side:<23} {median:6.3f} ms a document ({min(times):.3f} to {max(times):.3f}), {median / ours:.1f}x")


def compared(texts: list[str]) -> list[str]:
    """What is shingled of each text, as a string."""
    end = chr(END)
    return compared_characters(texts).tobytes().decode("utf-32-le", "surrogatepass").split(end)[: len(texts)]


def clusters_of(texts: list[str]) -> tuple[np.ndarray, float, float]:
    """The number that each text is kept by, and the seconds for keys and bands, and for finding."""
    began = time.process_time()
    keys = np.array([np.frombuffer(text_key(text), np.uint8) for text in texts]).reshape(-1, 16)
    bands = band_keys(texts)
    between = time.process_time()
    return find_duplicates(keys, bands, texts.__getitem__, THRESHOLD), between - began, time.process_time() - between


def show_merges(texts: list[str]) -> None:
    kept, making, finding = clusters_of(texts)
    merged = np.flatnonzero(kept != np.arange(len(texts)))
    print(f"{len(texts):,} documents: {len(merged):,} merged into another", end="")
    print(f"; keys and bands {making:.1f} s, finding {finding:.1f} s")
    for number in merged[:SHOWN]:
        same = jaccard(shingles(texts[number]), shingles(texts[kept[number]]))
        print(f"  J {same:.3f}: {' '.join(texts[kept[number]].split())[:50]}")
        print(f"           {' '.join(texts[number].split())[:50]}")


def judge(path: str, texts: list[str]) -> None:
    """Prints precision and recall of the documents that are dropped, and of the pairs that are similar enough."""
    kept, _, _ = clusters_of(texts)
    similar = similar_by_brute_force(texts)
    true = lowest_of_clusters(similar)
    dropped, to_drop = kept != np.arange(len(texts)), true != np.arange(len(texts))
    precision, recall = ((dropped & to_drop).sum() / max(1, one.sum()) for one in (dropped, to_drop))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    print(
        f"{path}: {len(texts):,} documents, {to_drop.sum():,} to be dropped by brute force, {dropped.sum():,} dropped"
    )
    print(f"  documents: precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}")
    pairs = np.array([(one, other) for one, others in enumerate(similar) for other in others if one < other])
    if len(pairs):
        together = (kept[pairs[:, 0]] == kept[pairs[:, 1]]).mean()
        print(f"  pairs of J {THRESHOLD} and more: {len(pairs):,}, of which {together:.4f} are in one cluster")
    wrong = sum(true[number] != true[other] for number, other in enumerate(kept))
    print(f"  documents in a cluster that brute force does not have: {wrong}")


def similar_by_brute_force(texts: list[str]) -> list[np.ndarray]:
    """For each text the numbers of all whose Jaccard similarity with it reaches the threshold, itself among them.

    Texts without a shingle are similar to none.
    """
    numbers: dict[str, int] = {}
    sets = [{text[i : i + WIDTH] for i in range(len(text) - WIDTH + 1)} for text in compared(texts)]
    members = [np.array([numbers.setdefault(one, len(numbers)) for one in found], dtype=np.int64) for found in sets]
    sizes = np.array(list(map(len, members)))
    owners = np.repeat(np.arange(len(texts)), sizes)
    shingle = np.concatenate(members)
    has = np.zeros(len(numbers), dtype=bool)
    similar = []
    for own in members:
        has[own] = True
        shared = np.bincount(owners[has[shingle]], minlength=len(texts))
        has[own] = False
        similar.append(np.flatnonzero(shared / np.maximum(1, len(own) + sizes - shared) >= THRESHOLD))
    return similar


def lowest_of_clusters(similar: list[np.ndarray]) -> np.ndarray:
    """The lowest number that each one hangs together with, by a walk over all links."""
    lowest = np.full(len(similar), -1)
    for start in range(len(similar)):
        waiting = [start] if lowest[start] < 0 else []
        lowest[waiting] = start
        while waiting:
            new = [other for other in similar[waiting.pop()] if lowest[other] < 0]
            lowest[new] = start
            waiting += new
    return lowest


if __name__ == "__main__":
    run_program(__doc__)
