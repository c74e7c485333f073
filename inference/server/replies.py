"""OpenAI's objects: replies, chunks of a stream, log-probabilities, errors. Pure functions, plain dictionaries."""

import json
import time
import uuid
from collections.abc import Sequence

from model.running_batch import Scored
from model.text.spelling import Spelling

Told = Sequence[tuple[Scored, int]]  # tokens, each with the place in the text where it begins

LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}  # those that JSON leaves as they are
ERROR_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}


def head_of(kind: str, prefix: str, model: str) -> dict:
    """The fields with which a reply and all chunks of a stream begin. kind: their `object`."""
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def chat_choice(index: int, message: dict, finish: str, logprobs: dict | None) -> dict:
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def chunk_choice(index: int, delta: dict, finish: str | None = None, logprobs: dict | None = None) -> dict:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def text_choice(index: int, text: str, finish: str | None, logprobs: dict | None) -> dict:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict:
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def chat_logprobs(tokens: Told, spelling: Spelling) -> dict:
    """The `logprobs` of a chat's choice, [n tokens]."""

    def spelled(token: int, logprob: float) -> dict:
        return {
            "token": spelling.text_of(token),
            "logprob": logprob,
            "bytes": list(spelling.bytes_of(token)),
        }

    content = [
        {**spelled(token.id, token.logprob), "top_logprobs": [spelled(*one) for one in token.top]}
        for token, _ in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: Told, spelling: Spelling) -> dict:
    """The `logprobs` of a completion's choice: four lists of n tokens.

    The first token of a prompt has none. A token stands in its own `top_logprobs` even where it is not among the most
    probable; a number that occurs twice is the same number, so whether a token is the most probable can be compared.
    """
    return {
        "tokens": [spelling.text_of(token.id) for token, _ in tokens],
        "token_logprobs": [token.logprob for token, _ in tokens],
        "top_logprobs": [None if token.logprob is None else _top(token, spelling) for token, _ in tokens],
        "text_offset": [place for _, place in tokens],
    }


def _top(token: Scored, spelling: Spelling) -> dict[str, float]:
    pairs = {spelling.text_of(other): logprob for other, logprob in reversed(token.top)}  # of two alike, the first
    return {spelling.text_of(token.id): token.logprob, **pairs}


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict:
    kind = ERROR_TYPES.get(status, "invalid_request_error")
    whole = message.encode("utf-8", "replace").decode("utf-8")  # it may quote half a surrogate pair
    return {"error": {"message": whole, "type": kind, "param": param, "code": code}}


def event(value: dict | str) -> str:
    """A server-sent event. Many clients split a stream wherever Python splits lines, so JSON must hold none of that."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text.translate(LINE_ENDS)}\n\n"
