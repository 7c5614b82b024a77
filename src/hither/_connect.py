"""From an origin to an open connection: resolve, race the addresses, TLS, and the protocol on top."""

from __future__ import annotations

import errno
import socket
from time import monotonic

from ._errors import ConnectError, ConnectTimeout, NameResolutionError, TLSError
from .connection.http1 import HTTP1Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ._options import Deadline, Limits, Timeout
    from ._resolve import Address, Names
    from ._tls import TLSSettings
    from .connection.http2 import HTTP2Connection
    from .net.base import Runtime, Stream

_ATTEMPT_DELAY = 0.25  # seconds before the next address is tried beside the last one, RFC 8305 §5
_KNOCK = 0.01  # seconds until a Unix socket with a full queue is tried again
_MAX_SESSIONS = 1024  # TLS sessions kept by one client; Chrome's SSLClientSessionCache
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)})


class SocketSettings:
    """How sockets are made: `local_address` to bind, a Unix socket's path `uds`, and `socket_options`."""

    __slots__ = ("local_address", "options", "uds")

    def __init__(
        self,
        local_address: str | tuple[str, int] | None = None,
        uds: str | None = None,
        options: Iterable[tuple[Any, ...]] | None = None,
    ) -> None:
        self.local_address = (local_address, 0) if isinstance(local_address, str) else local_address
        self.uds = uds
        self.options = list(options or ())

    def fits(self, family: int) -> bool:
        """Whether the local address is of that family."""
        if self.local_address is None:
            return True
        return family == (socket.AF_INET6 if ":" in self.local_address[0] else socket.AF_INET)

    def make(self, family: int) -> socket.socket:
        """Make a non-blocking socket; `OSError` when the local address or an option does not fit."""
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in self.options:
                sock.setsockopt(*option)
            if self.local_address is not None and family in (socket.AF_INET, socket.AF_INET6):
                self._bind(sock, self.local_address)
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind(self, sock: socket.socket, address: tuple[str, int]) -> None:
        try:
            sock.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"local_address={address[0]!r}: {error.strerror}") from error


class Connector:
    """Opens connections for one client under one runtime, and speaks `versions` of HTTP over them."""

    __slots__ = ("_limits", "_names", "_runtime", "_sessions", "_sockets", "_tls", "_versions")

    def __init__(
        self,
        runtime: Runtime,
        names: Names,
        sockets: SocketSettings,
        tls: TLSSettings,
        limits: Limits,
        versions: Versions,
    ) -> None:
        self._limits = limits
        self._versions = versions
        self._runtime = runtime
        self._names = names
        self._sockets = sockets
        self._tls = tls
        self._sessions: dict[Any, ssl.SSLSession] = {}

    def abandon(self) -> None:
        """Forget what is under way in the process that this one was forked from."""
        self._names.abandon()

    def may_share(self, key: Any) -> bool:
        """Whether a connection may turn out to carry many exchanges at a time."""
        origin = key[0] if isinstance(key[0], tuple) else key
        return self._versions.http2 and (origin[0] == "https" or not self._versions.http1)

    async def connect(self, key: Any, deadline: Deadline | Timeout) -> HTTP1Connection | HTTP2Connection:
        """Open a connection within `timeout.connect` seconds; `ConnectTimeout`, `ConnectError` and its kinds.

        `key` is the pool's: an origin, or `(origin, sni, certified)`, where False keeps the client certificate back.
        """
        origin, sni, certified = key if isinstance(key[0], tuple) else (key, None, True)
        stage = "resolving the name"
        try:
            until = _Until(deadline.connect)
            started = monotonic()
            addresses = await self._addresses(origin, until)
            resolved = monotonic()
            stage = "connecting"
            sock = await race(self._runtime, addresses, self._sockets, until)
            stream, peer = await self._open(sock)
            connected = secured = monotonic()
            tls = None
            if origin[0] == "https":
                stage = "agreeing on TLS"
                settings = self._tls if certified else self._tls.uncertified
                stream, tls = await self._secure(stream, sni or origin[1], settings, self._sessions.get(key), until)
                secured = monotonic()
        except TimeoutError:
            what = f"{stage} ({origin[1]}:{origin[2]})"
            raise deadline.expired(ConnectTimeout, "connect", what) from None
        info = (peer, tls, (resolved - started, connected - resolved, secured - connected))
        if self._versions.http1 if tls is None else tls.selected_alpn_protocol() != "h2":
            return HTTP1Connection(stream, info)
        from .connection.http2 import HTTP2Connection

        return HTTP2Connection(stream, info, self._runtime, self._limits)

    def remember(self, key: Any, tls: ssl.SSLObject) -> None:
        """Keep a connection's TLS session for the next one with the same key, which then skips half the handshake.

        Called once the server has answered: in TLS 1.3 it sends its tickets after the handshake (RFC 8446 §4.6.1).
        """
        if tls.session is not None:
            if len(self._sessions) >= _MAX_SESSIONS:
                self._sessions.clear()
            self._sessions[key] = tls.session

    async def addresses(self, origin: tuple[str, str, int], deadline: Deadline | Timeout) -> set[Any]:
        """Return the addresses of an origin, as connections tell their peer's; none when there are none."""
        try:
            found = await self._addresses(origin, _Until(deadline.connect))
        except OSError:
            return set()
        return {address[:2] for _, address in found if isinstance(address, tuple)}

    async def _addresses(self, origin: tuple[str, str, int], until: _Until) -> list[Address]:
        if self._sockets.uds is not None:
            return [(socket.AF_UNIX, self._sockets.uds)]
        try:
            addresses = await self._names.addresses(self._runtime, origin[1], origin[2], until.left)
        except TimeoutError:
            raise
        except OSError as error:
            raise NameResolutionError(f"the name {origin[1]!r} has no address: {error}") from error
        fitting = [address for address in addresses if self._sockets.fits(address[0])]
        if not fitting:
            raise ConnectError(f"no address of {origin[1]!r} is of the family of local_address")
        return fitting

    async def _open(self, sock: socket.socket) -> tuple[Stream, Any]:
        try:
            peer = _peer(sock)
            return await self._runtime.open(sock), peer
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                raise ConnectError(f"the server broke the connection off at once: {error}") from error
            raise

    async def _secure(
        self,
        stream: Stream,
        host: str,
        settings: TLSSettings,
        session: ssl.SSLSession | None,
        until: _Until,
    ) -> tuple[Stream, ssl.SSLObject]:
        import ssl

        from .net.tls import TLSStream

        try:
            context = _context(settings)
            # RFC 6066 §3: no trailing dot in SNI. A zone is for this machine only, RFC 6874 §3.
            name = host.rstrip(".").partition("%")[0]
            secured = TLSStream(stream, context, name, session)
            await secured.handshake(until.left)
            self._versions.check(host, secured.tls.selected_alpn_protocol())
        except BaseException as error:
            stream.close()
            if isinstance(error, ssl.SSLEOFError):
                raise TLSError(f"{host} closed the connection during the TLS handshake") from error
            if isinstance(error, ssl.SSLError | ValueError):
                raise TLSError(_explain(error, host)) from error
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise TLSError(f"the connection to {host} broke during the TLS handshake: {error}") from error
            raise
        return secured, secured.tls


class Versions:
    """Which versions of HTTP are spoken."""

    __slots__ = ("http1", "http2")

    def __init__(self, *, http1: bool = True, http2: bool = False) -> None:
        if not http1 and not http2:
            raise ValueError("http1=False and http2=False leave no version of HTTP to speak")
        self.http1 = http1
        self.http2 = http2

    @property
    def protocols(self) -> tuple[str, ...]:
        """Their names in ALPN, the preferred first: RFC 9112 §2.3, RFC 9113 §3.1."""
        return ("h2",) * self.http2 + ("http/1.1",) * self.http1

    def check(self, host: str, chosen: str | None) -> None:
        """Raise `TLSError` when a server chose by ALPN what is not spoken; None when it does not know ALPN."""
        if chosen == "h2" and self.http2:
            return
        if chosen in ("http/1.1", None):
            if self.http1:
                return
            raise TLSError(f"{host} does not speak HTTP/2 (ALPN), and http1=False leaves nothing else")
        raise TLSError(f"{host} chose to speak {chosen!r}, which the context given as verify= offers it")


def _context(settings: TLSSettings) -> ssl.SSLContext:
    try:
        return settings.context
    except OSError as error:
        raise TLSError(str(error)) from error


def _explain(error: Exception, host: str) -> str:
    reason = getattr(error, "reason", None)  # OpenSSL's word for it
    hint = ""
    if reason == "CERTIFICATE_VERIFY_FAILED":
        reason = getattr(error, "verify_message", None) or reason
        hint = "; verify= takes another CA file, or False"
    elif reason in _NO_TLS:
        hint = "; is it plain http:// that is spoken there?"
    return f"no TLS with {host}: {reason or error}{hint}"


class _Until:
    """The time that opening a connection may still take."""

    __slots__ = ("_at",)

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        if self._at is None:
            return None
        left = self._at - monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _peer(sock: socket.socket) -> Any:
    name = sock.getpeername()
    return name[:2] if isinstance(name, tuple) else name


async def race(
    runtime: Runtime, addresses: Sequence[Address], settings: SocketSettings, until: _Until
) -> socket.socket:
    """Connect to one of the addresses: the next is tried after 250 ms or a failure, the first to answer wins.

    RFC 8305 §5. `ConnectError` with every address's reason when none answers.
    """
    waiting = list(reversed(addresses))
    racing: dict[socket.socket, Any] = {}
    failures: list[tuple[Any, OSError]] = []
    try:
        while waiting or racing:
            if waiting:
                family, address = waiting.pop()
                if not _start(settings, family, address, racing, failures):
                    waiting.append((family, address))
                    left = until.left()
                    await runtime.sleep(_KNOCK if left is None else min(left, _KNOCK))
            if not racing:
                continue
            left = until.left()
            delay = left if not waiting else _ATTEMPT_DELAY if left is None else min(left, _ATTEMPT_DELAY)
            for sock in await runtime.race(list(racing), delay):
                address = racing.pop(sock)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return sock
                sock.close()
                failures.append((address, OSError(code, _reason(code))))
    finally:
        for sock in racing:
            sock.close()
    raise _connect_error(failures) from failures[-1][1]


def _start(
    settings: SocketSettings,
    family: int,
    address: Any,
    racing: dict[socket.socket, Any],
    failures: list[tuple[Any, OSError]],
) -> bool:
    """Begin to connect; False when it should be tried again in a moment."""
    try:
        sock = settings.make(family)
    except OSError as error:
        failures.append((address, error))
        return True
    try:
        code = sock.connect_ex(address)
    except OSError as error:
        sock.close()
        failures.append((address, error))
        return True
    # connect(2): EAGAIN says that a Unix socket's queue is full, and nothing is under way.
    full = code == errno.EAGAIN and family not in (socket.AF_INET, socket.AF_INET6)
    if not full and (not code or code in _UNDER_WAY):
        racing[sock] = address
        return True
    sock.close()
    if not full:
        failures.append((address, OSError(code, _reason(code))))
    return not full


def _reason(code: int) -> str:
    import os

    return os.strerror(code)


def _connect_error(failures: list[tuple[Any, OSError]]) -> ConnectError:
    tried = "; ".join(
        f"{':'.join(map(str, address[:2])) if isinstance(address, tuple) else address}: {error.strerror or error}"
        for address, error in failures
    )
    return ConnectError(f"no connection ({tried})")
