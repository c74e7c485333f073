"""Replies of a server with OpenAI's interface: ours, ollama, vLLM, llama.cpp, or one on the internet.

At most `in_flight` requests are open at a time. One that meets a busy server (429), a failing one (5xx) or silence is
sent again after a pause that doubles each time. A key is sent with each request, and appears in no message and no file.
"""

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC
from email.utils import parsedate_to_datetime

from inference.instruct.checks import LONGEST
from inference.instruct.requests import Reply, Request
from model.errors import SproutError, UsageError, on_one_line

LARGEST_BODY = 4 * 2**20  # bytes of a reply
LONGEST_PAUSE = 60.0  # seconds
MOST_REFUSED = 3  # requests without a usable reply before one has it; after more, the server is not what it should be
NOT_ACCEPTED = (400, 413, 422)  # this request is wrong, a prompt that is too long say; others may be accepted


class _Again(Exception):
    """Why a request has to be sent again. pause: seconds that the server asks for."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


class Endpoint:
    """address: up to /v1. timeout: seconds for a whole reply. pause: seconds before the second attempt.

    Attributes:
        retried: how many requests were sent again.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        api_key: str | None = None,
        in_flight: int = 8,
        timeout: float = 120.0,
        retries: int = 6,
        pause: float = 1.0,
    ):
        try:
            import httpx
        except ImportError as error:
            raise UsageError('--endpoint needs the package httpx: pip install -e ".[instruct]"') from error
        if not _has_host(httpx, address):
            raise UsageError("--endpoint is the address of a server, such as http://127.0.0.1:8998/v1")
        if api_key is not None and (not api_key.isascii() or not api_key.isprintable() or not api_key.strip()):
            raise UsageError("the API key in the environment is not made of plain letters and digits: set it anew")
        self.address = address.rstrip("/")
        self.model = model
        self.retried = 0
        self._http = httpx
        self._in_flight = in_flight
        self._timeout = timeout
        self._retries = retries
        self._pause = pause
        headers = {"Authorization": f"Bearer {api_key.strip()}"} if api_key else {}
        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        try:
            self._client = httpx.Client(headers=headers, limits=limits, timeout=timeout)
        except (ValueError, ImportError) as error:  # a proxy of the environment that cannot be used
            raise SproutError("the proxy that the environment names cannot be used: unset it") from error
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self._accepted = False  # whether any request has had a usable reply
        self._refused = 0

    def replies(self, requests: Sequence[Request]) -> Iterator[tuple[int, Reply]]:
        """Raises `SproutError` when a request fails for good, `KeyboardInterrupt` at Ctrl-C: in both cases after the
        replies to the requests that are open, since they may cost something."""
        pool, error = ThreadPoolExecutor(self._in_flight), None
        self._ends.clear()
        try:
            places = {pool.submit(self._reply, request): place for place, request in enumerate(requests)}
            waiting = set(places)
            while waiting:
                try:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                except KeyboardInterrupt as interrupt:
                    if error:  # the second time
                        raise
                    error = interrupt
                    self._ends.set()
                    continue
                for one in done:
                    if one.exception() is None:
                        yield places[one], one.result()
                    else:
                        error = error or one.exception()
                        self._ends.set()
            if error:
                raise error
        finally:
            self._ends.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _reply(self, request: Request) -> Reply:
        attempt, reason = -1, "the run ends"
        for attempt in range(self._retries + 1):
            if self._ends.is_set():
                break
            try:
                return self._once(request)
            except _Again as error:
                reason, pause = str(error), pause_of(error.pause, self._pause * 2**attempt)
            if attempt == self._retries or self._ends.wait(pause):
                break
            with self._lock:
                self.retried += 1
        raise SproutError(
            f"{self.address} gave no answer in {attempt + 1} attempts ({reason}): see whether the server runs, then go"
            " on with --resume"
        )

    def _once(self, request: Request) -> Reply:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": request.message}],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        }
        status, headers, content = self._post(body)
        if status == 429 or status >= 500 or status == 408:
            said = self._said(content)  # of an account without money say, which no pause helps
            raise _Again(f"status {status}{said and f', {said}'}", seconds_of(headers.get("retry-after", "")))
        if status in NOT_ACCEPTED:
            with self._lock:
                self._refused += 1
            if self._accepted or self._refused <= MOST_REFUSED:
                return Reply("", "refused")
        if status != 200:
            hint = "is the API key right?" if status in (401, 403) else "are the address and --model right?"
            if status in NOT_ACCEPTED:
                hint = "it accepts no request, so take shorter seeds, a smaller --max_new_tokens or another server"
            raise SproutError(f"{self.address} answered with status {status} ({self._said(content)}): {hint}")
        reply = reply_of(content)
        if reply.finish != "garbage":
            self._accepted = True
        elif not self._accepted:
            with self._lock:
                self._refused += 1
            if self._refused > MOST_REFUSED:  # a web page, say: without this, a run would ask for all its rounds
                raise SproutError(
                    f"{self.address} gives no chat completion ({self._said(content)}): is the address right, up to /v1?"
                )
        return reply

    def _said(self, content: bytes) -> str:
        """The beginning of what a server answered, without the key, which it may quote."""
        text, key = content.decode("utf-8", "replace"), self._client.headers.get("authorization", "")
        key = key.removeprefix("Bearer ")
        return on_one_line((text.replace(key, "***") if key else text)[:200].strip())

    def _post(self, body: dict) -> tuple[int, dict, bytes]:
        late = time.monotonic() + self._timeout
        try:
            with self._client.stream("POST", f"{self.address}/chat/completions", json=body) as response:
                content = b""
                for piece in response.iter_bytes():
                    content += piece
                    if time.monotonic() > late:  # the library's own limit is for each piece
                        raise _Again(f"not complete after {self._timeout:g} seconds")
                    if len(content) > LARGEST_BODY:
                        return 200, {}, b""  # no answer of the length that was asked for
                return response.status_code, response.headers, content
        except self._http.ConnectError as error:
            if not self._accepted:  # more likely a wrong address than a server that will come back
                raise SproutError(
                    f"there is no server at {self.address} ({on_one_line(str(error))}): start it, or correct --endpoint"
                ) from error
            raise _Again("no connection") from error
        except (self._http.HTTPError, OSError) as error:
            raise _Again(type(error).__name__) from error


def _has_host(httpx, address: str) -> bool:
    try:
        host = httpx.URL(address).host
        host.encode("idna")  # as a connection does
    except (httpx.InvalidURL, ValueError):
        return False
    return address.startswith(("http://", "https://")) and bool(host)


def reply_of(content: bytes) -> Reply:
    """What the body of a reply says; one that is not what it should be is a `Reply` that "garbage" ends."""
    try:
        value = json.loads(content)
        choice = value["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Reply("", "garbage")
    if text is None:
        text = ""
    if not isinstance(text, str) or not isinstance(finish, str):
        return Reply("", "garbage")
    usage = value.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else 0 for name in ("prompt_tokens", "completion_tokens")]
    counts = [one if type(one) is int and 0 <= one < 2**31 else 0 for one in counts]
    return Reply(text[: LONGEST + 1], finish[:20], *counts)


def seconds_of(text: str) -> float:
    """How long Retry-After asks to wait, as seconds or as a date (RFC 9110); 0 for anything else."""
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text[:9])
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)  # such dates are always of that zone
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def pause_of(asked: float, own: float) -> float:
    """Seconds before a request is sent again, never fewer than the server asked for, up to `LONGEST_PAUSE`; at random,
    so that the requests of a moment do not come back together. own: what is waited without being asked."""
    return max(min(asked, LONGEST_PAUSE) * random.uniform(1, 1.2), min(own, LONGEST_PAUSE) * random.uniform(0.8, 1.2))
