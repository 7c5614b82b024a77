"""The client's own network as a transport, for a transport of the user's to stand on."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypedDict

from .._options import Timeout, check_options
from .._setup import LoopNetworks, NetworkSettings, SyncNetwork
from ..net.base import run_sync
from .base import AsyncBaseTransport, BaseTransport

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from .._options import Limits
    from .._request import Request
    from .._response import Response

_TIMEOUT = Timeout()


class NetworkOptions(TypedDict, total=False):
    """The options of a client that are about its connections."""

    limits: Limits
    http1: bool
    http2: bool
    verify: bool | str | os.PathLike[str] | ssl.SSLContext
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    trust_env: bool
    resolver: Any
    local_address: str | tuple[str, int] | None
    uds: str | None
    socket_options: Iterable[tuple[Any, ...]] | None


_KNOWN = frozenset(NetworkOptions.__annotations__)


def _settings(where: str, options: Mapping[str, Any]) -> NetworkSettings:
    check_options(where, options, _KNOWN)
    return NetworkSettings(options)


class HTTPTransport(BaseTransport):
    """Sends requests over connections of its own, with the options that `Client` has for them.

    Wrap it to change what goes out or comes in. One request is one exchange: redirects, cookies and auth are
    the client's. A request from outside a client has the timeouts of `Timeout()`.

    >>> from hither import Client
    >>> class Marked(HTTPTransport):
    ...     def handle_request(self, request):
    ...         request.headers["X-Mark"] = "1"
    ...         return super().handle_request(request)
    >>> client = Client(transport=Marked(verify=True, local_address="127.0.0.1"))
    >>> client.close()
    """

    def __init__(self, **options: Unpack[NetworkOptions]) -> None:
        self._networks = SyncNetwork(_settings("HTTPTransport()", options))

    def handle_request(self, request: Request) -> Response:
        """Send the request; the response's content is still to be read."""
        deadline = request.deadline or _TIMEOUT
        return run_sync(self._networks.current().send(request, deadline, monotonic()))

    def close(self) -> None:
        """Close the idle connections; those in use close with their responses."""
        self._networks.close()


class AsyncHTTPTransport(AsyncBaseTransport):
    """Sends requests over connections of its own, with the options that `AsyncClient` has for them.

    As `HTTPTransport`, under asyncio and trio; each event loop has its own connections.

    >>> from hither import AsyncClient
    >>> client = AsyncClient(transport=AsyncHTTPTransport(uds="/run/service.sock"))
    """

    def __init__(self, **options: Unpack[NetworkOptions]) -> None:
        self._networks = LoopNetworks(_settings("AsyncHTTPTransport()", options))

    async def handle_async_request(self, request: Request) -> Response:
        """Send the request; the response's content is still to be read."""
        deadline = request.deadline or _TIMEOUT
        return await self._networks.current().send(request, deadline, monotonic())

    async def aclose(self) -> None:
        """Close the idle connections of the running event loop; those in use close with their responses."""
        await self._networks.aclose()
