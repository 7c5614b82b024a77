"""What the core asks of the outside world: a `Runtime` opens a `Stream` and lets time pass.

Three runtimes keep these promises: `net/blocking.py`, `net/asyncio.py` and `net/trio.py`. Nothing above `net/`
may suspend in any other way, which is why one set of coroutines serves the sync and the async client.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import coroutine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
    from typing import Any, TypeVar

    T = TypeVar("T")

# Bytes asked of the socket at once: fewer reads than with the usual 64 KiB, and still well below the 128 KiB from
# which glibc's malloc takes fresh pages for each piece and gives them back (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD).
READ_SIZE = 96 * 1024
LARGE = 65536  # bytes of an `upload` that is part of a stream of such, so that not every one has to look up
LOOK_UP = 4  # of these, one looks up


def run_sync(awaitable: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine of the core to its end in the calling thread.

    The blocking runtime never suspends, so the first step is the last. `RuntimeError` when something did
    suspend: an async transport, hook or body was given to the sync client.

    >>> async def answer(): return 42
    >>> run_sync(answer())
    42
    """
    outcome: list[T] = []
    steps = _steps(awaitable, outcome)
    for _ in steps:
        steps.close()
        raise RuntimeError("something asynchronous was awaited in the sync client: use AsyncClient for it")
    return outcome[0]


@coroutine
def _steps(awaitable: Coroutine[Any, Any, T], outcome: list[T]) -> Generator[Any, None, None]:
    """Yield wherever the coroutine suspends; unlike its `send`, the end costs no exception."""
    outcome.append((yield from awaitable))


class Stream(ABC):
    """An open connection's bytes, in order, both ways.

    Times are seconds and `None` waits for ever. `TimeoutError` when the time is up and `OSError` when the
    connection broke. A `read` that timed out or was cancelled has taken nothing, and another may follow; after any
    other failure the stream may only be closed.
    """

    __slots__ = ()

    @abstractmethod
    async def read(self, timeout: float | None) -> bytes:
        """Return the next bytes, whatever has come; b"" once the peer has finished sending."""

    @abstractmethod
    async def write(self, data: bytes, timeout: float | None) -> None:
        """Hand all of `data` over to the operating system or to a bounded buffer in front of it."""

    def begin_read(self, timeout: float | None) -> bytes | Awaitable[bytes]:
        """Read: return the bytes where there is nothing to await, or else what to await for them.

        Unlike `read` it may have taken what it was cancelled over: the stream may only be closed then.
        """
        return self.read(timeout)

    def begin_write(self, data: bytes, timeout: float | None) -> Awaitable[None] | None:
        """Write like `write`: return what is to be awaited, or None when all is handed over."""
        return self.write(data, timeout)

    @abstractmethod
    async def upload(self, data: bytes | memoryview, timeout: float | None) -> bool:
        """Write like `write`, but look up when the peer says something: at once when it has to wait, else soon.

        True: all is written. False: the peer sent something, or closed, and `read` will not wait; the rest of
        `data` is kept, and `upload(b"")` goes on with it.
        """

    @abstractmethod
    def send(self, data: bytes) -> bool:
        """Hand over, without waiting, what the operating system takes; True when that was all.

        The rest is kept and goes first the next time; where there is an event loop it goes by itself.
        """

    @abstractmethod
    async def writable(self, timeout: float | None, alone: bool) -> bool:
        """Wait until more of what `send` has kept may go: True. `alone` says that nobody reads meanwhile.

        False when the peer says something first, which it may want to be read before it takes more.
        """

    @abstractmethod
    def nudge(self) -> None:
        """Let `writable` return at once where it looks for writability only: nobody reads any more."""

    def share(self, lock: threading.Lock) -> None:  # noqa: B027 - most have nothing to guard
        """Say that several threads read and send, the latter with `lock` held."""

    @abstractmethod
    def is_readable(self, ask_kernel: bool = True) -> bool:
        """Tell, without waiting, whether `read` has something: bytes, the end or an error.

        An event loop learns of it in its next turn; `ask_kernel` makes sure, at the price of a system call.
        """

    @abstractmethod
    def send_now(self, data: bytes) -> None:
        """Offer a last few bytes (a TLS close_notify) without waiting; lost when they do not fit."""

    @abstractmethod
    def close(self) -> None:
        """Close at once and without waiting. May be called twice; never raises."""

    @property
    @abstractmethod
    def socket(self) -> socket.socket | None:
        """The socket underneath."""


class Parker(ABC):
    """A place to wait in until somebody calls `wake`."""

    __slots__ = ()

    @abstractmethod
    def wake(self) -> None:
        """Let the waiter go on; a wake before the wait is not lost. Once only."""

    @abstractmethod
    async def wait(self, timeout: float | None) -> bool:
        """Wait for `wake`: True when it came, False when `timeout` seconds went by first."""


class Runtime(ABC):
    """How this thread or event loop waits."""

    __slots__ = ()

    @abstractmethod
    def lock(self) -> threading.Lock:
        """Make a lock for state that is shared by all users of this runtime; never held over an await."""

    @abstractmethod
    def parker(self) -> Parker:
        """Make a place for one waiter."""

    @abstractmethod
    async def turn(self) -> None:
        """Let whatever else is ready run first; without an event loop there is nothing."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""

    @abstractmethod
    async def in_thread(self, function: Callable[[], T], timeout: float | None) -> T:
        """Run a blocking function aside; on `TimeoutError` or cancellation it is left behind."""

    @abstractmethod
    async def within(self, awaitable: Awaitable[T], timeout: float | None) -> T:
        """Await what is not the core's own; cancelled, with `TimeoutError`, after `timeout` seconds."""

    @abstractmethod
    async def race(self, sockets: Sequence[socket.socket], timeout: float | None) -> list[socket.socket]:
        """Wait until at least one connecting socket is decided; an empty list after `timeout` seconds."""

    @abstractmethod
    async def open(self, sock: socket.socket) -> Stream:
        """Make a stream of a connected, non-blocking socket, which it then owns."""
