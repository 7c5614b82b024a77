"""One client's connections under one runtime: lease one, open it if need be, exchange, give it back."""

from __future__ import annotations

import os
from time import monotonic
from weakref import WeakSet

from ._connect import Connector
from ._errors import (
    HTTPError,
    PoolTimeout,
    ReadError,
    RemoteProtocolError,
    UnsupportedProtocol,
    WriteError,
)
from ._pool import Pool, Waiter
from ._resolve import Names
from ._response import Response
from .connection.http1 import ANSWERED, LEASED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._connect import SocketSettings
    from ._options import Deadline, Limits, Timeout
    from ._pool import Lease
    from ._request import Request
    from ._tls import TLSSettings
    from .connection.http1 import HTTP1Connection
    from .net.base import Runtime

_SCHEMES = frozenset({"http", "https"})

# RFC 9110 §9.2.2: what may be sent again when nobody knows whether it was acted on.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})


_all: WeakSet[Network] = WeakSet()


def _after_fork() -> None:
    for network in list(_all):
        network.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Network:
    """Turns requests into responses over connections of its own."""

    __slots__ = ("__weakref__", "_connector", "_runtime", "pool")

    def __init__(
        self, runtime: Runtime, limits: Limits, sockets: SocketSettings, tls: TLSSettings, resolver: Any
    ) -> None:
        self._runtime = runtime
        self._connector = Connector(runtime, Names(resolver), sockets, tls)
        self.pool = Pool(limits, runtime.lock(), runtime.parker)
        _all.add(self)

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they are given back."""
        self.pool.close()

    async def settle(self) -> None:
        """Let what was closed be closed: the transports of asyncio need a turn of the loop for it."""
        await self._runtime.sleep(0)

    def abandon(self) -> None:
        """Let go of all connections without a word: they belong to another process, or their loop is gone."""
        for lease in self.pool.abandon(self._runtime.lock()):
            lease.connection.abandon()
        self._connector.abandon()

    async def send(self, request: Request, deadline: Deadline | Timeout, started: float) -> Response:
        """Exchange a request for a response, whose content may still be on its way."""
        url = request._url
        key: Any = url.key
        body = request.body
        if url.scheme not in _SCHEMES:
            raise _unsupported(request)
        if request._extensions is not None or request._strayed:
            # Connections with TLS settings of their own are for requests with the same.
            key = (key, request.extensions.get("sni_hostname"), not request._strayed)
        if body is not None and not isinstance(body, bytes):
            body.rewind()
        head = request.head()
        marks = [started, started, started, started]
        lease = self.pool.lease(key, started)
        if isinstance(lease, Waiter):
            lease = await self._wait(lease, deadline)
            marks[LEASED] = monotonic()
        keep = False
        try:
            connection: HTTP1Connection = lease.connection
            if connection is None or connection.is_stale(request.method not in _IDEMPOTENT):
                connection = await self._connect(lease, key, deadline)
            try:
                answer = await connection.exchange(request.method, head, body, deadline, marks)
            except (ReadError, WriteError, RemoteProtocolError):
                if connection.fresh or connection.answered or not _replayable(request):
                    raise
                connection = await self._connect(lease, key, deadline)
                answer = await connection.exchange(request.method, head, body, deadline, marks)
            response = Response.received(request, answer, marks, connection.info)
            if connection.fresh:
                response._fresh = True
                self._greet(connection, key)
            if connection.hints is not None:
                response._hints, connection.hints = connection.hints, None
            content = connection.take_complete()
            if content is None:
                keep = True
                response._source = Exchange(lease, deadline)
            else:
                response._arrive(content)
                if connection.trailers is not None:
                    response._trailers, connection.trailers = connection.trailers, None
        except HTTPError as error:
            error.attach(request)
            raise
        finally:
            # The one place where a lease ends that did not become a response's.
            if not keep:
                connection = lease.connection
                self.pool.release(lease, marks[ANSWERED], connection is not None and connection.reusable)
        return response

    def _greet(self, connection: HTTP1Connection, key: Any) -> None:
        """Take note of a connection that has answered for the first time."""
        connection.fresh = False
        tls = connection.info[1]
        if tls is not None:
            self._connector.remember(key, tls)

    async def _wait(self, waiter: Waiter, deadline: Deadline | Timeout) -> Lease:
        """Wait in line. The time limit starts anew whenever a connection comes free for anyone."""
        pool = self.pool
        limit = deadline.pool
        since = monotonic()
        try:
            while True:
                left = None if limit is None else max(since, pool.progress) + limit - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                if await waiter.parker.wait(deadline.within(left)) and waiter.lease is not None:
                    return waiter.lease
        except BaseException as error:
            pool.cancel(waiter)
            if isinstance(error, TimeoutError):
                raise deadline.expired(PoolTimeout, "pool", "waiting for a connection of the pool") from None
            raise

    async def _connect(self, lease: Lease, key: Any, deadline: Deadline | Timeout) -> HTTP1Connection:
        """Open a connection, in the place of one that the server closed if there was one."""
        if lease.connection is not None:
            lease.connection.close()
            lease.connection = None
        connection = await self._connector.connect(key, deadline)
        lease.connection = connection
        return connection


def _replayable(request: Request) -> bool:
    """RFC 9112 §9.3.1: once more on a fresh connection, when the method is idempotent and the body is there."""
    if request.method not in _IDEMPOTENT:
        return False
    body = request.body
    if body is None or isinstance(body, bytes):
        return True
    if body.consumed and not body.replayable:
        return False
    body.rewind()
    return True


def _unsupported(request: Request) -> UnsupportedProtocol:
    scheme = request.url.scheme
    said = f"the scheme {scheme!r} is not spoken here" if scheme else "the URL has no scheme"
    return UnsupportedProtocol(f"{said}: use http:// or https://", request=request)


class Exchange:
    """A response's content on its way; holds the lease until the last byte is read."""

    __slots__ = ("_deadline", "_lease", "trailers")

    def __init__(self, lease: Lease, deadline: Deadline | Timeout) -> None:
        self._lease: Lease | None = lease
        self._deadline = deadline
        self.trailers: list[tuple[bytes, bytes]] | None = None

    async def read_chunk(self) -> bytes:
        lease = self._lease
        if lease is None:
            return b""
        connection: HTTP1Connection = lease.connection
        try:
            data = await connection.read_chunk(self._deadline)
        except BaseException:
            self.close()
            raise
        if not data:
            self.trailers, connection.trailers = connection.trailers, None
            self.close()
        return data

    def close(self) -> None:
        """Give the lease back: with a connection that is read to the end, or one that must be closed."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(reusable=lease.connection.reusable)

    async def aclose(self) -> None:
        self.close()
