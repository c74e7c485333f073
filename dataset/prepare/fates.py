"""What becomes of the documents that every rule has kept: duplicates, validation, and how often each is trained on."""

from dataclasses import dataclass

import numpy as np

from dataset.prepare.documents import Documents
from dataset.prepare.duplicates.clusters import find_duplicates
from dataset.prepare.mixing import copies_of, epochs_of, weights_by_temperature
from dataset.prepare.settings import Settings
from dataset.prepare.splitting import validation_of
from dataset.records.reading import bar_over
from model.disk import write_atomically

CALLED = {"text": "texts", "chat": "chats", "preference": "pairs"}


@dataclass(frozen=True)
class Fates:
    """For each document: `head`, the number of the one that is kept of its cluster, int64 [N]; `duplicate`,
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
    """Of each side of a document the number of the one that stands for its cluster, int64 [N, sides].

    Found once and kept on disk, since this takes long.
    """
    path = documents.path / "heads.npy"
    if not path.exists():
        heads = np.repeat(np.arange(len(documents))[:, None], documents.sides, axis=1)
        if len(documents) and {"deduplicate", "split"} & set(settings.steps):
            bands = documents.sides * documents.bands.shape[2]
            with bar_over(bands, f"comparing {CALLED[documents.form]}", unit=" bands") as bar:

                def next_band() -> None:
                    bar.update()
                    documents.forget()

                for side in range(documents.sides):
                    heads[:, side] = find_duplicates(
                        documents.keys[:, side],
                        documents.bands[:, side],
                        lambda index, side=side: documents.side(index, side),
                        settings.threshold,
                        next_band,
                    )
        write_atomically(path, lambda file: np.save(file, heads))
    return np.load(path, mmap_mode="r")


def heads_of_all_sides(heads: np.ndarray) -> np.ndarray:
    """The lowest number of those that are in the same cluster on every side, int64 [N]. heads: int64 [N, sides]."""
    if heads.shape[1] == 1:
        return heads[:, 0]
    pairs = heads[:, 0] * len(heads) + heads[:, 1]
    _, first, group = np.unique(pairs, return_index=True, return_inverse=True)
    return first[group]


def decide(documents: Documents, settings: Settings) -> Fates:
    of_sides = heads_of(documents, settings)
    heads = heads_of_all_sides(of_sides)
    numbers = np.arange(len(documents))
    duplicate = (heads != numbers) if "deduplicate" in settings.steps else np.zeros(len(documents), bool)
    tokens = np.where(duplicate, 0, documents.column("tokens"))
    validation = np.zeros(len(documents), bool)
    if settings.val_ratio and "split" in settings.steps:
        validation = validation_of(documents.keys[:, 0], of_sides[:, 0], tokens, settings.val_ratio) & ~duplicate
    source_of_file = np.array([source for source, _ in settings.files], np.int32)
    sources = source_of_file[documents.column("file")]
    trained = ~duplicate & ~validation
    count = len(settings.sources)
    sizes = np.bincount(sources[trained], weights=tokens[trained], minlength=count).astype(np.int64).tolist()
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
