"""GGUF, the file of llama.cpp and what is built on it: a network, its tokenizer and its settings in one file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The package `gguf` reads and writes the container.
"""
