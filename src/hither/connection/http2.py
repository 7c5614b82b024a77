"""The HTTP/2 pump: many exchanges at once over one stream, in one event loop or in many threads.

Nothing runs in the background. Of the exchanges that wait, one reads for all; the others are parked. Whoever stops
waiting, in whatever way, passes the reading on to one of the parked (`_pass_on`), so the connection is served as
long as anybody waits for it. What is to be sent leaves at once, together with what others send in the same turn of
the event loop; what the operating system does not take at once, one of the senders pushes on.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from socket import SHUT_RDWR
from time import monotonic

from .._errors import (
    LocalProtocolError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TransportError,
    WriteTimeout,
)
from ..protocol.events import End, Reset, ResponseHead
from ..protocol.http2 import HTTP2
from ..protocol.http2_frames import CANCEL, LARGEST_ID, NO_ERROR, code_name
from .http1 import ANSWERED, SENT, read_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._body import Body
    from .._options import Deadline, Limits, Timeout
    from .._request import Request
    from ..net.base import Parker, Runtime, Stream
    from ..protocol import http2
    from ..protocol.events import Event, Field

_CONTINUE_WAIT = 1.0  # seconds for a 100 Continue before the body goes out anyway; as over HTTP/1.1
_PIECE = 65536  # bytes of a body that one exchange sends before it is another's turn
_PONG_WAIT = 1.0  # seconds for the answer to a PING before another connection is opened
_LAST_ID = LARGEST_ID - 2  # no stream can be opened after this one
_AT_HAND = 0.01  # seconds to read what has come already


class Unprocessed(RemoteProtocolError):
    """The server has not acted on the request, and says so: it may be sent again, whatever its method."""

    unprocessed = True


class HTTP2Connection:
    """A stream that carries many exchanges at a time; `begin` starts one."""

    __slots__ = (
        "_allowed",
        "_blocked",
        "_codec",
        "_doubted",
        "_drainers",
        "_earliest",
        "_failure",
        "_flushing",
        "_heard",
        "_idle_ping",
        "_lock",
        "_most_streams",
        "_parked",
        "_pusher",
        "_reader",
        "_reads_until",
        "_runtime",
        "_stream",
        "_unsent",
        "capacity",
        "fresh",
        "info",
        "usable",
    )

    multiplexed = True

    def __init__(self, stream: Stream, info: Any, runtime: Runtime, limits: Limits) -> None:
        self.info = info
        self.fresh = True  # nothing has been answered yet
        self._stream = stream
        self._runtime = runtime
        self._lock = runtime.lock()
        self._codec = HTTP2(client=True)
        self._allowed = self._codec.max_streams
        self._most_streams = limits.max_streams_per_connection
        self._idle_ping = limits.ping_after
        self._failure: TransportError | None = None
        self.usable = True  # new exchanges may begin
        self.capacity = 0  # how many there may be at a time
        self._set_capacity()
        self._heard = monotonic()
        self._doubted: float | None = None  # when the server was asked whether it is there
        self._flushing = False
        self._unsent = False  # the operating system has not taken all yet
        self._reader: Any = None  # who reads for all
        self._reads_until = inf  # when its read ends at the latest
        self._earliest = inf  # no parked exchange that the reader looks after has to be woken before
        self._pusher: Any = None  # who waits for the operating system to take more
        self._parked: dict[HTTP2Exchange, Parker] = {}  # the longest first
        self._blocked: dict[HTTP2Exchange, None] = {}  # whose windows are closed, the longest first
        self._drainers: list[Parker] = []
        stream.share(self._lock)

    # What the pool and the network ask

    def begin(self) -> HTTP2Exchange:
        """Return a place for one exchange."""
        return HTTP2Exchange(self)

    def _set_capacity(self) -> None:
        most, allowed = self._most_streams, self._codec.max_streams
        self.capacity = allowed if most is None or allowed < most else most

    def retire(self) -> None:
        """Begin no more exchanges; those under way go on."""
        self.usable = False

    def close(self) -> None:
        """Close at once."""
        with self._lock:
            if self._failure is None and self.usable:
                self._codec.go_away(NO_ERROR)
                self._send()
            self._fail(ReadError("the connection was closed by this client"))
            self._stream.close()

    def abandon(self) -> None:
        """Let go of the socket without a word to the server, which still talks to another process."""
        self.usable = False
        if self._stream.socket is not None:
            self._stream.socket.close()

    # Sending

    def _send(self) -> None:
        """Hand over what has gathered, and note whether some of it has to wait. The lock is held."""
        try:
            self._unsent = not self._stream.send(self._codec.data_to_send())
        except OSError:
            # The server has closed. What it said before is still to be read, and tells more than this error.
            self.usable = False
            self._unsent = False

    async def _flush(self, deadline: Deadline | Timeout) -> None:
        """Send what has gathered, with what others add to it in this turn of the event loop."""
        if not self._flushing:
            self._flushing = True
            try:
                if len(self._codec.streams) > 1:
                    await self._runtime.turn()
            finally:
                self._flushing = False
                lock = self._lock
                lock.acquire()
                try:
                    self._send()
                finally:
                    lock.release()
        if self._unsent:
            try:
                await self._push(deadline.write)
            except TimeoutError:
                self.retire()  # the server reads nothing
                raise deadline.expired(WriteTimeout, "write", "sending the request") from None

    async def _push(self, timeout: float | None) -> None:
        """Wait until the operating system has taken all; read when the server says something and nobody else does."""
        until = None if timeout is None else monotonic() + timeout
        me = object()
        try:
            while self._unsent:
                with self._lock:
                    if self._pusher is None:
                        self._pusher = me
                    parker = None if self._pusher is me else self._new_drainer()
                if parker is None:
                    parker = await self._push_on(me, until)
                if parker is not None and not await parker.wait(_left(until)):
                    raise TimeoutError
        finally:
            with self._lock:
                if self._pusher is me:
                    self._pusher = None
                self._wake_drainers()

    async def _push_on(self, me: object, until: float | None) -> Parker | None:
        """Wait once; returns where to wait when somebody else has to read first."""
        try:
            if await self._stream.writable(_left(until), self._reader is None):
                with self._lock:
                    self._send()
                return None
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            self._unsent = False
            return None
        with self._lock:
            if self._reader is not None:
                return self._new_drainer()
            self._reader = me
        try:
            await self._read(inf if until is None else until)
        finally:
            self._leave(me)
        return None

    def _new_drainer(self) -> Parker:
        parker = self._runtime.parker()
        self._drainers.append(parker)
        return parker

    def _wake_drainers(self) -> None:
        for parker in self._drainers:
            parker.wake()
        self._drainers.clear()

    # Waiting

    async def _wait(self, exchange: HTTP2Exchange, timeout: float | None) -> list[Event]:
        """Wait for an exchange's events; none when it is its turn to send instead.

        `TimeoutError` after `timeout` seconds with neither; what broke the connection is raised.
        """
        lock = self._lock
        exchange._until = until = inf if timeout is None else monotonic() + timeout
        while True:
            parker = None
            lock.acquire()
            try:
                if exchange._is_served() or self._failure is not None:
                    if self._reader is exchange:
                        self._pass_on()
                    if exchange._is_served():
                        return exchange._take_events()
                    raise self._own_failure()
                if self._reader is None:
                    self._reader = exchange
                elif self._reader is not exchange:
                    parker, timeout = self._park(exchange)
                if exchange._rest is not None:
                    self._blocked[exchange] = None
            finally:
                lock.release()
            woken = False
            try:
                if parker is not None:
                    woken = await parker.wait(timeout)
                    if not woken or exchange._expired:
                        raise TimeoutError
                else:
                    while not exchange._is_served() and self._failure is None:
                        await self._read(until)
            finally:
                if not woken:
                    self._leave(exchange)

    def _park(self, exchange: HTTP2Exchange) -> tuple[Parker, float | None]:
        """Make a place to wait in, and tell how long; the reader looks after those whose time ends after its own.

        The lock is held.
        """
        parker = self._parked[exchange] = self._runtime.parker()
        until = exchange._until
        if until < self._reads_until:
            return parker, max(until - monotonic(), 0.0)
        self._earliest = min(self._earliest, until)
        return parker, None

    def _leave(self, reader: object) -> None:
        """Stop waiting, and let another of those who wait read when it was this one's part."""
        with self._lock:
            self._parked.pop(reader, None)  # type: ignore[call-overload]
            if self._reader is reader:
                self._pass_on()

    def _pass_on(self) -> None:
        """Make one of the parked the reader. The lock is held."""
        self._reader = None
        if self._parked:
            exchange = next(iter(self._parked))
            self._reader = exchange
            self._parked.pop(exchange).wake()
        if self._drainers:
            self._wake_drainers()
        if self._pusher is not None:
            self._stream.nudge()

    async def _read(self, until: float) -> None:
        """Read once, for everybody; `TimeoutError` when the reader's own time is up."""
        limit = self._reads_until = min(until, self._earliest)
        try:
            data = await self._stream.read(None if limit == inf else max(limit - monotonic(), 0.0))
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                if limit == until:
                    raise
                return self._expire()
            failure = read_failure(error)
            failure.__cause__ = error
            with self._lock:
                return self._fail(failure)
        lock = self._lock
        lock.acquire()
        try:
            self._take(data)
        finally:
            lock.release()

    def _expire(self) -> None:
        """Wake those of the parked whose time is up."""
        now = monotonic()
        with self._lock:
            for exchange in [exchange for exchange in self._parked if exchange._until <= now]:
                exchange._expired = True
                self._parked.pop(exchange).wake()
            self._earliest = min((exchange._until for exchange in self._parked), default=inf)

    def _take(self, data: bytes) -> None:
        """Give the codec what has come, and wake those whom it concerns. The lock is held."""
        codec = self._codec
        if not data:
            self._fail(RemoteProtocolError(f"the server closed the connection{_why(codec.goaway)}"))
            return
        self._heard = monotonic()
        self._doubted = None
        parked = self._parked
        for stream in codec.receive_data(data):
            parker = parked.pop(stream.owner, None)
            if parker is not None:
                parker.wake()
        if self._blocked and codec.window_out > 0:
            self._unblock()
        if codec.wants_to_send:
            self._send()
        if self._drainers:
            self._wake_drainers()
        if self._allowed != codec.max_streams:
            self._allowed = codec.max_streams
            self._set_capacity()
        if not codec.open:
            self.usable = False
            if codec.failure is not None:
                self._fail(codec.failure)

    def _unblock(self) -> None:
        """Wake those whose windows are open now, in the order in which they came."""
        for exchange in [exchange for exchange in self._blocked if exchange._may_send()]:
            del self._blocked[exchange]
            parker = self._parked.pop(exchange, None)
            if parker is not None:
                parker.wake()

    def _fail(self, failure: TransportError) -> None:
        """Nothing more will come: wake everybody. The lock is held."""
        self.usable = False
        if self._failure is None:
            self._failure = failure
            with suppress(OSError):
                if self._stream.socket is not None:
                    self._stream.socket.shutdown(SHUT_RDWR)  # wakes whoever waits for it in another thread
        self._unsent = False
        for parker in self._parked.values():
            parker.wake()
        self._parked.clear()
        self._wake_drainers()

    def _own_failure(self) -> TransportError:
        """Return what broke the connection, as an error of one exchange's own."""
        failure = self._failure
        assert failure is not None
        own = type(failure)(str(failure))
        own.__cause__ = failure.__cause__
        return own

    # Whether the server is there

    async def _catch_up(self, deadline: Deadline | Timeout) -> None:
        """Before the first exchange after a pause: take what the server has said in the meantime."""
        me = object()
        with self._lock:
            if self._reader is not None or self._codec.streams:
                return
            self._reader = me
        try:
            while self._failure is None and self._stream.is_readable():
                await self._read(monotonic() + _AT_HAND)
        except TimeoutError:
            pass
        finally:
            self._leave(me)
        if self._idle_ping is not None and monotonic() - self._heard >= self._idle_ping:
            self._doubt()

    def _doubt(self) -> None:
        """Ask the server by PING whether it is there; nothing is begun before it is heard."""
        if self._doubted is None:
            with self._lock:
                self._doubted = monotonic()
                self._codec.ping()
                self._send()

    async def _confirm(self, deadline: Deadline | Timeout) -> None:
        """Wait until the server is heard; without a word from it for a while the connection is given up."""
        me = object()
        while (since := self._doubted) is not None and self.usable:
            left = since + _PONG_WAIT - monotonic()
            if left <= 0:
                return self.retire()
            with self._lock:
                if self._reader is None:
                    self._reader = me
                parker = None if self._reader is me else self._new_drainer()
            try:
                limit = deadline.read
                timeout = left if limit is None else min(left, limit)
                if parker is None:
                    await self._read(monotonic() + timeout)
                elif not await parker.wait(timeout):
                    raise TimeoutError
            except TimeoutError:
                if monotonic() < since + _PONG_WAIT:
                    raise deadline.expired(ReadTimeout, "read", "waiting for a sign of the server") from None
            finally:
                self._leave(me)
        return None


def _left(until: float | None) -> float | None:
    return None if until is None else max(until - monotonic(), 0.0)


def _why(goaway: tuple[int, int, bytes] | None) -> str:
    """Say what the server gave as the reason, when there is one."""
    if goaway is None or not goaway[1]:
        return ""
    said = f": {goaway[2][:100].decode('ascii', 'replace')!r}" if goaway[2] else ""
    return f" with {code_name(goaway[1])}{said}"


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
                self._arrive(await self._connection._wait(self, deadline.within(_left(until))))
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
