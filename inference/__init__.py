"""The uses of a trained network: writing, chatting, measuring it. Imports `dataset` and `model`."""
