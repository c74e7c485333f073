"""From tokens on disk to batches of rows, for each kind of data. Imports `dataset.cache` and what is below it."""
