"""GGUF, the file format of llama.cpp and of programs built on it: network, tokenizer and settings in one file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The package `gguf` reads and writes the container.
"""
