"""What the tests of the GPU benchmark share: its limits, and a call of it with small files."""

import time
from types import SimpleNamespace

from scripts.benchmark.gpu.session import Session
from tests.stages.workshop import write_chats, write_texts


def limits(tmp_path, seconds: float = 120) -> dict:
    return {"printed": tmp_path / "printed.txt", "deadline": time.monotonic() + seconds}


def session(tmp_path, **changes) -> Session:
    files = [write_texts(tmp_path / "texts.jsonl", 5, seed=0), write_chats(tmp_path / "chats.jsonl", 5, seed=0)]
    values = {
        "out_dir": tmp_path,
        "against": None,
        "minimind": None,
        "minutes": 1,
        "rehearse": True,
        "data_path": files,
    }
    return Session(SimpleNamespace(**values | changes))
