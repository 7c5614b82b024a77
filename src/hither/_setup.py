"""From a client's options to its engine, the same for both faces."""

from __future__ import annotations

from weakref import ref

from ._connect import SocketSettings, Versions
from ._engine import Engine, Settings
from ._headers import Headers
from ._mounts import Mounts
from ._network import Network
from ._options import CLIENT_OPTIONS, Limits, Timeout, bound, check_options, count, flag, hooks, method_name
from ._query import QueryParams
from ._resolve import Resolver
from ._tls import TLSSettings
from ._url import URL, parse_url
from .policy.cookies import Cookies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any, Unpack

    from ._request import Request
    from ._response import Response
    from ._types import AuthTypes, CookieTypes, HeaderTypes, ParamTypes, RequestOptions, TimeoutTypes, URLTypes
    from .net.base import Runtime
    from .policy.auth import Auth

_RESOLVER = Resolver()
_LIMITS = Limits()
_TIMEOUT = Timeout()


class BaseClient:
    """What both clients have, and what neither waits for."""

    _engine: Engine
    _transports: list[Any]

    def build_request(self, method: str, url: URLTypes, **options: Unpack[RequestOptions]) -> Request:
        """Make a request to look at or edit, with this client's defaults; `send` sends it.

        `InvalidURL` and `TypeError` are raised here already.

        >>> from hither import Client
        >>> with Client(base_url="https://example.org/api", headers={"X-App": "shop"}) as client:
        ...     request = client.build_request("GET", "/items", params={"page": 2})
        >>> str(request.url), request.headers["x-app"]
        ('https://example.org/api/items?page=2', 'shop')
        """
        return self._engine.build(method_name(method), url, options)

    @property
    def headers(self) -> Headers:
        """The default fields of all requests."""
        return self._engine.headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        self._engine.headers = Headers(headers)

    @property
    def cookies(self) -> Cookies:
        """The cookie jar."""
        return self._engine.jar

    @cookies.setter
    def cookies(self, cookies: CookieTypes) -> None:
        self._engine.cookies = Cookies(cookies)

    @property
    def auth(self) -> Auth | None:
        """The default credentials."""
        auth = self._engine.settings.auth
        return None if isinstance(auth, bool) else auth

    @auth.setter
    def auth(self, auth: AuthTypes | None) -> None:
        self._engine.settings = self._engine.settings.override({"auth": auth})

    @property
    def params(self) -> QueryParams:
        """The default parameters of all requests."""
        return self._engine.params or QueryParams()

    @params.setter
    def params(self, params: ParamTypes) -> None:
        self._engine.params = QueryParams(params)

    @property
    def base_url(self) -> URL:
        """What relative URLs are put under; an empty URL when there is none."""
        return self._engine.base_url or parse_url("")

    @base_url.setter
    def base_url(self, url: URLTypes) -> None:
        self._engine.base_url = parse_url(url) if url else None

    @property
    def timeout(self) -> Timeout:
        """The default timeouts."""
        return self._engine.settings.timeout

    @timeout.setter
    def timeout(self, timeout: TimeoutTypes) -> None:
        self._engine.settings = self._engine.settings.override({"timeout": timeout})

    @property
    def is_closed(self) -> bool:
        """Whether the client was closed."""
        return self._engine.closed


class NetworkSettings:
    """What all networks of one client share."""

    __slots__ = ("_limits", "_resolver", "_sockets", "_tls", "_versions")

    def __init__(self, options: Mapping[str, Any]) -> None:
        limits = options.get("limits")
        self._limits = _LIMITS if limits is None else Limits.of(limits)
        self._resolver = options.get("resolver") or _RESOLVER
        uds = options.get("uds")
        self._sockets = SocketSettings(options.get("local_address"), uds, options.get("socket_options"))
        self._versions = Versions(
            http1=flag("http1", options.get("http1", True)), http2=flag("http2", options.get("http2", True))
        )
        self._tls = TLSSettings(
            options.get("verify", True),
            options.get("cert"),
            trust_env=flag("trust_env", options.get("trust_env", True)),
            protocols=self._versions.protocols,
        )

    def network(self, runtime: Runtime) -> Network:
        """Make a network of this client's under a runtime."""
        return Network(runtime, self._limits, self._sockets, self._tls, self._resolver, self._versions)


class SyncNetwork:
    """The one network of a sync client."""

    __slots__ = ("_network",)

    def __init__(self, settings: NetworkSettings) -> None:
        from .net.blocking import BlockingRuntime

        self._network = settings.network(BlockingRuntime())

    def current(self) -> Network:
        """Return the network."""
        return self._network

    def close(self) -> None:
        """Close the idle connections."""
        self._network.close()


class LoopNetworks:
    """The networks of an async client: one for each event loop that it is used in."""

    __slots__ = ("__weakref__", "_last", "_networks", "_running_loop", "_settings")

    def __init__(self, settings: NetworkSettings) -> None:
        from .net.running import running_loop

        self._settings = settings
        self._running_loop = running_loop
        self._networks: dict[Any, tuple[Network, Callable[[], None]]] = {}
        self._last: tuple[Any, Any] = (None, None)

    def current(self) -> Network:
        """Return the network of the event loop that runs."""
        loop = self._running_loop()
        network: Network
        last, network = self._last
        if last is loop:
            return network
        network = self._networks[loop][0] if loop in self._networks else self._open(loop)
        self._last = (loop, network)
        return network

    def _open(self, loop: Any) -> Network:
        from .net.running import make_runtime

        self._abandon_ended()
        itself = ref(self)

        def at_end() -> None:
            networks = itself()
            if networks is not None:
                networks._drop(loop)

        runtime, forget = make_runtime(loop, at_end)
        network = self._settings.network(runtime)
        self._networks[loop] = network, forget
        return network

    def _abandon_ended(self) -> None:
        """Let go of the connections of loops that ended without a word."""
        from .net.running import has_ended

        for loop in [loop for loop in list(self._networks) if has_ended(loop)]:
            network, _ = self._networks.pop(loop, (None, None))
            if network is not None:
                network.abandon()

    def _drop(self, loop: Any) -> None:
        network, _ = self._networks.pop(loop, (None, None))
        self._last = (None, None)
        if network is not None:
            network.close()

    async def aclose(self) -> None:
        """Close the idle connections of the loop that runs, and let go of those of loops that ended."""
        self._abandon_ended()
        network, forget = self._networks.get(self._running_loop(), (None, None))
        if network is not None and forget is not None:
            self._drop(self._running_loop())
            forget()
            await network.settle()


def make_engine(
    where: str,
    options: Mapping[str, Any],
    network: Callable[[], Network],
    adapt: Callable[[Any], Callable[[Request], Awaitable[Response]]],
    *,
    is_async: bool,
    keep_cookies: bool = True,
) -> tuple[Engine, list[Any]]:
    """Make a client's engine of its options; `adapt` makes a coroutine function of a transport.

    Also return the transports, which are the client's to close.
    """
    check_options(where, options, CLIENT_OPTIONS)
    get = options.get
    transports, route = _mounted(options, adapt)
    engine = Engine(
        settings=_settings(options),
        network=network,
        is_async=is_async,
        headers=get("headers"),
        params=get("params"),
        cookies=Cookies(get("cookies")) if keep_cookies else None,
        base_url=get("base_url") or "",
        event_hooks=hooks(get("event_hooks")),
        route=route,
        trust_env=get("trust_env", True),
        max_response_bytes=bound("max_response_bytes", get("max_response_bytes")),
        json_loads=get("json_loads"),
        json_dumps=get("json_dumps"),
        default_encoding=get("default_encoding", "utf-8"),
    )
    return engine, transports


def _mounted(
    options: Mapping[str, Any], adapt: Callable[[Any], Callable[[Request], Awaitable[Response]]]
) -> tuple[list[Any], Callable[[URL], Any] | None]:
    """Return the transports that were given, and what finds the one for a URL; None when there are none."""
    if options.get("transport") is None and not options.get("mounts"):
        return [], None
    mounts = Mounts(options.get("mounts") or {}, options.get("transport"))
    transports = mounts.transports()
    adapted = {id(transport): adapt(transport) for transport in transports}

    def route(url: URL) -> Callable[[Request], Awaitable[Response]] | None:
        transport = mounts.route(url)
        return None if transport is None else adapted[id(transport)]

    return transports, route


def _settings(options: Mapping[str, Any]) -> Settings:
    auth = options.get("auth")
    if auth is not None:
        from .policy.auth import build_auth

        auth = build_auth(auth)
    return Settings(
        auth=auth,
        timeout=Timeout.of(options["timeout"]) if "timeout" in options else _TIMEOUT,
        follow_redirects=flag("follow_redirects", options.get("follow_redirects", True)),
        max_redirects=count("max_redirects", options.get("max_redirects", 20)),
        raise_for_status=flag("raise_for_status", options.get("raise_for_status", False)),
    )
