"""What a user can set: timeouts, limits, and the options of a request, each typed once."""

from __future__ import annotations

from time import monotonic

from ._errors import TimeoutException, TotalTimeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

_UNSET: Any = object()
_DEFAULT_TIMEOUT: dict[str, Any] = {"connect": 5, "read": 30, "write": 30, "pool": 30}


class Timeout:
    """How long each phase of a request may take, in seconds; `None` means as long as it takes.

    `connect`: the name, the connection, the proxy and TLS together. `read`, `write`: without a byte moving.
    `pool`: without a connection coming free for anyone. `total`: the whole call, from its start to the last
    body byte, over redirects. A single number sets the four phases: `Timeout(5)`.

    >>> Timeout(5, total=20)
    Timeout(connect=5, read=5, write=5, pool=5, total=20)
    >>> Timeout(connect=2).read
    30
    """

    __slots__ = ("connect", "pool", "read", "total", "write")

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None
    total: float | None

    def __init__(
        self,
        timeout: Any = _UNSET,
        *,
        connect: Any = _UNSET,
        read: Any = _UNSET,
        write: Any = _UNSET,
        pool: Any = _UNSET,
        total: float | None = None,
    ) -> None:
        given = {"connect": connect, "read": read, "write": write, "pool": pool}
        base = Timeout._base(timeout)
        for phase, seconds in given.items():
            object.__setattr__(self, phase, _seconds(phase, base[phase] if seconds is _UNSET else seconds))
        if total is None and isinstance(timeout, Timeout):
            total = timeout.total
        object.__setattr__(self, "total", _seconds("total", total))

    @staticmethod
    def _base(timeout: Any) -> dict[str, Any]:
        if isinstance(timeout, Timeout):
            return {phase: getattr(timeout, phase) for phase in _DEFAULT_TIMEOUT}
        if timeout is _UNSET:
            return _DEFAULT_TIMEOUT
        if isinstance(timeout, tuple):
            if len(timeout) == 2:
                return {**_DEFAULT_TIMEOUT, "connect": timeout[0], "read": timeout[1]}
            if len(timeout) == 4:
                return dict(zip(_DEFAULT_TIMEOUT, timeout, strict=True))
            raise TypeError("timeout takes (connect, read) or (connect, read, write, pool), in seconds")
        return dict.fromkeys(_DEFAULT_TIMEOUT, timeout)

    @classmethod
    def of(cls, value: Any) -> Timeout:
        """Make a `Timeout` of what `timeout=` takes: a number, a tuple, `None` or a `Timeout`."""
        return value if isinstance(value, Timeout) else cls(value)

    def within(self, seconds: float | None) -> float | None:
        """Return how long a wait of at most `seconds` may take: that long, as no `Deadline` cuts it short."""
        return seconds

    def expired(self, kind: type[TimeoutException], phase: str, what: str) -> TimeoutException:
        """Return the error for a phase that took too long."""
        return kind(f"timed out after timeout.{phase} = {getattr(self, phase)} s while {what}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Timeout does not change: make a new one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeout):
            return NotImplemented
        return self._tuple() == other._tuple()

    def __hash__(self) -> int:
        return hash(self._tuple())

    def _tuple(self) -> tuple[float | None, ...]:
        return self.connect, self.read, self.write, self.pool, self.total

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_timeout, self._tuple()

    def __repr__(self) -> str:
        return "Timeout(connect={}, read={}, write={}, pool={}, total={})".format(*self._tuple())


def _restore_timeout(connect: Any, read: Any, write: Any, pool: Any, total: Any) -> Timeout:
    return Timeout(connect=connect, read=read, write=write, pool=pool, total=total)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"timeout: {name} takes seconds as a number, or None, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"timeout: {name} takes seconds from 0 on, not {value}")
    return None if value == float("inf") else value


class Deadline:
    """The clock of one call with `Timeout.total`: the phases' timeouts, cut short by the end of the whole.

    Without a total the `Timeout` itself is used in its place. Each limit raises `TimeoutError` when the whole is
    over already.
    """

    __slots__ = ("_at", "_timeout")

    def __init__(self, timeout: Timeout, start: float) -> None:
        self._timeout = timeout
        self._at = start + (timeout.total or 0)

    def within(self, seconds: float | None) -> float | None:
        """Return how long a wait of at most `seconds` may take."""
        left = self._at - monotonic()
        if left <= 0:
            raise TimeoutError
        return left if seconds is None or left < seconds else seconds

    @property
    def connect(self) -> float | None:
        """Seconds to open a connection."""
        return self.within(self._timeout.connect)

    @property
    def read(self) -> float | None:
        """Seconds to wait for bytes."""
        return self.within(self._timeout.read)

    @property
    def write(self) -> float | None:
        """Seconds to wait for bytes to be taken."""
        return self.within(self._timeout.write)

    @property
    def pool(self) -> float | None:
        """Seconds without a connection coming free, not cut short."""
        return self._timeout.pool

    def expired(self, kind: type[TimeoutException], phase: str, what: str) -> TimeoutException:
        """Return the error for a phase that took too long."""
        if monotonic() < self._at - 0.001:
            return self._timeout.expired(kind, phase, what)
        return TotalTimeout(f"the call took longer than timeout.total = {self._timeout.total} s, while {what}")


class Limits:
    """How many connections a client may hold; `None` means any number.

    `max_connections` in all, `max_connections_per_host` to one origin, `max_keepalive_connections` idle ones;
    an idle one is kept for `keepalive_expiry` seconds. Waiting is first come, first served.

    >>> Limits(max_connections=10)
    Limits(max_connections=10, max_connections_per_host=None, max_keepalive_connections=None, keepalive_expiry=60)
    """

    __slots__ = (
        "keepalive_expiry",
        "max_connections",
        "max_connections_per_host",
        "max_keepalive_connections",
    )

    max_connections: int | None
    max_connections_per_host: int | None
    max_keepalive_connections: int | None
    keepalive_expiry: float | None

    def __init__(
        self,
        max_connections: int | None = 100,
        max_connections_per_host: int | None = None,
        max_keepalive_connections: int | None = None,
        keepalive_expiry: float | None = 60,
    ) -> None:
        for name, value, least in (
            ("max_connections", max_connections, 1),
            ("max_connections_per_host", max_connections_per_host, 1),
            ("max_keepalive_connections", max_keepalive_connections, 0),
            ("keepalive_expiry", keepalive_expiry, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"limits: {name} takes {least} or more, or None, not {value}")
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Limits do not change: make new ones")

    def _tuple(self) -> tuple[float | None, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._tuple() == other._tuple() if isinstance(other, Limits) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._tuple())

    def __repr__(self) -> str:
        return (
            f"Limits(max_connections={self.max_connections},"
            f" max_connections_per_host={self.max_connections_per_host},"
            f" max_keepalive_connections={self.max_keepalive_connections},"
            f" keepalive_expiry={self.keepalive_expiry})"
        )


# The keywords of `RequestOptions` and `ClientOptions`, which a test holds to each other.
REQUEST_OPTIONS = frozenset(
    {
        "params",
        "headers",
        "cookies",
        "content",
        "data",
        "json",
        "files",
        "auth",
        "timeout",
        "follow_redirects",
        "max_redirects",
        "extensions",
        "raise_for_status",
    }
)
CLIENT_OPTIONS = frozenset(
    {
        "params",
        "headers",
        "cookies",
        "auth",
        "timeout",
        "follow_redirects",
        "max_redirects",
        "raise_for_status",
        "base_url",
        "limits",
        "http1",
        "verify",
        "cert",
        "trust_env",
        "transport",
        "mounts",
        "event_hooks",
        "resolver",
        "local_address",
        "uds",
        "socket_options",
        "max_response_bytes",
        "json_loads",
        "json_dumps",
        "default_encoding",
    }
)

NOT_YET = frozenset({"proxy", "retry", "cache", "rate", "http2", "http3", "impersonate"})

# What other libraries call it, or where it is said here.
_HINTS = {
    "allow_redirects": "follow_redirects",
    "proxies": "proxy",
    "ssl": "verify, an option of the client",
    "verify_ssl": "verify, an option of the client",
    "verify": "verify, an option of the client: hither.Client(verify=...)",
    "cert": "cert, an option of the client: hither.Client(cert=...)",
    "trust_env": "trust_env, an option of the client",
    "stream": "client.stream(...), or client.send(request, stream=True)",
    "hooks": "event_hooks, an option of the client",
    "connector": "limits, local_address, uds and resolver, options of the client",
    "read_bufsize": "stream()",
    "raise_on_status": "raise_for_status",
    "cookie_jar": "cookies",
    "body": "content",
    "fields": "params or data",
    "payload": "json or data",
    "query": "params",
    "max_redirect": "max_redirects",
    "limit": "limits",
    "app": "transport=ASGITransport(app) or WSGITransport(app)",
    "read_timeout": "timeout=Timeout(read=...)",
    "conn_timeout": "timeout=Timeout(connect=...)",
    "connect_timeout": "timeout=Timeout(connect=...)",
    "base": "base_url",
    "compress": "content, compressed by the caller, with a Content-Encoding header",
    "chunked": "content=an iterator, which is sent chunked",
    "expect100": "headers={'Expect': '100-continue'}",
    "server_hostname": "extensions={'sni_hostname': ...}",
    "sni_hostname": "extensions={'sni_hostname': ...}",
    "max_line_size": "max_response_bytes",
    "auto_decompress": "iter_raw()",
    "json_serialize": "json_dumps",
    "requote_redirect_url": "nothing: URLs are sent as they are written",
    "max_workers": "limits",
    "session": "a Client",
}


def check_options(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise `TypeError` for keywords that `where` does not take, naming the right one.

    An option that is yet to come may be given to say that it is not wanted.
    """
    for name in given:
        if name in known:
            continue
        if name not in NOT_YET:
            hint = _HINTS.get(name) or _nearest(name, known)
            raise TypeError(f"{where} got an unknown keyword {name!r}" + (f": use {hint}" if hint else ""))
        if given[name]:
            raise TypeError(f"{where}: {name!r} is not in this version of hither yet")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), 1)), None)
