"""One request and its response on an HTTP/2 connection that others share."""

from __future__ import annotations

from math import inf
from time import monotonic

from .._errors import LocalProtocolError, ReadTimeout, RemoteProtocolError, TransportError, WriteTimeout
from ..protocol.events import End, Reset, ResponseHead
from ..protocol.http2_frames import CANCEL, LARGEST_ID
from .http1 import ANSWERED, SENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._body import Body
    from .._options import Deadline, Timeout
    from .._request import Request
    from ..protocol import http2
    from ..protocol.events import Event, Field
    from .http2 import HTTP2Connection

_CONTINUE_WAIT = 1.0  # seconds for a 100 Continue before the body goes out anyway; as over HTTP/1.1
_PIECE = 65536  # bytes of a body that one exchange sends before it is another's turn
_LAST_ID = LARGEST_ID - 2  # no stream can be opened after this one


class Unprocessed(RemoteProtocolError):
    """The server has not acted on the request, and says so: it may be sent again, whatever its method."""

    unprocessed = True


def time_left(until: float | None) -> float | None:
    """Return the seconds until a moment; None when there is none."""
    return None if until is None else max(until - monotonic(), 0.0)


class HTTP2Exchange:
    """One request and its response on a shared connection."""

    __slots__ = (
        "_body",
        "_connection",
        "_continued",
        "_declared",
        "_events",
        "_expired",
        "_next",
        "_rest",
        "_sent",
        "_stream",
        "_until",
        "answered",
        "hints",
        "trailers",
    )

    def __init__(self, connection: HTTP2Connection) -> None:
        self._connection = connection
        self._stream: http2.Stream = None  # type: ignore[assignment]  # set when the request is sent
        self._events: list[Event] = []
        self._next = 0
        self._body: Body | None = None  # where the rest of the request's body comes from
        self._rest: memoryview | bytes | None = None  # of the piece at hand; None when all is sent
        self._sent = 0
        self._declared: int | None = None
        self._continued = False
        self._until = inf  # when it stops waiting
        self._expired = False
        self.answered = False  # something of the response has come
        self.hints: list[list[Field]] | None = None
        self.trailers: list[Field] | None = None

    @property
    def reusable(self) -> bool:
        """Whether the connection may be kept."""
        return self._connection.usable

    # What the connection asks, with the lock held

    def _is_served(self) -> bool:
        """Whether there is something to do: events to take, or a piece to send."""
        return bool(self._stream.events) or (self._rest is not None and self._may_send())

    def _may_send(self) -> bool:
        return self._stream.window_out > 0 and self._connection._codec.window_out > 0

    def _take_events(self) -> list[Event]:
        self._connection._blocked.pop(self, None)
        events = self._stream.events
        self._stream.events = []
        return events

    # The request

    async def exchange(self, request: Request, deadline: Deadline | Timeout, marks: list[float]) -> ResponseHead:
        """Send a request and return the head of its final response; `read_chunk` returns the rest.

        What is left of the body when the head comes early goes out while the response is read.
        """
        connection = self._connection
        if not connection._codec.streams:
            await connection._catch_up(deadline)
        if connection._doubted is not None:
            await connection._confirm(deadline)
        expects = self._begin(request)
        try:
            await connection._flush(deadline)
            marks[SENT] = monotonic()
            head = await self._await_continue(deadline) if expects else None
            while head is None:
                if self._rest is not None:
                    await self._advance(deadline)
                else:
                    since = monotonic()
                    try:
                        self._arrive(await connection._wait(self, deadline.read))
                    except TimeoutError:
                        raise self._timed_out(deadline, since) from None
                head = self._take_head()
        except BaseException:
            await self.aleave()
            raise
        marks[ANSWERED] = monotonic()
        return head

    def _begin(self, request: Request) -> bool:
        """Open the stream, with a small body along; True when the rest of it waits for a 100 Continue."""
        connection = self._connection
        body = request.body
        blocks = request.fields()
        lock = connection._lock
        lock.acquire()
        try:
            if not connection.usable:
                raise Unprocessed("the connection was closed before the request could be sent")
            self._stream = connection._codec.open_stream(request.method, blocks, end=not body, owner=self)
            if self._stream.id >= _LAST_ID:
                connection.usable = False
            if not body:
                return False
            if isinstance(body, bytes):
                self._rest = memoryview(body)
            else:
                self._body = body
                self._declared = _content_length(blocks[1])
                self._rest = b""
            if any(name == b"expect" and value.lower() == b"100-continue" for name, value in blocks[1]):
                return True
            if self._body is None:
                self._send_piece()
        finally:
            lock.release()
        return False

    def _send_piece(self) -> None:
        """Send as much of the piece at hand as the windows and the turn of others allow. The lock is held."""
        rest = self._rest
        assert rest is not None
        last = self._body is None and len(rest) <= _PIECE
        sent = self._connection._codec.send_data(self._stream, rest[:_PIECE], end=last)
        self._rest = None if self._stream.sent_end else rest[sent:]

    async def _advance(self, deadline: Deadline | Timeout) -> None:
        """Go on by one step: send a piece of the body, or wait for events."""
        if self._rest is not None and await self._upload(deadline):
            return
        since = monotonic()
        try:
            limit = deadline.read if self._rest is None else deadline.write
            self._arrive(await self._connection._wait(self, limit))
        except TimeoutError:
            raise self._timed_out(deadline, since) from None

    def _timed_out(self, deadline: Deadline | Timeout, since: float) -> TransportError:
        """Return the error for a wait that began at `since`."""
        if self._connection._heard < since:
            self._connection._doubt()  # not a word from the server for anybody
        if self._rest is None:
            return deadline.expired(ReadTimeout, "read", "waiting for the response")
        return deadline.expired(WriteTimeout, "write", "sending the request")

    async def _upload(self, deadline: Deadline | Timeout) -> bool:
        """Send the next piece of the body; False when the windows are closed, or nothing more is wanted."""
        connection = self._connection
        stream = self._stream
        if self._body is not None and not self._rest:
            await self._next_piece(self._body)
        with connection._lock:
            if stream.sent_end or stream.ended or connection._failure is not None:
                self._rest = None
                return False
            if self._rest and not self._may_send():
                return False
            self._send_piece()
        await connection._flush(deadline)
        return True

    async def _next_piece(self, body: Body) -> None:
        piece = await body.read_chunk()
        self._sent += len(piece)
        declared = self._declared
        if declared is not None and (self._sent > declared or (not piece and self._sent < declared)):
            raise LocalProtocolError(
                f"the body gave {self._sent} bytes{' and more' if piece else ''} where Content-Length said {declared}"
            )
        self._rest = memoryview(piece)
        if not piece:
            self._body = None
            await body.aclose()

    async def _await_continue(self, deadline: Deadline | Timeout) -> ResponseHead | None:
        """RFC 9110 §10.1.1: wait a while for the server to say that it wants the body, or that it does not."""
        until = monotonic() + _CONTINUE_WAIT
        rest, self._rest = self._rest, None  # nothing is sent in the meantime
        while not self._continued and monotonic() < until:
            try:
                self._arrive(await self._connection._wait(self, deadline.within(time_left(until))))
            except TimeoutError:
                continue
            head = self._take_head()
            if head is not None:
                return head
        self._rest = rest
        return None

    # The response

    def _arrive(self, events: list[Event]) -> None:
        if events:
            self.answered = True
            self._events = events
            self._next = 0

    def _take_head(self) -> ResponseHead | None:
        """Return the final head if it has come; note early hints."""
        while self._next < len(self._events):
            event = self._events[self._next]
            self._next += 1
            if isinstance(event, Reset):
                raise _incomplete(event)
            assert isinstance(event, ResponseHead)
            if event.status >= 200:
                return event
            if event.status == 100:
                self._continued = True
            elif event.status == 103:
                self.hints = [*(self.hints or ()), event.fields]
        return None

    def take_complete(self) -> bytes | None:
        """Return the whole content if it is there already; None when more must be read."""
        events = self._events
        last = events[-1]
        if not isinstance(last, End):
            return None
        self._finish(last)
        first, self._next = self._next, len(events)
        if self._next - first == 2:
            return events[first]  # type: ignore[return-value]  # all between head and end is content
        return b"".join(events[first:-1])  # type: ignore[arg-type]

    async def read_chunk(self, deadline: Deadline | Timeout) -> bytes:
        """Return the next bytes of the content; b"" at its end."""
        while self._next == len(self._events):
            await self._advance(deadline)
        events = self._events
        first = self._next
        position = first
        while position < len(events) and isinstance(events[position], bytes):
            position += 1
        if position > first:
            self._next = position
            content: bytes = events[first] if position - first == 1 else b"".join(events[first:position])  # type: ignore[assignment, arg-type]
            self._consume(len(content))
            return content
        event = events[first]
        self._next = first + 1
        if isinstance(event, Reset):
            raise _incomplete(event)
        assert isinstance(event, End)
        self._finish(event)
        return b""

    def _consume(self, size: int) -> None:
        connection = self._connection
        with connection._lock:
            connection._codec.consumed(self._stream, size)
            if connection._codec.wants_to_send:
                connection._send()

    def _finish(self, end: End) -> None:
        if end.trailers:
            self.trailers = end.trailers
        if not self._stream.sent_end:
            self.close()

    def close(self) -> None:
        """Give the exchange up unless it is complete; the connection lives on."""
        connection = self._connection
        self._rest = None
        if self._stream is not None and not (self._stream.ended and self._stream.sent_end):
            with connection._lock:
                connection._codec.reset(self._stream, CANCEL)
                if connection._failure is None:
                    connection._send()

    leave = close

    async def aleave(self) -> None:
        """`leave`, and tell the source of the request's body that no more is read."""
        self.close()
        body, self._body = self._body, None
        if body is not None:
            await body.aclose()


def _incomplete(event: Reset) -> RemoteProtocolError:
    return Unprocessed(event.reason) if event.unprocessed else RemoteProtocolError(event.reason)


def _content_length(fields: Any) -> int | None:
    for name, value in fields:
        if name == b"content-length":
            return int(value)
    return None
