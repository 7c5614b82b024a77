"""The runtime of asyncio (and uvloop): `asyncio.BufferedProtocol`, no streams, no tasks of our own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import sys
import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .base import LARGE, LOOK_UP, READ_SIZE, Parker, Runtime, Stream, run_sync

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

T = TypeVar("T")

_PROACTOR = sys.platform == "win32"
_HIGH_WATER = 256 * 1024  # bytes read ahead of the reader before the socket is left alone (asyncio: 64 KiB x 2)


class AsyncioStream(asyncio.BufferedProtocol, Stream):
    """A connected socket under an asyncio transport.

    The loop's streams share one receive buffer. A wait arms at most one timer, which is left running and
    looked at when it fires, so that a busy connection sets one timer in many requests.
    """

    __slots__ = (
        "_ahead",
        "_ahead_size",
        "_buffer",
        "_deadline",
        "_drain",
        "_eof",
        "_loop",
        "_lost",
        "_paused",
        "_reader",
        "_sock",
        "_timer",
        "_timer_at",
        "_transport",
        "_uploads",
        "_watching",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, buffer: memoryview) -> None:
        self._loop = loop
        self._sock = sock
        self._buffer = buffer
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made
        self._ahead: deque[bytes] = deque()
        self._ahead_size = 0
        self._reader: asyncio.Future[bytes] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._watching = False
        self._uploads = 0
        self._paused = False
        self._eof = False
        self._lost: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Paused is whenever the kernel has not taken all: then a write has to wait, and `close` has to drop it.
        self._transport.set_write_buffer_limits(high=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        reader = self._reader
        if reader is not None and not reader.done():
            self._reader = None
            reader.set_result(data)
            return
        self._ahead.append(data)
        self._ahead_size += nbytes
        if self._ahead_size > _HIGH_WATER:
            self._transport.pause_reading()
        if self._watching:
            self._wake_writer()

    def eof_received(self) -> bool:
        self._eof = True
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(b"")
        if self._watching:
            self._wake_writer()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionAbortedError("the connection was closed")
        if exc is not None:
            self._rescue()
        if self._timer is not None:
            self._timer.cancel()
        reader = self._reader
        if reader is not None and not reader.done():
            if self._ahead:
                reader.set_result(self._ahead.popleft())
            else:
                reader.set_exception(self._lost)
        self._wake_writer()

    def _rescue(self) -> None:
        """Take what the peer had sent before the connection broke: often the answer that explains why."""
        with contextlib.suppress(OSError, ValueError):
            while data := self._sock.recv(READ_SIZE):
                self._ahead.append(data)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # What the connection calls

    async def read(self, timeout: float | None) -> bytes:
        reader = self.begin_read(timeout)
        if isinstance(reader, bytes):
            return reader
        try:
            return await reader
        except asyncio.CancelledError:
            self._put_back(reader)
            raise
        finally:
            self._reader = None

    def begin_read(self, timeout: float | None) -> bytes | asyncio.Future[bytes]:
        if self._ahead:
            return self._take()
        if self._eof:
            return b""
        if self._lost is not None:
            raise self._lost
        self._reader = reader = self._loop.create_future()
        if timeout is None:
            self._deadline = math.inf
        else:
            self._deadline = at = monotonic() + timeout
            if self._timer is None or at < self._timer_at:
                self._arm(timeout)
        return reader

    def _put_back(self, reader: asyncio.Future[bytes]) -> None:
        """Keep what came just before its reader was cancelled."""
        if not reader.cancelled() and reader.exception() is None and (data := reader.result()):
            self._ahead.appendleft(data)
            self._ahead_size += len(data)

    def _take(self) -> bytes:
        data = self._ahead.popleft()
        if self._ahead_size > _HIGH_WATER:
            self._ahead_size -= len(data)
            if self._ahead_size <= _HIGH_WATER and self._lost is None:
                self._transport.resume_reading()
        else:
            self._ahead_size -= len(data)
        return data

    async def write(self, data: bytes, timeout: float | None) -> None:
        rest = self.begin_write(data, timeout)
        if rest is not None:
            await rest

    def begin_write(self, data: bytes, timeout: float | None) -> Awaitable[None] | None:
        if self._lost is not None:
            raise self._lost
        self._transport.write(data)
        return self._drained(timeout) if self._paused else None

    async def upload(self, data: bytes | memoryview, timeout: float | None) -> bool:
        if data and self._lost is None:
            self._transport.write(data)
        self._uploads += 1
        if len(data) < LARGE or self._uploads % LOOK_UP == 0:
            # One turn of the loop, so that an early answer is seen even while the socket takes all we give.
            await asyncio.sleep(0)
        if self._paused and not self.is_readable(ask_kernel=False):
            self._watching = True
            try:
                await self._drained(timeout)
            finally:
                self._watching = False
        if self.is_readable(ask_kernel=False):
            return False
        if self._lost is not None:
            raise self._lost
        return not self._paused

    def send(self, data: bytes) -> bool:
        if self._lost is not None:
            raise self._lost
        if data:
            self._transport.write(data)
        return not self._paused

    async def writable(self, timeout: float | None, alone: bool) -> bool:
        if self._paused and not (alone and self.is_readable(ask_kernel=False)):
            self._watching = alone
            try:
                await self._drained(timeout)
            finally:
                self._watching = False
        if self._lost is not None:
            raise self._lost
        return not (alone and self.is_readable(ask_kernel=False))

    def nudge(self) -> None:
        self._wake_writer()

    async def _drained(self, timeout: float | None) -> None:
        self._drain = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, _expire, self._drain)
        try:
            await self._drain
        finally:
            self._drain = None
            if timer is not None:
                timer.cancel()
        if self._lost is not None and not self._watching:
            raise self._lost

    def _arm(self, timeout: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        self._timer = self._loop.call_later(timeout, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        reader = self._reader
        if reader is None or reader.done():
            return
        left = self._deadline - monotonic()
        if left == math.inf:
            return
        if left > 0:
            self._timer_at = self._deadline
            self._timer = self._loop.call_later(left, self._on_timer)
        else:
            reader.set_exception(TimeoutError())

    def is_readable(self, ask_kernel: bool = True) -> bool:
        if self._ahead or self._eof or self._lost is not None:
            return True
        return ask_kernel and self._has_unseen()

    def _has_unseen(self) -> bool:
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def send_now(self, data: bytes) -> None:
        if self._lost is None and not self._paused and not self._loop.is_closed():
            self._transport.write(data)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop.is_closed():
            self._sock.close()
        elif self._paused:
            self._transport.abort()
        else:
            self._transport.close()

    @property
    def socket(self) -> socket.socket | None:
        return self._sock


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


class AsyncioParker(Parker):
    """A future."""

    __slots__ = ("_future", "_loop", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout: float | None) -> bool:
        timer = None if timeout is None else self._loop.call_later(timeout, _expire, self._future)
        try:
            await self._future
        except TimeoutError:
            if self._woken:  # after the timer, and before the waiter ran on
                return True
            # A fresh place for the next round: the waiter may go on waiting.
            self._future = self._loop.create_future()
            return False
        finally:
            if timer is not None:
                timer.cancel()
        return True


class AsyncioRuntime(Runtime):
    """Waits in one asyncio event loop."""

    __slots__ = ("_buffer", "_loop", "_watch")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watch: AsyncGenerator[None, None] | None = None
        self._buffer = memoryview(bytearray(READ_SIZE))

    def at_end(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the loop ends, unless the function that is returned is called before.

        `asyncio.run` closes the async generators of its loop at its end: this is one.
        """

        async def watch() -> AsyncGenerator[None, None]:
            try:
                yield
            finally:
                callback()

        self._watch = watch()
        with contextlib.suppress(StopIteration):
            self._watch.__anext__().send(None)
        return self._forget

    def _forget(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            with contextlib.suppress(StopIteration):
                watch.aclose().send(None)

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def parker(self) -> Parker:
        return AsyncioParker(self._loop)

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def in_thread(self, function: Callable[[], T], timeout: float | None) -> T:
        future: asyncio.Future[T] = self._loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(cast("T", result))
            else:
                future.set_exception(error)

        def work() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = function()
            except StopIteration as caught:  # which neither a future nor a coroutine can raise
                error = RuntimeError(f"{function} raised StopIteration")
                error.__cause__ = caught
            except BaseException as caught:  # noqa: BLE001 - it is raised again in the waiting task
                error = caught
            # The loop may have ended meanwhile; nobody waits then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=work, name="hither-resolve", daemon=True).start()
        timer = None if timeout is None else self._loop.call_later(timeout, _expire, future)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    async def within(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        async with asyncio.timeout(timeout):
            return await awaitable

    async def race(self, sockets: Sequence[socket.socket], timeout: float | None) -> list[socket.socket]:
        if _PROACTOR:
            from .blocking import BlockingRuntime

            return await self.in_thread(lambda: run_sync(BlockingRuntime().race(sockets, timeout)), None)
        decided: list[socket.socket] = []
        future: asyncio.Future[None] = self._loop.create_future()

        def ready(sock: socket.socket) -> None:
            if sock not in decided:
                decided.append(sock)
            if not future.done():
                future.set_result(None)

        timer = None if timeout is None else self._loop.call_later(timeout, _expire, future)
        try:
            for sock in sockets:
                self._loop.add_writer(sock, ready, sock)
            with contextlib.suppress(TimeoutError):
                await future
        finally:
            if timer is not None:
                timer.cancel()
            for sock in sockets:
                self._loop.remove_writer(sock)
        return decided

    async def open(self, sock: socket.socket) -> Stream:
        # Windows' proactor fills a buffer in the background, so there each stream needs one of its own.
        buffer = memoryview(bytearray(LARGE)) if _PROACTOR else self._buffer

        def protocol() -> AsyncioStream:
            return AsyncioStream(self._loop, sock, buffer)

        if sock.family == getattr(socket, "AF_UNIX", None):
            _, stream = await self._loop.create_unix_connection(protocol, sock=sock)
        else:
            _, stream = await self._loop.create_connection(protocol, sock=sock)
        return stream
