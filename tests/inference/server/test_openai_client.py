"""The server as OpenAI's own client sees it."""

import openai
import pytest
import torch

from model.files.loading import load_model

ASKED = {"model": "full_sft_32", "messages": [{"role": "user", "content": "Hi 你好"}], "seed": 5, "max_tokens": 30}


@pytest.fixture(scope="module")
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def joined(stream) -> tuple[list[str], list[str], object]:
    """Texts and reasons to finish by choice, and the usage of the last chunk."""
    texts, reasons, usage = {}, {}, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text = choice.delta.content if hasattr(choice, "delta") else choice.text
            texts[choice.index] = texts.get(choice.index, "") + (text or "")
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
    return [texts[i] for i in sorted(texts)], [reasons[i] for i in sorted(reasons)], usage


def test_models_are_the_weights_of_the_folder(client):
    assert [one.id for one in client.models.list()] == ["full_sft_32", "pretrain_32"]
    assert client.models.retrieve("pretrain_32").object == "model"


@pytest.mark.parametrize(
    "more", [{}, {"temperature": 0, "stop": ["e"]}, {"n": 3, "top_p": 0.9, "frequency_penalty": 1}]
)
def test_a_chat_is_the_same_streamed_or_not(client, more):
    whole = client.chat.completions.create(**ASKED, **more)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    texts, reasons, usage = joined(client.chat.completions.create(**ASKED, **more, **options))
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage and whole.usage.completion_tokens <= 30 * more.get("n", 1)
    assert len(set(texts)) == len(texts) and all(texts)  # n answers differ


def test_a_completion_is_the_same_streamed_or_not(client):
    asked = {"model": "pretrain_32", "prompt": ["Once", "你"], "n": 2, "seed": 1, "echo": True, "logprobs": 2}
    whole = client.completions.create(**asked, max_tokens=12)
    texts, reasons, _ = joined(client.completions.create(**asked, max_tokens=12, stream=True))
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert texts[0].startswith("Once") and texts[0] != texts[1]
    told = [[] for _ in range(4)]
    for chunk in client.completions.create(**asked, max_tokens=12, stream=True):
        for choice in chunk.choices:
            told[choice.index] += choice.logprobs.token_logprobs
    assert told == [choice.logprobs.token_logprobs for choice in whole.choices]


def test_logprobs_are_those_of_the_network(client, weights):
    loaded = load_model(weights / "pretrain_32.pth")
    ids = [1, 40, 77, 130, 201, 9, 33]
    asked = {"model": "pretrain_32", "prompt": [ids], "echo": True, "logprobs": 3, "temperature": 0}
    (choice,) = client.completions.create(**asked, max_tokens=4).choices
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == len(told.top_logprobs) == 11
    (alone,) = client.completions.create(**asked, max_tokens=0).choices
    assert alone.logprobs.token_logprobs == told.token_logprobs[:7] and alone.finish_reason == "length"
    with torch.no_grad():
        written = list(ids)
        for _ in range(4):
            written.append(int(loaded.model(torch.tensor([written]))[0, -1].argmax()))
        expected = loaded.model(torch.tensor([written]))[0].double().log_softmax(-1)
    for place, token in enumerate(written[1:]):
        assert told.token_logprobs[place + 1] == pytest.approx(float(expected[place, token]), abs=1e-4)
        best = told.top_logprobs[place + 1]
        assert max(best.values()) == pytest.approx(float(expected[place].max()), abs=1e-4)
        assert told.token_logprobs[place + 1] in best.values()
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    assert [told.token_logprobs[i] == max(told.top_logprobs[i].values()) for i in range(7, 11)] == [True] * 4


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def test_tools_are_shown_and_a_call_can_be_required(client):
    asked = {"model": "full_sft_32", "temperature": 0, "max_tokens": 3, "tools": TOOLS}
    question = {"role": "user", "content": "?"}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [question, {"role": "assistant", "content": None, "tool_calls": [call]}]
    turns.append({"role": "tool", "tool_call_id": "call_1", "content": "5"})
    free = client.chat.completions.create(**asked, messages=turns)
    hidden = client.chat.completions.create(**asked, messages=turns, tool_choice="none")
    assert free.usage.prompt_tokens > hidden.usage.prompt_tokens + 50
    for choice, beginning in (
        ("required", '<tool_call>\n{"name": "'),
        ({"type": "function", "function": {"name": "f"}}, '<tool_call>\n{"name": "f", "arguments": '),
    ):
        forced = client.chat.completions.create(**asked, messages=[question], tool_choice=choice)
        assert forced.choices[0].message.content.startswith(beginning)  # a network that has learned nothing breaks off


def test_a_chat_tells_of_its_tokens(client):
    asked = {**ASKED, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked)
    streamed = {0: [], 1: []}
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.logprobs.content if choice.logprobs else []
    for choice in whole.choices:
        told = choice.logprobs.content
        assert streamed[choice.index] == told and all(len(one.top_logprobs) == 2 for one in told)
        spelled = b"".join(bytes(one.bytes) for one in told).decode("utf-8", "replace")
        assert spelled.startswith(choice.message.content[:3])
