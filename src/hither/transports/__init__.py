"""Ways to answer a request without the network, and the network itself."""

from __future__ import annotations

from .asgi import ASGITransport
from .base import AsyncBaseTransport, BaseTransport
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
