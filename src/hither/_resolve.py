"""Names to addresses: looked up aside, remembered for a while, and put in the order to try them."""

from __future__ import annotations

import socket
from time import monotonic

from ._errors import NameResolutionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    from .net.base import Parker, Runtime

    Left: TypeAlias = Callable[[], float | None]
    """How many seconds there still are, None for any number; `TimeoutError` when there are none."""

    Address: TypeAlias = tuple[int, Any]
    """An address family and what `socket.connect` takes."""

_MAX_NAMES = 10_000  # remembered; all are forgotten together


class Resolver:
    """Looks names up with the system's resolver, and remembers the answers for `dns_ttl` seconds.

    Failures are not remembered. For another way to resolve, subclass it and override `lookup`, or give the
    client any object with such a method, or a function; it may be `async` in the async client.

    >>> class Pinned(Resolver):
    ...     def lookup(self, host, port):
    ...         return ["127.0.0.1"] if host == "example.org" else super().lookup(host, port)
    """

    def __init__(self, dns_ttl: float = 60) -> None:
        self.dns_ttl = dns_ttl

    def lookup(self, host: str, port: int) -> Any:
        """Return addresses, the best first: IP addresses as text, or items of `socket.getaddrinfo`.

        Called aside, so it may block. Raises `OSError` when the name has no address.
        """
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _Flight:
    """A look-up under way, and those who wait for it; without an outcome when its owner gave up."""

    __slots__ = ("failure", "found", "parkers")

    def __init__(self) -> None:
        self.parkers: list[Parker] = []
        self.found: list[Address] | None = None
        self.failure: tuple[str, BaseException | None] | None = None  # the message, and the cause


class Names:
    """What one client knows of names, under one runtime."""

    __slots__ = ("_flights", "_known", "_lookup", "_ttl")

    def __init__(self, resolver: Any) -> None:
        self._lookup = getattr(resolver, "lookup", None) or getattr(resolver, "resolve", resolver)
        if not callable(self._lookup):
            raise TypeError("resolver takes a Resolver, an object with lookup(host, port), or such a function")
        self._ttl = getattr(resolver, "dns_ttl", 60)
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._flights: dict[tuple[str, int], _Flight] = {}

    def abandon(self) -> None:
        """Wait for no look-up any more: the process was forked, and the threads of its parent are not here."""
        self._flights = {}

    async def addresses(self, runtime: Runtime, host: str, port: int, left: Left) -> list[Address]:
        """Return the addresses of a host, in the order to try them; one look-up serves all who ask at once.

        `left` tells how many seconds there still are.
        """
        literal = literal_address(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        while True:
            known = self._known.get(key)
            if known is not None and known[0] > monotonic():
                return known[1]
            own = _Flight()
            flight = self._flights.setdefault(key, own)
            if flight is own:
                return await self._look_up(runtime, key, own, left)
            parker = runtime.parker()
            flight.parkers.append(parker)
            # Unless it landed in another thread before we were on its list.
            if self._flights.get(key) is flight and not await parker.wait(left()):
                raise TimeoutError
            if flight.found is not None:
                return flight.found
            if flight.failure is not None:
                message, cause = flight.failure
                raise NameResolutionError(message) from cause

    async def _look_up(self, runtime: Runtime, key: tuple[str, int], flight: _Flight, left: Left) -> list[Address]:
        try:
            flight.found = found = await self._ask(runtime, key, left)
            if len(self._known) >= _MAX_NAMES:
                self._known.clear()
            self._known[key] = monotonic() + self._ttl, found
        except NameResolutionError as error:
            flight.failure = error.args[0], error.__cause__
            raise
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            for parker in flight.parkers:
                parker.wake()
        return found

    async def _ask(self, runtime: Runtime, key: tuple[str, int], left: Left) -> list[Address]:
        host, port = key
        lookup = self._lookup
        try:
            answer: Any
            if _is_async(lookup):
                answer = lookup(host, port)
            else:
                # In a tuple, as trio lets no awaitable out of a thread.
                (answer,) = await runtime.in_thread(lambda: (lookup(host, port),), left())
            if hasattr(answer, "__await__"):
                answer = await runtime.within(answer, left())
            found = interleave(_address(item, port) for item in answer)
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError) and _is_over(left):
                raise
            raise NameResolutionError(f"the name {host!r} has no address: {error}") from error
        if not found:
            raise NameResolutionError(f"the name {host!r} has no address")
        return found


def _is_over(left: Left) -> bool:
    """Whether the time is up; a resolver has timeouts of its own, which are not ours."""
    seconds = left()
    return seconds is not None and seconds < 0.01  # a wait may end a little early


def _is_async(function: Any) -> bool:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & 0x80)  # inspect.CO_COROUTINE, without importing inspect


def literal_address(host: str, port: int) -> Address | None:
    """Return the address of a host that is an IP address already.

    >>> literal_address("127.0.0.1", 80) == (socket.AF_INET, ("127.0.0.1", 80))
    True
    """
    if ":" in host:
        address, _, zone = host.partition("%")
        scope = (socket.if_nametoindex(zone) if not zone.isdigit() else int(zone)) if zone else 0
        return socket.AF_INET6, (address, port, 0, scope)
    if host[-1:].isdigit():
        try:
            socket.inet_pton(socket.AF_INET, host)
        except OSError:
            return None
        return socket.AF_INET, (host, port)
    return None


def _address(item: Any, port: int) -> Address:
    if isinstance(item, str):
        literal = literal_address(item, port)
        if literal is None:
            raise OSError(f"the resolver gave {item!r}, which is no IP address")
        return literal
    if len(item) == 5:
        return item[0], item[4]
    family, address = item
    return family, address


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Alternate between address families, keeping the first one first (RFC 8305 §4).

    >>> interleave([(10, "a"), (10, "b"), (2, "c")])
    [(10, 'a'), (2, 'c'), (10, 'b')]
    """
    families: dict[int, list[Address]] = {}
    for address in addresses:
        group = families.setdefault(address[0], [])
        if address not in group:
            group.append(address)
    ordered = []
    for row in range(max(map(len, families.values()), default=0)):
        ordered += [group[row] for group in families.values() if row < len(group)]
    return ordered
