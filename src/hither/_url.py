"""URLs (RFC 3986): parsed once, kept as the user wrote them, with what a request needs ready to be sent."""

from __future__ import annotations

from functools import lru_cache

from ._authority import (
    AUTHORITY_PARTS,
    MAX_HOST_LENGTH,
    decode_idna,
    has_port,
    invalid_url,
    is_host,
    new_authority,
    split_authority,
    url_part,
)
from ._errors import InvalidURL
from ._patterns import pattern
from ._query import QueryParams, encode_params, escape_illegal, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeAlias

    from ._types import ParamTypes

    # scheme, authority, path, query, fragment; as they stand in the text, None where the delimiter is missing
    Parts: TypeAlias = tuple[str | None, str | None, str, str | None, str | None]

# Characters. HTTPX's MAX_URL_LENGTH; servers stop at 8 KiB (nginx, Apache), so nothing useful is refused.
MAX_URL_LENGTH = 64 * 1024

DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "ws": 80,
    "wss": 443,
    "ftp": 21,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
# RFC 9110 §4.2.1, §4.2.2: "http" and "https" need a host; RFC 6455 §3 says the same of "ws" and "wss".
_NEED_HOST = frozenset({"http", "https", "ws", "wss"})

# What nearly every URL looks like: nothing to lower, escape or encode. Groups: scheme, host, port, target.
_COMMON = pattern(
    r"(https?)://"
    r"([a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*+\.?)"
    r"(?::([0-9]{1,5}))?"
    r"(/[!$&-;=?-Z\[\]_a-z~]*+(?:%[0-9A-Fa-f]{2}[!$&-;=?-Z\[\]_a-z~]*+)*+)?"
    r"(?:#[!#$&-;=?-Z\[\]_a-z~]*+(?:%[0-9A-Fa-f]{2}[!#$&-;=?-Z\[\]_a-z~]*+)*+)?"
)
# RFC 3986 appendix B, with the scheme as §3.1 has it
_SPLIT = pattern(r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?")
_SCHEME = pattern(r"[a-z][a-z0-9+.-]*")
_CONTROL = pattern(r"[\x00-\x1f\x7f]")


class URL(str):
    """A URL: a `str` that knows its parts. It never changes; `copy_with` and `join` make new ones.

    The text is what the user wrote, with scheme and host in lower case, a non-ASCII host in its IDNA form
    (UTS #46) and illegal characters percent-encoded; everything else stays byte for byte. `params` replaces
    the query; `**parts` are those of `copy_with`.

    Raises `InvalidURL` when the text is no URL (RFC 3986), `TypeError` when it is no `str`.

    >>> url = URL("HTTPS://user:secret@Example.org:443/a b?q=1#top")
    >>> url == "https://user:secret@example.org:443/a%20b?q=1#top"
    True
    >>> url
    URL('https://user:***@example.org:443/a%20b?q=1#top')
    >>> url.host, url.port, url.path, url.query, url.params["q"], url.origin
    ('example.org', None, '/a b', b'q=1', '1', 'https://example.org')
    """

    __slots__ = ("host_header", "key", "port", "scheme", "target", "userinfo")

    scheme: str
    """In lower case; "" for a relative reference."""
    target: bytes
    """What stands on the request line: path and query, at least "/" (RFC 9112 §3.2.1)."""
    host_header: bytes
    """The value of Host: without the default port, and never with a zone (RFC 6874 §4)."""
    key: tuple[str, str, int]
    """Scheme, ASCII host without brackets, port in effect (0 when unknown): where to connect."""
    port: int | None
    """The port, `None` when the URL has none or the default one of its scheme."""
    userinfo: bytes
    """`user:password`, percent-encoded as it stands in the URL; empty when there is none."""

    def __new__(cls, url: str = "", params: ParamTypes | None = None, **parts: Any) -> URL:  # noqa: PYI034 - there are no subclasses
        self = url if type(url) is URL else _parse(url)
        if params is not None:
            parts["params"] = params
        return self.copy_with(**parts) if parts else self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a URL does not change: use url.copy_with({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a URL does not change: use url.copy_with({name}=None)")

    def __reduce__(self) -> tuple[Any, ...]:
        return URL, (str(self),)

    def __copy__(self) -> URL:
        return self

    def __deepcopy__(self, memo: object) -> URL:
        return self

    def __repr__(self) -> str:
        return f"URL({self.masked!r})"

    @property
    def masked(self) -> str:
        """The text with the password replaced by "***", for messages and logs."""
        scheme, authority, path, query, fragment = _split(self)
        if b":" in self.userinfo:
            head, _, tail = (authority or "").rpartition("@")
            authority = f"{head.partition(':')[0]}:***@{tail}"
        elif scheme and scheme != "mailto" and authority is None and "@" in path:
            path = f"***@{path.rpartition('@')[2]}"  # "user:password@host": somebody forgot the scheme
        else:
            return str(self)
        return _compose(scheme, authority, path, query, fragment)

    @property
    def raw_scheme(self) -> bytes:
        """The scheme as ASCII bytes."""
        return self.scheme.encode("ascii")

    @property
    def username(self) -> str:
        """The user's name, decoded; "" when there is none."""
        return unquote(self.userinfo.partition(b":")[0].decode("ascii"))

    @property
    def password(self) -> str:
        """The password, decoded; "" when there is none."""
        return unquote(self.userinfo.partition(b":")[2].decode("ascii"))

    @property
    def host(self) -> str:
        """The host as people write it: IDNA decoded to Unicode, an IPv6 address without brackets.

        >>> URL("https://xn--bcher-kva.example").host, URL("http://[fe80::1%25eth0]").host
        ('bücher.example', 'fe80::1%eth0')
        """
        host = self.key[1]
        return decode_idna(host) if "xn--" in host else host

    @property
    def raw_host(self) -> bytes:
        """The host as ASCII bytes: IDNA encoded, an IPv6 address without brackets."""
        return self.key[1].encode("ascii")

    @property
    def netloc(self) -> bytes:
        """`host[:port]` as bytes, the default port left out, an IPv6 address in brackets."""
        return self._host_port().encode("ascii")

    @property
    def path(self) -> str:
        """The path, decoded; "/" when it is empty."""
        return unquote(_split(self)[2]) or "/"

    @property
    def raw_path(self) -> bytes:
        """Path and query as they are sent."""
        return self.target

    @property
    def query(self) -> bytes:
        """The query as it is sent, without "?"."""
        return (_split(self)[3] or "").encode("ascii")

    @property
    def params(self) -> QueryParams:
        """The query, decoded."""
        return QueryParams(_split(self)[3] or "")

    @property
    def fragment(self) -> str:
        """What follows "#", decoded; it is never sent."""
        return unquote(_split(self)[4] or "")

    @property
    def is_absolute_url(self) -> bool:
        """Whether there is a scheme and a host."""
        return bool(self.scheme and self.key[1])

    @property
    def is_relative_url(self) -> bool:
        """Whether a scheme or a host is missing."""
        return not self.is_absolute_url

    @property
    def origin(self) -> str:
        """Scheme, host and port as RFC 6454 §6.2 writes them; "null" when there is no host."""
        return f"{self.scheme}://{self._host_port()}" if self.is_absolute_url else "null"

    def _host_port(self) -> str:
        host = self.key[1]
        if ":" in host:
            host = f"[{host.replace('%', '%25')}]"
        return host if self.port is None else f"{host}:{self.port}"

    def join(self, url: str) -> URL:  # type: ignore[override]  # HTTPX's name; nobody joins strings with a URL
        """Resolve a reference against this URL (RFC 3986 §5.2), as a browser follows a link.

        Raises `InvalidURL` when the result is none.

        >>> URL("https://example.org/a/b?q#f").join("../c")
        URL('https://example.org/c')
        """
        if not isinstance(url, str):
            raise TypeError(f"expected a URL as str, not {type(url).__name__}")
        scheme, authority, path, query, fragment = _split(url.strip(" "))
        base_scheme, base_authority, base_path, base_query, _ = _split(self)
        # RFC 3986 §5.2.2: "http:g" is read as a path under the same scheme, as all browsers do.
        if scheme is None or (scheme.lower() == base_scheme and base_scheme in _NEED_HOST):
            scheme = base_scheme
            if authority is None:
                authority = base_authority
                if not path:
                    query = base_query if query is None else query
                    return _parse(_compose(scheme, authority, base_path, query, fragment))
                path = _merge_paths(authority, base_path, path)
        path = _remove_dot_segments(path)
        if authority is None:
            path = _unambiguous(scheme, path)
        return _parse(_compose(scheme, authority, path, query, fragment))

    def copy_with(self, **parts: Any) -> URL:
        """A copy with other parts; `None` removes a part.

        `scheme`, `username`, `password`, `host`, `path`, `fragment` (`str`), `port` (`int`), `userinfo`,
        `netloc`, `query`, `raw_path` (path and query; these four `bytes` or `str`), `params` (as for
        `encode_params`). Escapes in `path`, `query` and `fragment` stay; `username` and `password` are
        taken literally.

        Raises `TypeError` for another part or kind, `InvalidURL` when the result is none.

        >>> URL("https://example.org/a?b=1").copy_with(port=8443, path="/c d", params={"e": 2})
        URL('https://example.org:8443/c%20d?e=2')
        """
        unknown = parts.keys() - _PART_NAMES
        if unknown:
            names = ", ".join(sorted(_PART_NAMES))
            raise TypeError(f"a URL has no part {min(unknown)!r}: its parts are {names}")
        scheme, authority, path, query, fragment = _split(self)
        if not parts.keys().isdisjoint(AUTHORITY_PARTS) or ("scheme" in parts and self.port is None):
            authority = new_authority(self, authority, parts)
        if "scheme" in parts:
            scheme = _new_scheme(parts["scheme"])
        if "raw_path" in parts:
            path, mark, text = (url_part("raw_path", parts["raw_path"]) or "").partition("?")
            path, query = path.replace("#", "%23"), text.replace("#", "%23") if mark else None
        if "path" in parts:
            path = escape_illegal(url_part("path", parts["path"]) or "", also="?#")
        if "query" in parts:
            query = url_part("query", parts["query"])
            query = query and query.replace("#", "%23")
        if "params" in parts:
            query = (encode_params(parts["params"]) if parts["params"] is not None else "") or None
        if "fragment" in parts:
            fragment = url_part("fragment", parts["fragment"]) or None
        return _parse(_compose(scheme, authority, path, query, fragment))

    def copy_set_param(self, key: str, value: Any = None) -> URL:
        """A copy in which the query has `key` once, with `value`."""
        return self.copy_with(params=self.params.set(key, value))

    def copy_add_param(self, key: str, value: Any = None) -> URL:
        """A copy whose query has one more `key`."""
        return self.copy_with(params=self.params.add(key, value))

    def copy_remove_param(self, key: str) -> URL:
        """A copy whose query has no `key`."""
        return self.copy_with(params=self.params.remove(key))

    def copy_merge_params(self, params: ParamTypes) -> URL:
        """A copy in which `params` replace those of the same name in the query."""
        return self.copy_with(params=self.params.merge(params))


# The slots' own setters: `URL.__setattr__` refuses.
_set_scheme = URL.__dict__["scheme"].__set__
_set_target = URL.__dict__["target"].__set__
_set_host_header = URL.__dict__["host_header"].__set__
_set_key = URL.__dict__["key"].__set__
_set_port = URL.__dict__["port"].__set__
_set_userinfo = URL.__dict__["userinfo"].__set__

_PART_NAMES = AUTHORITY_PARTS | {"scheme", "path", "raw_path", "query", "params", "fragment"}


def _parse(text: str) -> URL:
    try:
        match = _COMMON.fullmatch(text)
    except TypeError:
        raise TypeError(f"a URL must be a str, not {type(text).__name__}: {text!r:.100}") from None
    if match is None or len(text) > MAX_URL_LENGTH:
        return _parse_uncommon(text)
    scheme, host, port_text, target = match.groups()
    default = 443 if scheme == "https" else 80
    port = default if port_text is None else int(port_text)
    # "9" and what sorts before it can end an IPv4 address; those are looked at more closely.
    if port > 65535 or len(host) > MAX_HOST_LENGTH or (host[-1] <= "9" and not is_host(host)):
        return _parse_uncommon(text)
    self = str.__new__(URL, text)
    _set_scheme(self, scheme)
    _set_target(self, b"/" if target is None else target.encode("ascii"))
    if port == default:
        _set_host_header(self, host.encode("ascii"))
        _set_port(self, None)
    else:
        _set_host_header(self, f"{host}:{port}".encode("ascii"))
        _set_port(self, port)
    _set_key(self, (scheme, host, port))
    _set_userinfo(self, b"")
    return self


# Entries: as many different URLs as a busy program asks for within minutes; some 700 bytes each.
parse_url = lru_cache(maxsize=4096)(_parse)


def _parse_uncommon(text: str) -> URL:
    given, text = text, text.strip(" ")
    _check_text(given, text)
    scheme, authority, path, query, fragment = _split(text)
    scheme = scheme and scheme.lower()
    userinfo, host, port = "", "", None
    if authority is not None:
        userinfo, host, port = split_authority(given, authority)
    if scheme in _NEED_HOST and not host:
        raise invalid_url(given, "it has no host")
    default = DEFAULT_PORTS.get(scheme or "")
    path = escape_illegal(path)
    query = query if query is None else escape_illegal(query)
    fragment = fragment if fragment is None else escape_illegal(fragment)
    if authority is not None:
        # The port stays as it was written: "" and "080" are legal (RFC 3986 §3.2.3).
        bare = f"[{host.replace('%', '%25')}]" if ":" in host else host
        written = authority[authority.rindex(":") :] if has_port(authority) else ""
        authority = f"{userinfo}@{bare}{written}" if "@" in authority else bare + written
    normal = _compose(scheme, authority, path, query, fragment)
    if len(normal) > MAX_URL_LENGTH:
        raise invalid_url(given, f"it is longer than {MAX_URL_LENGTH} characters")
    self = str.__new__(URL, normal)
    _set_scheme(self, scheme or "")
    _set_target(self, f"{path or '/'}{'' if query is None else '?' + query}".encode("ascii"))
    sent = f"[{host.partition('%')[0]}]" if ":" in host else host
    shown_port = None if port == default else port
    _set_host_header(self, (sent if shown_port is None else f"{sent}:{shown_port}").encode("ascii"))
    _set_port(self, shown_port)
    _set_key(self, (scheme or "", host, (default or 0) if port is None else port))
    _set_userinfo(self, userinfo.encode("ascii"))
    return self


def _check_text(given: str, text: str) -> None:
    if len(text) > MAX_URL_LENGTH:
        raise invalid_url(given, f"it is longer than {MAX_URL_LENGTH} characters")
    control = _CONTROL.search(text)
    if control is not None:
        raise invalid_url(given, f"it holds the control character {control[0]!r} at position {control.start()}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid_url(given, "it holds a lone surrogate, which UTF-8 cannot encode") from None


def _split(text: str) -> Parts:
    match = _SPLIT.match(text)
    assert match is not None  # every text matches
    scheme, authority, path, query, fragment = match.groups()
    return scheme, authority, path, query, fragment


def _compose(scheme: str | None, authority: str | None, path: str, query: str | None, fragment: str | None) -> str:
    """RFC 3986 §5.3; `InvalidURL` for parts that would be read back as others (§3.3)."""
    if authority is not None and path and not path.startswith("/"):
        raise InvalidURL(f"the path {path!r:.100} must start with '/' when there is a host")
    if authority is None and path.startswith("//"):
        raise InvalidURL(f"the path {path!r:.100} must not start with '//' when there is no host")
    if authority is None and not scheme and ":" in path.partition("/")[0] and _split(path)[0]:
        raise InvalidURL(f"the path {path!r:.100} would be read as a scheme: write './' before it")
    text = path
    if authority is not None:
        text = f"//{authority}{text}"
    if scheme:
        text = f"{scheme}:{text}"
    if query is not None:
        text = f"{text}?{query}"
    return text if fragment is None else f"{text}#{fragment}"


def _merge_paths(authority: str | None, base: str, path: str) -> str:
    """RFC 3986 §5.2.3, with a path from the root kept as it is."""
    if path.startswith("/"):
        return path
    parent, slash, _ = base.rpartition("/")
    return f"{parent}/{path}" if slash or authority is not None else path


def _remove_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4, in one pass."""
    if "." not in path:
        return path
    segments = path.split("/")
    root = 1 if path.startswith("/") else 0
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[max(root, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)


def _unambiguous(scheme: str | None, path: str) -> str:
    """A path that is not read as an authority or a scheme (RFC 3986 §4.2)."""
    if path.startswith("//"):
        return f"/.{path}"
    return f"./{path}" if scheme is None and _split(path)[0] else path


def _new_scheme(value: object) -> str | None:
    scheme = (url_part("scheme", value) or "").lower()
    if scheme and _SCHEME.fullmatch(scheme) is None:
        raise InvalidURL(f"{scheme!r:.100} is not a valid scheme (RFC 3986 §3.1)")
    return scheme or None


@lru_cache(maxsize=4096)  # as `parse_url`, for clients with a base URL
def merge_base(base: URL, url: URL) -> URL:
    """Put a relative URL under a client's base URL; an absolute one wins.

    The base's path is kept whole, whether or not the other starts with "/" (HTTPX's rule, not that of links);
    its query comes before the other's.

    >>> merge_base(URL("https://example.org/api"), URL("/items?n=1"))
    URL('https://example.org/api/items?n=1')
    """
    scheme, authority, path, query, fragment = _split(url)
    base_scheme, base_authority, base_path, base_query, _ = _split(base)
    if not base or scheme is not None:
        return url
    if authority is not None:  # RFC 3986 §4.2: a network-path reference lacks only the scheme
        return _parse(_compose(base_scheme, authority, path, query, fragment))
    path = f"{base_path.removesuffix('/')}/{path.lstrip('/')}"
    query = "&".join([each for each in (base_query, query) if each]) or query
    return _parse(_compose(base_scheme, base_authority, path, query, fragment))


def merge_params(url: URL, params: ParamTypes | None) -> URL:
    """Append parameters to a URL's query, which stays byte for byte (Requests' habit).

    >>> merge_params(URL("https://example.org/?a=%41#f"), {"b": [1, 2]})
    URL('https://example.org/?a=%41&b=1&b=2#f')
    """
    if params is None:
        return url
    new = encode_params(params)
    if not new:
        return url
    scheme, authority, path, query, fragment = _split(url)
    return _parse(_compose(scheme, authority, path, f"{query}&{new}" if query else new, fragment))
