"""From documents to tokens on disk, once for each file. Imports `dataset.records`, `dataset.rendering` and `model`."""
