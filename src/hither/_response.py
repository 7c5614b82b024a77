"""A response: its head at once, its content when it is read."""

from __future__ import annotations

from time import monotonic

from ._body import IterableBody, encode_body
from ._decoding import make_decoder
from ._errors import (
    HTTPError,
    HTTPStatusError,
    ResponseNotRead,
    ResponseTooLarge,
    StreamClosed,
    StreamConsumed,
)
from ._headers import Headers
from ._reading import LineReader, Lines, Reader, Sized, Text
from ._text import (
    LineDecoder,
    TextDecoder,
    charset_from_content_type,
    decode_text,
    detect_bom,
    is_known_charset,
)
from ._timings import Timings
from .net.base import run_sync
from .protocol.events import ResponseHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from datetime import timedelta
    from typing import Any, Self

    from ._decoding import Decoder
    from ._reading import Source
    from ._request import Request
    from ._types import HeaderTypes
    from ._url import URL
    from .policy.cookies import Cookies

_CHUNK = 65536  # bytes of decoded content at a time: what one read of the socket gives at most

# A whole read without `max_response_bytes` refuses content that only a decompression bomb has: this large, and
# this many times larger than what came. gzip reaches 1032:1 on zeros; text and logs stay below 50:1.
_BOMB_SIZE = 256 * 1024 * 1024
_BOMB_RATIO = 100


_new = object.__new__


class Response:
    """A response (RFC 9110 §3.4).

    `content` is bytes, `text` and `html` are strings, `json` any value, `stream` an iterable of bytes, sync or
    async. The client makes responses; make your own for tests and transports.

    >>> response = Response(200, json={"a": 1})
    >>> response.ok, response.json(), response.headers["content-type"]
    (True, {'a': 1}, 'application/json')
    """

    status_code: int
    next_request: Request | None = None
    default_encoding: str | Callable[[bytes], str] = "utf-8"
    attempts = 1
    from_cache = False
    num_bytes_downloaded = 0
    _closed = False
    _begun = False  # the content is being handed out piece by piece
    json_loads: Callable[[Any], Any] | None = None
    max_bytes: int | None = None

    _request: Request | None = None
    _head: ResponseHead
    _history: list[Response] | None = None
    _headers: Headers | None = None
    _trailers: list[tuple[bytes, bytes]] | None = None
    _content: bytes | None = None
    _source: Source | None = None
    _decoder: Decoder | None = None
    _decoded = 0
    _encoding: str | None = None
    _marks: list[float] | None = None
    _ended: float | None = None
    _connection: Any = None
    _fresh = False  # the connection was opened for this exchange
    _hints: list[list[tuple[bytes, bytes]]] | None = None
    _coded = False
    _sets_cookies: bool = False
    _extensions: dict[str, Any] | None = None
    _cookies: Cookies | None = None

    def __init__(
        self,
        status_code: int = 200,
        *,
        headers: HeaderTypes | None = None,
        content: Any = None,
        text: str | None = None,
        html: str | None = None,
        json: Any = None,
        stream: Any = None,
        request: Request | None = None,
        extensions: Mapping[str, Any] | None = None,
        http_version: str = "HTTP/1.1",
        reason: str | bytes | None = None,
        history: list[Response] | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
    ) -> None:
        self.status_code = status_code
        self._history = None if history is None else list(history)
        self.default_encoding = default_encoding
        self._request = request
        self._headers = given = Headers(headers)
        self._extensions = None if extensions is None else dict(extensions)
        body, described = _encode_content(content if stream is None else stream, text, html, json)
        for name, value in described:
            if name not in given and not (name == "Transfer-Encoding" and "content-length" in given):
                given[name] = value
        said = reason.encode("latin-1") if isinstance(reason, str) else reason or b""
        self._head = ResponseHead(status_code, said, http_version, given.raw)
        self._coded = "content-encoding" in given
        self._sets_cookies = "set-cookie" in given
        if isinstance(body, bytes):
            self._content = body if stream is None and not self._coded else None
        if self._content is None:
            self._source = _BodySource(body)
            if stream is None and content is not None and isinstance(body, bytes):
                self.read()
        else:
            self._ended = monotonic()

    @classmethod
    def received(
        cls, request: Request, head: ResponseHead, marks: list[float], connection: Any, content: bytes | None = None
    ) -> Response:
        """Make a response of a head that came over a connection, and of the content if it came with it.

        `marks` are the moments when the exchange started, and the connection was there, the request sent and the
        head received.
        """
        self: Response = _new(cls)
        self.status_code = head.status
        self._request = request
        self._head = head
        self._marks = marks
        self._connection = connection
        self._sets_cookies = head.sets_cookies
        if content is not None and not head.coded:
            self._content = content
            self.num_bytes_downloaded = len(content)
            self._ended = marks[-1]
        else:
            self._content = None
            self._coded = head.coded
            self._source = None if content is None else _BodySource(content)
        return self

    # The head

    @property
    def status(self) -> int:
        """The status code, by AIOHTTP's name."""
        return self.status_code

    @property
    def reason_phrase(self) -> str:
        """The reason phrase as the server sent it, or the standard one (RFC 9110 §15)."""
        if self._head.reason:
            return self._head.reason.decode("ascii", "replace")
        from http import HTTPStatus

        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def reason(self) -> str:
        """The reason phrase, by Requests' name."""
        return self.reason_phrase

    @property
    def headers(self) -> Headers:
        """The response's fields."""
        if self._headers is None:
            self._headers = Headers.from_raw(self._head.fields.copy())
        return self._headers

    @property
    def http_version(self) -> str:
        """The protocol that the response came by: "HTTP/1.1"."""
        return self._head.version

    @property
    def history(self) -> list[Response]:
        """The responses that led here: redirects and demands to log in, the oldest first."""
        if self._history is None:
            self._history = []
        return self._history

    @history.setter
    def history(self, history: list[Response]) -> None:
        self._history = history

    @property
    def extensions(self) -> dict[str, Any]:
        """Whatever a transport has to say beyond HTTP."""
        if self._extensions is None:
            self._extensions = {}
        return self._extensions

    @property
    def trailers(self) -> Headers:
        """Fields that came after the content (RFC 9110 §6.5); empty until it is read."""
        return Headers.from_raw(list(self._trailers or ()))

    @property
    def early_hints(self) -> list[Headers]:
        """The fields of each 103 Early Hints that came first (RFC 8297)."""
        return [Headers.from_raw(fields.copy()) for fields in self._hints or ()]

    @property
    def request(self) -> Request:
        """The request that this answers, the last one after redirects."""
        if self._request is None:
            raise RuntimeError("this response was made without a request")
        return self._request

    @request.setter
    def request(self, request: Request) -> None:
        self._request = request

    @property
    def url(self) -> URL:
        """Where the response came from."""
        return self.request.url

    @property
    def is_informational(self) -> bool:
        """Whether the status is 1xx."""
        return 100 <= self.status_code < 200

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_client_error(self) -> bool:
        """Whether the status is 4xx."""
        return 400 <= self.status_code < 500

    @property
    def is_server_error(self) -> bool:
        """Whether the status is 5xx."""
        return 500 <= self.status_code < 600

    @property
    def is_error(self) -> bool:
        """Whether the status is 4xx or 5xx."""
        return self.status_code >= 400

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def is_redirect(self) -> bool:
        """Whether this sends on to another place: 301, 302, 303, 307 or 308 with a Location."""
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    def raise_for_status(self) -> Response:
        """Raise `HTTPStatusError` for a status of 400 or more; return the response otherwise.

        >>> Response(204).raise_for_status()
        <Response [204 No Content]>
        """
        if self.status_code < 400:
            return self
        kind = "client error" if self.status_code < 500 else "server error"
        message = f"{kind} {self.status_code} {self.reason_phrase}".rstrip()
        raise HTTPStatusError(message, request=self._request, response=self)

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link field (RFC 8288) by relation, or by target where there is none.

        >>> Response(headers={"Link": '</page/2>; rel="next"'}).links["next"]["url"]
        '/page/2'
        """
        from ._links import parse_links

        return parse_links(", ".join(self.headers.get_list("link")))

    @property
    def cookies(self) -> Cookies:
        """The cookies that this response sets."""
        if self._cookies is None:
            from .policy.cookies import Cookies

            self._cookies = Cookies()
            if self._sets_cookies:
                self._cookies.store(self.url, self.headers.get_list("set-cookie"))
        return self._cookies

    # What the connection knows

    @property
    def timings(self) -> Timings | None:
        """Where the time of the last exchange went; None for a response that came over no connection."""
        if self._marks is None:
            return None
        opened = self._connection[2] if self._fresh else (0.0, 0.0, 0.0)
        return Timings(self._marks, opened, self._ended)

    @property
    def elapsed(self) -> timedelta:
        """The time from the start of the exchange to the last byte that was read of the response."""
        from datetime import timedelta

        timings = self.timings
        return timedelta(seconds=0 if timings is None else timings.total)

    @property
    def peer(self) -> Any:
        """The address that answered: `(host, port)`, or the path of a Unix socket."""
        return None if self._connection is None else self._connection[0]

    @property
    def tls(self) -> Any:
        """The TLS session (`ssl.SSLObject`): `version()`, `cipher()`, `getpeercert()`; None without TLS."""
        return None if self._connection is None else self._connection[1]

    # The content

    @property
    def content(self) -> bytes:
        """The whole content, decoded; `ResponseNotRead` when it was streamed and not read."""
        if self._content is None:
            if self._source is None and not self.is_stream_consumed and not self.is_closed:
                return b""
            raise ResponseNotRead("call read() or aread() before asking for the content", request=self._request)
        return self._content

    @property
    def charset_encoding(self) -> str | None:
        """The charset that Content-Type names, known to Python or not."""
        return charset_from_content_type(self.headers.get("content-type"))

    @property
    def encoding(self) -> str | None:
        """What text is decoded with: what was set, the charset named, a byte order mark, or the default."""
        return self._encoding_for(self._content or b"")

    @encoding.setter
    def encoding(self, encoding: str) -> None:
        self._encoding = encoding

    def _encoding_for(self, start: bytes) -> str:
        if self._encoding is not None:
            return self._encoding
        charset = self.charset_encoding
        if charset is not None and is_known_charset(charset):
            return charset
        default = self.default_encoding
        return detect_bom(start) or (default if isinstance(default, str) else default(start) or "utf-8")

    @property
    def text(self) -> str:
        """The content as text; bytes that do not decode become U+FFFD."""
        content = self.content
        return decode_text(content, self._encoding_for(content)) if content else ""

    def json(self, **options: Any) -> Any:
        """The content as JSON; `ValueError` when it is none. `options` go to `json.loads`."""
        if self.json_loads is not None:
            return self.json_loads(self.content, **options)
        from json import loads

        return loads(self.content, **options)

    @property
    def is_closed(self) -> bool:
        """Whether the content was read to its end, or given up."""
        return self._closed or self._ended is not None

    @property
    def is_stream_consumed(self) -> bool:
        """Whether the content was read, or began to be handed out piece by piece."""
        return self._begun or self._ended is not None

    # Reading, once for both faces

    def _attach(self, error: HTTPError) -> None:
        if self._request is not None:
            error.attach(self._request)

    async def _chunk(self) -> bytes:
        """Return the next bytes as they came; b"" at the end."""
        source = self._source
        if source is None:
            if self._closed and self._ended is None:
                raise StreamClosed("the response was closed before it was read", request=self._request)
            return b""
        data = await source.read_chunk()
        if data:
            self.num_bytes_downloaded += len(data)
        else:
            self._finish(getattr(source, "trailers", None))
        return data

    def _finish(self, trailers: list[tuple[bytes, bytes]] | None) -> None:
        """Note that the last byte was read."""
        self._source = None
        if trailers is not None:
            self._trailers = trailers
        self._ended = monotonic()

    def _unread(self) -> None:
        """Hold content that has arrived back, for who wants to stream it."""
        if self._content is not None:
            self._source = _BodySource(self._content)
            self._content = self._ended = None
            self.num_bytes_downloaded = 0

    async def _piece(self) -> bytes:
        """Return the next decoded bytes, at most 64 KiB of them; b"" at the end."""
        if not self._coded:
            data = await self._chunk()
        else:
            decoder = self._decoder
            if decoder is None:
                decoder = self._open_decoder()
            if decoder is None:
                return await self._piece()
            while not (data := decoder.read(_CHUNK)):
                raw = await self._chunk()
                if not raw:
                    decoder.finish()
                    break
                decoder.feed(raw)
        self._decoded += len(data)
        if self.max_bytes is not None and self._decoded > self.max_bytes:
            raise self._too_large(f"the content is larger than max_response_bytes = {self.max_bytes}")
        return data

    def _open_decoder(self) -> Decoder | None:
        self._decoder = make_decoder(self.headers.get("content-encoding", ""))
        self._coded = self._decoder is not None
        return self._decoder

    def _too_large(self, message: str) -> ResponseTooLarge:
        self.close()
        return ResponseTooLarge(message, request=self._request)

    async def _read(self) -> bytes:
        """Read all that is left and keep it."""
        if self._content is not None:
            return self._content
        if self.is_stream_consumed:
            raise StreamConsumed("the content was streamed already and is not kept", request=self._request)
        pieces = []
        try:
            while piece := await self._piece():
                pieces.append(piece)
                if self._decoded > _BOMB_SIZE and self._decoder is not None and self.max_bytes is None:
                    self._check_ratio()
        except HTTPError as error:
            self._attach(error)
            raise
        finally:
            if self._source is not None:
                await self.aclose()
        self._content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._content

    def _check_ratio(self) -> None:
        if self._decoded > _BOMB_RATIO * self.num_bytes_downloaded:
            raise self._too_large(
                f"{self.num_bytes_downloaded} bytes decoded to over {self._decoded}: a decompression bomb, it seems;"
                " set max_response_bytes to allow it, or stream it"
            )

    def _begin(self) -> None:
        """Start to hand the content out piece by piece, which happens once."""
        if self.is_stream_consumed:
            raise StreamConsumed("the content was streamed already and is not kept", request=self._request)
        if self.is_closed:
            raise StreamClosed("the response was closed before it was read", request=self._request)
        self._begun = True

    def _pieces(self, chunk_size: int | None) -> Callable[[], Any]:
        if self._content is not None:
            content = self._content
            return Sized(_Once(content).following, chunk_size or max(len(content), 1)).following
        self._begin()
        return self._piece if chunk_size is None else Sized(self._piece, chunk_size).following

    def _bytes_reader(self, chunk_size: int | None) -> Reader:
        return Reader(self, self._pieces(chunk_size))

    def _raw_reader(self, chunk_size: int | None) -> Reader:
        if self._content is not None and self._decoder is None:
            return self._bytes_reader(chunk_size)
        self._begin()
        return Reader(self, self._chunk if chunk_size is None else Sized(self._chunk, chunk_size).following)

    def _text_source(self, chunk_size: int | None) -> Text:
        return Text(self._pieces(chunk_size), lambda start: TextDecoder(self._encoding_for(start)))

    def _line_reader(self) -> LineReader:
        return LineReader(Reader(self, Lines(self._text_source(None).following, LineDecoder()).following))

    # The sync face

    def read(self) -> bytes:
        """Read the whole content, keep it and return it."""
        return run_sync(self._read())

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the decoded content, in pieces of `chunk_size` bytes or as it comes."""
        return iter(self._bytes_reader(chunk_size))

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Iterate over the content as it came, not decoded."""
        return iter(self._raw_reader(chunk_size))

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Iterate over the content as text; `chunk_size` counts bytes."""
        return iter(Reader(self, self._text_source(chunk_size).following))

    def iter_lines(self) -> Iterator[str]:
        r"""Iterate over the content's lines, without their ends.

        >>> list(Response(stream=[b"one\ntw", b"o\n"]).iter_lines())
        ['one', 'two']
        """
        return iter(self._line_reader())

    def close(self) -> None:
        """Close the response; a connection that is not read to the end is closed too."""
        source, self._source = self._source, None
        self._closed = True
        if source is not None:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # The async face

    async def aread(self) -> bytes:
        """Read the whole content, keep it and return it."""
        return await self._read()

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the decoded content, in pieces of `chunk_size` bytes or as it comes."""
        return aiter(self._bytes_reader(chunk_size))

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over the content as it came, not decoded."""
        return aiter(self._raw_reader(chunk_size))

    def aiter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Iterate over the content as text; `chunk_size` counts bytes."""
        return aiter(Reader(self, self._text_source(chunk_size).following))

    def aiter_lines(self) -> AsyncIterator[str]:
        """Iterate over the content's lines, without their ends."""
        return aiter(self._line_reader())

    async def aclose(self) -> None:
        """Close the response; a connection that is not read to the end is closed too."""
        source, self._source = self._source, None
        self._closed = True
        if source is not None:
            await source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __getstate__(self) -> dict[str, Any]:
        if self._content is None and self._source is not None:
            raise ResponseNotRead("read the response before it is pickled", request=self._request)
        left_out = {"_source", "_decoder", "_connection", "json_loads"}
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}{' ' if self.reason_phrase else ''}{self.reason_phrase}]>"


class _BodySource:
    """A body that the maker of a response gave, as bytes or as an iterable, which is closed with the response."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def read_chunk(self) -> bytes:
        body = self._body
        if isinstance(body, bytes) or body is None:
            self._body = None
            return body or b""
        piece: bytes = await body.read_chunk()
        if not piece:
            await self.aclose()
        return piece

    def close(self) -> None:
        # An async generator cannot be closed from here; its event loop does that when nobody holds it any more.
        for part in self._parts():
            if hasattr(part, "close"):
                part.close()

    async def aclose(self) -> None:
        for part in self._parts():
            if hasattr(part, "aclose"):
                await part.aclose()
            elif hasattr(part, "close"):
                part.close()

    def _parts(self) -> list[Any]:
        """Return what is to be closed: the iterator, and what it came from."""
        body, self._body = self._body, None
        if not isinstance(body, IterableBody):
            return []  # a file is its opener's to close
        iterator, source = body._iterator, body._source
        return [source] if iterator is None or iterator is source else [iterator, source]


class _Once:
    """Content that is there already, given out as one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def following(self) -> bytes:
        content, self._content = self._content, b""
        return content


def _encode_content(content: Any, text: str | None, html: str | None, json: Any) -> tuple[Any, list[tuple[str, str]]]:
    if text is not None or html is not None:
        kind = "plain" if html is None else "html"
        body = (text if html is None else html or "").encode("utf-8")  # type: ignore[union-attr]
        return body, [("Content-Length", str(len(body))), ("Content-Type", f"text/{kind}; charset=utf-8")]
    if content is None and json is None:
        return b"", []
    body_or_stream, fields = encode_body(content=content, json=json)
    return body_or_stream, [(name.decode("ascii"), value.decode("ascii")) for name, value in fields]
