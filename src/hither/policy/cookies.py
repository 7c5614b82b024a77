"""The cookie jar: which cookies are kept and which go with a request (RFC 6265 and the guards of 6265bis)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, MutableMapping

from hither._errors import HTTPError, LocalProtocolError

from ._cookie_syntax import (
    CONTROL,
    SetCookie,
    default_path,
    domain_matches,
    is_ip,
    parse_set_cookie,
    path_matches,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import Any

    from hither._types import CookieTypes
    from hither._url import URL

    from ._cookie_syntax import Attributes

# Chrome's CookieMonster: over 180 cookies of one domain it keeps 150, over 3300 in all it keeps 3000 (RFC
# 6265 §6.1 asks for room for 50 and 3000). Making room for many at once keeps the search for the oldest rare.
MAX_PER_DOMAIN, KEEP_PER_DOMAIN = 180, 150
MAX_COOKIES, KEEP_COOKIES = 3300, 3000

# What a jar remembers until it changes: as many Cookie fields, and as many responses that changed nothing. Those
# of more characters are rare: two ordinary cookies make a hundred.
_MAX_REMEMBERED = 256
_MAX_REMEMBERED_TEXT = 4096

# RFC 1035 §2.3.4: a name of more octets is none that DNS could answer for.
_MAX_HOST = 253

_EVERY_HOST = ""
_NEVER = float("inf")
_SECURE_SCHEMES = frozenset(("https", "wss"))


class CookieConflict(HTTPError):  # HTTPX's name
    """Several cookies have the name, for different domains or paths; name the one you mean with `get()`."""


class Cookie:
    """One cookie of a jar. To change it, set it again; when its server does, and only `expires` is later, that is set.

    `domain` is empty for a cookie that goes to every host; otherwise `host_only` tells whether hosts below
    the domain get it too. `expires` is in Unix seconds, `None` for a cookie that lasts as long as its
    session. `same_site` is kept as the server wrote it, and nothing is decided by it: there is no site around
    a request of this library.
    """

    __slots__ = (
        "_order", "_pair", "_used", "_written",
        "domain", "expires", "host_only", "http_only", "name", "path", "same_site", "secure", "value",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        value: str,
        *,
        domain: str = _EVERY_HOST,
        path: str = "/",
        expires: float | None = None,
        secure: bool = False,
        http_only: bool = False,
        host_only: bool = False,
        same_site: str | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.domain = domain
        self.path = path
        self.expires = expires
        self.secure = secure
        self.http_only = http_only
        self.host_only = host_only
        self.same_site = same_site
        # RFC 6265bis §5.8.3 step 3: a cookie without a name is sent as its bare value.
        self._pair = f"{name}={value}" if name else value
        # Places in the jar's count of events: first creation, last change, last use. They order cookies as
        # the times of RFC 6265 §5.3 do, and never tie.
        self._order = self._written = self._used = 0

    def is_expired(self, now: float | None = None) -> bool:
        """Whether its time is over at `now` (Unix seconds, default: this moment)."""
        return self.expires is not None and self.expires <= (time.time() if now is None else now)

    def _renews(self, old: Cookie) -> bool:
        """Whether all that changes with this one in the old one's place is that it lives as long or longer."""
        if self.expires is None or old.expires is None:
            lives_on = self.expires is old.expires
        else:
            lives_on = self.expires >= old.expires
        return (
            lives_on
            and self.value == old.value
            and self.secure == old.secure
            and self.http_only == old.http_only
            and self.same_site == old.same_site
        )

    def __repr__(self) -> str:
        return f"<Cookie {self.name} for {self.domain or 'every host'}{self.path}>"


_Bucket = dict[tuple[str, str, bool], Cookie]  # the cookies of one domain, by path, name and host-only flag
_FIELDS = ("name", "value", "domain", "path", "expires", "secure", "http_only", "host_only", "same_site")


class _Outgoing:
    """The Cookie field of requests to one place: right at `since` and until `until`, if the jar does not change."""

    __slots__ = ("cookies", "since", "until", "value")

    def __init__(self, cookies: list[Cookie], since: float, until: float) -> None:
        self.cookies = cookies
        self.since = since
        self.until = until
        self.value = "; ".join([cookie._pair for cookie in cookies]) if cookies else None


class _Arrival:
    """A response whose cookies only renewed some of the jar's: it will do so again, if the jar does not change."""

    __slots__ = ("cookies", "directory", "lasting")

    def __init__(self, cookies: list[tuple[Cookie, Attributes]], directory: str | None) -> None:
        self.cookies = [cookie for cookie, _ in cookies]
        self.lasting = [(cookie, attributes) for cookie, attributes in cookies if cookie.expires is not None]
        self.directory = directory  # the default path, where it plays a part


class Cookies(MutableMapping[str, str]):
    """A cookie jar as browsers keep it (RFC 6265), used as a mapping of names to values.

    Made from a mapping, a list of pairs, another jar or one of the standard library's. Cookies set without a
    domain go to every host. Values are sent byte for byte as they were given.

    >>> cookies = Cookies({"theme": "dark"})
    >>> cookies.set("session", "1f", domain="example.org", path="/app")
    >>> cookies["session"], len(cookies)
    ('1f', 2)
    """

    __slots__ = ("_arrivals", "_domains", "_events", "_outgoing", "_size")

    def __init__(self, cookies: CookieTypes | None = None) -> None:
        self._domains: dict[str, _Bucket] = {}
        # Who changes the jar puts new dicts in the place of these two (`_forget`), so that what another thread has
        # just made of the jar as it was goes nowhere.
        self._outgoing: dict[object, _Outgoing] = {}
        self._arrivals: dict[object, _Arrival] = {}
        self._events = 0
        self._size = 0  # never less than the number of cookies but for a lost race; `_trim` counts anew
        if cookies is not None:
            self.update(cookies)

    # Requests and responses

    def header_for(self, url: URL, extra: Cookies | None = None) -> str | None:
        """The Cookie field's value for a request to `url`; `None` when no cookie goes there (RFC 6265 §5.4).

        `extra` are cookies of this one request: they win over those of the same name, and do not stay.

        >>> from hither import URL
        >>> cookies = Cookies()
        >>> cookies.store(URL("https://example.org/a/b"), ["x=1; Path=/", "y=2"])
        >>> cookies.header_for(URL("https://example.org/a/"))
        'y=2; x=1'
        """
        outgoing = self._outgoing.get(url.key)
        if outgoing is None or not outgoing.since <= time.time() < outgoing.until:
            outgoing = self._outgoing_to(url)
        if extra is not None and extra._domains:
            also = extra._outgoing_to(url).cookies
            names = {cookie.name for cookie in also}
            outgoing = _Outgoing([cookie for cookie in outgoing.cookies if cookie.name not in names] + also, 0, 0)
        if outgoing.cookies:
            self._events = event = self._events + 1
            for cookie in outgoing.cookies:
                cookie._used = event
        return outgoing.value

    def store(self, url: URL, set_cookie_values: Iterable[str], now: float | None = None) -> None:
        """Take the Set-Cookie fields of a response from `url`; what RFC 6265 §5.3 forbids is ignored.

        `now` is in Unix seconds, by default this moment. Never raises for what a server sent.
        """
        if now is None:
            now = time.time()
        lines = tuple(set_cookie_values)
        arrivals = self._arrivals
        arrival = arrivals.get((url.key, lines))
        if arrival is not None and self._arrives_again(arrival, url, now):
            return
        kept: list[tuple[Cookie, Attributes]] = []
        directory = None
        deletes = False
        for line in lines:
            parsed = parse_set_cookie(line, now)
            if parsed is None:
                continue
            if parsed.attributes.path is None:
                directory = default_path(_path_of(url))
            cookie = self._admit(url, parsed, directory)
            if cookie is None:
                continue
            if cookie.is_expired(now):  # RFC 6265 §5.3: this is how a server deletes a cookie
                self._discard(cookie)
                deletes = True
            else:
                kept.append((self._put(cookie), parsed.attributes))
                self._trim(cookie.domain, now)
        if not deletes and sum(map(len, lines)) <= _MAX_REMEMBERED_TEXT:
            if len(arrivals) >= _MAX_REMEMBERED:
                arrivals.clear()
            arrivals[url.key, lines] = _Arrival(kept, directory)

    def _arrives_again(self, arrival: _Arrival, url: URL, now: float) -> bool:
        """Renew the cookies of a response that came before; False when it is more than that this time."""
        if arrival.directory is not None and arrival.directory != default_path(_path_of(url)):
            return False
        for cookie, attributes in arrival.lasting:
            expires = attributes.expiry(now)
            if expires is None or cookie.expires is None or expires <= now or expires < cookie.expires:
                return False
            self._prolong(cookie, expires)
        event = self._events
        for cookie in arrival.cookies:
            event += 1
            cookie._written = cookie._used = event
        self._events = event
        return True

    def _admit(self, url: URL, parsed: SetCookie, directory: str | None) -> Cookie | None:
        """The cookie to keep, or `None` when the host of `url` may not set it (RFC 6265bis §5.7)."""
        attributes = parsed.attributes
        allowed = _allowed_domain(url.key[1], attributes.domain)
        if allowed is None:
            return None
        domain, host_only = allowed
        from_secure_origin = _is_trustworthy(url)
        if attributes.secure and not from_secure_origin:  # RFC 6265bis §5.7 step 11
            return None
        if not _prefix_holds(parsed, host_only=host_only):
            return None
        cookie = Cookie(
            parsed.name,
            parsed.value,
            domain=domain,
            path=attributes.path or directory or "/",
            expires=parsed.expires,
            secure=attributes.secure,
            http_only=attributes.http_only,
            host_only=host_only,
            same_site=attributes.same_site,
        )
        if not from_secure_origin and self._shadows_secure(cookie):
            return None
        return cookie

    def _outgoing_to(self, url: URL) -> _Outgoing:
        now = time.time()
        path = _path_of(url)
        remembered = self._outgoing
        outgoing = remembered.get((url.key, path))
        if outgoing is not None and outgoing.since <= now < outgoing.until:
            return outgoing
        host = url.key[1]
        key: object = url.key  # for every path, until a cookie is found that is for some alone
        until = _NEVER
        found: list[Cookie] = []
        for domain, bucket in self._buckets_of(host):
            for cookie in list(bucket.values()):
                if cookie.host_only and domain != host:
                    continue
                if cookie.expires is not None:
                    if cookie.expires <= now:
                        continue
                    until = min(until, cookie.expires)
                if cookie.path != "/":
                    key = url.key, path
                    if not path_matches(path, cookie.path):
                        continue
                if cookie.secure and not _is_trustworthy(url):
                    continue
                found.append(cookie)
        outgoing = _Outgoing(self._in_order(found), now, until)
        if len(path) + len(outgoing.value or "") <= _MAX_REMEMBERED_TEXT:
            if len(remembered) >= _MAX_REMEMBERED:
                remembered.clear()
            remembered[key] = outgoing
        return outgoing

    def _in_order(self, found: list[Cookie]) -> list[Cookie]:
        if len(found) > 1:
            if _EVERY_HOST in self._domains:
                found = _newest_of_every_host(found)
            # RFC 6265 §5.4 step 2: longer paths first, then the earlier created.
            found.sort(key=lambda cookie: (-len(cookie.path), cookie._order))
        return found

    def _buckets_of(self, host: str) -> list[tuple[str, _Bucket]]:
        """The jar's domains that the host belongs to; the jar's size plays no part in what this costs."""
        domains = self._domains
        found = [(domain, domains.get(domain)) for domain in (host, _EVERY_HOST)]
        dot = host.find(".") if len(host) <= _MAX_HOST else -1
        while dot != -1:
            parent = host[dot + 1 :]
            if parent in domains and not is_ip(host):
                found.append((parent, domains.get(parent)))
            dot = host.find(".", dot + 1)
        return [(domain, bucket) for domain, bucket in found if bucket]

    def _shadows_secure(self, new: Cookie) -> bool:
        """Whether a Secure cookie stands where a plain-text origin would put this one (RFC 6265bis §5.7)."""
        below = "." + new.domain
        related = [bucket for domain, bucket in self._buckets_of(new.domain) if domain]
        related += [bucket for domain, bucket in list(self._domains.items()) if domain.endswith(below)]
        return any(
            old.secure and old.name == new.name and path_matches(new.path, old.path)
            for bucket in related
            for old in list(bucket.values())
        )

    # The store

    def _put(self, cookie: Cookie) -> Cookie:
        """Take a cookie; return the jar's, which is the old one in its place if that is only renewed."""
        bucket = self._domains.setdefault(cookie.domain, {})
        key = (cookie.path, cookie.name, cookie.host_only)
        self._events = cookie._order = cookie._written = cookie._used = self._events + 1
        old = bucket.get(key)
        if old is not None and cookie._renews(old) and not self._goes_everywhere(cookie.name):
            old._written = old._used = cookie._written
            if cookie.expires is not None:
                self._prolong(old, cookie.expires)
            return old
        if old is None:
            self._size += 1
        elif cookie.domain:  # RFC 6265 §5.3 step 11.3: a cookie set again keeps its place
            cookie._order = old._order
        bucket[key] = cookie
        self._forget()
        return cookie

    def _goes_everywhere(self, name: str) -> bool:
        """Whether a cookie of that name is for every host: then the newest is sent, and renewing changes something."""
        bucket = self._domains.get(_EVERY_HOST, {})
        return any(cookie.name == name for cookie in list(bucket.values()))

    def _prolong(self, cookie: Cookie, expires: float) -> None:
        before, cookie.expires = cookie.expires, expires
        if before is not None and before <= time.time():  # it was left out as expired, maybe
            self._forget()

    def _discard(self, cookie: Cookie) -> None:
        bucket = self._domains.get(cookie.domain)
        if bucket is not None and bucket.pop((cookie.path, cookie.name, cookie.host_only), None) is not None:
            self._size -= 1
            self._forget()

    def _forget(self) -> None:
        """Remember nothing of the jar as it was, after every change."""
        self._outgoing = {}
        self._arrivals = {}

    def _trim(self, domain: str, now: float) -> None:
        """Keep what servers stored within the bounds: expired ones go first, then those long unused."""
        bucket = self._domains.get(domain, {})
        if len(bucket) > MAX_PER_DOMAIN:
            self._evict(list(bucket.values()), KEEP_PER_DOMAIN, now)
        if self._size > MAX_COOKIES or len(self._domains) > MAX_COOKIES:
            everything = self._all()
            self._size = len(everything)
            self._evict([cookie for cookie in everything if cookie.domain], KEEP_COOKIES, now)
            for name, emptied in list(self._domains.items()):
                if not emptied:
                    self._domains.pop(name, None)

    def _evict(self, cookies: list[Cookie], keep: int, now: float) -> None:
        # RFC 6265bis §5.7, order of removal: expired, not Secure, and of equals the longest unused.
        cookies.sort(key=lambda cookie: (not cookie.is_expired(now), cookie.secure, cookie._used))
        for cookie in cookies[: max(0, len(cookies) - keep)]:
            self._discard(cookie)

    def _all(self) -> list[Cookie]:
        return [cookie for bucket in list(self._domains.values()) for cookie in list(bucket.values())]

    def records(self) -> list[Cookie]:
        """Every cookie that has not expired, in order of creation, with its domain, path, expiry and flags.

        >>> [(cookie.name, cookie.path) for cookie in Cookies({"theme": "dark"}).records()]
        [('theme', '/')]
        """
        now = time.time()
        alive = [cookie for cookie in self._all() if not cookie.is_expired(now)]
        alive.sort(key=lambda cookie: cookie._order)
        return alive

    # For the user: by name, and by domain and path where that is not enough

    def set(
        self,
        name: str,
        value: str,
        domain: str = _EVERY_HOST,
        path: str = "/",
        expires: float | None = None,
        *,
        secure: bool = False,
        http_only: bool = False,
        host_only: bool = False,
        same_site: str | None = None,
    ) -> None:
        """Set a cookie, for every host unless a `domain` is given, which then includes the hosts below it.

        `expires` is in Unix seconds; `host_only=True` keeps the cookie from hosts below the domain. Raises
        `LocalProtocolError` for characters that would end the cookie early, `TypeError` for anything but
        text.
        """
        _check_pair(name, value)
        if not path.startswith("/"):
            raise ValueError(f"the path of a cookie starts with '/', not as {path!r}")
        self._put(
            Cookie(
                name,
                value,
                domain=_user_domain(domain),
                path=path,
                expires=expires,
                secure=secure,
                http_only=http_only,
                host_only=host_only,
                same_site=same_site,
            )
        )

    def get(  # type: ignore[override]
        self, name: str, default: str | None = None, domain: str | None = None, path: str | None = None
    ) -> str | None:
        """The value of the cookie of that name, narrowed by domain and path where given, else `default`.

        Raises `CookieConflict` when several fit.
        """
        found = self._named(name, domain, path)
        if not found:
            return default
        newest = max(found, key=lambda cookie: cookie._written)
        # One for every host that was set last is what every host gets (see `_newest_of_every_host`).
        if len(found) > 1 and newest.domain:
            where = ", ".join(f"{cookie.domain or 'every host'}{cookie.path}" for cookie in found)
            raise CookieConflict(f"several cookies are named {name!r}: {where}; use get(name, domain=…)")
        return newest.value

    def _named(self, name: str, domain: str | None, path: str | None) -> list[Cookie]:
        if domain is not None:
            domain = _user_domain(domain)
        return [
            cookie
            for cookie in self.records()
            if cookie.name == name and domain in (None, cookie.domain) and path in (None, cookie.path)
        ]

    def delete(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        """Remove every cookie of that name, narrowed by domain and path where given."""
        for cookie in self._named(name, domain, path):
            self._discard(cookie)

    def clear(self, domain: str | None = None, path: str | None = None) -> None:
        """Remove all cookies, or those of one domain, or those of one path in it."""
        if domain is None and path is None:
            self._domains.clear()
            self._size = 0
            self._forget()
            return
        if domain is not None:
            domain = _user_domain(domain)
        for cookie in self._all():
            if domain in (None, cookie.domain) and path in (None, cookie.path):
                self._discard(cookie)

    def update(self, cookies: CookieTypes | None = None, /, **named: str) -> None:  # type: ignore[override]
        """Add the cookies of a mapping, of pairs, or of another jar with their domains and paths."""
        if isinstance(cookies, Cookies):
            for cookie in cookies.records():
                self._put(_copy(cookie))
        elif hasattr(cookies, "extract_cookies"):  # http.cookiejar.CookieJar, and so that of Requests
            foreign: Any = cookies
            for cookie in foreign:
                self._put(_from_stdlib(cookie))
        elif cookies is not None:
            for name, value in _pairs(cookies):
                self.set(name, value)
        for name, value in named.items():
            self.set(name, value)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self.records())

    def __iter__(self) -> Iterator[str]:
        return iter([cookie.name for cookie in self.records()])

    def __len__(self) -> int:
        return len(self.records())

    def __bool__(self) -> bool:
        return bool(self._domains) and bool(self.records())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Cookies):
            return _as_set(self) == _as_set(other)
        if isinstance(other, Mapping):
            pairs = [(cookie.name, cookie.value) for cookie in self.records()]
            return len(pairs) == len(other) and set(pairs) == set(other.items())
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Cookies:
        return Cookies(self)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        state = {"_domains": self._domains, "_events": self._events, "_size": self._size}
        return None, {**state, "_outgoing": {}, "_arrivals": {}}

    def __repr__(self) -> str:
        return f"<Cookies {self.records()}>"  # the records show no values: those are credentials

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all cookies to a JSON file, those of the session too; the file is replaced in one step.

        Only its owner can read the file (mode 0600): cookies are credentials.
        """
        from ._cookie_file import write_records  # json and tempfile are for those who save

        write_records(path, [{field: getattr(cookie, field) for field in _FIELDS} for cookie in self.records()])

    def load(self, path: str | os.PathLike[str]) -> Cookies:
        """Add the cookies of a file that `save()` wrote, and return the jar.

        Cookies that expired since are left out. Raises `ValueError` when the file is not one of a jar.
        """
        from ._cookie_file import read_records

        now = time.time()
        for fields in read_records(path):
            cookie = Cookie(**fields)
            if not cookie.is_expired(now):
                self._put(cookie)
        return self


def _newest_of_every_host(found: list[Cookie]) -> list[Cookie]:
    """Send one cookie where one for every host and one of the host's own have the same name: the newer.

    Otherwise a value that the user set, and the server has since renewed, would be sent next to the new one.
    """
    own: dict[str, int] = {}
    every: dict[str, int] = {}
    for cookie in found:
        written = own if cookie.domain else every
        written[cookie.name] = max(cookie._written, written.get(cookie.name, 0))
    return [
        cookie
        for cookie in found
        if (every if cookie.domain else own).get(cookie.name, 0) < (own if cookie.domain else every)[cookie.name]
    ]


def _allowed_domain(host: str, asked: str | None) -> tuple[str, bool] | None:
    """The domain to keep a cookie of this host under and whether for that host alone; `None`: refused."""
    if asked is None:
        return host, True
    asked = asked.strip("[]")
    if not asked.isascii() or not domain_matches(host, asked):  # RFC 6265 §5.3 step 6
        return None
    if is_ip(host):
        return host, True
    from .public_suffix import is_public_suffix  # most cookies are host-only

    if is_public_suffix(asked):  # RFC 6265 §5.3 step 5; `localhost` is such a host
        return (host, True) if asked == host else None
    return asked, False


def _prefix_holds(parsed: SetCookie, *, host_only: bool) -> bool:
    """Whether the cookie has the attributes that its name's prefix promises (RFC 6265bis §4.1.3 and §5.7)."""
    # A cookie without a name is sent as its value, so the prefix could stand there.
    label = parsed.name or parsed.value
    if not label.startswith("__"):
        return True
    label = label.lower()
    attributes = parsed.attributes
    if label.startswith("__secure-"):
        return bool(parsed.name) and attributes.secure
    if label.startswith("__host-"):
        return bool(parsed.name) and attributes.secure and host_only and attributes.path == "/"
    return True


def _is_trustworthy(url: URL) -> bool:
    """Whether Secure cookies may travel: over TLS, or to this very machine (W3C Secure Contexts §3.1)."""
    if url.scheme in _SECURE_SCHEMES:
        return True
    host = url.key[1].strip("[]")
    return host in ("localhost", "::1") or (host.startswith("127.") and is_ip(host))


def _path_of(url: URL) -> str:
    return url.target.partition(b"?")[0].decode("latin-1")


def _pairs(cookies: object) -> Iterable[tuple[str, str]]:
    if isinstance(cookies, Mapping):
        return cookies.items()
    if isinstance(cookies, (str, bytes)) or not isinstance(cookies, Iterable):
        raise TypeError(
            f"cookies are a mapping or (name, value) pairs, not {type(cookies).__name__}; a whole field as "
            "text goes into headers"
        )
    return cookies


def _check_pair(name: str, value: str) -> None:
    for part in (name, value):
        if not isinstance(part, str):
            raise TypeError(f"cookie names and values are str, not {type(part).__name__}")
    if not name and not value:
        raise ValueError("a cookie needs a name or a value")
    # RFC 6265bis §5.6: what a server could not have set by a Set-Cookie field.
    if CONTROL.search(name) or CONTROL.search(value):
        raise LocalProtocolError(f"the cookie {name!r} contains a control character")
    if ";" in name or "=" in name or ";" in value:
        raise LocalProtocolError(f"the cookie {name!r} contains ';', or '=' in its name: quote or encode it first")


def _user_domain(domain: str) -> str:
    domain = domain.removeprefix(".").lower().strip("[]")
    if domain.isascii():
        return domain
    import idna  # only for names that are not ASCII

    return idna.encode(domain, uts46=True).decode("ascii")


def _copy(cookie: Cookie) -> Cookie:
    return Cookie(**{field: getattr(cookie, field) for field in _FIELDS})


def _from_stdlib(foreign: Any) -> Cookie:
    _check_pair(foreign.name, foreign.value or "")
    return Cookie(
        foreign.name,
        foreign.value or "",
        domain=_user_domain(foreign.domain),
        path=foreign.path or "/",
        expires=foreign.expires,
        secure=bool(foreign.secure),
        host_only=bool(foreign.domain) and not foreign.domain_specified,
    )


def _as_set(cookies: Cookies) -> set[tuple[Any, ...]]:
    return {tuple(getattr(cookie, field) for field in _FIELDS) for cookie in cookies.records()}
