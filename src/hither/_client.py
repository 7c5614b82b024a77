"""The sync client."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from ._options import method_name
from ._setup import BaseClient, NetworkSettings, SyncNetwork, make_engine
from .net.base import run_sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any, Self, Unpack

    from ._request import Request
    from ._response import Response
    from ._types import ClientOptions, RequestOptions, URLTypes


class Client(BaseClient):
    """Makes requests, and keeps connections, cookies and defaults between them.

    Safe to use from many threads, and after `fork`. Close it, or use it as a context manager. Options: see
    `ClientOptions`; those of a request are defaults for all.

    >>> with Client(base_url="http://127.0.0.1:1", timeout=2) as client:
    ...     client.get("/items", params={"page": 1})
    Traceback (most recent call last):
    hither._errors.ConnectError: no connection (127.0.0.1:1: Connection refused) [GET http://127.0.0.1:1/items?page=1]
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._start(options)

    def _start(self, options: ClientOptions, *, keep_cookies: bool = True) -> None:
        self._networks = SyncNetwork(NetworkSettings(options))
        self._engine, self._transports = make_engine(
            "Client()", options, self._networks.current, _adapt, is_async=False, keep_cookies=keep_cookies
        )
        self._engine.own_network = self._networks.current()

    # Requests

    def request(self, method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and return the response, read whole. Options: see `RequestOptions`.

        Raises an `HTTPError` when there is no response; a status of 400 or more is one.
        """
        return run_sync(self._engine.request(method_name(method), url, options))

    def get(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """GET (RFC 9110 §9.3.1)."""
        return run_sync(self._engine.request("GET", url, options))

    def head(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """HEAD (RFC 9110 §9.3.2)."""
        return run_sync(self._engine.request("HEAD", url, options))

    def post(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """POST (RFC 9110 §9.3.3)."""
        return run_sync(self._engine.request("POST", url, options))

    def put(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """PUT (RFC 9110 §9.3.4)."""
        return run_sync(self._engine.request("PUT", url, options))

    def patch(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """PATCH (RFC 5789)."""
        return run_sync(self._engine.request("PATCH", url, options))

    def delete(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """DELETE (RFC 9110 §9.3.5)."""
        return run_sync(self._engine.request("DELETE", url, options))

    def options(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """OPTIONS (RFC 9110 §9.3.7)."""
        return run_sync(self._engine.request("OPTIONS", url, options))

    def query(self, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
        """QUERY: a GET with content."""
        return run_sync(self._engine.request("QUERY", url, options))

    @contextmanager
    def stream(self, method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> Iterator[Response]:
        r"""Send a request; the response's content is read inside the `with` block, and closed at its end.

        >>> from hither import MockTransport, Response
        >>> with Client(transport=MockTransport(lambda request: Response(stream=[b"one\n", b"two"]))) as client:
        ...     with client.stream("GET", "https://example.org/log") as response:
        ...         list(response.iter_lines())
        ['one', 'two']
        """
        with run_sync(self._engine.request(method_name(method), url, options, stream=True)) as response:
            yield response

    def send(self, request: Request, *, stream: bool = False, **options: Unpack[RequestOptions]) -> Response:
        """Send a request that `build_request` made, or a `Request` of your own.

        With `stream` the response must be read and closed by the caller. Options: `auth cookies follow_redirects
        max_redirects raise_for_status timeout`, in place of those that the request was built with.
        """
        return run_sync(self._engine.send(request, self._engine.settings_for(request, options), stream))

    def close(self) -> None:
        """Close all idle connections; those of open responses close with these."""
        self._engine.closed = True
        transports, self._transports = self._transports, []
        with ExitStack() as stack:
            stack.callback(self._networks.close)
            for transport in transports:
                stack.callback(transport.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _adapt(transport: Any) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    if not hasattr(transport, "handle_request"):
        raise TypeError(f"{type(transport).__name__} has no handle_request: Client needs a BaseTransport")

    async def handle(request: Request) -> Response:
        response: Response = transport.handle_request(request)
        return response

    return handle
