"""The main loop: prepare a request, send it, ask the policies what to do next, until there is a response.

client.get() ─► Engine.request ─► Engine.send ─┬─► Network.send ─► connection.exchange ─► the socket
                                               └─► or a transport of the user's
"""

from __future__ import annotations

from time import monotonic

from ._decoding import supported_encodings
from ._errors import HTTPError, TooManyRedirects
from ._headers import Headers
from ._options import REQUEST_OPTIONS, Deadline, Timeout, check_options
from ._query import QueryParams
from ._request import DefaultFields, plain_request
from ._url import URL, merge_base, merge_params, parse_url
from ._version import __version__
from .policy.redirect import redirect_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from ._network import Network
    from ._request import Request
    from ._response import Response
    from ._types import URLTypes
    from .policy.auth import Auth
    from .policy.cookies import Cookies

_HOOKS = ("request", "response", "redirect", "retry")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAIN = 65536  # bytes of a response that is passed over, read so that its connection can be used again


class Settings:
    """The options of a call that are not part of the request itself."""

    __slots__ = ("auth", "cookies", "follow_redirects", "max_redirects", "raise_for_status", "timeout")

    def __init__(
        self,
        *,
        auth: Auth | None = None,
        timeout: Timeout,
        follow_redirects: bool = True,
        max_redirects: int = 20,
        raise_for_status: bool = False,
    ) -> None:
        self.auth: Auth | bool | None = auth  # False when the call says that there shall be none
        self.timeout = timeout
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        self.raise_for_status = raise_for_status
        self.cookies: Cookies | None = None

    def override(self, options: Mapping[str, Any]) -> Settings:
        """Return these settings with a call's own in their place."""
        new = Settings.__new__(Settings)
        new.follow_redirects = options.get("follow_redirects", self.follow_redirects)
        new.max_redirects = options.get("max_redirects", self.max_redirects)
        new.raise_for_status = options.get("raise_for_status", self.raise_for_status)
        new.timeout = Timeout.of(options["timeout"]) if "timeout" in options else self.timeout
        new.auth = self.auth
        if "auth" in options:
            from .policy.auth import build_auth

            new.auth = build_auth(options["auth"]) or False
        new.cookies = self.cookies
        if options.get("cookies") is not None:
            from .policy.cookies import Cookies

            new.cookies = Cookies(options["cookies"])
        return new


class Engine:
    """What a client is made of, the same for both faces."""

    def __init__(
        self,
        *,
        settings: Settings,
        network: Callable[[], Network],
        is_async: bool,
        headers: Any = None,
        params: Any = None,
        cookies: Cookies | None = None,
        base_url: URLTypes = "",
        event_hooks: Mapping[str, list[Callable[..., Any]]] | None = None,
        route: Callable[[URL], Any] | None = None,
        trust_env: bool = True,
        max_response_bytes: int | None = None,
        json_loads: Callable[[Any], Any] | None = None,
        json_dumps: Callable[[Any], str | bytes] | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
    ) -> None:
        self.settings = settings
        self.network = network
        self.own_network: Network | None = None  # where one serves all threads, so that nobody asks for it
        self.is_async = is_async
        self.cookies = cookies
        self.route = route
        self.closed = False
        self.hooks = _checked_hooks(event_hooks)
        self.base_url = parse_url(base_url) if base_url else None
        self.params = QueryParams(params) if params else None
        self.netrc = _netrc_auth() if trust_env else None
        self._max_bytes = max_response_bytes
        self._json_loads = json_loads
        self._json_dumps = json_dumps
        self._default_encoding = default_encoding
        self._is_plain = (
            self.hooks is None
            and route is None
            and max_response_bytes is None
            and json_loads is None
            and default_encoding == "utf-8"
        )
        self.headers = Headers(
            [
                ("Accept", "*/*"),
                ("Accept-Encoding", supported_encodings().decode("ascii")),
                ("User-Agent", f"hither/{__version__}"),
            ]
        )
        if headers is not None:
            self.headers.update(headers)
        self._defaults = DefaultFields(self.headers)

    def request(
        self, method: str, url: URLTypes, options: Mapping[str, Any], *, stream: bool = False
    ) -> Coroutine[Any, Any, Response]:
        """Make a request of what the user said, and send it."""
        request = self.build(method, url, options)
        return self.send(request, request.settings if options else self.settings, stream)

    def build(self, method: str, url: URLTypes, options: Mapping[str, Any]) -> Request:
        """Make a request, with what the client adds to it."""
        target = parse_url(url)
        if self.base_url is not None:
            target = merge_base(self.base_url, target)
        defaults = self._defaults
        if self.headers._raw != defaults.raw:
            defaults = self._defaults = DefaultFields(self.headers)
        if self.params is not None and not options.get("params"):
            target = merge_params(target, self.params)
        request = plain_request(method, target, defaults)
        if options:
            self._fill(request, options)
        return request

    def _fill(self, request: Request, options: Mapping[str, Any]) -> None:
        if not options.keys() <= REQUEST_OPTIONS:
            check_options("a request", options, REQUEST_OPTIONS)
        get = options.get
        params = get("params")
        if params:
            if self.params is not None:
                params = self.params.merge(params)
            request.url = merge_params(request.url, params)
        if get("extensions"):
            request.extensions = dict(options["extensions"])
        request._extra = None
        request.fill(get("headers"), get("content"), get("data"), get("files"), get("json"), self._json_dumps)
        request.settings = self.settings.override(options)
        body = request.body
        if body is not None and not isinstance(body, bytes) and body.is_async and not self.is_async:
            raise TypeError("the body is an async iterable, which only AsyncClient can send")

    def settings_for(self, request: Request, options: Mapping[str, Any]) -> Settings:
        """Return the settings of a request that was built before, with the options of its sending."""
        settings: Settings = request.settings or self.settings
        if not options:
            return settings
        allowed = frozenset(Settings.__slots__)
        if not options.keys() <= allowed:
            check_options("send()", options, allowed)
        return settings.override(options)

    @property
    def jar(self) -> Cookies:
        """The cookie jar; a client without one has an empty jar to show."""
        if self.cookies is None:
            from .policy.cookies import Cookies

            return Cookies()
        return self.cookies

    async def send(self, request: Request, settings: Settings, stream: bool) -> Response:
        """Send a request, and go on as the policies say: log in, follow redirects, keep cookies."""
        if self.closed:
            raise RuntimeError("the client is closed: make a new one")
        started = monotonic()
        timeout = settings.timeout
        deadline = timeout if timeout.total is None else Deadline(timeout, started)
        history: list[Response] | None = None
        response: Response | None = None
        auth = None
        if settings.auth is not None or self.netrc is not None or request._url.userinfo:
            auth = await self._begin_auth(request, settings)
            if auth is not None:
                request = auth.request
        jar = self.cookies
        try:
            while True:
                if settings.cookies is not None or (jar is not None and jar._domains):
                    self._add_cookies(request, settings, jar, history)
                if self._is_plain:
                    response = await (self.own_network or self.network()).send(request, deadline, started)
                else:
                    response = await self._exchange(request, deadline, started)
                if response._sets_cookies:
                    jar = self._store_cookies(response, jar)
                if auth is None and response.status_code not in _REDIRECTS:
                    break
                again, auth = await self._next(response, settings, auth, history)
                if again is None:
                    break
                history = [*(history or ()), response]
                request = again
                started = monotonic()
            if history is not None:
                response.history = history
            if stream:
                response._unread()
            elif response._content is None:
                await response._read()
            if settings.raise_for_status and response.status_code >= 400:
                await response._read()
                response.raise_for_status()
        except BaseException as error:
            if response is not None:
                await response.aclose()
            if isinstance(error, HTTPError):
                error.attach(request)
            raise
        return response

    async def _next(
        self, response: Response, settings: Settings, auth: _AuthSteps | None, history: list[Response] | None
    ) -> tuple[Request | None, _AuthSteps | None]:
        """Ask the policies what follows from a response; None when it is the last."""
        again = None if auth is None else await auth.after(response)
        if again is None:
            again = self._redirect(response, settings, history)
            if again is None:
                return None, auth
            if self.hooks is not None:
                response.next_request = again
                await _call(self.hooks["redirect"], response)
            if again.body is not None and not isinstance(again.body, bytes):
                again.body.rewind()
            if auth is not None:
                auth = await auth.redirected(again)
                again = again if auth is None else auth.request
        if response._source is None:
            response.close()
        else:
            await _pass_over(response)
        return again, auth

    async def _exchange(self, request: Request, deadline: Any, started: float) -> Response:
        """One request, one response, for a client with hooks, transports or ways to decode of its own."""
        hooks = self.hooks
        if hooks is not None:
            await _call(hooks["request"], request)
        transport = None if self.route is None else self.route(request.url)
        if transport is None:
            response = await self.network().send(request, deadline, started)
        else:
            request.deadline = deadline
            response = await transport(request)
            response._request = request
            if response._marks is None:
                response._marks = [started, started, started, monotonic()]
        self._configure(response)
        if hooks is not None:
            try:
                await _call(hooks["response"], response)
            except BaseException:
                await response.aclose()
                raise
        return response

    def _configure(self, response: Response) -> None:
        response.json_loads = self._json_loads
        response.default_encoding = self._default_encoding
        response.max_bytes = limit = self._max_bytes
        if limit is not None and response._content is not None and len(response._content) > limit:
            raise response._too_large(f"the content is larger than max_response_bytes = {limit}")

    # What is done between one exchange and the next

    async def _begin_auth(self, request: Request, settings: Settings) -> _AuthSteps | None:
        auth = settings.auth
        if auth is False:
            return None
        ambient = auth is None
        if auth is None:
            auth = self._ambient_auth(request.url)
            if auth is None or "authorization" in request.headers:
                return None
        steps = _AuthSteps(auth, request, self._ambient_auth if ambient else None)
        await steps.begin(request)
        return steps

    def _ambient_auth(self, url: URL) -> Auth | None:
        """Return the credentials that nobody passed on purpose: those in the URL, or in the netrc file."""
        if url.userinfo:
            from .policy.auth import url_auth

            return url_auth(url)
        return None if self.netrc is None else self.netrc.credentials(url)

    def _add_cookies(
        self, request: Request, settings: Settings, jar: Cookies | None, history: list[Response] | None
    ) -> None:
        own = settings.cookies
        if own is not None and history and history[0].url.key != request.url.key:
            own = None  # the call's cookies belong to the origin it was made for
        if jar is not None:
            value = jar.header_for(request.url, own)
        else:
            value = None if own is None else own.header_for(request.url)
        if value:
            request.add_cookies(value)

    def _store_cookies(self, response: Response, jar: Cookies | None) -> Cookies:
        if jar is None:
            # A client without a jar still carries cookies from one redirect of a call to the next.
            from .policy.cookies import Cookies

            jar = Cookies()
        jar.store(response.url, response.headers.get_list("set-cookie"))
        return jar

    def _redirect(self, response: Response, settings: Settings, history: list[Response] | None) -> Request | None:
        try:
            again = redirect_request(response.request, response)
        except HTTPError:
            if settings.follow_redirects:
                raise
            return None  # the user asked for this response, wherever it points
        if again is None:
            return None
        if not settings.follow_redirects:
            response.next_request = again
            return None
        followed = sum(step.is_redirect for step in history) if history else 0
        if followed >= settings.max_redirects:
            raise TooManyRedirects(f"more than {settings.max_redirects} redirects", request=response.request)
        return again


class _AuthSteps:
    """The course of one `auth_flow`, which belongs to the origin that it began with.

    `ambient` finds the credentials for another origin, where they come from the URL or the netrc file.
    """

    __slots__ = ("_ambient", "_auth", "_flow", "_origin", "request")

    def __init__(self, auth: Any, request: Request, ambient: Callable[[URL], Auth | None] | None) -> None:
        self._auth = auth
        self._ambient = ambient
        self._origin = request.url.key
        self._flow: Any = None
        self.request = request

    async def begin(self, request: Request) -> None:
        if self._auth.requires_request_body:
            await request._read()
        self._flow = self._auth.auth_flow(request)
        self.request = next(self._flow)

    async def after(self, response: Response) -> Request | None:
        """Return the next request of the flow, or None at its end."""
        if self._flow is None:
            return None
        if self._auth.requires_response_body:
            await response._read()
        try:
            again: Request = self._flow.send(response)
        except StopIteration:
            self._flow = None
            return None
        body = again.body
        if body is not None and not isinstance(body, bytes):
            body.rewind()
        return again

    async def redirected(self, request: Request) -> _AuthSteps | None:
        """Return what goes on at the place of a redirect: the same at the same origin, else only what is ambient."""
        auth = self._auth
        if request.url.key != self._origin:
            auth = None if self._ambient is None else self._ambient(request.url)
            if auth is None:
                return None
        steps = _AuthSteps(auth, request, self._ambient)
        await steps.begin(request)
        return steps


def _netrc_auth() -> Any:
    """Return the netrc file's credentials as an `Auth`, or None when there is no such file."""
    import os

    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    if not os.path.isfile(path):
        return None
    from .policy.auth import NetRCAuth

    return NetRCAuth(path)


def _checked_hooks(
    hooks: Mapping[str, list[Callable[..., Any]]] | None,
) -> dict[str, list[Callable[..., Any]]] | None:
    if not hooks:
        return None
    unknown = hooks.keys() - set(_HOOKS)
    if unknown:
        raise TypeError(f"event_hooks has no event {min(unknown)!r}: there are {', '.join(_HOOKS)}")
    return {name: list(hooks.get(name, ())) for name in _HOOKS}


async def _call(hooks: list[Callable[..., Any]], argument: Any) -> None:
    for hook in hooks:
        result = hook(argument)
        if hasattr(result, "__await__"):
            await result


async def _pass_over(response: Response) -> None:
    """Read what is left of a response that leads on, when it is little, so that its connection can be used again."""
    length = response.headers.get("content-length", "0")
    most = _DRAIN if length.isdecimal() and int(length) <= _DRAIN else -1
    try:
        while response._source is not None and response.num_bytes_downloaded <= most:
            if not await response._chunk():
                return
    except HTTPError:
        pass
    await response.aclose()
