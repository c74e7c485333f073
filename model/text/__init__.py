"""Text to tokens: the tokenizer, its vocabulary, the chat template.

Imports `model.errors` and `model.files.disk`.
"""
