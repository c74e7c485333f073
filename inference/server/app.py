"""The routes of the server: from a request to its reply, or to the events of its stream."""

import asyncio
import contextlib
import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inference.server import replies
from inference.server.assembly import chat_events, chat_reply, completion_events, completion_reply
from inference.server.engine import Engine
from inference.server.exchange import COMPLETION_TOKENS, Exchange, chat_prompt, completion_prompts
from inference.server.guard import Guard, body_of
from inference.server.parameters import BadRequest
from inference.server.requests import chat, completion, read_body
from inference.server.shelf import Shelf
from inference.server.writing import Failure
from model.errors import SproutError

PAGE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Limits:
    """slots: texts written at a time; queue: texts that wait; body: bytes; seconds: of a request; max_new_tokens: of a
    chat answer whose request names no limit."""

    slots: int = 16
    queue: int = 256
    body: int = 4 * 2**20
    seconds: int = 600
    max_new_tokens: int = 1024


class Server:
    """The routes, with what they share. `app` is the ASGI application."""

    def __init__(self, shelf: Shelf, limits: Limits, api_key: str | None = None):
        self._shelf = shelf
        self._limits = limits
        self._page, self._page_headers = _page()
        routes = [
            Route("/", self.page),
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/models/{name}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]
        handlers = {
            BadRequest: _refused,
            SproutError: _unusable,
            Failure: _failed,
            HTTPException: _no_route,
            ClientDisconnect: _gone,
            Exception: _mistake,
        }
        inner = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)
        self.app = Guard(inner, api_key)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app) -> AsyncIterator[None]:
        self._engine = Engine(asyncio.get_running_loop(), self._limits.slots, self._limits.queue)
        try:
            yield
        finally:
            await asyncio.to_thread(self._engine.close)

    def end(self) -> None:
        """Gives up all answers that are not complete, so that their clients hear of it before the server is gone."""
        self._engine.end()

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers=self._page_headers)

    async def health(self, request: Request) -> Response:
        running, waiting = self._engine.load
        return JSONResponse({"status": "ok", "running": running, "waiting": waiting})

    async def models(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._shelf.models)
        return JSONResponse({"object": "list", "data": [_model(*one) for one in found]})

    async def model(self, request: Request) -> Response:
        return JSONResponse(_model(*await asyncio.to_thread(self._shelf.called, request.path_params["name"])))

    async def chat(self, request: Request) -> Response:
        asked = chat(read_body(await body_of(request, self._limits.body)))
        served = await self._shelf.get(asked.model)
        prompt = await asyncio.to_thread(chat_prompt, served, asked)
        default = self._limits.max_new_tokens
        exchange = Exchange(self._engine, served, asked, [prompt], default, self._limits.seconds)
        if asked.stream:
            return Stream(exchange, chat_events(exchange, asked))
        return await answered(request, exchange, chat_reply(exchange, asked))

    async def completions(self, request: Request) -> Response:
        asked = completion(read_body(await body_of(request, self._limits.body)))
        served = await self._shelf.get(asked.model)
        prompts = await asyncio.to_thread(completion_prompts, served, asked)
        exchange = Exchange(self._engine, served, asked, prompts, COMPLETION_TOKENS, self._limits.seconds)
        if asked.stream:
            return Stream(exchange, completion_events(exchange, asked))
        return await answered(request, exchange, completion_reply(exchange, asked))


class Stream(StreamingResponse):
    """Server-sent events. Starlette ends them when the client goes; then the places are free."""

    def __init__(self, exchange: Exchange, events: AsyncIterator[dict]):
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(_written(exchange, events), media_type="text/event-stream", headers=headers)
        self._exchange = exchange

    async def __call__(self, scope, receive, send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exchange.close()


async def _written(exchange: Exchange, chunks: AsyncIterator[dict]) -> AsyncIterator[str]:
    """The events of chunks. With `include_usage` each has a usage of null, and one more has that of all."""
    more = {"usage": None} if exchange.asked.usage_in_stream else {}
    head: dict = {}
    try:
        async for chunk in chunks:
            head = head or {key: value for key, value in chunk.items() if key != "choices"}
            yield replies.event(chunk | more)
        if more:
            yield replies.event({**head, "choices": [], "usage": replies.usage_of(*exchange.usage)})
    except Failure as failure:
        yield replies.event(replies.error_body(failure.status, str(failure)))
    yield replies.event("[DONE]")


async def answered(request: Request, exchange: Exchange, reply) -> Response:
    """Waits for the reply, or for the client to go."""
    writing, gone = asyncio.ensure_future(reply), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({writing, gone}, return_when=asyncio.FIRST_COMPLETED)
        return JSONResponse(writing.result()) if writing.done() else Response(status_code=499)  # the client has gone
    finally:
        writing.cancel()
        gone.cancel()
        exchange.close()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _model(name: str, created: int) -> dict:
    return {"id": name, "object": "model", "created": created, "owned_by": "sprout"}


def _page() -> tuple[str, dict]:
    """The chat page. Nothing but its own script runs in it, and it asks nobody but this server."""
    text = PAGE.read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    policy += "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return text, {"content-security-policy": policy, "x-content-type-options": "nosniff"}


def _error(status: int, *words, headers: dict | None = None) -> Response:
    return JSONResponse(replies.error_body(status, *words), status, headers)


async def _refused(request: Request, error: BadRequest) -> Response:
    return _error(error.status, str(error), error.param, error.code)


async def _unusable(request: Request, error: SproutError) -> Response:
    return _error(400, str(error))


async def _failed(request: Request, failure: Failure) -> Response:
    return _error(failure.status, str(failure))


async def _no_route(request: Request, error: HTTPException) -> Response:
    about = "there is no such route" if error.status_code == 404 else str(error.detail)
    advice = "" if request.url.path.startswith("/v1/") else "; give your program an address that ends in /v1"
    return _error(error.status_code, f"{about}: {request.method} {request.url.path}{advice}", headers=error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _mistake(request: Request, error: Exception) -> Response:
    return _error(500, "the server failed at this request; its terminal says why")
