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
from ._tls import covers
from .connection.http1 import ANSWERED, LEASED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._connect import SocketSettings, Versions
    from ._options import Deadline, Limits, Timeout
    from ._pool import Lease
    from ._request import Request
    from ._tls import TLSSettings
    from .connection.http1 import HTTP1Connection
    from .connection.http2 import HTTP2Connection
    from .connection.http2_exchange import HTTP2Exchange
    from .net.base import Runtime

_SCHEMES = frozenset({"http", "https"})

# RFC 9110 §9.2.2: what may be sent again when nobody knows whether it was acted on.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY"})

_MAX_ALIASES = 1024
_MOST_REFUSALS = 5  # times that a request is sent again because the server has not acted on it


_all: WeakSet[Network] = WeakSet()


def _after_fork() -> None:
    for network in list(_all):
        network.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Network:
    """Turns requests into responses over connections of its own."""

    __slots__ = ("__weakref__", "_aliases", "_connector", "_runtime", "pool")

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        sockets: SocketSettings,
        tls: TLSSettings,
        resolver: Any,
        versions: Versions,
    ) -> None:
        self._runtime = runtime
        self._connector = Connector(runtime, Names(resolver), sockets, tls, limits, versions)
        self.pool = Pool(limits, runtime.lock(), runtime.parker, self._connector.may_share)
        # Origins that another one's connection serves as well; those that refused that stand for themselves.
        self._aliases: dict[Any, Any] | None = {} if limits.coalesce else None
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

    async def send(  # noqa: PLR0915 - the way of every request, in one piece: each further coroutine would cost all
        self, request: Request, deadline: Deadline | Timeout, started: float, tries: int = 0
    ) -> Response:
        """Exchange a request for a response, whose content may still be on its way."""
        url = request._url
        key: Any = url.key if request._extensions is None and not request._strayed else _own_key(request)
        body = request.body
        if url.scheme not in _SCHEMES:
            raise _unsupported(request)
        if body is not None and not isinstance(body, bytes):
            body.rewind()
        marks = [started, started, started, started]
        if self._aliases is not None:
            key = await self._alias(key, deadline)
        lease = self.pool.lease(key, started)
        if isinstance(lease, Waiter):
            lease = await self._wait(lease, deadline)
            marks[LEASED] = monotonic()
        if lease.shared:
            return await self._converse(request, lease, key, deadline, marks, tries)
        keep = False
        try:
            head = request.head()
            connection: HTTP1Connection = lease.connection
            if connection is None or connection.is_stale(request.method not in _IDEMPOTENT):
                connection = await self._connect(lease, key, deadline)
                if connection.multiplexed:
                    keep = True
                    return await self._converse(request, lease, key, deadline, marks, tries)
            try:
                answer = await connection.exchange(request.method, head, body, deadline, marks)
            except (ReadError, WriteError, RemoteProtocolError):
                if connection.fresh or connection.answered or not _replayable(request):
                    raise
                connection = await self._connect(lease, key, deadline)
                if connection.multiplexed:
                    keep = True
                    return await self._converse(request, lease, key, deadline, marks, tries)
                answer = await connection.exchange(request.method, head, body, deadline, marks)
            content = connection.take_complete()
            response = Response.received(request, answer, marks, connection.info, content)
            if connection.fresh:
                self._greet(connection, key, response)
            if connection.hints is not None:
                response._hints, connection.hints = connection.hints, None
            if content is None:
                keep = True
                response._source = Exchange(lease, connection, deadline)
            elif connection.trailers is not None:
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

    async def _converse(
        self,
        request: Request,
        lease: Lease,
        key: Any,
        deadline: Deadline | Timeout,
        marks: list[float],
        tries: int,
    ) -> Response:
        """Exchange a request for a response over a connection that others share."""
        connection: HTTP2Connection = lease.connection
        exchange = connection.begin()
        reused = not connection.fresh
        keep = False
        try:
            answer = await exchange.exchange(request, deadline, marks)
            if answer.status != 421 or not self._is_alias(request, key) or not _resendable(request):
                content = exchange.take_complete()
                response = Response.received(request, answer, marks, connection.info, content)
                if connection.fresh:
                    self._greet(connection, key, response)
                response._hints = exchange.hints
                if content is None:
                    keep = True
                    response._source = Exchange(lease, exchange, deadline)
                else:
                    response._trailers = exchange.trailers
                return response
        except (ReadError, WriteError, RemoteProtocolError) as error:
            if not _may_repeat(request, exchange, error, tries, reused=reused):
                error.attach(request)
                raise
        except HTTPError as error:
            error.attach(request)
            raise
        finally:
            if not keep:
                exchange.close()
                self.pool.release(lease, marks[ANSWERED], connection.usable)
        return await self.send(request, deadline, marks[0], tries + 1)

    async def _alias(self, key: Any, deadline: Deadline | Timeout) -> Any:
        """Return the origin whose connection may serve this one as well: RFC 9113 §9.1.1."""
        aliases = self._aliases
        assert aliases is not None
        known = aliases.get(key)
        if key[0] != "https" or known == key:
            return key
        shared = self.pool.shared()
        for origin, _ in shared:
            if origin in (key, known):
                return origin
        addresses: set[Any] | None = None
        for origin, connection in shared:
            if origin[0] != "https" or origin[2] != key[2] or not connection.usable:
                continue
            if covers(connection.info[1].getpeercert(), key[1]):
                if addresses is None:
                    addresses = await self._connector.addresses(key, deadline)
                if connection.info[0] in addresses:
                    if len(aliases) >= _MAX_ALIASES:
                        aliases.clear()
                    aliases[key] = origin
                    return origin
        return key

    def _is_alias(self, request: Request, key: Any) -> bool:
        """Whether another origin's connection was used, which the server does not want (RFC 9110 §15.5.20)."""
        own = request._url.key
        if self._aliases is None or own == key or self._aliases.get(own) != key:
            return False
        self._aliases[own] = own
        return True

    def _greet(self, connection: HTTP1Connection | HTTP2Connection, key: Any, response: Response) -> None:
        """Take note of a connection that has answered for the first time."""
        connection.fresh = False
        response._fresh = True
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

    async def _connect(self, lease: Lease, key: Any, deadline: Deadline | Timeout) -> Any:
        """Open a connection, in the place of one that the server closed if there was one."""
        if lease.connection is not None:
            lease.connection.close()
            lease.connection = None
        connection = await self._connector.connect(key, deadline)
        lease.connection = connection
        if connection.multiplexed or lease.pending:
            self.pool.opened(lease, shared=connection.multiplexed)
        return connection


def _own_key(request: Request) -> tuple[Any, ...]:
    """Return the pool's key for a request with TLS settings of its own, which shares connections with its like."""
    return request._url.key, request.extensions.get("sni_hostname"), not request._strayed


def _replayable(request: Request) -> bool:
    """RFC 9112 §9.3.1: once more on a fresh connection, when the method is idempotent and the body is there."""
    return request.method in _IDEMPOTENT and _resendable(request)


def _may_repeat(request: Request, exchange: HTTP2Exchange, error: HTTPError, tries: int, *, reused: bool) -> bool:
    """RFC 9113 §8.7: again when the server has not acted on it, or as over HTTP/1.1."""
    if getattr(error, "unprocessed", False):
        return tries < _MOST_REFUSALS and _resendable(request)
    return reused and not tries and not exchange.answered and _replayable(request)


def _resendable(request: Request) -> bool:
    """Whether the body is there once more."""
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
    """A response's content on its way; holds the lease until the last byte is read.

    `carrier` has the content: the lease's connection, or one exchange on it.
    """

    __slots__ = ("_carrier", "_deadline", "_lease", "trailers")

    def __init__(self, lease: Lease, carrier: HTTP1Connection | HTTP2Exchange, deadline: Deadline | Timeout) -> None:
        self._lease: Lease | None = lease
        self._carrier = carrier
        self._deadline = deadline
        self.trailers: list[tuple[bytes, bytes]] | None = None

    async def read_chunk(self) -> bytes:
        lease = self._lease
        if lease is None:
            return b""
        carrier = self._carrier
        try:
            data = await carrier.read_chunk(self._deadline)
        except BaseException:
            self.close()
            raise
        if not data:
            self.trailers, carrier.trailers = carrier.trailers, None
            self.close()
        return data

    def close(self) -> None:
        """Give the lease back: with a connection that is read to the end, or one that must be closed."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self._carrier.leave()
            lease.release(reusable=self._carrier.reusable)

    async def aclose(self) -> None:
        if self._lease is not None:
            await self._carrier.aleave()
        self.close()
