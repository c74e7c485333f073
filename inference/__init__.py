"""What a trained network is used by: a writer, chats, scores. Imports `dataset` and `model`."""
