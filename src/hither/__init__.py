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
from ._url import URL
from ._version import __version__
from .policy.auth import Auth, BasicAuth, BearerAuth, DigestAuth, FunctionAuth, NetRCAuth
from .policy.cookies import CookieConflict, Cookies
from .transports.base import AsyncBaseTransport, BaseTransport

__all__ = [
    "AsyncBaseTransport",
    "AsyncClient",
    "Auth",
    "BaseTransport",
    "BasicAuth",
    "BearerAuth",
    "CircuitOpen",
    "Client",
    "CloseError",
    "ConnectError",
    "ConnectTimeout",
    "CookieConflict",
    "Cookies",
    "DecodingError",
    "DigestAuth",
    "FunctionAuth",
    "HTTPError",
    "HTTPStatusError",
    "Headers",
    "InvalidURL",
    "Limits",
    "LocalProtocolError",
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
    "TooManyRedirects",
    "TotalTimeout",
    "TransportError",
    "URL",
    "UnsupportedProtocol",
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
