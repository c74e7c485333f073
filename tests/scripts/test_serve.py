"""scripts/serve.py from its command line to its end."""

import asyncio
import errno
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from inference.server.parameters import BadRequest
from inference.server.shelf import Shelf, best_weight, weights_in
from model.errors import SproutError, UsageError
from model.running_batch import RunningBatch
from scripts.serve import listening, main, parse_arguments
from tests.inference.server.conftest import CPU, save_network
from tests.support import wait_until


def served(out: Path, monkeypatch, use: Callable[[str, Callable[[], None]], None]) -> list[str]:
    """What the server says while a thread calls `use(url, end)`, where `end()` is Ctrl-C. The server is ended after it
    in any case, and what it raises is raised here."""
    said, threads, errors, over = [], [], [], threading.Event()

    def end() -> None:
        if not over.is_set():  # a second Ctrl-C, or one after the end, would be that of the tests
            over.set()
            os.kill(os.getpid(), signal.SIGINT)

    def work(url: str) -> None:
        try:
            use(url, end)
        except BaseException as error:
            errors.append(error)
        finally:
            end()

    def say(line: str) -> None:
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            threads.append(threading.Thread(target=work, args=[found[0]]))
            threads[0].start()

    monkeypatch.setattr("scripts.serve.say", say)
    try:
        main(["--out_dir", str(out), "--port", "0", "--device", "cpu"])
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    for error in errors:
        raise error
    assert not any(thread.is_alive() for thread in threads), "the client does not end"
    return said


def test_it_answers_and_ends_on_ctrl_c(tmp_path, monkeypatch):
    save_network(tmp_path / "pretrain_32.pth", 0, "pretrain")
    answers = []

    def use(url: str, end) -> None:
        body = {"prompt": "Once", "max_tokens": 4}
        answers.append(httpx.post(f"{url}/v1/completions", json=body, timeout=60).json())
        body |= {"max_tokens": 400, "stream": True}
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60):
            end()

    said = served(tmp_path, monkeypatch, use)
    assert answers[0]["model"] == "pretrain_32" and answers[0]["usage"]["prompt_tokens"] == 5  # after BOS
    assert said[-1] == "ended"


def test_who_waits_for_an_answer_hears_of_the_end(tmp_path, monkeypatch, capfd):
    save_network(tmp_path / "full_sft_32.pth", 0, "full_sft")
    step, found = RunningBatch.step, []
    monkeypatch.setattr(RunningBatch, "step", lambda batch: (time.sleep(0.1), step(batch)))

    def use(url: str, end) -> None:
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 400, "temperature": 0}  # 92 tokens
        with ThreadPoolExecutor() as others, httpx.Client(base_url=url, timeout=60) as client:
            asked = others.submit(client.post, "/v1/chat/completions", json=body)
            with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as stream:
                wait_until(lambda: client.get("/health").json()["running"] == 2)
                end()
                found.extend(line for line in stream.iter_lines() if line)
            found.append(asked.result())

    served(tmp_path, monkeypatch, use)
    *_, error, done, answer = found
    assert "the server ends" in error and done == "data: [DONE]"
    assert answer.status_code == 503 and "the server ends" in answer.json()["error"]["message"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_or_a_folder_among_the_weights_is_none_of_them(tmp_path):
    os.mkfifo(tmp_path / "pipe_32.pth")
    (tmp_path / "folder_32.pth").mkdir()
    (tmp_path / "mine_32.pth").touch()
    assert [*weights_in(str(tmp_path))] == ["mine_32"]


def test_the_best_weight_is_the_chat_then_the_latest_stage(tmp_path):
    with pytest.raises(UsageError, match="train one"):
        best_weight(str(tmp_path))
    for name in ("pretrain_32", "mine_32", "full_sft_32", "full_sft_32_resume", "dpo_32.previous", "reason_32"):
        (tmp_path / f"{name}.pth").write_bytes(b"")
    assert [*weights_in(str(tmp_path))] == ["reason_32", "full_sft_32", "pretrain_32", "mine_32"]
    assert Path(best_weight(str(tmp_path))).stem == "reason_32"
    (tmp_path / os.fsdecode(b"\xff_32.pth")).write_bytes(b"")  # not UTF-8, so no reply can name it
    assert len(weights_in(str(tmp_path))) == 4
    (tmp_path / "chat_32.pth").write_bytes(b"")
    assert Path(best_weight(str(tmp_path))).stem == "chat_32"


def test_a_weight_that_goes_while_others_are_opened_is_not_found(tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "models", lambda shelf: [("full_sft_32", 0), ("gone_32", 0)])
    shelf = Shelf(SimpleNamespace(name="full_sft_32"), str(tmp_path), None, "auto", 512)
    with pytest.raises(BadRequest, match="is gone") as caught:
        asyncio.run(shelf.get("gone_32"))
    assert caught.value.status == 404


def test_a_name_without_a_size_is_that_of_the_network_alone(tmp_path, monkeypatch):
    save_network(tmp_path / "full_sft_32.pth", 0, "full_sft")
    for adapters in ("medic", "medic_32"):  # by their name, and by their file
        first = SimpleNamespace(name=f"full_sft_32+{adapters}", created=0)
        shelf = Shelf(first, str(tmp_path), CPU, "auto", 512)
        assert asyncio.run(shelf.get("full_sft")).name == shelf.called("full_sft")[0] == "full_sft_32"
        assert asyncio.run(shelf.get("full_sft_32+medic")) is first


def test_other_machines_are_let_in_with_a_key_only():
    with pytest.raises(UsageError, match="--api_key"):
        parse_arguments(["--host", "0.0.0.0"])
    for key in ("", " ", "k ", "k\r", "k\x07y", "钥匙"):  # none of which a client could send as it stands
        with pytest.raises(UsageError, match="--api_key"):
            parse_arguments(["--api_key", key])
    assert parse_arguments(["--host", "0.0.0.0", "--api_key", "k"]).port == 8998


def test_a_port_in_use_is_refused_also_by_a_server_that_still_reads_its_network(monkeypatch):
    def read(args, *others):
        with pytest.raises(UsageError, match="--port"):
            listening(args.host, args.port)
        raise SproutError("read")

    monkeypatch.setattr("inference.weights.open_network", read)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = ["--weight", "full_sft", "--device", "cpu", "--port", str(taken.getsockname()[1])]
        with pytest.raises(UsageError, match="--port"):
            main(flags)
    with pytest.raises(SproutError, match="^read$"):
        main(flags)


def test_a_name_of_two_addresses_is_answered_at_both(monkeypatch):
    """As `localhost` is where IPv6 is on; where it is off, at the other."""
    both = [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **how: both)
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    found = listening("localhost", 0)
    assert [each.family for each in found] == [socket.AF_INET6, socket.AF_INET]
    port = found[0].getsockname()[1]
    for host, each in zip(("::1", "127.0.0.1"), found):
        with socket.socket(each.family) as client:
            client.connect((host, port))
            each.accept()[0].close()
    with pytest.raises(UsageError, match=f"port {port} is taken by another program: give another --port"):
        listening("localhost", port)
    for each in found:
        each.close()

    make = socket.create_server

    def without_ipv6(address, family):
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return make(address, family=family)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    (one,) = listening("localhost", 0)
    assert one.getsockname()[0] == "127.0.0.1"
    one.close()
    both.pop()
    with pytest.raises(UsageError, match="nothing can listen at localhost"):
        listening("localhost", 0)
