"""The functions of the top level, on one client that is shared by the whole process and keeps no cookies."""

from __future__ import annotations

import atexit

from ._client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Unpack

    from ._response import Response
    from ._types import RequestOptions, URLTypes

_default: Client | None = None


def _client() -> Client:
    global _default
    if _default is None:
        client = Client.__new__(Client)
        client._start({}, keep_cookies=False)
        atexit.register(client.close)
        _default = client
    return _default


def request(method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """Send a request and return the response, read whole.

    Connections are pooled for the whole process; cookies live as long as the call. Options: see `RequestOptions`.

    >>> request("GET", "http://127.0.0.1:1/", timeout=2)
    Traceback (most recent call last):
    hither._errors.ConnectError: no connection (127.0.0.1:1: Connection refused) [GET http://127.0.0.1:1/]
    """
    return _client().request(method, url, **options)


def get(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """GET (RFC 9110 §9.3.1)."""
    return _client().get(url, **options)


def head(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """HEAD (RFC 9110 §9.3.2)."""
    return _client().head(url, **options)


def post(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """POST (RFC 9110 §9.3.3)."""
    return _client().post(url, **options)


def put(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """PUT (RFC 9110 §9.3.4)."""
    return _client().put(url, **options)


def patch(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """PATCH (RFC 5789)."""
    return _client().patch(url, **options)


def delete(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """DELETE (RFC 9110 §9.3.5)."""
    return _client().delete(url, **options)


def options(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """OPTIONS (RFC 9110 §9.3.7)."""
    return _client().options(url, **options)


def query(url: URLTypes, **options: Unpack[RequestOptions]) -> Response:
    """QUERY: a GET with content."""
    return _client().query(url, **options)


def stream(method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> AbstractContextManager[Response]:
    """Send a request; the response's content is read inside the `with` block, and closed at its end."""
    return _client().stream(method, url, **options)
