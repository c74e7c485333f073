"""Requests that mean nothing, clients that go, crowds: the server says what is wrong, and lives."""

import asyncio
import gzip
import json
import threading
from dataclasses import replace

import httpx
import pytest

from dataset.rendering import ChatRenderer
from model.running_batch import RunningBatch
from model.text.tokenizer import Tokenizer
from tests.inference.server.conftest import LIMITS, running

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "Hi"}]
DEEP = {"a": 1}
for _ in range(80):
    DEEP = {"a": DEEP}

BODIES = [
    b"",
    b"[]",
    b"null",
    b"{",
    b'{"messages"',
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"a": NaN}',
    b'{"n": ' + b"9" * 5000 + b"}",
]
WRONG_BY_BOTH = {
    "temperature": ["hot", -1, 2.5, True, [], 1e400],
    "top_p": ["x", -0.1, 1.1, {}],
    "top_k": [1.5, -2, "3", True],
    "min_p": [2, "x"],
    "repetition_penalty": [0, -1, "x"],
    "presence_penalty": [3, "x"],
    "frequency_penalty": [-3, []],
    "n": [0, -1, 1.0, "2", 10_000, True],
    "max_tokens": [-1, 1.5, "9", True, 2**40],
    "seed": ["x", 1.5, 2**70, False],
    "stop": [5, [5], ["a"] * 5, [""], {}, "x" * 500],
    "stream": ["yes", 1, []],
    "stream_options": ["x", {"include_usage": 1}],
    "model": [5, ["full_sft_32"]],
    "logprobs": ["x", 1.5, -1, 21],
    "logit_bias": [{"5": -100}, "x", 5],
    "response_format": [{"type": "json_object"}, {"type": "json_schema"}, "text", {}],
}
WRONG_CHATS = {
    "messages": [
        None, [], {}, "Hi", ["Hi"], [{}], [{"role": "robot", "content": "x"}], [{"role": 5, "content": "x"}],
        [{"role": "user"}], [{"role": "user", "content": None}], [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "user", "content": ["x"]}], [{"role": "user", "content": "\ud800"}],
        [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
        [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": DEEP}}]}],
        [*HI, {"role": "assistant", "tool_calls": [5]}], [*HI, {"role": "assistant", "tool_calls": {"a": 1}}],
        [*HI, {"role": "assistant", "tool_calls": False}], [*HI, {"role": "assistant", "reasoning": 5}],
        [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 0}}]}],
        [*HI, {"role": "tool", "tool_call_id": 5, "content": "x"}],
        [{"role": "user", "content": "long " * 200}],
    ],
    "tools": [5, {}, [5], [{}], [{"type": "function"}], [{"type": "function", "function": {"name": ""}}],
              [{"type": "function", "function": {"name": "f", "parameters": []}}],
              [{"type": "function", "function": {"name": "f", "parameters": DEEP}}]],
    "tool_choice": ["required", "maybe", {"type": "function", "function": {"name": "f"}}, 5],
    "max_completion_tokens": ["x", -1],
    "top_logprobs": [1, "x"],
}  # fmt: skip
WRONG_COMPLETIONS = {
    "prompt": [
        None,
        5,
        [],
        [[]],
        [1.5],
        [True],
        ["x", 5],
        [[1], "x"],
        [-1],
        [272],
        [[10**30]],
        {},
        "\udfff",
        [5] * 600,
    ],
    "echo": ["x", 1],
    "suffix": ["x", False, 0],
    "best_of": [2, "x"],
}


def wrong_requests():
    for path in (CHAT, COMPLETION):
        good = {"messages": HI} if path == CHAT else {"prompt": "Hi"}
        for body in BODIES:
            yield path, body
        for table in (WRONG_BY_BOTH, WRONG_CHATS if path == CHAT else WRONG_COMPLETIONS):
            for key, values in table.items():
                for value in values:
                    yield path, json.dumps(good | {key: value}).encode()
    for name in ("f", "\ud800"):
        tool = {"type": "function", "function": {"name": name}}
        yield CHAT, json.dumps({"messages": HI, "tools": [tool], "tool_choice": {"function": {"name": "g"}}}).encode()


@pytest.fixture(scope="module")
def http(address):
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client


def refused(response: httpx.Response, *statuses: int) -> str:
    """The message of an error in OpenAI's shape."""
    assert response.status_code in statuses, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str)
    return error["message"]


def test_what_means_nothing_is_refused_and_the_server_lives(http):
    for path, body in wrong_requests():
        response = http.post(path, content=body)
        assert response.status_code in (400, 404), (path, body[:200], response.text)
        refused(response, 400, 404)
    assert http.post(CHAT, json={"messages": HI, "max_tokens": 2}).status_code == 200
    assert http.get("/health").json() == {"status": "ok", "running": 0, "waiting": 0}


def test_other_refusals(http):
    said = refused(http.post(CHAT, json={"messages": HI, "model": "gpt-4"}), 404)
    assert "'gpt-4'" in said and "full_sft_32" in said
    refused(http.post(CHAT, json={"messages": HI, "model": "../../etc/passwd"}), 404)
    assert "full_sft_32" in refused(http.get("/v1/models/none"), 404)
    assert http.get("/v1/models/full_sft").json()["id"] == "full_sft_32"  # as a request may name it
    assert "ends in /v1" in refused(http.post("/chat/completions", json={"messages": HI}), 404)
    assert "ends in /v1" not in refused(http.post("/v1/nothing", json={}), 404)
    packed = {"content": gzip.compress(b"{}"), "headers": {"content-encoding": "gzip"}}
    assert "uncompressed" in refused(http.post(CHAT, **packed), 415)
    plain = http.post(CHAT, json={"messages": HI, "max_tokens": 1}, headers={"content-encoding": "Identity"})
    assert plain.status_code == 200
    refused(http.get(CHAT), 405)
    refused(http.post(CHAT, content=b" " * 200_000), 413)
    refused(http.get("/v1/models", headers={"host": "evil.example:80"}), 403)
    for origin in ("http://evil.example", "null"):  # a page may send such a request without asking first
        text = {"origin": origin, "content-type": "text/plain"}
        refused(http.post(CHAT, json={"messages": HI}, headers=text), 403)
    for origin in ("http://127.0.0.1:8998", "http://localhost:3000", "app://some.program"):
        assert http.get("/v1/models", headers={"origin": origin}).status_code == 200


def test_a_prompt_that_is_too_long_is_refused_before_its_tokens_are_placed(http, monkeypatch):
    """Their places take a time that grows with the square of their number where they make up no characters."""
    monkeypatch.setattr("inference.server.exchange.offsets_of", None)
    body = {"prompt": [[200] * 600], "echo": True, "logprobs": 1}
    assert "the prompt has 600 tokens" in refused(http.post(COMPLETION, json=body), 400)


def test_a_prompt_that_is_far_too_long_is_refused_before_its_tokens_are_sought(http, monkeypatch):
    """4 MB of text take seconds and gigabytes, and meanwhile nobody else was answered."""
    monkeypatch.setattr(Tokenizer, "encode_batch", None)
    monkeypatch.setattr(ChatRenderer, "encode", None)
    text = "a" * 20_000
    long = "more than 512 tokens"
    assert long in refused(http.post(COMPLETION, json={"prompt": ["a", text]}), 400)
    for messages in ([{"role": "user", "content": text}], [{"role": "user", "content": text[:2500]}] * 8):
        assert long in refused(http.post(CHAT, json={"messages": messages}), 400)


def test_unknown_parameters_and_null_are_ignored(http):
    body = {
        "messages": HI,
        "max_tokens": 3,
        "user": 5,
        "logit_bias": None,
        "temperature": None,
        "stop": None,
        "n": None,
    }
    assert http.post(CHAT, json=body).status_code == 200
    parts = [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, *HI]
    assert http.post(CHAT, json={"messages": parts, "max_tokens": 0}).json()["choices"][0]["finish_reason"] == "length"


def test_the_page_runs_nothing_but_its_script(http):
    page = http.get("/")
    assert page.status_code == 200 and "sha256-" in page.headers["content-security-policy"]
    for foreign in ("http://", "https://", "innerHTML", "insertAdjacentHTML", "document.write"):
        assert foreign not in page.text.replace("http://www.w3.org", "")


async def settled(client: httpx.AsyncClient) -> dict:
    for _ in range(200):
        load = (await client.get("/health")).json()
        if load["running"] == load["waiting"] == 0:
            return load
        await asyncio.sleep(0.02)
    return load


async def crowd(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:

        async def ask(seed: int, stream: bool) -> str:
            body = {"messages": [{"role": "user", "content": f"{seed}?"}], "seed": seed, "max_tokens": 20}
            if not stream:
                return (await client.post(CHAT, json=body)).json()["choices"][0]["message"]["content"]
            text = ""
            async with client.stream("POST", CHAT, json=body | {"stream": True}) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            return text

        alone = [await ask(seed, False) for seed in range(8)]
        assert await asyncio.gather(*(ask(seed, seed % 2 == 0) for seed in range(8))) == alone

        async def hang_up(number: int) -> None:
            body = {"messages": HI, "max_tokens": 400, "stream": number % 2 == 0}
            try:
                await asyncio.wait_for(client.post(CHAT, json=body), 0.01 + 0.01 * (number % 5))
            except (TimeoutError, httpx.HTTPError):
                pass

        for _ in range(3):
            await asyncio.gather(*(hang_up(number) for number in range(12)))
        assert await settled(client) == {"status": "ok", "running": 0, "waiting": 0}
        assert [await ask(3, True)] == alone[3:4]


def test_eight_at_once_mix_nothing_and_clients_that_hang_up_leave_no_trace(address):
    asyncio.run(crowd(address))


async def full_queue(address: str, going_on: threading.Event) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        body = {"messages": HI, "max_tokens": 3, "seed": 1}
        asked = [asyncio.ensure_future(client.post(CHAT, json=body)) for _ in range(3)]
        for _ in range(500):
            if (await client.get("/health")).json()["waiting"] == 2:
                break
            await asyncio.sleep(0.01)
        refused(await client.post(CHAT, json=body), 429)
        going_on.set()
        assert [(await one).status_code for one in asked] == [200] * 3


def test_a_queue_is_bounded_and_a_key_is_asked_for(weights, monkeypatch):
    going_on, step = threading.Event(), RunningBatch.step
    with running(weights, replace(LIMITS, slots=1, queue=2)) as address, monkeypatch.context() as patch:
        patch.setattr(RunningBatch, "step", lambda batch: (going_on.wait(20), step(batch)))
        asyncio.run(full_queue(address, going_on))
    with running(weights, replace(LIMITS, seconds=0), api_key="secret") as address, httpx.Client(timeout=60) as client:
        for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "secret2"}):
            refused(client.get(f"{address}/v1/models", headers=given), 401)
        key = {"authorization": "Bearer secret", "host": "sprout.example"}
        assert client.get(f"{address}/v1/models", headers=key).status_code == 200
        assert client.get(f"{address}/health").status_code == 200
        late = client.post(f"{address}{CHAT}", headers=key, json={"messages": HI})
        assert late.status_code in (200, 429)  # cut off, or still waiting when its time was over


def test_a_request_that_fails_inside_is_alone(address, monkeypatch):
    from inference.server.writing import Writing

    take = Writing.take

    def failing(self, late=False):
        if self.max_tokens == 7:
            raise RuntimeError("as a mistake of ours would")
        return take(self, late)

    monkeypatch.setattr(Writing, "take", failing)
    with httpx.Client(base_url=address, timeout=30) as client:
        refused(client.post(CHAT, json={"messages": HI, "max_tokens": 7}), 500)
        streamed = client.post(CHAT, json={"messages": HI, "max_tokens": 7, "stream": True}).text
        assert '"error"' in streamed and streamed.endswith("data: [DONE]\n\n")
        assert client.post(CHAT, json={"messages": HI, "max_tokens": 6}).status_code == 200


def test_a_device_that_is_lost_leaves_nobody_waiting(weights, monkeypatch):
    """Every operation on it fails, that of taking the text out, too."""

    def lost(*args):
        raise RuntimeError("the device is lost")

    with running(weights) as address, httpx.Client(base_url=address, timeout=30) as client:
        with monkeypatch.context() as patch:
            patch.setattr(RunningBatch, "step", lost)
            patch.setattr(RunningBatch, "leave", lost)
            for _ in range(2):
                refused(client.post(CHAT, json={"messages": HI, "max_tokens": 6}), 500)
