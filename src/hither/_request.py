"""A request: what will be sent, until it is sent."""

from __future__ import annotations

from ._body import Body, encode_body
from ._errors import LocalProtocolError, RequestNotRead
from ._headers import Headers, check_value, encode_fields
from ._url import URL, merge_params, parse_url
from .net.base import run_sync
from .protocol.http1 import encode_method, request_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from typing import Any

    from ._types import CookieTypes, HeaderTypes, ParamTypes
    from .protocol.events import Field

_NO_CONTENT = [(b"Content-Length", b"0")]
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


_new = object.__new__


class DefaultFields:
    """A client's header fields, encoded once for all the requests that leave them alone."""

    __slots__ = ("_lowered", "block", "has_host", "names", "raw")

    def __init__(self, headers: Headers) -> None:
        self.raw = headers.raw
        self.names = frozenset(name.lower() for name, _ in self.raw)
        self.has_host = b"host" in self.names
        self.block = encode_fields(self.raw)
        self._lowered: tuple[Field, ...] | None = None

    @property
    def lowered(self) -> tuple[Field, ...]:
        """The fields as HTTP/2 sends them."""
        if self._lowered is None:
            self._lowered = _lowered(self.raw)
        return self._lowered


_NO_DEFAULTS = DefaultFields(Headers())


class Request:
    """A request, to be looked at and edited before it is sent: `method`, `url`, `headers`, `extensions`.

    `content` is bytes, text, a file or an iterable of bytes; `data` a form; `json` any JSON value; `files` a
    multipart form. `Client.build_request` adds what the client knows. RFC 9110 §6.

    >>> request = Request("POST", "https://example.org/items", json={"a": 1})
    >>> request.headers["content-type"], request.content
    ('application/json', b'{"a":1}')
    """

    method: str
    body: bytes | Body | None = None
    settings: Any = None  # of the call, as `Client.build_request` was told them
    deadline: Any = None  # of the call under way, for a transport

    _url: URL
    _defaults: DefaultFields
    _headers: Headers | None = None  # all fields, once somebody asked for them
    _extra: list[tuple[bytes, bytes]] | None = None  # until then, those beside the defaults
    _cookie: bytes | None = None  # what the client's jar added, as it is sent
    _extensions: dict[str, Any] | None = None
    _strayed = False  # a redirect led to another origin, which sees no credentials of the user's

    def __init__(
        self,
        method: str,
        url: URL | str,
        *,
        params: ParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        content: Any = None,
        data: Any = None,
        files: Any = None,
        json: Any = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> None:
        self.method = method
        self._url = merge_params(parse_url(url), params)
        self._defaults = _NO_DEFAULTS
        if extensions:
            self.extensions = dict(extensions)
        self.fill(headers, content, data, files, json)
        if cookies is not None:
            from .policy.cookies import Cookies

            value = Cookies(cookies).header_for(self._url)
            if value:
                self.headers["Cookie"] = value

    def fill(
        self,
        headers: HeaderTypes | None,
        content: Any = None,
        data: Any = None,
        files: Any = None,
        json: Any = None,
        json_dumps: Callable[[Any], str | bytes] | None = None,
    ) -> None:
        """Take the user's fields and body; RFC 9110 §8.6: a method that expects a body says when it has none."""
        given = None
        if headers is not None:
            given, self._extra = _given_fields(headers, self)
        if content is not None or data is not None or files is not None or json is not None:
            content_type = None if given is None else given.get("content-type")
            self.body, described = encode_body(
                content=content,
                data=data,
                files=files,
                json=json,
                json_dumps=json_dumps,
                content_type=content_type,
            )
            self._describe(described, given)
        if not self.body and self.method in _BODY_METHODS:
            self._describe(_NO_CONTENT, given)
        if given is not None:
            self._check_framing(given)

    def _describe(self, fields: list[tuple[bytes, bytes]], given: Headers | None) -> None:
        """Add the fields that describe the body, where the user did not."""
        if given is not None:
            if given.get("content-type", "").startswith("multipart/"):
                for name, value in fields:
                    if name == b"Content-Type":  # the same, with the boundary that is used
                        given["Content-Type"] = value.decode("latin-1")
                if self._extra:
                    self._extra = given.raw
            own_framing = "transfer-encoding" in given or "content-length" in given
            fields = [
                (name, value)
                for name, value in fields
                if name.decode("ascii") not in given
                and not (own_framing and name in (b"Content-Length", b"Transfer-Encoding"))
            ]
        if self._headers is not None:
            for name, value in fields:
                self._headers[name.decode("ascii")] = value.decode("latin-1")
        else:
            self._extra = fields if self._extra is None else self._extra + fields

    @property
    def url(self) -> URL:
        """Where the request goes."""
        return self._url

    @url.setter
    def url(self, url: URL | str) -> None:
        url = parse_url(url)
        headers = self._headers
        if headers is not None and headers.get("host") == self._url.host_header.decode("ascii"):
            headers["Host"] = url.host_header.decode("ascii")
        self._url = url

    @property
    def extensions(self) -> dict[str, Any]:
        """What is asked of this request alone: `sni_hostname`, the name for TLS."""
        if self._extensions is None:
            self._extensions = {}
        return self._extensions

    @extensions.setter
    def extensions(self, extensions: Mapping[str, Any]) -> None:
        self._extensions = dict(extensions)

    @property
    def headers(self) -> Headers:
        """All fields that will be sent, in order; edit them at will."""
        headers = self._headers
        if headers is None:
            fields = self._merged()
            if not any(name.lower() == b"host" for name, _ in fields):
                fields.insert(0, (b"Host", self._url.host_header))
            headers = self._headers = Headers.from_raw(fields)
        return headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        self._headers = Headers(headers)
        self._cookie = None

    def _merged(self) -> list[tuple[bytes, bytes]]:
        """Return the client's fields, those of the user in their place, and the rest after them."""
        fields = self._defaults.raw
        extra = self._extra or []
        names = {name.lower() for name, _ in extra}
        merged = [field for field in fields if field[0].lower() not in names] + extra
        if self._cookie is not None:
            merged.append((b"Cookie", self._cookie))
        return merged

    def add_cookies(self, value: str) -> None:
        """Add the Cookie field of the client's jar, or bring it up to date, unless the user wrote one."""
        encoded = value.encode("utf-8").strip(b" \t")
        if not value.isprintable():
            check_value(b"Cookie", encoded)
        headers = self._headers
        if headers is None:
            if self._names_cookie():
                return
        elif "cookie" not in headers or self._has_jar_cookie(headers):
            headers["Cookie"] = encoded.decode("utf-8")
        else:
            return
        self._cookie = encoded

    def _has_jar_cookie(self, headers: Headers) -> bool:
        return self._cookie is not None and headers.get("cookie") == self._cookie.decode("utf-8")

    def _names_cookie(self) -> bool:
        if b"cookie" in self._defaults.names:
            return True
        return self._extra is not None and any(name.lower() == b"cookie" for name, _ in self._extra)

    def head(self) -> bytes:
        """Return the request line and the fields for HTTP/1.1, Host first (RFC 9110 §7.2), everything checked."""
        url = self._url
        defaults = self._defaults
        extra = self._extra
        if self._headers is not None or defaults.has_host or (extra is not None and self._overrides(extra)):
            headers = self.headers
            self._check_framing(headers)
            host = None if "host" in headers else url.host_header
            return request_head(self.method, url.target, host, encode_fields(headers._raw))
        block = defaults.block
        if extra is not None:
            block += encode_fields(extra)
        if self._cookie is not None:
            block += b"Cookie: %b\r\n" % self._cookie
        return request_head(self.method, url.target, url.host_header, block)

    def fields(self) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """Return the pseudo-header fields and all others for HTTP/2 (RFC 9113 §8.3.1), everything checked."""
        url = self._url
        authority = url.host_header
        defaults = self._defaults
        extra = self._extra
        if self._headers is not None or defaults.has_host or (extra is not None and self._overrides(extra)):
            headers = self.headers
            self._check_framing(headers)
            authority = next((value for name, value in headers._raw if name.lower() == b"host"), authority)
            fields = _lowered(headers._raw)
        else:
            fields = defaults.lowered
            if extra is not None:
                fields += _lowered(extra)
            if self._cookie is not None:
                fields += ((b"cookie", self._cookie),)
        method = encode_method(self.method)
        scheme = b"https" if url.scheme == "https" else b"http"
        return ((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", url.target)), fields

    def _check_framing(self, headers: Headers) -> None:
        """Refuse fields that say another length than the body has (RFC 9112 §6.2)."""
        declared = headers.get("content-length")
        if declared is None:
            return
        if "transfer-encoding" in headers:
            raise LocalProtocolError("Content-Length and Transfer-Encoding exclude each other")
        body = self.body
        length = len(body or b"") if body is None or isinstance(body, bytes) else body.length
        if not declared.isdigit() or (length is not None and int(declared) != length):
            raise LocalProtocolError(f"Content-Length says {declared!r:.30}, and the body has {length} bytes")

    def _overrides(self, extra: list[tuple[bytes, bytes]]) -> bool:
        """Whether one of the fields takes the place of a default one, or of Host."""
        names = self._defaults.names
        return any(name.lower() in names or name.lower() == b"host" for name, _ in extra)

    def replaced(self, *, method: str, url: URL, body: bytes | Body | None, without: frozenset[bytes]) -> Request:
        """Return a request like this one but for the parts given, without some fields; a redirect's next step."""
        new = Request.__new__(Request)
        new.method = method
        new._url = url
        new._defaults = self._defaults
        new._strayed = self._strayed or url.key != self._url.key
        # The jar's cookie is left out: the jar is asked again for the new URL.
        if self._headers is None and without.isdisjoint(self._defaults.names):
            if self._extra is not None:
                new._extra = [field for field in self._extra if field[0].lower() not in without]
        else:
            headers = new._headers = self.headers.copy()
            if self._has_jar_cookie(headers):
                del headers["cookie"]
            for name in without:
                headers.pop(name.decode("ascii"), None)
        new.body = body
        if self._extensions is not None:
            new._extensions = dict(self._extensions)
            if url.key != self._url.key:
                new._extensions.pop("sni_hostname", None)
        new.settings = self.settings
        return new

    @property
    def content(self) -> bytes:
        """The body as bytes; `RequestNotRead` for one that comes from a stream and was not read."""
        body = self.body
        if body is None:
            return b""
        if isinstance(body, bytes):
            return body
        raise RequestNotRead("the request's body is a stream: call read() or aread() first", request=self)

    @property
    def stream(self) -> Body | _Pieces:
        """The body as an iterable of bytes, sync or async."""
        body = self.body
        return body if isinstance(body, Body) else _Pieces(body or b"")

    async def _read(self) -> bytes:
        body = self.body
        if isinstance(body, Body):
            pieces = []
            while piece := await body.read_chunk():
                pieces.append(piece)
            self.body = b"".join(pieces)
            if self.headers.pop("transfer-encoding", None) is not None:
                self.headers["Content-Length"] = str(len(self.body))
        return self.content

    def read(self) -> bytes:
        """Take the whole body into memory and return it."""
        return run_sync(self._read())

    async def aread(self) -> bytes:
        """Take the whole body into memory and return it."""
        return await self._read()

    def __reduce__(self) -> tuple[Any, ...]:
        body = self.body if isinstance(self.body, bytes) else None
        return _restore, (self.method, str(self._url), self.headers.raw, body)

    def __repr__(self) -> str:
        return f"<Request [{self.method} {self._url.masked}]>"


def plain_request(method: str, url: URL, defaults: DefaultFields) -> Request:
    """Make a request without options, the short way."""
    request = _new(Request)
    request.method = method
    request._url = url
    request._defaults = defaults
    # What every request is asked for: read from the instance it costs a third of what the class's default costs.
    request.body = request._headers = request._cookie = request._extensions = None
    request._extra = _NO_CONTENT if method in _BODY_METHODS else None
    request._strayed = False
    return request


class _Pieces:
    """Bytes as a sync and an async iterable of one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


def _lowered(fields: list[Field]) -> tuple[Field, ...]:
    from .protocol.http2_fields import lowered

    encode_fields(fields)  # which checks them
    return lowered(fields)


def _given_fields(headers: HeaderTypes, request: Request) -> tuple[Headers, list[tuple[bytes, bytes]]]:
    """Take the user's fields; a value of None takes a default field away (Requests' habit)."""
    if hasattr(headers, "items") and None in getattr(headers, "values", dict)():
        merged = Headers.from_raw(list(request._defaults.raw))
        merged.update(headers)
        request._headers = merged
        return merged, []
    given = Headers(headers)
    return given, given.raw


def _restore(method: str, url: str, headers: list[tuple[bytes, bytes]], body: bytes | None) -> Request:
    request = Request(method, url)
    request._headers = Headers.from_raw(headers)
    request.body = body
    return request
