"""Losses as pure functions: tensors in, sums and counts out. Imports `dataset.rows` and `model`."""
