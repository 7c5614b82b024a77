"""Answers from a function, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._response import Response
from .base import AsyncBaseTransport, BaseTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from .._request import Request

    Handler: TypeAlias = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]


class MockTransport(BaseTransport, AsyncBaseTransport):
    """Answers each request with what `handler(request)` returns or raises, for both clients.

    The request's body is read before, so that `request.content` is there. An async handler is for
    `AsyncClient` only; `TypeError` when a handler returns no `Response`.

    >>> from hither import Client, Response
    >>> def handler(request):
    ...     return Response(200, json={"path": request.url.path})
    >>> with Client(transport=MockTransport(handler)) as client:
    ...     client.get("https://example.org/items").json()
    {'path': '/items'}
    """

    def __init__(self, handler: Handler) -> None:
        if not callable(handler):
            raise TypeError(f"handler takes a function of a request, not {type(handler).__name__}")
        self.handler = handler

    def handle_request(self, request: Request) -> Response:
        """Return the handler's response."""
        request.read()
        return _response(self.handler(request))

    async def handle_async_request(self, request: Request) -> Response:
        """Return the handler's response; await it when the handler is async."""
        await request.aread()
        answer: Any = self.handler(request)
        return _response(await answer if hasattr(answer, "__await__") else answer)


def _response(answer: Any) -> Response:
    if isinstance(answer, Response):
        return answer
    if hasattr(answer, "__await__"):
        if hasattr(answer, "close"):
            answer.close()
        raise TypeError("the handler of this MockTransport is async: use it with AsyncClient")
    raise TypeError(f"the handler of a MockTransport returns a Response, not {type(answer).__name__}")
