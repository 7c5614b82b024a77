"""Ways to answer a request without the network, and the network itself. Each is imported when it is first named."""

from __future__ import annotations

from .base import AsyncBaseTransport, BaseTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .asgi import ASGITransport
    from .http import AsyncHTTPTransport, HTTPTransport
    from .mock import MockTransport
    from .wsgi import WSGITransport

__all__ = [
    "ASGITransport",
    "AsyncBaseTransport",
    "AsyncHTTPTransport",
    "BaseTransport",
    "HTTPTransport",
    "MockTransport",
    "WSGITransport",
]

_HOMES = {
    "ASGITransport": "asgi",
    "AsyncHTTPTransport": "http",
    "HTTPTransport": "http",
    "MockTransport": "mock",
    "WSGITransport": "wsgi",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
