"""Reads the body of a request: the parameters of OpenAI's interface, checked.

Unknown parameters are ignored, as other servers of this interface do. A known one of a wrong type or out of range is
refused, since the server would silently do something else than was asked. null means that a parameter is not given.
"""

import json
from dataclasses import dataclass, field

from inference.server.messages import beginning_of, read_messages, read_tools
from inference.server.parameters import BadRequest, flag, number, object_under, text, whole
from model.sampling import Sampling

MOST_TEXTS = 128  # that one request may ask for: prompts times n
MOST_TOP = 20  # alternatives that are reported with a token
MOST_STOPS, MOST_STOP_CHARACTERS = 4, 200


@dataclass(frozen=True)
class Asked:
    """The parameters that both kinds of request have."""

    model: str | None
    sampling: Sampling
    n: int
    seed: int | None
    max_tokens: int | None
    stops: tuple[str, ...]
    presence: float
    frequency: float
    top: int | None  # alternatives that are reported with each token; None: no log-probabilities
    stream: bool
    usage_in_stream: bool


@dataclass(frozen=True)
class Chat(Asked):
    messages: list[dict] = field(default_factory=list)  # in the normal form of `dataset.records`
    tools: list[dict] = field(default_factory=list)
    beginning: str = ""  # what the answer has to begin with, so that it calls a tool


@dataclass(frozen=True)
class Completion(Asked):
    prompts: list[str | list[int]] = field(default_factory=list)
    echo: bool = False


def read_body(body: bytes) -> dict:
    """The JSON object that a body is."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
        reason = "a number in it has too many digits" if "max_str_digits" in str(error) else str(error)[:200]
        raise BadRequest(f"the body is not JSON: {reason}") from error
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def _refuse_constant(name: str):
    raise ValueError(f"{name} is not JSON")


def completion(body: dict) -> Completion:
    """A request to /v1/completions."""
    prompts = _prompts(body.get("prompt"))
    if body.get("suffix") not in (None, ""):
        raise BadRequest("this server only continues a prompt: leave out the suffix", "suffix")
    asked = _common(body, top=whole(body, "logprobs", 0, MOST_TOP))
    if body.get("best_of") not in (None, asked["n"]):
        raise BadRequest("this server gives all answers that it writes: best_of can only be n", "best_of")
    if len(prompts) * asked["n"] > MOST_TEXTS:
        raise BadRequest(f"a request may ask for {MOST_TEXTS} texts at most", "prompt")
    return Completion(**asked, prompts=prompts, echo=flag(body, "echo"))


def _prompts(value) -> list[str | list[int]]:
    """A text, texts, ids or lists of ids."""
    if isinstance(value, str):
        return [value]
    wrong = BadRequest("give a text, token ids, or a list of texts or of lists of ids, none of them empty", "prompt")
    if not isinstance(value, list) or not value:
        raise wrong
    if all(isinstance(one, str) for one in value):
        return value
    lists = [value] if all(type(one) is int for one in value) else value
    if not all(isinstance(one, list) and one and all(type(token) is int for token in one) for one in lists):
        raise wrong
    return lists


def chat(body: dict) -> Chat:
    """A request to /v1/chat/completions."""
    tools = read_tools(body)
    beginning = beginning_of(body.get("tool_choice"), tools)
    if body.get("tool_choice") == "none":
        tools = []
    top = whole(body, "top_logprobs", 0, MOST_TOP)
    told = flag(body, "logprobs")
    if top and not told:
        raise BadRequest("top_logprobs needs logprobs: set it to true", "top_logprobs")
    asked = _common(body, top=(top or 0) if told else None, limits=("max_completion_tokens", "max_tokens"))
    return Chat(**asked, messages=read_messages(body), tools=tools, beginning=beginning)


def _common(body: dict, top: int | None, limits=("max_tokens",)) -> dict:
    """The parameters that both kinds of request have."""
    options = object_under(body, "stream_options") or {}
    if body.get("logit_bias") not in (None, {}):
        raise BadRequest("this server cannot shift the logits of single tokens", "logit_bias")
    form = body.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
        raise BadRequest(
            'response_format must be {"type": "text"}: this server cannot make a network write JSON', "response_format"
        )
    given = [whole(body, name, 0, 2**31 - 1) for name in limits]
    temperature = number(body, "temperature", 0, 2, 1.0)
    top_k = whole(body, "top_k", -1, 2**31 - 1) or 0
    return {
        "model": text(body, "model"),
        "sampling": Sampling(
            temperature=temperature if temperature >= 1e-5 else 0.0,  # less is greedy, and would overflow
            top_k=max(top_k, 0),
            top_p=max(number(body, "top_p", 0, 1, 1.0), 1e-9),
            min_p=number(body, "min_p", 0, 1, 0.0),
            repetition_penalty=number(body, "repetition_penalty", 0.01, 100, 1.0),
        ),
        "n": 1 if (n := whole(body, "n", 1, MOST_TEXTS)) is None else n,
        "seed": whole(body, "seed", -(2**63), 2**64 - 1),
        "max_tokens": next((one for one in given if one is not None), None),
        "stops": _stops(body.get("stop")),
        "presence": number(body, "presence_penalty", -2, 2, 0.0),
        "frequency": number(body, "frequency_penalty", -2, 2, 0.0),
        "top": top,
        "stream": flag(body, "stream"),
        "usage_in_stream": flag(options, "include_usage", "stream_options"),
    }


def _stops(value) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > MOST_STOPS
        or not all(isinstance(stop, str) and 0 < len(stop) <= MOST_STOP_CHARACTERS for stop in stops)
    ):
        message = (
            f"stop must be a text, or a list of up to {MOST_STOPS}, each of 1 to {MOST_STOP_CHARACTERS} characters"
        )
        raise BadRequest(message, "stop")
    return tuple(stops)
