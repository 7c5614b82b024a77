"""Who gets which connection. The pool decides, under its lock and without I/O; the caller opens and closes.

A `Lease` is the right to one connection. It lives as long as the connection does: it goes from a request to the
pool's idle ones, or straight to the next in line, and back. A connection that carries many exchanges at a time has
one lease that is shared by them. Everything is found by origin; nothing is scanned.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from heapq import heappop, heappush
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from threading import Lock
    from typing import Any

    from ._options import Limits
    from .net.base import Parker


_MAX_REMEMBERED = 1024  # origins whose connections are known to carry one exchange at a time


class Lease:
    """The right to one connection to one origin; `connection` is None until it is opened."""

    __slots__ = ("_origin", "_pool", "connection", "idle_since", "pending", "shared", "users")

    def __init__(self, pool: Pool, origin: _Origin) -> None:
        self._pool = pool
        self._origin = origin
        self.connection: Any = None
        self.idle_since = 0.0
        self.pending = origin.cautious  # others wait to hear whether they may share it
        self.shared = False
        self.users = 0  # of a shared one

    def release(self, *, reusable: bool) -> None:
        """Give the lease back, once; unless the connection is reusable it is closed."""
        self._pool.release(self, monotonic(), reusable)


class Waiter:
    """A place in the line for a connection; `lease` is set before `parker` is woken."""

    __slots__ = ("cancelled", "lease", "origin", "parker", "ticket")

    def __init__(self, origin: _Origin, ticket: int, parker: Parker) -> None:
        self.origin = origin
        self.ticket = ticket
        self.parker = parker
        self.lease: Lease | None = None
        self.cancelled = False


class _Origin:
    """One origin's part of the pool."""

    __slots__ = ("cautious", "gone", "idle", "in_line", "key", "leases", "line", "pending", "shared")

    def __init__(self, key: Hashable, *, cautious: bool) -> None:
        self.key = key
        self.cautious = cautious  # a connection may turn out to be one for all: they are opened one at a time
        self.pending = 0  # leases whose connection is being opened, while cautious
        self.shared: list[Lease] = []
        self.leases = 0
        self.idle: deque[Lease] = deque()  # the newest is used first, so that the oldest expire
        self.line: deque[Waiter] = deque()
        self.gone = False  # the pool was abandoned
        self.in_line = False  # whether the pool's line knows of this origin

    def first(self) -> Waiter | None:
        line = self.line
        while line and line[0].cancelled:
            line.popleft()
        return line[0] if line else None


class Pool:
    """Connections, at most `limits.max_connections` in all, given out first come, first served."""

    def __init__(
        self,
        limits: Limits,
        lock: Lock,
        parker: Callable[[], Parker],
        may_share: Callable[[Any], bool] = lambda _key: False,
    ) -> None:
        self._limits = limits
        self._may_share = may_share  # whether connections to an origin may turn out to carry many exchanges
        self._unshared: set[Hashable] = set()  # origins where they did not
        self._expiry = math.inf if limits.keepalive_expiry is None else limits.keepalive_expiry
        self._next_expiry = 0.0  # no idle lease expires before
        most = limits.max_keepalive_connections
        self._most_idle = sys.maxsize if most is None else most
        self._lock = lock
        self._parker = parker
        self._origins: dict[Hashable, _Origin] = {}
        self._idle: dict[Lease, None] = {}  # all idle leases, the oldest first
        self._line: list[tuple[int, _Origin]] = []  # heap: each origin below its limit, by its first ticket
        self._leases = 0
        self._tickets = 0
        self.progress = 0.0  # when a connection last came free for anyone

    # `acquire` and `release` are spelt out where every request passes: `with` costs a lock twice as much.

    def lease(self, key: Hashable, now: float) -> Lease | Waiter:
        """Give out an idle connection, or the right to open one, or a place in the line.

        `now` is `time.monotonic()`, which the caller has at hand.
        """
        lock = self._lock
        lock.acquire()
        try:
            origin = self._origins.get(key)
            if origin is not None and origin.shared:
                doomed: list[Lease] = []
                answer: Lease | Waiter = self._join(origin, now, doomed) or self._open_or_wait(key, doomed)
            elif origin is not None and origin.idle:
                lease = origin.idle.pop()
                del self._idle[lease]
                if now < self._next_expiry or now - lease.idle_since < self._expiry:
                    return lease
                doomed = [lease]
                self._forget_lease(origin)
                self._expire(doomed, now)
                answer = self._open_or_wait(key, doomed)
            else:
                doomed = []
                answer = self._open_or_wait(key, doomed)
        finally:
            lock.release()
        _close(doomed)
        return answer

    def release(self, lease: Lease, now: float, reusable: bool) -> None:
        """Take a lease back: to the next in line, to the idle ones, or to its end."""
        origin = lease._origin
        lock = self._lock
        lock.acquire()
        try:
            if reusable and not (self._line or origin.line or origin.gone or lease.shared):
                lease.idle_since = now
                origin.idle.append(lease)
                self._idle[lease] = None
                if now < self._next_expiry and len(self._idle) <= self._most_idle:
                    return
                doomed: list[Lease] = []
                self._expire(doomed, now)
            elif lease.users > 1 and reusable and not (self._line or origin.line or origin.gone):
                lease.users -= 1
                return
            else:
                doomed = []
                self._pass_on(lease, reusable, doomed)
        finally:
            lock.release()
        _close(doomed)

    def opened(self, lease: Lease, *, shared: bool) -> None:
        """Hear whether the connection that was opened carries many exchanges at a time."""
        origin = lease._origin
        with self._lock:
            if lease.pending:
                lease.pending = False
                origin.pending -= 1
            if shared:
                lease.shared = True
                lease.users = 1
                origin.shared.append(lease)
                self._serve(lease)
            elif origin.cautious:
                origin.cautious = False
                if len(self._unshared) >= _MAX_REMEMBERED:
                    self._unshared.clear()
                self._unshared.add(origin.key)
            self._let_open(origin)

    def cancel(self, waiter: Waiter) -> None:
        """Leave the line; what was given in the meantime goes to the next."""
        doomed: list[Lease] = []
        with self._lock:
            waiter.cancelled = True
            if waiter.lease is not None:
                self._pass_on(waiter.lease, waiter.lease.connection is not None, doomed)
            else:
                self._forget(waiter.origin)
        _close(doomed)

    def close(self) -> None:
        """Close every idle connection, and from now on each that comes back and that nobody waits for."""
        with self._lock:
            self._most_idle = 0
            doomed: list[Lease] = []
            while self._idle:
                self._drop(self._oldest(), doomed)
        _close(doomed)

    def abandon(self, lock: Lock) -> list[Lease]:
        """Forget everything, and return the idle leases: the process was forked, or the event loop is gone."""
        leases = list(self._idle)
        for origin in self._origins.values():
            origin.gone = True
        self._lock = lock
        self._idle, self._origins, self._line, self._leases = {}, {}, [], 0
        return leases

    def shared(self) -> list[tuple[Any, Any]]:
        """Return the connections that carry many exchanges, each with the key of its origin."""
        with self._lock:
            return [(key, lease.connection) for key, origin in self._origins.items() for lease in origin.shared]

    @property
    def size(self) -> tuple[int, int]:
        """How many connections are leased out, and how many are idle."""
        with self._lock:
            return self._leases - len(self._idle), len(self._idle)

    # All below is called with the lock held

    def _open_or_wait(self, key: Hashable, doomed: list[Lease]) -> Lease | Waiter:
        origin = self._origins.get(key)
        if origin is None:
            cautious = key not in self._unshared and self._may_share(key)
            origin = self._origins[key] = _Origin(key, cautious=cautious)
        limits = self._limits
        room = _below(self._leases, limits.max_connections)
        if (room or self._idle) and self._may_open(origin):
            lease = self._new_lease(origin)
            if not room:
                self._drop(self._oldest(), doomed)
            return lease
        self._tickets += 1
        waiter = Waiter(origin, self._tickets, self._parker())
        origin.line.append(waiter)
        self._queue(origin)
        return waiter

    def _pass_on(self, lease: Lease, reusable: bool, doomed: list[Lease]) -> None:
        """Give a lease, or the room it leaves, to who has waited longest."""
        origin = lease._origin
        if origin.gone:
            doomed.append(lease)
            return
        now = monotonic()
        if lease.shared:
            self._leave(lease, reusable, doomed, now)
            return
        if reusable:
            heir = origin.first()
            first = self._next(heir)
            if first is None:
                self._rest(lease, now, doomed)
                return
            if first is heir:
                self.progress = now
                self._hand(lease, first)
                return
            # Whoever has waited longest is for another origin.
        self._drop(lease, doomed)
        if self._line:
            self.progress = now
            self._grant()

    # Leases that are shared

    def _join(self, origin: _Origin, now: float, doomed: list[Lease]) -> Lease | None:
        """Return a lease of the origin that one more may share."""
        lease = origin.shared[0]
        connection = lease.connection
        if 0 < lease.users < connection.capacity and connection.usable:
            lease.users += 1
            return lease
        for lease in list(origin.shared):
            connection = lease.connection
            if not lease.users:
                del self._idle[lease]
                origin.idle.remove(lease)
                if not connection.usable or now - lease.idle_since >= self._expiry:
                    self._drop(lease, doomed)
                    continue
            if connection.usable and lease.users < connection.capacity:
                lease.users += 1
                return lease
            if not lease.users:
                self._rest(lease, now, doomed)
        return None

    def _serve(self, lease: Lease) -> None:
        """Let those in line share a lease, as many as it carries."""
        connection = lease.connection
        while connection.usable and lease.users < connection.capacity:
            waiter = lease._origin.first()
            if waiter is None:
                return
            self.progress = monotonic()
            lease.users += 1
            self._hand(lease, waiter)

    def _leave(self, lease: Lease, reusable: bool, doomed: list[Lease], now: float) -> None:
        """One of those who share a lease is done."""
        origin = lease._origin
        lease.users -= 1
        first = self._next(origin.first()) if self._line else None
        if not reusable or (first is not None and first.origin is not origin):
            # It is of no more use, or who has waited longest is for another origin: it ends with its last user.
            if lease in origin.shared:
                origin.shared.remove(lease)
            if not lease.users:
                self._drop(lease, doomed)
            self._let_open(origin)
            return
        if lease in origin.shared:
            self._serve(lease)
        if not lease.users:
            if lease in origin.shared:
                self._rest(lease, now, doomed)
            else:
                self._drop(lease, doomed)
                self._let_open(origin)

    def _rest(self, lease: Lease, now: float, doomed: list[Lease]) -> None:
        lease.idle_since = now
        lease._origin.idle.append(lease)
        self._idle[lease] = None
        self._expire(doomed, now)

    def _let_open(self, origin: _Origin) -> None:
        """Give those in line the room that there is."""
        if origin.line:
            self._queue(origin)
        if self._line:
            self.progress = monotonic()
            self._grant()

    # Leases

    def _new_lease(self, origin: _Origin) -> Lease:
        origin.leases += 1
        origin.pending += origin.cautious
        self._leases += 1
        return Lease(self, origin)

    def _drop(self, lease: Lease, doomed: list[Lease]) -> None:
        doomed.append(lease)
        origin = lease._origin
        if lease.pending:
            # It was not opened. Those who waited for it try all at once, so that they fail all at once.
            lease.pending = origin.cautious = False
            origin.pending -= 1
        if lease.shared and lease in origin.shared:
            origin.shared.remove(lease)
        self._forget_lease(origin)

    def _forget_lease(self, origin: _Origin) -> None:
        origin.leases -= 1
        self._leases -= 1
        if origin.line:
            self._queue(origin)
        else:
            self._forget(origin)

    def _forget(self, origin: _Origin) -> None:
        if not origin.leases and origin.first() is None and self._origins.get(origin.key) is origin:
            del self._origins[origin.key]

    def _oldest(self) -> Lease:
        lease = next(iter(self._idle))
        del self._idle[lease]
        lease._origin.idle.popleft()
        return lease

    def _expire(self, doomed: list[Lease], now: float) -> None:
        """Drop the idle leases that are too many or too old."""
        while len(self._idle) > self._most_idle:
            self._drop(self._oldest(), doomed)
        while self._idle:
            expiry = next(iter(self._idle)).idle_since + self._expiry
            if now < expiry:
                self._next_expiry = expiry
                return
            self._drop(self._oldest(), doomed)
        self._next_expiry = now + self._expiry

    def _queue(self, origin: _Origin) -> None:
        """Put an origin with waiters in the pool's line, unless its own limit keeps it out."""
        first = origin.first()
        if not origin.in_line and first is not None and self._may_open(origin):
            origin.in_line = True
            heappush(self._line, (first.ticket, origin))

    def _may_open(self, origin: _Origin) -> bool:
        return not origin.pending and _below(origin.leases, self._limits.max_connections_per_host)

    def _next(self, heir: Waiter | None = None) -> Waiter | None:
        """Return who has waited longest of those that may have a connection; `heir` may have one at hand."""
        while self._line:
            ticket, origin = self._line[0]
            first = origin.first()
            if first is not None and first.ticket == ticket and self._may_open(origin):
                return heir if heir is not None and heir.ticket <= ticket else first
            heappop(self._line)
            origin.in_line = False
            self._queue(origin)
        return heir

    def _grant(self) -> None:
        """Give the room that came free to whoever has waited longest."""
        while _below(self._leases, self._limits.max_connections):
            first = self._next()
            if first is None:
                return
            self._hand(self._new_lease(first.origin), first)

    def _hand(self, lease: Lease, waiter: Waiter) -> None:
        waiter.origin.line.popleft()
        waiter.lease = lease
        waiter.parker.wake()


def _below(count: int, limit: int | None) -> bool:
    return limit is None or count < limit


def _close(leases: list[Lease]) -> None:
    for lease in leases:
        connection, lease.connection = lease.connection, None
        if connection is None:
            continue
        if lease._origin.gone:
            connection.abandon()
        else:
            connection.close()
