"""The authority of a URL (RFC 3986 §3.2): userinfo, host and port."""

from __future__ import annotations

from functools import lru_cache

from ._errors import InvalidURL
from ._patterns import pattern
from ._query import escape_illegal, quote_all, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._url import URL

# Octets. RFC 1035 §2.3.4: 255 with the length octets of the first label and the root.
MAX_HOST_LENGTH = 253
AUTHORITY_PARTS = frozenset({"host", "port", "netloc", "userinfo", "username", "password"})

# RFC 3986 §3.2: host and port; a bracketed host may hold colons
_HOST_PORT = pattern(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]*))?")
# RFC 3986 §3.2.2 reg-name without escapes; RFC 1035 §2.3.4: labels of 1 to 63 octets
_LABEL = r"[a-z0-9_~!$&'()*+,;=-]{1,63}"
_NAME = pattern(rf"{_LABEL}(?:\.{_LABEL})*+\.?")
_DOTTED_QUAD = pattern(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_SCHEME_START = pattern(r"[A-Za-z][A-Za-z0-9+.-]*://")
_OCTET = pattern(r"0|[1-9][0-9]{0,2}")
# RFC 6874 §2: ZoneID, of unreserved characters
_ZONE = pattern(r"[A-Za-z0-9._~-]+")
_DELIMITER = frozenset("/?#@")


def has_port(authority: str) -> bool:
    """Whether a ":" follows the host, be it without digits."""
    return ":" in authority.rpartition("@")[2].rpartition("]")[2]


def split_authority(url: str, authority: str) -> tuple[str, str, int | None]:
    """Userinfo, host without brackets and port, in the form that is sent; `InvalidURL` names `url`."""
    if "\\" in authority:  # browsers end the host there, RFC 3986 does not: no reading is safe
        raise invalid_url(url, "it has a backslash before the path")
    # A password may hold an "@" that somebody forgot to escape: the last one counts, as in browsers.
    userinfo, _, host_port = authority.rpartition("@")
    match = _HOST_PORT.fullmatch(host_port)
    if match is None:
        raise invalid_url(url, "what follows the host is no port" if ":" in host_port else "its host is not valid")
    host, port_text = match.groups()
    port = None
    if port_text:
        digits = port_text.lstrip("0") or "0"
        if len(digits) > 5 or int(digits) > 65535:
            raise invalid_url(url, "its port is larger than 65535")
        port = int(digits)
    if not host and (userinfo or port is not None):
        raise invalid_url(url, "it has no host")
    return escape_illegal(userinfo, also="@[]"), _normal_host(url, host), port


def _normal_host(url: str, host: str) -> str:
    """The host in the form that is sent, without brackets: lower case, ASCII."""
    if host.startswith("["):
        return _ipv6(url, host[1:-1])
    if "%" in host:  # RFC 3986 §3.2.2: escaped UTF-8, to be sent in its IDNA form
        host = unquote(host)
    if not host.isascii():
        host = _encode_idna(url, host)
    host = host.lower()
    if host and not is_host(host):
        raise invalid_url(url, f"{host!r:.100} is not a valid host")
    return host


def is_host(host: str) -> bool:
    """Whether `host`, ASCII and in lower case, is a name or an IPv4 address (RFC 3986 §3.2.2)."""
    if len(host.removesuffix(".")) > MAX_HOST_LENGTH or _NAME.fullmatch(host) is None:
        return False
    # RFC 3986 §3.2.2: four numbers are an IPv4 address or nothing; octal means another host on each system.
    if _DOTTED_QUAD.fullmatch(host) is None:
        return True
    return all(_OCTET.fullmatch(part) is not None and int(part) <= 255 for part in host.split("."))


def _ipv6(url: str, literal: str) -> str:
    import ipaddress  # few URLs need it

    address, percent, zone = literal.partition("%")
    if percent:
        zone = zone.removeprefix("25")  # RFC 6874 §2; a bare "%" is what people type
        if _ZONE.fullmatch(zone) is None:
            raise invalid_url(url, "the zone of its IPv6 address is not valid")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise invalid_url(url, f"[{literal:.100}] is not a valid IPv6 address") from None
    return address.lower() + percent + zone


def _encode_idna(url: str, host: str) -> str:
    if len(host) > MAX_HOST_LENGTH:
        raise invalid_url(url, f"its host is longer than {MAX_HOST_LENGTH} octets")
    import idna  # only for names that are not ASCII

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except ValueError as error:  # idna's errors are UnicodeErrors, which are ValueErrors
        raise invalid_url(url, f"{host!r:.100} is not a valid internationalised host: {error}") from error


@lru_cache(maxsize=1024)  # a few bytes each; as many hosts as a client keeps connections to, and more
def decode_idna(host: str) -> str:
    """The host in Unicode; as it is when it does not decode."""
    import idna

    try:
        return idna.decode(host)
    except ValueError:
        return host


def invalid_url(url: str, why: str) -> InvalidURL:
    """The error to raise, without credentials."""
    # The URL could not be split, so whatever stands before an "@" may be a password.
    head, at, tail = url.rpartition("@")
    if at:
        scheme = _SCHEME_START.match(head)
        url = f"{scheme[0] if scheme else ''}***@{tail}"
    shown = url if len(url) <= 200 else f"{url[:200]}..."  # enough to find it in the caller's code
    return InvalidURL(f"invalid URL {shown!r}: {why}")


def url_part(name: str, value: object) -> str | None:
    """A part given to `URL.copy_with`, as text; `TypeError` for another kind."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"the URL's {name} must be str or bytes, not {type(value).__name__}")


def new_authority(url: URL, authority: str | None, parts: dict[str, Any]) -> str | None:
    """The authority of `url` with the parts that `URL.copy_with` was given; `None` when nothing is left."""
    userinfo, _, host_port = (authority or "").rpartition("@")
    userinfo = _new_userinfo(url, userinfo, parts)
    host, port = _split_port(host_port)
    if url.port is None and "scheme" in parts:  # the default port of the old scheme goes with it
        port = ""
    if "netloc" in parts:
        host, port = _split_port(url_part("netloc", parts["netloc"]) or "")
    if "host" in parts:
        host = (url_part("host", parts["host"]) or "").strip("[]")
        host = f"[{host}]" if ":" in host else host
    if "port" in parts:
        port = _new_port(parts["port"])
    if not _DELIMITER.isdisjoint(host + port):
        raise InvalidURL("a URL's host must not hold '/', '?', '#' or '@'")
    if not (host or port or userinfo):
        return "" if authority == "" else None
    return (f"{userinfo}@" if userinfo else "") + host + (f":{port}" if port else "")


def _split_port(netloc: str) -> tuple[str, str]:
    host, colon, port = netloc.rpartition(":")
    return (host, port) if colon and "]" not in port else (netloc, "")


def _new_userinfo(url: URL, userinfo: str, parts: dict[str, Any]) -> str:
    if "userinfo" in parts:
        given = url_part("userinfo", parts["userinfo"]) or ""
        userinfo = escape_illegal(given, also="/?#@[]")
    if "username" in parts or "password" in parts:
        password = url_part("password", parts.get("password", url.password))
        userinfo = quote_all(url_part("username", parts.get("username", url.username)) or "")
        if password:
            userinfo = f"{userinfo}:{quote_all(password)}"
    return userinfo


def _new_port(port: object) -> str:
    if port is None:
        return ""
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"the URL's port must be an int, not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise InvalidURL(f"the port {port} is not between 0 and 65535")
    return str(port)
