"""From records to tokens on disk, once for each file. Imports `dataset.records` and `dataset.rendering`."""
