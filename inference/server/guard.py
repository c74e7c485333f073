"""Who may ask, and how much: the key, the name by which the server is called, the size of a body."""

import asyncio
import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse

from inference.server.parameters import BadRequest
from inference.server.replies import error_body

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A page on the internet can let its own name point to 127.0.0.1, and then read what a server there says (DNS
# rebinding). But such a page cannot call the server by one of these names. It can still send a request whose reply it
# cannot read; browsers then say in Origin whose page it is.
OWN_NAMES = (*LOOPBACK, "host.docker.internal")
BODY_SECONDS = 30.0  # within which a body has to come
DRAINED = 8  # times the limit: this much of a body that is too long is still read, so that the client sees the answer


class Guard:
    """Refuses requests before any route. If there is a key, it refuses those without it (the page and /health need no
    key); if there is none, those that call the server by another name than `OWN_NAMES`."""

    def __init__(self, app: Callable, api_key: str | None):
        self._app = app
        self._key = api_key

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        error = None
        if self._key is None:
            origin = headers.get(b"origin", b"")  # http://127.0.0.1:8998, or null; programs have none, or app://...
            hosts = [headers.get(b"host", b"")]
            hosts += [origin.rpartition(b"/")[2]] if origin.startswith((b"http", b"null")) else []
            if any(_name(host.decode("latin-1")) not in OWN_NAMES for host in hosts):
                error = 403, "without --api_key this server answers on this machine only: call it 127.0.0.1"
        elif scope["path"].startswith("/v1/"):
            given = headers.get(b"authorization", b"").removeprefix(b"Bearer ").strip()
            if not hmac.compare_digest(given, self._key.encode()):
                error = 401, "the key is missing or wrong: give it as Authorization: Bearer KEY"
        if error:
            response = JSONResponse(error_body(*error), error[0])
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _name(host: str) -> str:
    """The host of a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request. Raises `BadRequest` for one of more than `most` bytes, for one that does not come, and for
    one that is compressed."""
    if (packed := request.headers.get("content-encoding", "identity").strip()).lower() not in ("", "identity"):
        raise BadRequest(f"the body is in {packed[:80]}: send it uncompressed, without Content-Encoding", status=415)
    parts = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= most:
                    parts.append(part)
                elif size > DRAINED * most:
                    break
    except TimeoutError as error:
        raise BadRequest("the body did not come in time", status=408) from error
    if size > most:
        raise BadRequest(f"the body has more than {most} bytes: send less", status=413)
    return b"".join(parts)
