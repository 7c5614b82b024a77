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

from .._errors import ReadError, ReadTimeout, RemoteProtocolError, TransportError, WriteTimeout
from ..protocol.http2 import HTTP2
from ..protocol.http2_frames import NO_ERROR, code_name
from .http1 import read_failure
from .http2_exchange import HTTP2Exchange, time_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._options import Deadline, Limits, Timeout
    from ..net.base import Parker, Runtime, Stream
    from ..protocol.events import Event

_PONG_WAIT = 1.0  # seconds for the answer to a PING before another connection is opened
_MOST_KEPT = 16 * 1024 * 1024  # bytes that wait to be sent: more than the pieces of 200 uploads
_AT_HAND = 0.01  # seconds to read what has come already


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
        "_kept",
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
        self._kept = 0  # bytes handed over since it has
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
        data = self._codec.data_to_send()
        try:
            self._unsent = not self._stream.send(data)
        except OSError:
            # The server has closed. What it said before is still to be read, and tells more than this error.
            self.usable = False
            self._unsent = False
        if not self._unsent:
            self._kept = 0
            return
        self._kept += len(data)
        if self._kept > _MOST_KEPT:
            self._fail(RemoteProtocolError("the server asks for answers, and does not read them"))

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
                if parker is not None and not await parker.wait(time_left(until)):
                    raise TimeoutError
        finally:
            with self._lock:
                if self._pusher is me:
                    self._pusher = None
                self._wake_drainers()

    async def _push_on(self, me: object, until: float | None) -> Parker | None:
        """Wait once; returns where to wait when somebody else has to read first."""
        try:
            if await self._stream.writable(time_left(until), self._reader is None):
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


def _why(goaway: tuple[int, int, bytes] | None) -> str:
    """Say what the server gave as the reason, when there is one."""
    if goaway is None or not goaway[1]:
        return ""
    said = f": {goaway[2][:100].decode('ascii', 'replace')!r}" if goaway[2] else ""
    return f" with {code_name(goaway[1])}{said}"
