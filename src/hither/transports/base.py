"""What a transport promises."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from .._request import Request
    from .._response import Response


class BaseTransport:
    """Answers the requests of a `Client`. It may be called from many threads at once.

    `handle_request` returns a response for any status and raises an `HTTPError` only when there is no
    response; it does not follow redirects. `request.deadline`, when it is set, says how long the call may
    take; nothing interrupts a transport that does not look at it. `close` is called once, with the client.

    >>> from hither import Client, Response
    >>> class Closed(BaseTransport):
    ...     def handle_request(self, request):
    ...         return Response(503, text="closed for the winter")
    >>> with Client(transport=Closed()) as client:
    ...     client.get("https://example.org/")
    <Response [503 Service Unavailable]>
    """

    def handle_request(self, request: Request) -> Response:
        """Return the response to a request; its content may be a stream."""
        raise NotImplementedError(f"{type(self).__name__} has no handle_request: it is not for the sync client")

    def close(self) -> None:
        """Let go of what the transport holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncBaseTransport:
    """Answers the requests of an `AsyncClient`; the promises of `BaseTransport` hold."""

    async def handle_async_request(self, request: Request) -> Response:
        """Return the response to a request; its content may be a stream."""
        raise NotImplementedError(f"{type(self).__name__} has no handle_async_request: it is not for AsyncClient")

    async def aclose(self) -> None:
        """Let go of what the transport holds."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()
