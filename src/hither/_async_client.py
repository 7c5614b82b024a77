"""The async client, for asyncio and trio."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

from ._options import method_name
from ._setup import BaseClient, LoopNetworks, NetworkSettings, make_engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any, Self, Unpack

    from ._request import Request
    from ._response import Response
    from ._types import ClientOptions, RequestOptions, URLTypes


class AsyncClient(BaseClient):
    """Makes requests, and keeps connections, cookies and defaults between them.

    Works under asyncio and trio, and through several event loops, one after another or at once in threads: each
    has connections of its own. Close it, or use it as a context manager. Options: see `ClientOptions`; those of
    a request are defaults for all.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncClient(base_url="http://127.0.0.1:1", timeout=2) as client:
    ...         await client.get("/items", params={"page": 1})
    >>> asyncio.run(main())
    Traceback (most recent call last):
    hither._errors.ConnectError: no connection (127.0.0.1:1: Connection refused) [GET http://127.0.0.1:1/items?page=1]
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._start(options)

    def _start(self, options: ClientOptions, *, keep_cookies: bool = True) -> None:
        self._networks = LoopNetworks(NetworkSettings(options))
        self._engine, self._transports = make_engine(
            "AsyncClient()", options, self._networks.current, _adapt, is_async=True, keep_cookies=keep_cookies
        )

    # Requests

    async def request(self, method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and return the response, read whole. Options: see `RequestOptions`.

        Raises an `HTTPError` when there is no response; a status of 400 or more is one.
        """
        return await self._engine.request(method_name(method), url, options)

    async def get(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """GET (RFC 9110 §9.3.1)."""
        return await self._engine.request("GET", url, options)

    async def head(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """HEAD (RFC 9110 §9.3.2)."""
        return await self._engine.request("HEAD", url, options)

    async def post(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """POST (RFC 9110 §9.3.3)."""
        return await self._engine.request("POST", url, options)

    async def put(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """PUT (RFC 9110 §9.3.4)."""
        return await self._engine.request("PUT", url, options)

    async def patch(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """PATCH (RFC 5789)."""
        return await self._engine.request("PATCH", url, options)

    async def delete(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """DELETE (RFC 9110 §9.3.5)."""
        return await self._engine.request("DELETE", url, options)

    async def options(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS (RFC 9110 §9.3.7)."""
        return await self._engine.request("OPTIONS", url, options)

    async def query(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """QUERY: a GET with content."""
        return await self._engine.request("QUERY", url, options)

    @asynccontextmanager
    async def stream(self, method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> AsyncIterator[Response]:
        """Send a request; the response's content is read inside the `with` block, and closed at its end."""
        async with await self._engine.request(method_name(method), url, options, stream=True) as response:
            yield response

    async def send(self, request: Request, *, stream: bool = False, **options: Unpack[RequestOptions]) -> Response:
        """Send a request that `build_request` made, or a `Request` of your own.

        With `stream` the response must be read and closed by the caller. Options: `auth cookies follow_redirects
        max_redirects raise_for_status timeout`, in place of those that the request was built with.
        """
        return await self._engine.send(request, self._engine.settings_for(request, options), stream)

    async def aclose(self) -> None:
        """Close all idle connections; those of open responses close with these."""
        self._engine.closed = True
        transports, self._transports = self._transports, []
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._networks.aclose)
            for transport in transports:
                stack.push_async_callback(transport.aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


def _adapt(transport: Any) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    if not hasattr(transport, "handle_async_request"):
        raise TypeError(
            f"{type(transport).__name__} has no handle_async_request: AsyncClient needs an AsyncBaseTransport"
        )

    async def handle(request: Request) -> Response:
        response: Response = await transport.handle_async_request(request)
        return response

    return handle
