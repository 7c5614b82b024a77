"""The ASGI application that hypercorn serves in test_http2_servers.py; peer.mjs answers alike."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

BINARY = {"/1mb.bin": 1_000_000, "/20mb.bin": 20_000_000}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    answer = ANSWERS.get(scope["path"])
    if answer is not None:
        await answer(scope, receive, send)
    elif scope["path"] in BINARY:
        await _respond(send, hashlib.shake_128(b"peer").digest(BINARY[scope["path"]]))
    else:
        await _respond(send, b"no such path", status=404)


async def _start(send: Any, status: int = 200, *fields: tuple[bytes, bytes], trailers: bool = False) -> None:
    await send({"type": "http.response.start", "status": status, "headers": fields, "trailers": trailers})


async def _respond(send: Any, body: bytes, *fields: tuple[bytes, bytes], status: int = 200) -> None:
    await _start(send, status, *fields)
    for at in range(0, len(body), 65536):
        await send({"type": "http.response.body", "body": body[at : at + 65536], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _json(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _respond(send, b'{"message": "hello"}', (b"content-type", b"application/json"), (b"content-length", b"20"))


async def _digest(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The SHA-256 of the request's body."""
    digest = hashlib.sha256()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        digest.update(message.get("body", b""))
        if not message.get("more_body"):
            break
    await _respond(send, digest.hexdigest().encode())


async def _echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send back what comes, as it comes."""
    await _start(send)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
        if not message.get("more_body"):
            break
    await send({"type": "http.response.body", "body": b""})


async def _trailers(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _start(send, trailers=True)
    await send({"type": "http.response.body", "body": b"content", "more_body": False})
    await send({"type": "http.response.trailers", "headers": [(b"x-trailer", b"yes")], "more_trailers": False})


async def _hints(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await _respond(send, b"content")


async def _squeezed(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _respond(send, gzip.compress(b"squeezed " * 1000), (b"content-encoding", b"gzip"))


async def _moved(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _respond(send, b"", (b"location", b"/json"), status=301)


async def _nothing(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await _respond(send, b"", status=204)


ANSWERS = {
    "/json": _json,
    "/digest": _digest,
    "/echo": _echo,
    "/trailers": _trailers,
    "/hints": _hints,
    "/squeezed": _squeezed,
    "/moved": _moved,
    "/nothing": _nothing,
}
