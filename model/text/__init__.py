"""Text to tokens: tokenizer, vocabulary, chat template. Imports `model.errors` and `model.disk`."""
