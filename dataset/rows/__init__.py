"""From tokens on disk to batches of rows. Imports `dataset.cache`."""
