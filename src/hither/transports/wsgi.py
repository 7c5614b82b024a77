"""Requests to a WSGI application in this process (PEP 3333)."""

from __future__ import annotations

import contextlib
import io
import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .._body import Body
from .._errors import StreamClosed
from ._application import Content, broken_off, make_head, respond
from .base import BaseTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, TextIO, TypeAlias

    from _typeshed import WriteableBuffer

    from .._request import Request
    from .._response import Response
    from ..protocol.events import ResponseHead

    WSGIApplication: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


_SPOOL = 1024 * 1024  # bytes of a body of unknown length that stay in memory; our choice


class WSGITransport(BaseTransport):
    """Answers the requests of a `Client` from a WSGI application, without a network.

    The application runs in the calling thread. Its response is streamed: the iterable gives its next piece
    when that is read, and its `close()` is called with the response's. The request's body is streamed too
    when its length is known.

    `raise_app_exceptions`: let what the application raises, or hands to `start_response` as `exc_info`,
    through to the caller; else a response of status 500, or `RemoteProtocolError` when there was half a
    response. `script_name`, `remote_addr` and `wsgi_errors` (sys.stderr) go into the environment. No timeout
    can interrupt the application.

    >>> import hither
    >>> def app(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [environ["PATH_INFO"].encode()]
    >>> with hither.Client(transport=WSGITransport(app)) as client:
    ...     client.get("http://app.example/items").text
    '/items'
    """

    def __init__(
        self,
        app: WSGIApplication,
        raise_app_exceptions: bool = True,
        script_name: str = "",
        remote_addr: str = "127.0.0.1",
        wsgi_errors: TextIO | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app takes a WSGI application, not {type(app).__name__}")
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.script_name = script_name
        self.remote_addr = remote_addr
        self.wsgi_errors = wsgi_errors

    def handle_request(self, request: Request) -> Response:
        """Return the application's response as soon as its first piece of content is there."""
        started = monotonic()
        request.head()  # what could not be sent is refused here as everywhere
        run = _Run(request, raises=self.raise_app_exceptions)
        try:
            environ = self._environ(request, *run.input())
        except BaseException:
            run.close()
            raise
        head = run.start(self.app, environ)
        return respond(request, head, None if run.closed else run, started)

    def _environ(self, request: Request, source: IO[bytes], length: int | None) -> dict[str, Any]:
        from urllib.parse import unquote_to_bytes

        url = request.url
        path, _, query = url.target.partition(b"?")
        # PEP 3333, "Unicode Issues": bytes as latin-1.
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": self.script_name,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": url.key[1],
            "SERVER_PORT": str(url.key[2]),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.remote_addr,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": url.scheme,
            "wsgi.input": source,
            "wsgi.input_terminated": True,
            "wsgi.errors": self.wsgi_errors or sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.raw:
            key = name.decode("ascii").upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = f"HTTP_{key}"
            text = value.decode("latin-1")
            # RFC 9110 §5.3: fields of one name are joined; RFC 6265 §5.4: cookies by semicolons.
            separator = "; " if key == "HTTP_COOKIE" else ", "
            environ[key] = f"{environ[key]}{separator}{text}" if key in environ else text
        if length is not None:
            environ["CONTENT_LENGTH"] = str(length)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ


class _Upload(io.RawIOBase):
    """A request body as the file that the application reads it from."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._held = b""
        self._ended = False
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not self._held and not self._ended:
            try:
                self._held = self._body.next_chunk()
            except Exception as error:
                self.failure = error
                raise
            self._ended = not self._held
        size = min(len(view), len(self._held))
        view[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


class _Run:
    """One call of the application; a source of content."""

    def __init__(self, request: Request, *, raises: bool) -> None:
        self.closed = False
        self._request = request
        self._raises = raises
        self._upload: _Upload | None = None
        self._spool: IO[bytes] | None = None
        self._iterable: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._head: ResponseHead | None = None
        self._content: Content | None = None  # made with the first piece, when the head can no longer change
        self._pieces: deque[bytes] = deque()
        self._reported: BaseException | None = None  # what the application handed over as exc_info

    def input(self) -> tuple[IO[bytes], int | None]:
        """Return the request's body as a file, and its length where no field says it.

        PEP 3333 knows no chunked requests: without CONTENT_LENGTH most applications would see no content.
        So a body of unknown length is taken whole first, as nginx does it.
        """
        body = self._request.body
        if not isinstance(body, Body):
            return io.BytesIO(body or b""), None
        if "content-length" in self._request.headers:
            self._upload = _Upload(body)
            return cast("IO[bytes]", io.BufferedReader(self._upload)), None
        from tempfile import SpooledTemporaryFile

        self._spool = file = SpooledTemporaryFile(_SPOOL)  # noqa: SIM115 - closed in close()
        while piece := body.next_chunk():
            file.write(piece)
        length = file.tell()
        file.seek(0)
        return file, length

    def start(self, app: WSGIApplication, environ: dict[str, Any]) -> ResponseHead:
        """Call the application and run it to its first piece of content."""
        try:
            self._iterable = app(environ, self._start_response)
            self._iterator = iter(self._iterable)
            while self._content is None and self._advance():
                pass
        except BaseException as error:  # noqa: BLE001 - _raise does
            self._break_off()
            if self._content is None and self._hides(error):
                return make_head(500, b"", [])
            self._raise(error)
        if self._head is None:
            self._break_off()
            raise broken_off(None, begun=False)
        if self._request.method == "HEAD":
            self.close()
        return self._head

    async def read_chunk(self) -> bytes:
        """Return the next piece of content; b"" at the end."""
        if self.closed:
            raise StreamClosed("the response was closed before it was read", request=self._request)
        try:
            while not self._pieces and self._advance():
                pass
        except BaseException as error:  # noqa: BLE001 - _raise does
            self._break_off()
            self._raise(error)
        if self._pieces:
            return self._pieces.popleft()
        self.close()
        if self._content is not None:
            self._content.end()
        return b""

    def _advance(self) -> bool:
        """Let the application give its next piece; False when there is none."""
        piece = next(self._iterator, None)
        if self._upload is not None and self._upload.failure is not None:
            raise self._upload.failure
        if self._reported is not None:
            raise self._reported
        if piece is None:
            self._begin_content()
            return False
        self._write(piece)
        return True

    def _begin_content(self) -> None:
        if self._content is None and self._head is not None:
            self._content = Content(self._request, self._head)

    # What the application calls

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """PEP 3333: a second call needs `exc_info`, which is raised when the head cannot change any more."""
        error = exc_info[1] if exc_info else None
        if error is None:
            if self._head is not None:
                raise RuntimeError("the application called start_response twice, without exc_info")
        elif self._content is not None:
            raise error
        elif self._raises:
            self._reported = error
        code, _, reason = status.partition(" ")
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = make_head(int(code) if code.isdigit() else -1, reason.encode("latin-1"), fields)
        return self._write

    def _write(self, piece: bytes) -> None:
        if not piece:
            return
        if self._head is None:
            raise RuntimeError("the application gave content before it called start_response")
        self._begin_content()
        assert self._content is not None
        if kept := self._content.take(piece):
            self._pieces.append(kept)

    # The end

    def _hides(self, error: BaseException) -> bool:
        """Whether the caller is not to see what the application raised."""
        ours = self._upload is not None and error is self._upload.failure
        return not self._raises and not ours and isinstance(error, Exception)

    def _raise(self, error: BaseException) -> NoReturn:
        if self._hides(error):
            raise broken_off(error, begun=True)
        raise error

    def _break_off(self) -> None:
        """Close, after something worse."""
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """PEP 3333: `close()` of the iterable is called, however the response ends."""
        if self.closed:
            return
        self.closed = True
        if self._spool is not None:
            self._spool.close()
        close = getattr(self._iterable, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                if self._raises:
                    raise

    async def aclose(self) -> None:
        self.close()
