"""scripts/serve.py from its command line to its end."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from inference.server.shelf import best_weight, weights_in
from model.errors import UsageError
from scripts.serve import parse_arguments, refuse_used_port
from tests.inference.server.conftest import save_network

ROOT = Path(__file__).parents[2]


def test_it_answers_and_ends_on_ctrl_c(tmp_path):
    save_network(tmp_path / "pretrain_32.pth", 0, "pretrain")
    command = [sys.executable, "scripts/serve.py", "--out_dir", str(tmp_path), "--port", "0", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stderr if "http://" in line)
            url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            answer = httpx.post(f"{url}/v1/completions", json={"prompt": "Once", "max_tokens": 4}, timeout=30).json()
            assert answer["model"] == "pretrain_32" and answer["usage"]["prompt_tokens"] == 5  # after BOS
            body = {"prompt": "Once", "max_tokens": 400, "stream": True}
            with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=30):
                process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0 and "ended" in process.stderr.read()
        finally:
            process.kill()


def test_the_best_weight_is_the_latest_stage(tmp_path):
    with pytest.raises(UsageError, match="train one"):
        best_weight(str(tmp_path))
    for name in ("pretrain_32", "mine_32", "full_sft_32", "full_sft_32_resume", "dpo_32.previous", "reason_32"):
        (tmp_path / f"{name}.pth").write_bytes(b"")
    assert [*weights_in(str(tmp_path))] == ["reason_32", "full_sft_32", "pretrain_32", "mine_32"]
    assert Path(best_weight(str(tmp_path))).stem == "reason_32"


def test_other_machines_are_let_in_with_a_key_only():
    with pytest.raises(UsageError, match="--api_key"):
        parse_arguments(["--host", "0.0.0.0"])
    with pytest.raises(UsageError, match="--api_key"):
        parse_arguments(["--api_key", " "])
    assert parse_arguments(["--host", "0.0.0.0", "--api_key", "k"]).port == 8998


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="--port"):
        refuse_used_port("127.0.0.1", taken.getsockname()[1])
