"""Authentication: what is added to a request, and what is asked again after a 401 (RFC 9110 §11)."""

from __future__ import annotations

import binascii
import os

from hither._errors import RequestNotRead

from .._patterns import pattern
from .digest import DigestSession, parse_params, strongest_challenge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from hither._request import Request
    from hither._response import Response
    from hither._url import URL

_CONTROL = pattern(rb"[\x00-\x1f\x7f]")

# Sends of one request with digest authentication: with what is known, with the new challenge, and once more
# when the server calls that nonce stale already (RFC 7616 §3.3).
_MAX_SENDS = 3

# Origins whose challenge one `DigestAuth` remembers; our own bound, and five times that of Chrome's
# HttpAuthCache.
_MAX_ORIGINS = 100


class Auth:
    """Base of all authentication. A subclass writes `auth_flow`, which sees each response and may ask again.

    Set `requires_request_body` when the flow needs `request.content`, and `requires_response_body` when it
    needs the body of the responses.

    >>> class TokenAuth(Auth):
    ...     def auth_flow(self, request):
    ...         request.headers["X-Token"] = "old"
    ...         response = yield request
    ...         if response.status_code == 401:
    ...             request.headers["X-Token"] = "new"
    ...             yield request
    """

    requires_request_body = False
    requires_response_body = False

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield requests to send; each `yield` gives the response. The last one is what the caller gets."""
        yield request


class BasicAuth(Auth):
    """User and password as `Basic` credentials in UTF-8 (RFC 7617).

    Raises `ValueError` for a colon in the user's name and for control characters, which the scheme cannot
    carry.

    >>> from hither import Request
    >>> next(BasicAuth("ada", "secret").auth_flow(Request("GET", "https://example.org"))).headers["authorization"]
    'Basic YWRhOnNlY3JldA=='
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        user, secret = _credential(username, "username"), _credential(password, "password")
        if b":" in user:
            raise ValueError("the username of BasicAuth contains ':', which would end it (RFC 7617 §2)")
        self._field = "Basic " + binascii.b2a_base64(user + b":" + secret, newline=False).decode("ascii")

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Send the credentials with the request; a 401 is the caller's."""
        request.headers["Authorization"] = self._field
        yield request

    def __repr__(self) -> str:
        return "<BasicAuth [secure]>"


class BearerAuth(Auth):
    """A token as `Bearer` credentials (RFC 6750). A function is asked for the token before each request.

    >>> from hither import Request
    >>> next(BearerAuth("t0ken").auth_flow(Request("GET", "https://example.org"))).headers["authorization"]
    'Bearer t0ken'
    """

    def __init__(self, token: str | Callable[[], str]) -> None:
        if callable(token):
            self._token = token
        else:
            checked = _token(token)
            self._token = lambda: checked

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Send the token with the request; a 401 is the caller's."""
        request.headers["Authorization"] = "Bearer " + _token(self._token())
        yield request

    def __repr__(self) -> str:
        return "<BearerAuth [secure]>"


class DigestAuth(Auth):
    """User and password, proved without being sent (RFC 7616, and RFC 2617 and 2069 for old servers).

    MD5, SHA-256 and SHA-512-256, each with "-sess"; `qop` auth and auth-int. Of several challenges the
    strongest is answered, and later requests to the same origin carry the answer at once. One object may
    serve many threads.

    auth-int hashes the body before it is sent. A server that offers nothing else can therefore not be sent a
    stream: that raises `RequestNotRead`, unless `requires_request_body` is set to `True` on this object.

    >>> DigestAuth("ada", "secret")
    <DigestAuth [secure]>
    """

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self._username = _credential(username, "username").decode()
        self._password = _credential(password, "password").decode()
        self._sessions: dict[tuple[str, str, int], DigestSession] = {}

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Answer the challenge, and again when its nonce is stale; a second refusal is the caller's."""
        origin = request.url.key
        session = self._sessions.get(origin)
        answered = False
        for _ in range(_MAX_SENDS):
            if session is not None:
                request.headers["Authorization"] = _answer(session, request)
            response = yield request
            if response.status_code != 401:
                if session is not None:
                    self._follow_nonce(origin, session, response)
                return
            challenge = strongest_challenge(response.headers.get_list("www-authenticate"))
            if challenge is None or (answered and not challenge.stale):
                self._sessions.pop(origin, None)
                return
            session = DigestSession(challenge, self._username, self._password)
            answered = True
            self._remember(origin, session)

    def _follow_nonce(self, origin: tuple[str, str, int], session: DigestSession, response: Response) -> None:
        info = response.headers.get("authentication-info")
        nonce = parse_params(info).get("nextnonce") if info else None  # RFC 7616 §3.5
        # Another thread may be further than this response.
        if nonce and self._sessions.get(origin) is session:
            self._sessions[origin] = session.renewed(nonce)

    def _remember(self, origin: tuple[str, str, int], session: DigestSession) -> None:
        self._sessions.pop(origin, None)
        self._sessions[origin] = session
        for oldest in list(self._sessions)[:-_MAX_ORIGINS]:
            self._sessions.pop(oldest, None)

    def __repr__(self) -> str:
        return "<DigestAuth [secure]>"

    def __reduce__(self) -> tuple[Any, ...]:
        # What the servers said stays here: a nonce count must not go on in two places.
        return type(self), (self._username, self._password)


def _answer(session: DigestSession, request: Request) -> str:
    body = b""
    if session.challenge.qop == "auth-int" and request.body is not None:
        if not isinstance(request.body, bytes):
            raise RequestNotRead(
                "the server offers digest authentication with qop=auth-int only, which hashes the body "
                "before it is sent: give the content as bytes, or set its requires_request_body",
                request=request,
            )
        body = request.body
    return session.authorization(request.method, request.url.target.decode("ascii"), body)


class NetRCAuth(Auth):
    """User and password of the request's host from a netrc file; hosts that are not in it get none.

    `file` defaults to the one that `$NETRC` names, else `~/.netrc` (`~/_netrc` on Windows). Read once, here:
    raises `FileNotFoundError`, and `ValueError` for a file that is no netrc.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        path = os.fspath(file) if file is not None else os.environ.get("NETRC") or None
        self._hosts = _read_netrc(path)

    def credentials(self, url: URL) -> BasicAuth | None:
        """What the file has for the host of `url`, or its `default` entry; `None` when it has neither."""
        found = self._hosts.get(url.host) or self._hosts.get(url.key[1]) or self._hosts.get("default")
        return None if found is None else BasicAuth(*found)

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Send the credentials of the request's host, if there are any."""
        basic = self.credentials(request.url)
        if basic is None:
            yield request
        else:
            yield from basic.auth_flow(request)

    def __repr__(self) -> str:
        return "<NetRCAuth [secure]>"


def _read_netrc(path: str | None) -> dict[str, tuple[str, str]]:
    import netrc  # rarely wanted, and it brings shlex

    if path is None:
        names = ("_netrc", ".netrc") if os.name == "nt" else (".netrc",)
        homes = [os.path.join(os.path.expanduser("~"), name) for name in names]
        path = next((home for home in homes if os.path.exists(home)), homes[-1])
    try:
        hosts = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        # The parser's own message quotes the file, and what it stumbles over may be a password.
        raise ValueError(f"{path}: not a netrc file (line {error.lineno})") from None
    # An entry without a login may have an account (as Requests and curl read it).
    return {host: (login or account or "", secret or "") for host, (login, account, secret) in hosts.items()}


class FunctionAuth(Auth):
    """A function that gets each request and may change it or return another; what `auth=function` becomes.

    >>> from hither import Request
    >>> def sign(request):
    ...     request.headers["X-Signature"] = "7"
    >>> next(FunctionAuth(sign).auth_flow(Request("GET", "https://example.org"))).headers["x-signature"]
    '7'
    """

    def __init__(self, func: Callable[[Request], Request | None]) -> None:
        self._func = func

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        """Send what the function returns; `None` means the request that it was given."""
        changed = self._func(request)
        yield request if changed is None else changed

    def __repr__(self) -> str:
        return f"<FunctionAuth {getattr(self._func, '__qualname__', type(self._func).__name__)}>"


def build_auth(value: Any) -> Auth | None:
    """What a user gave as `auth=` as an `Auth`: `None`, an `Auth`, `(user, password)`, or a function.

    >>> build_auth(("ada", "secret"))
    <BasicAuth [secure]>
    """
    if value is None or isinstance(value, Auth):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return BasicAuth(*value)
    if isinstance(value, type):
        raise TypeError(f"auth={value.__name__} is a class: pass an object, {value.__name__}(…)")
    if callable(value):
        return FunctionAuth(value)
    if isinstance(value, (str, bytes)):
        raise TypeError("auth= takes no text: use BearerAuth(token) or (user, password)")
    raise TypeError(f"auth= takes (user, password), an Auth or a function, not {type(value).__name__}")


def url_auth(url: URL) -> BasicAuth | None:
    """The user and password written in the URL, or `None` when there are none.

    >>> from hither import URL
    >>> url_auth(URL("https://ada:secret@example.org/")), url_auth(URL("https://example.org/"))
    (<BasicAuth [secure]>, None)
    """
    if not url.userinfo:
        return None
    return BasicAuth(url.username, url.password)


def _credential(value: str | bytes, what: str) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes):
        raise TypeError(f"the {what} must be str or bytes, not {type(value).__name__}")
    if _CONTROL.search(value):  # RFC 7617 §2
        raise ValueError(f"the {what} contains a control character, perhaps a line end from a file")
    return value


def _token(token: str) -> str:
    if not isinstance(token, str):
        raise TypeError(f"a bearer token must be str, not {type(token).__name__}")
    if not token or _CONTROL.search(token.encode()) or token != token.strip():
        raise ValueError("the bearer token is empty or contains a control character or space at an end")
    return token
