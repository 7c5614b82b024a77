"""What an application of this process answers, whether it speaks ASGI or WSGI."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .._errors import RemoteProtocolError
from .._response import Response
from ..protocol.events import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._reading import Source
    from .._request import Request
    from ..protocol.events import Field


def make_head(status: int, reason: bytes, fields: list[Field]) -> ResponseHead:
    """Make a response's head; `RuntimeError`, for the application, when no server could send it."""
    # RFC 9110 §15: three digits. 1xx are no answer.
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 999:
        raise RuntimeError(f"the application's status is not one that a response can have: {status!r}")
    for name, value in fields:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise RuntimeError(f"the application's header fields must be bytes: {name!r}: {value!r}")  # noqa: TRY004
        # RFC 9110 §5.5
        if not name or any(byte in b"\r\n\0" for byte in name + value):
            raise RuntimeError(f"the application's header field cannot be sent: {name!r}: {value!r}")
    return ResponseHead(status, reason, "HTTP/1.1", fields)


def respond(request: Request, head: ResponseHead, source: Source | None, started: float) -> Response:
    """Make a response as if it had come over a connection; without a source it has no content."""
    for name, _ in head.fields:
        lowered = name.lower()
        head.coded = head.coded or lowered == b"content-encoding"
        head.sets_cookies = head.sets_cookies or lowered == b"set-cookie"
    content = b"" if source is None else None
    response = Response.received(request, head, [started, started, started, monotonic()], None, content)
    response._source = response._source or source
    return response


class Content:
    """Holds an application's content against the length that it declared (RFC 9112 §6.3)."""

    __slots__ = ("_came", "_declared", "_none")

    def __init__(self, request: Request, head: ResponseHead) -> None:
        # RFC 9110 §6.4.1: no content, whatever the application says.
        self._none = request.method == "HEAD" or head.status in (204, 304)
        self._declared = None if self._none else next(_lengths(head.fields), None)
        self._came = 0

    def take(self, data: bytes) -> bytes:
        """Count a piece and return what of it is content; `RuntimeError` when it is too much."""
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        if self._none:
            return b""
        self._came += len(data)
        if self._declared is not None and self._came > self._declared:
            raise RuntimeError(f"the application sent more than its Content-Length of {self._declared}")
        return data

    def end(self) -> None:
        """Raise `RemoteProtocolError` when content is missing."""
        if self._declared is not None and self._came < self._declared:
            raise RemoteProtocolError(
                f"the application sent {self._came} bytes and declared a Content-Length of {self._declared}"
            )


def _lengths(fields: list[Field]) -> Iterator[int]:
    for name, value in fields:
        if name.lower() == b"content-length":
            if not value.isdigit():
                raise RuntimeError(f"the application's Content-Length is not a number: {value!r}")
            yield int(value)


def broken_off(error: BaseException | None, *, begun: bool) -> RemoteProtocolError:
    """Return what a caller gets in place of the application's own error, or when it ended without one."""
    when = "before its response was complete" if begun else "without a response"
    how = "ended" if error is None else f"failed with {type(error).__name__}"
    problem = RemoteProtocolError(f"the application {how} {when}")
    problem.__cause__ = error
    return problem
