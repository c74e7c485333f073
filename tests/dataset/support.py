"""Documents for the tests of this folder."""

import json
import random
from pathlib import Path


def random_documents(count: int, longest: int = 60, seed: int = 0) -> list[str]:
    """Documents of one to `longest` characters, English, Chinese and control tokens written as text."""
    rng = random.Random(seed)
    pieces = ["the ", "fox ", "新芽", "\n", "q", "<|im_end|>", "🌱", "9"]
    documents = []
    for number in range(count):
        length = rng.randint(1, longest)
        documents.append((f"{number}" + "".join(rng.choices(pieces, k=length)))[:length])
    return documents


def write_jsonl(path: Path, documents: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return path


def documents_of(stream, tokenizer) -> list[list[int]]:
    """The documents of a stream as ids, without BOS and EOS."""
    tokens = stream.map().tolist()
    documents, start = [], 0
    for place, token in enumerate(tokens):
        if token == tokenizer.eos_id:
            documents.append(tokens[start + 1 : place])
            assert tokens[start] == tokenizer.bos_id
            start = place + 1
    assert start == len(tokens)
    return documents


def leftovers(folder: Path) -> list[str]:
    """What lies in a cache folder apart from locks and remembered hashes."""
    return [path.name for path in folder.iterdir() if path.name != "content" and path.suffix != ".lock"]
