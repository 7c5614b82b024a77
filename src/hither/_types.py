"""The types of what a user can pass, each written once. For type checkers: the library itself never imports this."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypedDict

from ._headers import Headers
from ._options import Limits, Timeout
from ._query import QueryParams
from ._url import URL
from .policy.auth import Auth
from .policy.cookies import Cookies

ParamTypes: TypeAlias = QueryParams | Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes
HeaderTypes: TypeAlias = (
    Headers | Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]
)
CookieTypes: TypeAlias = Cookies | Mapping[str, str] | Iterable[tuple[str, str]]
ContentTypes: TypeAlias = Any
AuthTypes: TypeAlias = Auth | tuple[str | bytes, str | bytes] | Callable[[Any], Any]
TimeoutTypes: TypeAlias = float | tuple[float | None, float | None] | Timeout | None
URLTypes: TypeAlias = URL | str


class RequestOptions(TypedDict, total=False):
    """The options of a request, the same on every verb and on both clients."""

    params: ParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    content: ContentTypes
    data: Any
    json: Any
    files: Any
    auth: AuthTypes | None
    timeout: TimeoutTypes
    follow_redirects: bool
    max_redirects: int
    extensions: Mapping[str, Any] | None
    raise_for_status: bool


class ClientOptions(TypedDict, total=False):
    """The options of a client: defaults of its requests, and what is its alone."""

    params: ParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    auth: AuthTypes | None
    timeout: TimeoutTypes
    follow_redirects: bool
    max_redirects: int
    raise_for_status: bool
    base_url: URLTypes
    limits: Limits
    http1: bool
    http2: bool
    verify: bool | str | os.PathLike[str] | ssl.SSLContext
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    trust_env: bool
    transport: Any
    mounts: Mapping[str, Any] | None
    event_hooks: Mapping[str, list[Callable[..., Any]]] | None
    resolver: Any
    local_address: str | tuple[str, int] | None
    uds: str | None
    socket_options: Iterable[tuple[Any, ...]] | None
    max_response_bytes: int | None
    json_loads: Callable[[Any], Any] | None
    json_dumps: Callable[[Any], str | bytes] | None
    default_encoding: str | Callable[[bytes], str]
