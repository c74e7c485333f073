"""Conversations for the tests of this folder."""

import json
import random
from pathlib import Path


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def random_chats(count: int, longest: int = 40, seed: int = 0) -> list[list[dict]]:
    """Conversations of one to four exchanges, some with a system message, some that end with the user."""
    rng = random.Random(seed)
    pieces = ["the ", "fox ", "新芽", "\n", "q", "<|im_end|>", "🌱", "9"]

    def text(start: str) -> str:
        length = rng.randint(1, longest)
        return (start + "".join(rng.choices(pieces, k=length)))[:length]

    chats = []
    for number in range(count):
        turns = [turn("system", text("be "))] if rng.random() < 0.2 else []
        for _ in range(rng.randint(1, 4)):
            turns += [turn("user", text(f"{number}?")), turn("assistant", text(f"{number}!"))]
        chats.append(turns + ([turn("user", "and?")] if rng.random() < 0.2 else []))
    return chats


def write_chats(path: Path, chats: list[list[dict]]) -> Path:
    lines = (json.dumps({"conversations": turns}, ensure_ascii=False) + "\n" for turns in chats)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def kept_by_hand(ids: list[int], trained: list[bool], limit: int, end: int) -> int:
    """How much of an example is kept: the definition of `packing.cut_length` written token by token."""
    last_trained = last_end = last_within = 0  # as lengths that end behind such a token
    for place in range(1, len(ids)):
        if trained[place]:
            last_trained = place + 1
            if place < limit:
                last_within = place + 1
                if ids[place] == end:
                    last_end = place + 1
    return last_trained if last_trained <= limit else last_end or last_within
