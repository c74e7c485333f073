"""Caches are what they were: the same key, the same files, the same bytes in them.

If a key changes, the files of users are tokenised again; if bytes do, their runs refuse to resume: raise LAYOUT, or
READING of dataset/cache/examples.py, and say so.
"""

import hashlib
import json

import pytest

from dataset.cache.token_cache import build_or_open
from dataset.rows.chats import CHATS
from dataset.rows.judged import SCORED_ANSWERS
from dataset.rows.pairs import PAIRS
from dataset.rows.texts import TEXTS
from model.text.tokenizer import Tokenizer

EVERY = "bad_lines bos_id checksum content copies dtype eos_id file_kind format framing kind layout".split()
EVERY += "on_bad_line pad_id source text_bytes tokenizer train val_ratio validation vocab_size".split()
TURNS = ("user", "assistant")


def text(i: int) -> dict:
    return {"text": f"{i} 新芽 grows"}


def chat(i: int) -> dict:
    return {"messages": [{"role": role, "content": said} for role, said in zip(TURNS, (f"{i}?", f"{i} 新芽!"))]}


def pair(i: int) -> dict:
    return {"prompt": f"{i}?", "chosen": f"{i}!", "rejected": "no", "margin": i / 8}


def score(i: int) -> dict:
    return {"input": f"{i}?", "output": f"{i}!", "score": i / 8}


@pytest.mark.parametrize(
    "kind, record, key, files, digest",
    [
        (TEXTS, text, "cb333e9e4c41b38de6e5aefd4e5393ae", ".bin", "41a71aa5abd05e8c"),
        (CHATS, chat, "e53b31b0f02feed859b0a009f9ade16c", ".bin .offsets.bin .trained.bin", "50cc00e06a4f9e5a"),
        (
            *(PAIRS, pair, "c3959f6dd309b213ba7a190f9c03c604"),
            *(".bin .margins.bin .offsets.bin .trained.bin", "d2ce9866a869ffaf"),
        ),
        (
            *(SCORED_ANSWERS, score, "3e22467d02f40dde35de2cd89871e106"),
            *(".bin .offsets.bin .scores.bin .trained.bin", "3eefc0524d1cd676"),
        ),
    ],
)
def test_a_cache_is_what_it_always_was(tmp_path, kind, record, key, files, digest):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(record(i)) + "\n" for i in range(12)))  # of ASCII alone
    cache = build_or_open(path, Tokenizer.load(), kind.cache, cache_dir=tmp_path / "c", val_ratio=0.2, progress=False)
    assert cache.folder.name == key
    found = sorted(cache.folder.glob("*.bin"))
    assert [one.name for one in found] == [f"{name}{end}" for name in ("train", "validation") for end in files.split()]
    assert hashlib.sha256(b"".join(one.name.encode() + one.read_bytes() for one in found)).hexdigest()[:16] == digest
    meta = json.loads((cache.folder / "meta.json").read_text())
    if kind is TEXTS:
        assert sorted(meta) == EVERY
        assert sorted(meta["train"]) == ["bytes", "documents", "seal", "text_tokens", "tokens"]
    else:
        more = ["chat_template", "end_id", "reading", "rendered_by", "rendering"]
        more += ["held_out"] if kind.cache.BY_PROMPT else []
        assert sorted(meta) == sorted([*EVERY, *more])
        assert sorted(meta["train"]) == ["documents", "seals", "tokens", "trained"]
        assert len(meta["train"]["seals"]) == len(files.split())
