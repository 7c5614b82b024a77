"""The runtime of the sync client: plain blocking sockets. Its coroutines never suspend."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time

from .base import LARGE, LOOK_UP, READ_SIZE, Parker, Runtime, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")

_WINDOWS = sys.platform == "win32"
_MSG_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)
_AT_ONCE = None if _MSG_DONTWAIT else LARGE  # bytes of an upload given to a `send` that cannot be kept from blocking


class _SelectPoll:
    """`select.poll` for the one platform without it."""

    def __init__(self) -> None:
        self._events: dict[Any, int] = {}

    def register(self, sock: socket.socket, events: int) -> None:
        self._events[sock] = events

    def poll(self, milliseconds: float | None) -> list[tuple[int, int]]:
        readers = [s for s, e in self._events.items() if e & _POLLIN]
        writers = [s for s, e in self._events.items() if e & _POLLOUT]
        seconds = None if milliseconds is None else milliseconds / 1000
        readable, writable, failed = select.select(readers, writers, writers, seconds)
        found: dict[int, int] = {}
        for group, event in ((readable, _POLLIN), (writable, _POLLOUT), (failed, _POLLOUT)):
            for sock in group:
                found[sock.fileno()] = found.get(sock.fileno(), 0) | event
        return list(found.items())


_NOTHING: list[Any] = []
_POLLIN = getattr(select, "POLLIN", 1)
_POLLOUT = getattr(select, "POLLOUT", 4)
_new_poll: Callable[[], Any] = getattr(select, "poll", _SelectPoll)


_LONGEST = 2_000_000.0  # seconds (23 days): poll(2) counts milliseconds in an int


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else max(min(seconds, _LONGEST) * 1000, 0)


class BlockingStream(Stream):
    """A socket in blocking mode, whose timeouts the kernel keeps (SO_RCVTIMEO): one system call a read."""

    __slots__ = (
        "_either_poll",
        "_idle_poll",
        "_read_timeout",
        "_receive",
        "_send",
        "_sock",
        "_unsent",
        "_uploads",
        "_write_timeout",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._sock: socket.socket | None = sock
        self._receive = sock.recv
        self._send = sock.send
        self._read_timeout: float | None = None
        self._write_timeout: float | None = None
        self._idle_poll: Any = None
        self._either_poll: Any = None
        self._uploads = 0
        self._unsent = memoryview(b"")

    async def read(self, timeout: float | None) -> bytes:
        return self.begin_read(timeout)

    def begin_read(self, timeout: float | None) -> bytes:
        if timeout != self._read_timeout:
            self._set_timeout("SO_RCVTIMEO", timeout)
            self._read_timeout = timeout
        try:
            return self._receive(READ_SIZE)
        except BlockingIOError:
            raise TimeoutError from None

    async def write(self, data: bytes, timeout: float | None) -> None:
        self.begin_write(data, timeout)

    def begin_write(self, data: bytes, timeout: float | None) -> None:
        if timeout != self._write_timeout:
            self._set_timeout("SO_SNDTIMEO", timeout)
            self._write_timeout = timeout
        try:
            sent = self._send(data)
            if sent != len(data):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[self._send(rest) :]
        except BlockingIOError:
            raise TimeoutError from None

    async def upload(self, data: bytes | memoryview, timeout: float | None) -> bool:
        if data:
            self._unsent = memoryview(b"".join((self._unsent, data)) if self._unsent else data)
        self._uploads += 1
        look_up = len(data) < LARGE or self._uploads % LOOK_UP == 0 or not _MSG_DONTWAIT
        while self._unsent:
            if look_up and not self._may_send(timeout):
                return False
            look_up = True
            try:
                self._unsent = self._unsent[self._send(self._unsent[:_AT_ONCE], _MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
        self._unsent = memoryview(b"")  # an empty slice would keep all that it was cut from
        return True

    def _may_send(self, timeout: float | None) -> bool:
        """Wait until the socket takes more; False when the peer has said something."""
        if self._either_poll is None:
            self._either_poll = _new_poll()
            self._either_poll.register(self._sock, _POLLIN | _POLLOUT)
        events = self._either_poll.poll(_milliseconds(timeout))
        if not events:
            raise TimeoutError
        return not events[0][1] & ~_POLLOUT

    def _set_timeout(self, option: str, timeout: float | None) -> None:
        sock = self._sock
        if sock is None:
            raise OSError("the stream is closed")
        if timeout is not None:
            timeout = min(timeout, _LONGEST)
        if _WINDOWS:
            # Windows keeps these as milliseconds, and Python's own timeout does as well there.
            value = struct.pack("@L", 0 if timeout is None else max(1, int(timeout * 1000)))
        else:
            microseconds = 0 if timeout is None else max(1, int(timeout * 1_000_000))
            value = struct.pack("@ll", *divmod(microseconds, 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)

    def send(self, data: bytes) -> bool:
        rest: bytes | memoryview = data
        if self._unsent:
            rest = b"".join((self._unsent, data)) if data else self._unsent
        if not rest:
            return True
        try:
            sent = self._send(rest, _MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._unsent = memoryview(rest)[sent:]
        return sent == len(rest)

    async def writable(self, timeout: float | None, alone: bool) -> bool:
        return self._may_send(timeout)

    def nudge(self) -> None:
        """`writable` looks for both always."""

    def is_readable(self, ask_kernel: bool = True) -> bool:
        if self._idle_poll is None:
            self._idle_poll = _new_poll()
            self._idle_poll.register(self._sock, _POLLIN)
        return self._idle_poll.poll(0) != _NOTHING  # type: ignore[no-any-return]

    def send_now(self, data: bytes) -> None:
        if self._sock is not None:
            try:
                self._send(data, _MSG_DONTWAIT)
            except OSError:
                return

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    @property
    def socket(self) -> socket.socket | None:
        return self._sock


class BlockingParker(Parker):
    """A lock that is taken until somebody wakes."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        self._lock.release()

    async def wait(self, timeout: float | None) -> bool:
        return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class BlockingRuntime(Runtime):
    """Waits by blocking the calling thread."""

    __slots__ = ()

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def parker(self) -> Parker:
        return BlockingParker()

    async def turn(self) -> None:
        return

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - it is the blocking runtime

    async def in_thread(self, function: Callable[[], T], timeout: float | None) -> T:
        if timeout is None:
            return function()
        outcome: list[T | BaseException] = []
        parker = BlockingParker()

        def work() -> None:
            try:
                outcome.append(function())
            except BaseException as error:  # noqa: BLE001 - it is raised again in the waiting thread
                outcome.append(error)
            parker.wake()

        threading.Thread(target=work, name="hither-resolve", daemon=True).start()
        if not await parker.wait(timeout):
            raise TimeoutError
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0]

    async def within(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        return await awaitable

    async def race(self, sockets: Sequence[socket.socket], timeout: float | None) -> list[socket.socket]:
        poll = _new_poll()
        for sock in sockets:
            poll.register(sock, _POLLOUT)
        ready = {descriptor for descriptor, _ in poll.poll(_milliseconds(timeout))}
        return [sock for sock in sockets if sock.fileno() in ready]

    async def open(self, sock: socket.socket) -> Stream:
        return BlockingStream(sock)
