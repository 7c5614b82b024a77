"""The runtime of trio: native sockets and cancel scopes."""

from __future__ import annotations

import contextlib
import math
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from .base import READ_SIZE, Parker, Runtime, Stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


class TrioStream(Stream):
    """A socket under trio."""

    __slots__ = ("_broken", "_changed", "_sock", "_trio", "_unsent")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._trio = trio.socket.from_stdlib_socket(sock)
        self._unsent = memoryview(b"")
        self._broken: OSError | None = None  # what ended the sending
        self._changed = trio.Event()  # `writable` may look again

    async def read(self, timeout: float | None) -> bytes:
        try:
            with _limit(timeout):
                return await self._trio.recv(READ_SIZE)
        except trio.ClosedResourceError as error:
            raise _closed(error) from error
        raise TimeoutError

    async def write(self, data: bytes, timeout: float | None) -> None:
        rest = memoryview(data)
        while rest:
            with _limit(timeout) as scope:
                try:
                    rest = rest[await self._trio.send(rest) :]
                except trio.ClosedResourceError as error:
                    raise _closed(error) from error
            if scope.cancelled_caught:
                raise TimeoutError

    async def upload(self, data: bytes | memoryview, timeout: float | None) -> bool:
        if data:
            self._unsent = memoryview(b"".join((self._unsent, data)) if self._unsent else data)
        await trio.lowlevel.checkpoint()
        while self._unsent:
            if self.is_readable():
                return False
            try:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                await self._either_way(timeout)
        self._unsent = memoryview(b"")  # an empty slice would keep all that it was cut from
        return True

    async def _either_way(self, timeout: float | None) -> None:
        """Wait until the socket can be read or written."""
        await _first(
            timeout,
            partial(trio.lowlevel.wait_readable, self._sock),
            partial(trio.lowlevel.wait_writable, self._sock),
        )

    def send(self, data: bytes) -> bool:
        if self._broken is not None:
            raise self._broken
        if self._unsent:
            self._unsent = memoryview(b"".join((self._unsent, data)))
            return False
        try:
            sent = self._sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return True
        self._unsent = memoryview(data)[sent:]
        trio.lowlevel.spawn_system_task(self._send_rest)
        return False

    async def _send_rest(self) -> None:
        """Send what `send` has kept, whoever is cancelled meanwhile."""
        try:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._sock)
                with contextlib.suppress(BlockingIOError):
                    self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            self._broken = error if isinstance(error, OSError) else _closed(error)
            self._unsent = memoryview(b"")
        self._changed.set()

    async def writable(self, timeout: float | None, alone: bool) -> bool:
        if self._unsent:
            self._changed = changed = trio.Event()
            if alone:
                await _first(timeout, changed.wait, partial(trio.lowlevel.wait_readable, self._sock))
            else:
                await _first(timeout, changed.wait)
        if self._broken is not None:
            raise self._broken
        return not (alone and self.is_readable())

    def nudge(self) -> None:
        self._changed.set()

    def is_readable(self, ask_kernel: bool = True) -> bool:
        import socket

        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def send_now(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._sock.send(data)

    def close(self) -> None:
        # trio wants to be told, so that a task that waits on the socket is woken with an error.
        with contextlib.suppress(RuntimeError):
            self._trio.close()
        self._sock.close()

    @property
    def socket(self) -> socket.socket | None:
        return self._sock


def _closed(error: Exception) -> OSError:
    return ConnectionAbortedError(f"the connection was closed: {error}")


async def _first(timeout: float | None, *waits: Callable[[], Awaitable[Any]]) -> None:
    """Wait for the first of several; `TimeoutError` when none comes in time."""
    with _limit(timeout) as scope:
        async with trio.open_nursery() as nursery:

            async def until(wait: Callable[[], Awaitable[Any]]) -> None:
                await wait()
                nursery.cancel_scope.cancel()

            for wait in waits:
                nursery.start_soon(until, wait)
    if scope.cancelled_caught:
        raise TimeoutError


def _limit(timeout: float | None) -> trio.CancelScope:
    return trio.move_on_after(math.inf if timeout is None else max(timeout, 0))


class TrioParker(Parker):
    """A trio event."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, timeout: float | None) -> bool:
        with _limit(timeout):
            await self._event.wait()
        return self._event.is_set()


class TrioRuntime(Runtime):
    """Waits in one run of trio."""

    __slots__ = ()

    def at_end(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the run ends, unless the function that is returned is called before."""
        forget = trio.Event()

        async def watch() -> None:
            try:
                await forget.wait()
            except trio.Cancelled:  # trio cancels its system tasks when the main task has ended
                callback()
                raise

        trio.lowlevel.spawn_system_task(watch)
        return forget.set

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def parker(self) -> Parker:
        return TrioParker()

    async def turn(self) -> None:
        await trio.lowlevel.checkpoint()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def in_thread(self, function: Callable[[], T], timeout: float | None) -> T:
        # Not of trio's own 40 threads: those that hang are left behind, and would take them from the rest.
        limiter = trio.CapacityLimiter(math.inf)
        with _limit(timeout):
            return await trio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=limiter)
        raise TimeoutError

    async def within(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        with _limit(timeout):
            return await awaitable
        raise TimeoutError

    async def race(self, sockets: Sequence[socket.socket], timeout: float | None) -> list[socket.socket]:
        decided: list[socket.socket] = []
        with _limit(timeout):
            async with trio.open_nursery() as nursery:

                async def until(sock: socket.socket) -> None:
                    await trio.lowlevel.wait_writable(sock)
                    decided.append(sock)
                    nursery.cancel_scope.cancel()

                for sock in sockets:
                    nursery.start_soon(until, sock)
        return decided

    async def open(self, sock: socket.socket) -> Stream:
        return TrioStream(sock)
