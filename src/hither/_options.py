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
            chosen = base[phase] if seconds is _UNSET else seconds
            object.__setattr__(self, phase, _seconds(f"timeout: {phase}", chosen))
        if total is None and isinstance(timeout, Timeout):
            total = timeout.total
        object.__setattr__(self, "total", _seconds("timeout: total", total))

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
        if timeout is not None and not _is_number(timeout):
            raise TypeError(f"timeout takes seconds, a tuple of them, a Timeout or None, not {type(timeout).__name__}")
        return dict.fromkeys(_DEFAULT_TIMEOUT, _seconds("timeout", timeout))

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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value):
        raise TypeError(f"{name} takes seconds as a number, or None, not {type(value).__name__}")
    if not value >= 0:
        raise ValueError(f"{name} takes seconds from 0 on, not {value}")
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


_LIMITS_ORDER = (
    "max_connections",
    "max_connections_per_host",
    "max_keepalive_connections",
    "keepalive_expiry",
    "max_streams_per_connection",
    "ping_after",
    "coalesce",
)


class Limits:
    """How many connections a client may hold; `None` means any number.

    `max_connections` in all, `max_connections_per_host` to one origin, `max_keepalive_connections` idle ones;
    an idle one is kept for `keepalive_expiry` seconds. Waiting is first come, first served.

    Over HTTP/2 a connection carries up to `max_streams_per_connection` requests at a time, or as many as the
    server allows if that is less; another is opened when it is full. One that has heard nothing for `ping_after`
    seconds is asked by PING before it is used again (RFC 9113 §6.7); None asks never. `coalesce` lets a connection
    serve all origins that have its address and that its certificate names (RFC 9113 §9.1.1).

    >>> Limits(max_connections=10, keepalive_expiry=5).max_connections
    10
    """

    __slots__ = (
        "coalesce",
        "keepalive_expiry",
        "max_connections",
        "max_connections_per_host",
        "max_keepalive_connections",
        "max_streams_per_connection",
        "ping_after",
    )

    max_connections: int | None
    max_connections_per_host: int | None
    max_keepalive_connections: int | None
    keepalive_expiry: float | None
    max_streams_per_connection: int | None
    ping_after: float | None
    coalesce: bool

    def __init__(
        self,
        max_connections: int | None = 100,
        max_connections_per_host: int | None = None,
        max_keepalive_connections: int | None = None,
        keepalive_expiry: float | None = 60,
        max_streams_per_connection: int | None = None,
        ping_after: float | None = None,
        coalesce: bool = False,
    ) -> None:
        for name, value, least in (
            ("max_connections", max_connections, 1),
            ("max_connections_per_host", max_connections_per_host, 1),
            ("max_keepalive_connections", max_keepalive_connections, 0),
            ("max_streams_per_connection", max_streams_per_connection, 1),
        ):
            object.__setattr__(self, name, bound(f"limits: {name}", value, least))
        object.__setattr__(self, "keepalive_expiry", _seconds("limits: keepalive_expiry", keepalive_expiry))
        object.__setattr__(self, "coalesce", flag("limits: coalesce", coalesce))
        object.__setattr__(self, "ping_after", _seconds("limits: ping_after", ping_after))

    @classmethod
    def of(cls, value: Any) -> Limits:
        """Return what `limits=` was given; `TypeError` when these are no limits."""
        if not isinstance(value, Limits):
            raise TypeError(f"limits takes Limits(...), not {type(value).__name__}")
        return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Limits do not change: make new ones")

    def _tuple(self) -> tuple[float | None, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._tuple() == other._tuple() if isinstance(other, Limits) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._tuple())

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={getattr(self, name)}" for name in _LIMITS_ORDER)
        return f"Limits({said})"


# One option each, checked where it is given.


def flag(name: str, value: Any) -> bool:
    """Return the value of an option that is on or off; `TypeError` for what is neither."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} takes True or False, not {type(value).__name__}")
    return value


def count(name: str, value: Any, least: int = 0, also: str = "") -> int:
    """Return the value of an option that counts from `least` on; `TypeError` or `ValueError` for what does not."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} takes a whole number{also}, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} takes {least} or more{also}, not {value}")
    return value


def bound(name: str, value: Any, least: int = 0) -> int | None:
    """Return the value of an option as `count` does, or None, which is no bound."""
    return None if value is None else count(name, value, least, ", or None")


def hooks(value: Any) -> Any:
    """Return what `event_hooks=` was given; `TypeError` for other than lists of functions by event."""
    if value is None:
        return None
    if not hasattr(value, "items"):
        raise TypeError(f"event_hooks takes a dict of lists, as {{'response': [f]}}, not {type(value).__name__}")
    for event, functions in value.items():
        if not isinstance(functions, list | tuple):
            given = "a function" if callable(functions) else type(functions).__name__
            raise TypeError(f"event_hooks takes a list of functions for {event!r}, not {given}")
        for function in functions:
            if not callable(function):
                raise TypeError(f"event_hooks: {event!r} has {type(function).__name__} in its list, not a function")
    return value


def method_name(method: Any) -> str:
    """Return a method in capitals, as it is sent; `TypeError` for what is no text.

    >>> method_name("get")
    'GET'
    """
    if not isinstance(method, str):
        raise TypeError(f"a method is a str, such as 'GET', not {type(method).__name__}")
    return method.upper()


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
        "http2",
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

NOT_YET = frozenset({"proxy", "retry", "cache", "rate", "http3", "impersonate"})

# What other libraries call it: an option of ours, or in words what to do.
_VERIFY_NAMES = ("ssl", "verify_ssl", "ssl_context", "cert_reqs", "ca_certs", "ca_cert_dir", "assert_hostname")
_LIMITS_NAMES = ("limit", "pool_limits", "pool_connections", "num_pools", "pool_block", "block", "max_workers")
_BOUNDED_NAMES = ("max_line_size", "max_field_size", "max_headers")
_NO_MATTER = "nothing: there is no need to say so here"
_HINTS = {
    **dict.fromkeys(_VERIFY_NAMES, "verify"),
    **dict.fromkeys(("cert_file", "key_file", "key_password"), "cert"),
    **dict.fromkeys(_LIMITS_NAMES, "limits"),
    **dict.fromkeys(("limit_per_host", "pool_maxsize", "maxsize"), "limits=Limits(max_connections_per_host=...)"),
    "keepalive_timeout": "limits=Limits(keepalive_expiry=...)",
    "force_close": "limits=Limits(max_keepalive_connections=0)",
    "allow_redirects": "follow_redirects",
    "redirect": "follow_redirects",
    "max_redirect": "max_redirects",
    **dict.fromkeys(("max_retries", "retries"), "retry"),
    **dict.fromkeys(("proxies", "proxy_auth", "proxy_headers"), "proxy"),
    "http_version": "http1= and http2=, options of the client",
    "version": "http1= and http2=, options of the client",
    "fingerprint": "impersonate for a browser's; to trust one certificate, verify=the file that it is in",
    "assert_fingerprint": "verify=the file that the certificate is in",
    "stream": "client.stream(...), or client.send(request, stream=True)",
    "preload_content": "client.stream(...), or client.send(request, stream=True)",
    "read_bufsize": "stream()",
    "auto_decompress": "iter_raw()",
    "decode_content": "iter_raw()",
    "hooks": "event_hooks",
    "trace_configs": "event_hooks",
    "trace_request_ctx": "extensions, which hooks find in the request",
    "middlewares": "event_hooks or auth",
    **dict.fromkeys(("request_class", "response_class", "ws_response_class"), "event_hooks"),
    "connector": "limits, local_address, uds and resolver, options of the client",
    "session": "a Client",
    "app": "transport=ASGITransport(app) or WSGITransport(app)",
    "dispatch": "transport",
    "base": "base_url",
    "local_addr": "local_address",
    "socket_factory": "socket_options",
    **dict.fromkeys(("use_dns_cache", "ttl_dns_cache", "dns_cache_max_size", "family"), "resolver"),
    "cookie_jar": "cookies",
    "skip_auto_headers": "headers={'User-Agent': None}: None leaves a field out",
    "raise_on_status": "raise_for_status",
    "body": "content",
    "fields": "params or data",
    "payload": "json or data",
    "query": "params",
    "json_serialize": "json_dumps",
    "json_serialize_bytes": "json_dumps",
    "fallback_charset_resolver": "default_encoding",
    "read_timeout": "timeout=Timeout(read=...)",
    "pool_timeout": "timeout=Timeout(pool=...)",
    "conn_timeout": "timeout=Timeout(connect=...)",
    "connect_timeout": "timeout=Timeout(connect=...)",
    "compress": "content, compressed by the caller, with a Content-Encoding header",
    "chunked": "content=an iterator, which is sent chunked",
    "upload_tracker": "content=an iterator that counts what it gives",
    "expect100": "headers={'Expect': '100-continue'}",
    "server_hostname": "extensions={'sni_hostname': ...}",
    "sni_hostname": "extensions={'sni_hostname': ...}",
    **dict.fromkeys(_BOUNDED_NAMES, "nothing: what a server may send as header fields is bounded already"),
    "requote_redirect_url": "nothing: URLs are sent as they are written",
    "loop": "nothing: the event loop that runs is found",
    **dict.fromkeys(("connector_owner", "enable_cleanup_closed", "ssl_shutdown_timeout"), _NO_MATTER),
    **dict.fromkeys(("happy_eyeballs_delay", "interleave", "timeout_ceil_threshold", "read_until_eof"), _NO_MATTER),
    **dict.fromkeys(("release_conn", "body_pos", "assert_same_host"), _NO_MATTER),
}


def check_options(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise `TypeError` for keywords that `where` does not take, naming the right one.

    An option that is yet to come may be given to say that it is not wanted.
    """
    for name in given:
        if name in known:
            continue
        if name not in NOT_YET:
            hint = _hint(name, known)
            raise TypeError(f"{where} got an unknown keyword {name!r}" + (f": use {hint}" if hint else ""))
        if given[name]:
            raise TypeError(f"{where}: {name!r} is not in this version of hither yet")


def _hint(name: str, known: frozenset[str]) -> str | None:
    option = _HINTS.get(name, name)
    if option in known:
        return option
    if option in NOT_YET:
        return f"{option}, which is not in this version of hither yet"
    if option in CLIENT_OPTIONS:
        return f"{option}, an option of the client: hither.Client({option}=...)"
    if option in REQUEST_OPTIONS:
        return f"{option}, an option of each call and of build_request()"
    return option if option != name else _nearest(name, known)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), 1)), None)
