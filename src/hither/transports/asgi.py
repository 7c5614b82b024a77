"""Requests to an ASGI application in this process (ASGI 3.0), under asyncio and trio.

    AsyncClient ─► ASGITransport ─► _Exchange ◄─ receive, send ─ the application, in a task of its own

The application runs beside the reader: its response begins when it says so, and goes on as it is read.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._errors import ReadTimeout, StreamClosed
from .._options import Timeout
from ._application import Content, broken_off, make_head, respond
from .base import AsyncBaseTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from typing import TypeAlias

    from .._options import Deadline
    from .._request import Request
    from .._response import Response
    from ..net.tasks import Bell, Task, Tasks
    from ..protocol.events import ResponseHead
    from ._lifespan import Lifespan

    Message: TypeAlias = MutableMapping[str, Any]
    ASGIApplication: TypeAlias = Callable[
        [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
        Awaitable[None],
    ]

_HIGH_WATER = 65536  # bytes the application may be ahead of the reader, as uvicorn allows it
_GRACE = 1.0  # seconds for an application that was told of the disconnect to end by itself; our choice
_TIMEOUT = Timeout()


class ASGITransport(AsyncBaseTransport):
    """Answers the requests of an `AsyncClient` from an ASGI application, without a network.

    The application runs in a task of its own, and its response is streamed as it is sent. When the response
    is closed early the application gets `http.disconnect` if it listens (`send` raises `OSError`), and is
    then cancelled. Reading goes on until the application has returned, so that what it does after its
    response is done too. `Timeout.read` bounds each wait for the application.

    `raise_app_exceptions`: let what the application raises through to the caller; else a response of status
    500, or `RemoteProtocolError` when there was half a response. `root_path` and `client` are the scope's.
    `lifespan`: start the application up before the first request in an event loop and shut it down with
    `aclose`; `ConnectError` and `CloseError` when it says that it failed.

    >>> import asyncio, hither
    >>> async def app(scope, receive, send):
    ...     await send({"type": "http.response.start", "status": 200, "headers": []})
    ...     await send({"type": "http.response.body", "body": scope["path"].encode()})
    >>> async def main():
    ...     async with hither.AsyncClient(transport=ASGITransport(app)) as client:
    ...         return (await client.get("http://app.example/items")).text
    >>> asyncio.run(main())
    '/items'
    """

    def __init__(
        self,
        app: ASGIApplication,
        raise_app_exceptions: bool = True,
        root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 123),
        lifespan: bool = False,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app takes an ASGI application, not {type(app).__name__}")
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.root_path = root_path
        self.client = client
        self.lifespan = lifespan
        self._loops: dict[Any, _Loop] = {}

    async def handle_async_request(self, request: Request) -> Response:
        """Return the application's response as soon as it has begun."""
        started = monotonic()
        request.head()  # what could not be sent is refused here as everywhere
        deadline = request.deadline or _TIMEOUT
        loop = self._here()
        scope = self._scope(request)
        if self.lifespan:
            scope["state"] = await loop.begin(self, deadline)
        exchange = _Exchange(request, deadline, loop, raises=self.raise_app_exceptions)
        exchange.start(self.app, scope)
        head = await exchange.head()
        return respond(request, head, None if exchange.closed else exchange, started)

    def _scope(self, request: Request) -> dict[str, Any]:
        url = request.url
        path, _, query = url.target.partition(b"?")
        from urllib.parse import unquote_to_bytes

        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": self.root_path,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": self.client,
            "server": (url.key[1], url.key[2]),
            "extensions": {},
        }

    def _here(self) -> _Loop:
        from ..net.running import has_ended
        from ..net.tasks import tasks_here

        tasks = tasks_here()
        loop = self._loops.get(tasks.loop)
        if loop is None:
            for other in [other for other in list(self._loops) if has_ended(other)]:
                self._loops.pop(other, None)
            loop = self._loops[tasks.loop] = _Loop(tasks)
        return loop

    async def aclose(self) -> None:
        """End what still runs in this event loop, and shut the application down."""
        from ..net.running import running_loop

        loop = self._loops.pop(running_loop(), None)
        if loop is not None:
            await loop.end()


class _Loop:
    """What a transport has in one event loop: exchanges under way, and the application's lifespan."""

    __slots__ = ("exchanges", "lifespan", "tasks")

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self.exchanges: set[_Exchange] = set()
        self.lifespan: Lifespan | None = None

    async def begin(self, transport: ASGITransport, deadline: Deadline | Timeout) -> dict[str, Any]:
        """Start the application up, once; return a copy of its state, for one request."""
        from ._lifespan import Lifespan

        lifespan = self.lifespan
        if lifespan is None or lifespan.failed:
            lifespan = self.lifespan = Lifespan(
                transport.app, self.tasks, raise_app_exceptions=transport.raise_app_exceptions
            )
        await lifespan.startup(deadline)
        return lifespan.state.copy()

    async def end(self) -> None:
        """Close all exchanges, then the application."""
        exchanges = list(self.exchanges)
        for exchange in exchanges:
            exchange.leave()
        for exchange in exchanges:
            await exchange.aclose()
        lifespan, self.lifespan = self.lifespan, None
        if lifespan is not None:
            await lifespan.shutdown()


class _Exchange:
    """One request and its response, between the application's task and the reader.

    A source of content: `read_chunk`, `close`, `aclose`. The application's side is `receive` and `send`.
    """

    def __init__(self, request: Request, deadline: Deadline | Timeout, loop: _Loop, *, raises: bool) -> None:
        from ..net.tasks import Bell

        self.closed = False  # the reader has left, or has it all
        self._request = request
        self._deadline = deadline
        self._loop = loop
        self._raises = raises
        self._bell: Bell = Bell(loop.tasks)
        self._task: Task
        # The request's way
        self._asked_all = False  # the application has the whole request
        self._uploading = False  # it waits for the user's body, which takes the time it takes
        self._failure: Exception | None = None  # what the user's body raised
        # The response's way
        self._head: ResponseHead | None = None
        self._content: Content
        self._pieces: deque[bytes] = deque()
        self._ahead = 0  # bytes in `_pieces`
        self._complete = False
        self._listening = 0  # calls of `receive` and `send` that would notice a disconnect
        self._moves = 0  # what the application did: each gives it time anew

    def start(self, app: ASGIApplication, scope: dict[str, Any]) -> None:
        """Start the application's task."""
        self._loop.exchanges.add(self)
        self._task = self._loop.tasks.start(lambda: app(scope, self.receive, self.send), self._ended)

    def _ended(self) -> None:
        self._loop.exchanges.discard(self)
        self._bell.ring()

    # What the application calls

    async def receive(self) -> Message:
        """Return the next piece of the request; after all of them, wait for the end of the exchange."""
        await self._loop.tasks.turn()
        if not self._asked_all and not self.closed:
            return await self._receive_piece()
        self._listening += 1
        try:
            await self._bell.until(lambda: self._complete or self.closed)
        finally:
            self._listening -= 1
        return {"type": "http.disconnect"}

    async def _receive_piece(self) -> Message:
        body = self._request.body
        if body is None or isinstance(body, bytes):
            self._asked_all = True
            return {"type": "http.request", "body": body or b"", "more_body": False}
        self._uploading = True
        try:
            piece = await body.read_chunk()
        except Exception as error:  # noqa: BLE001 - it is raised to the reader, whose body it is
            self._asked_all = True
            self._failure = error
            return {"type": "http.disconnect"}
        finally:
            self._uploading = False
            self._moves += 1
            self._bell.ring()
        self._asked_all = not piece
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(self, message: Message) -> None:
        """Take a part of the response; `OSError` when nobody reads it any more."""
        kind = message["type"]
        if self._head is None:
            if kind != "http.response.start":
                raise RuntimeError(f"the application sent {kind!r} before 'http.response.start'")
            self._take_head(message)
        elif kind == "http.response.body":
            self._take_body(message)
        elif kind != "http.response.trailers":
            raise RuntimeError(f"the application sent {kind!r} in the place of 'http.response.body'")
        self._moves += 1
        self._bell.ring()
        await self._loop.tasks.turn()
        self._listening += 1
        try:
            await self._bell.until(lambda: self._ahead <= _HIGH_WATER or self.closed)
        finally:
            self._listening -= 1
        if self.closed and not self._complete:
            raise OSError("the client has closed the response")

    def _take_head(self, message: Message) -> None:
        fields = [(name, value) for name, value in message.get("headers", ())]
        head = make_head(message["status"], b"", fields)
        self._content = Content(self._request, head)
        self._head = head

    def _take_body(self, message: Message) -> None:
        if self._complete:
            raise RuntimeError("the application sent more content after the last of its response")
        piece = self._content.take(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if piece and not self.closed:
            self._pieces.append(piece)
            self._ahead += len(piece)

    # What the reader calls

    async def head(self) -> ResponseHead:
        """Wait for the head; when the application fails first, raise that or return a 500."""
        try:
            await self._wait(lambda: self._head is not None or self._over, "waiting for the application")
            if self._failure is not None or (self._head is None and not self._tells_500()):
                raise self._reason()
        except BaseException:
            await self._stop()
            raise
        if self._head is None:
            self.closed = True
            return make_head(500, b"", [])
        return self._head

    def _tells_500(self) -> bool:
        return not self._raises and isinstance(self._task.error, Exception)

    async def read_chunk(self) -> bytes:
        """Return the next piece of content; b"" when it is complete and the application has returned."""
        if self.closed:
            raise StreamClosed("the response was closed before it was read", request=self._request)
        try:
            await self._wait(self._has_news, "reading the application's response")
            if self._failure is not None:
                raise self._failure
            if self._pieces:
                piece = self._pieces.popleft()
                self._ahead -= len(piece)
                self._bell.ring()
                return piece
            if not self._complete:
                raise self._reason()
            await self._wait(lambda: self._task.ended, "waiting for the application to return")
            if self._task.error is not None and self._raises:
                raise self._task.error
            self._content.end()
        except BaseException:
            await self._stop()
            raise
        self.closed = True
        return b""

    def _has_news(self) -> bool:
        return bool(self._pieces) or self._complete or self._over

    @property
    def _over(self) -> bool:
        return self._failure is not None or self._task.ended

    def _reason(self) -> BaseException:
        error = self._failure or self._task.error
        if error is not None and (error is self._failure or self._raises or not isinstance(error, Exception)):
            return error
        return broken_off(error, begun=self._head is not None)

    async def _wait(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for the application, no longer than `Timeout.read` without it doing anything."""
        deadline = self._deadline
        try:
            limit, since, moves = deadline.read, monotonic(), self._moves
            while not happened():
                if self._uploading or self._moves != moves:
                    limit, since, moves = deadline.read, monotonic(), self._moves
                left = None if limit is None else since + limit - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                await self._bell.wait(left)
        except TimeoutError:
            raise deadline.expired(ReadTimeout, "read", what) from None

    async def _stop(self) -> None:
        """Cancel the application and wait until it has ended."""
        self.close()
        await self._task.join()

    def leave(self) -> None:
        """Tell the application, if it listens, that nobody reads any more."""
        self.closed = True
        self._pieces.clear()
        self._ahead = 0
        self._bell.ring()

    def close(self) -> None:
        """Cancel the application, without waiting for it."""
        self.leave()
        self._task.cancel()

    async def aclose(self) -> None:
        """Tell the application, and cancel it if it does not listen or goes on all the same."""
        if self.closed and self._task.ended:
            return
        self.leave()
        try:
            if self._listening or self._complete:
                await self._bell.until(lambda: self._task.ended, _GRACE)
        finally:
            await self._stop()
