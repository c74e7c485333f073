"""A server with a network drawn at random, on a free port of this machine, for all tests of the folder."""

import contextlib
import socket
import threading

import pytest
import torch
import uvicorn

from inference.server.app import Limits, Server
from inference.server.shelf import Shelf, serve
from model.config import TransformerConfig
from model.device import Device
from model.files.checkpoint import save_weights
from model.files.loading import load_model
from tests.stages.talker import tokenizer_that_shows_thinking
from tests.support import random_network, wait_until

LIMITS = Limits(slots=8, queue=24, body=100_000, seconds=60, max_new_tokens=64)
CPU = Device(torch.device("cpu"), torch.float32, "of the tests")


def save_network(path, seed: int, stage: str) -> None:
    tokenizer = tokenizer_that_shows_thinking()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    config = TransformerConfig(vocab_size=tokenizer.vocab_size, tie_word_embeddings=False, **sizes, **heads)
    save_weights(path, random_network(config, seed), tokenizer, stage=stage)


@contextlib.contextmanager
def running(folder, limits: Limits = LIMITS, api_key: str | None = None):
    """The address of a server of full_sft_32 in the folder."""
    first = serve("full_sft_32", load_model(folder / "full_sft_32.pth"), CPU, "auto", 512)
    server = Server(Shelf(first, str(folder), CPU, "auto", 512), limits, api_key)
    runner = uvicorn.Server(uvicorn.Config(server.app, log_level="error", timeout_graceful_shutdown=1))
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol is named; else an answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        wait_until(lambda: runner.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            runner.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server does not end"


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A folder with a chat model and a base model."""
    folder = tmp_path_factory.mktemp("out")
    save_network(folder / "full_sft_32.pth", 0, "full_sft")
    save_network(folder / "pretrain_32.pth", 1, "pretrain")
    return folder


@pytest.fixture(scope="session")
def address(weights):
    with running(weights) as url:
        yield url
