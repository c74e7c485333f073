"""What the card is, and the rate of its largest work: a bfloat16 product of two square matrices.

python -m scripts.benchmark.gpu.product 8192 cuda          # prints one line of JSON
"""

import json
import subprocess
import time

from scripts.benchmark.program import run_program

REPEATS = 30


def main(size: int, name: str) -> dict:
    """Facts about the device called `name`, and `peak` in operations a second: the best of three rounds."""
    import torch

    device = torch.device(name)
    facts = {"device": "CPU", "torch": torch.__version__, "driver": None}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"device": properties.name, "memory": properties.total_memory, "driver": _driver()}
        facts["capability"] = f"{properties.major}.{properties.minor}"

    def wait():
        if device.type == "cuda":
            torch.cuda.synchronize()

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
    return facts | {"peak": 2 * size**3 / best}


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    run_program(__doc__, lambda size, name: print(json.dumps(main(int(size), name))))
