"""The HTTP client for Python: sync and async from one engine.

>>> import hither
>>> hither.URL("https://example.org/?q=1").params["q"]
'1'
"""

from __future__ import annotations

from ._api import delete, get, head, options, patch, post, put, query, request, stream
from ._async_client import AsyncClient
from ._client import Client
from ._errors import (
    CircuitOpen,
    CloseError,
    ConnectError,
    ConnectTimeout,
    DecodingError,
    HTTPError,
    HTTPStatusError,
    InvalidURL,
    LocalProtocolError,
    NameResolutionError,
    NetworkError,
    PoolTimeout,
    ProtocolError,
    ProxyError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    RequestNotRead,
    ResponseNotRead,
    ResponseTooLarge,
    StreamClosed,
    StreamConsumed,
    StreamError,
    TimeoutException,
    TLSError,
    TooManyRedirects,
    TotalTimeout,
    TransportError,
    UnsupportedProtocol,
    WebSocketDisconnect,
    WebSocketError,
    WebSocketUpgradeError,
    WriteError,
    WriteTimeout,
)
from ._headers import Headers
from ._options import Limits, Timeout
from ._query import QueryParams
from ._request import Request
from ._resolve import Resolver
from ._response import Response
from ._timings import Timings
from ._url import URL
from ._version import __version__
from .policy.auth import Auth, BasicAuth, BearerAuth, DigestAuth, FunctionAuth, NetRCAuth
from .policy.cookies import Cookie, CookieConflict, Cookies
from .transports.base import AsyncBaseTransport, BaseTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .transports import ASGITransport, AsyncHTTPTransport, HTTPTransport, MockTransport, WSGITransport

__all__ = [
    "URL",
    "ASGITransport",
    "AsyncBaseTransport",
    "AsyncClient",
    "AsyncHTTPTransport",
    "Auth",
    "BaseTransport",
    "BasicAuth",
    "BearerAuth",
    "CircuitOpen",
    "Client",
    "CloseError",
    "ConnectError",
    "ConnectTimeout",
    "Cookie",
    "CookieConflict",
    "Cookies",
    "DecodingError",
    "DigestAuth",
    "FunctionAuth",
    "HTTPError",
    "HTTPStatusError",
    "HTTPTransport",
    "Headers",
    "InvalidURL",
    "Limits",
    "LocalProtocolError",
    "MockTransport",
    "NameResolutionError",
    "NetRCAuth",
    "NetworkError",
    "PoolTimeout",
    "ProtocolError",
    "ProxyError",
    "QueryParams",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "RequestError",
    "RequestNotRead",
    "Resolver",
    "Response",
    "ResponseNotRead",
    "ResponseTooLarge",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "TLSError",
    "Timeout",
    "TimeoutException",
    "Timings",
    "TooManyRedirects",
    "TotalTimeout",
    "TransportError",
    "UnsupportedProtocol",
    "WSGITransport",
    "WebSocketDisconnect",
    "WebSocketError",
    "WebSocketUpgradeError",
    "WriteError",
    "WriteTimeout",
    "__version__",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "query",
    "request",
    "stream",
]


def __getattr__(name: str) -> object:
    """Import a transport when it is first named."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import transports

    found = getattr(transports, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
