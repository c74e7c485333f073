"""What becomes of the documents that every rule has kept: duplicates, validation, and how often each is trained on."""

from dataclasses import dataclass

import numpy as np

from dataset.prepare.documents import Documents
from dataset.prepare.duplicates.clusters import find_duplicates
from dataset.prepare.mixing import copies_of, epochs_of, weights_by_temperature
from dataset.prepare.parts import equal_together, slices
from dataset.prepare.settings import Settings
from dataset.prepare.splitting import validation_of
from dataset.prepare.work import write_sealed
from dataset.records.reading import bar_over

CALLED = {"text": "texts", "chat": "chats", "preference": "pairs"}


@dataclass(frozen=True)
class Fates:
    """For each document: `head`, the number of the one that is kept of its cluster, int32 [N]; `duplicate`,
    `validation`, bool [N]; `copies`, int16 [N], how often it stands in what is trained on.

    weights: of each source in what is trained on, None where all is taken as it comes. epochs, sizes: how often
    each source is gone through, and the tokens in one pass.
    """

    head: np.ndarray
    duplicate: np.ndarray
    validation: np.ndarray
    copies: np.ndarray
    weights: list[float] | None
    epochs: list[float]
    sizes: list[int]


def heads_of(documents: Documents, settings: Settings) -> np.ndarray:
    """Of each side of a document the number of the one that stands for its cluster, int32 [N, sides].

    Found once and kept on disk, since this takes long.
    """
    path = documents.path / "heads.npy"
    if not path.exists():
        heads_by_side = []
        if len(documents) and {"deduplicate", "split"} & set(settings.steps):
            bands = len(documents.sides) * documents.bands.shape[2]
            with bar_over(bands, f"comparing {CALLED[documents.form]}", unit=" bands") as bar:

                def next_band() -> None:
                    bar.update()
                    documents.forget()

                for side in range(len(documents.sides)):
                    heads = find_duplicates(
                        documents.keys[:, side],
                        documents.bands[:, side],
                        lambda index, side=side: documents.side(index, side),
                        settings.threshold,
                        next_band,
                    )
                    heads_by_side.append(heads)
        heads_by_side = heads_by_side or [np.arange(len(documents), dtype=np.int32)] * len(documents.sides)
        heads = heads_by_side[0][:, None] if len(heads_by_side) == 1 else np.stack(heads_by_side, axis=1)
        write_sealed(documents.folder, path, lambda file: np.save(file, heads))
    return np.load(path, mmap_mode="r")


def heads_of_all_sides(heads: np.ndarray) -> np.ndarray:
    """The lowest number of those that are in the same cluster on every side, int32 [N]. heads: int32 [N, sides]."""
    if heads.shape[1] == 1:
        return heads[:, 0]
    pairs = heads[:, 0].astype(np.uint64) * np.uint64(len(heads)) + heads[:, 1].astype(np.uint64)
    found = np.empty(len(heads), np.int32)
    for numbers in equal_together(pairs, np.ones(len(heads), bool)):
        _, first, group = np.unique(pairs[numbers], return_index=True, return_inverse=True)
        found[numbers] = numbers[first[group]]
    return found


def stands_for_itself(heads: np.ndarray) -> np.ndarray:
    """Whether each number is its own head, bool [N]. heads: int32 [N]."""
    found = np.empty(len(heads), bool)
    for here in slices(len(heads)):
        found[here] = heads[here] == np.arange(here.start, here.stop)
    return found


def decide(documents: Documents, settings: Settings) -> Fates:
    of_sides = heads_of(documents, settings)
    heads = heads_of_all_sides(of_sides[:, documents.alike])
    duplicate = ~stands_for_itself(heads) if "deduplicate" in settings.steps else np.zeros(len(documents), bool)
    tokens = documents.column("tokens")
    tokens[duplicate] = 0
    validation = np.zeros(len(documents), bool)
    if settings.val_ratio and "split" in settings.steps:
        keys, clusters = documents.keys[:, documents.asked], of_sides[:, documents.asked]
        validation = validation_of(keys, clusters, tokens, settings.val_ratio) & ~duplicate
    source_of_file = np.array([source for source, _ in settings.files], np.int32)
    sources = source_of_file[documents.column("file")]
    trained = ~duplicate & ~validation
    count = len(settings.sources)
    sizes = np.zeros(count)
    for here in slices(len(documents)):
        sizes += np.bincount(sources[here], weights=np.where(trained[here], tokens[here], 0), minlength=count)
    sizes = sizes.astype(np.int64).tolist()
    copies, weights, epochs = trained.astype(np.int16), None, [1.0] * count
    if "mix" in settings.steps and (settings.weights or settings.temperature):
        weights = list(settings.weights or weights_by_temperature(sizes, settings.temperature))
        epochs = epochs_of(sizes, weights, settings.max_epochs)
        for source in range(count):
            own = np.flatnonzero(trained & (sources == source))
            copies[own] = copies_of(tokens[own], epochs[source])
            if epochs[source] == 0:
                validation[sources == source] = False
    return Fates(heads, duplicate, validation, copies, weights, epochs, sizes)
