"""What the card is, and the rate of its largest work: a bfloat16 product of two square matrices.

python -m scripts.benchmark.gpu.product 8192 cuda          # prints two lines of JSON
"""

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator

from scripts.benchmark.program import run_program

REPEATS = 30


def main(size: int, name: str) -> Iterator[dict]:
    """First facts about the device called `name`, then `peak` in operations a second: the best of three rounds."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        sys.exit(f"there is no CUDA GPU to measure: {_why_not(torch)}")
    device = torch.device(name)
    facts = {"device": "CPU", "torch": torch.__version__, "driver": None, "python": platform.python_version()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"device": properties.name, "memory": properties.total_memory, "driver": _driver()}
        facts["capability"] = f"{properties.major}.{properties.minor}"
    yield facts | {"transformers": _version_of("transformers")}

    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize()

    taken = 0
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()  # the context of this process is a part of what is taken
        taken = total - free
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        a @ b
        wait()
        started = time.perf_counter()
        for _ in range(REPEATS):
            a @ b
        wait()
        best = min(best, (time.perf_counter() - started) / REPEATS)
    yield {"peak": 2 * size**3 / best, "taken": taken}


def _why_not(torch) -> str:
    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts that it has it
        return str(error).strip().split("\n")[0]
    return "torch.cuda.is_available() says so"


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _print(size: str, name: str) -> None:
    for found in main(int(size), name):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    run_program(__doc__, _print)
