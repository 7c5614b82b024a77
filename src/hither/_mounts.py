"""Which transport serves which URLs."""

from __future__ import annotations

from ._url import parse_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._url import URL


class Pattern:
    """A part of all URLs: `all://`, `https://`, `https://example.org:8443`, `all://*.example.org`.

    `*.example.org` means its subdomains, `*example.org` the domain too. A port that is not named is any port.
    `ValueError` for what is no such pattern.

    >>> from hither import URL
    >>> Pattern("all://*.example.org").matches(URL("https://www.example.org/"))
    True
    >>> Pattern("https://*.example.org").matches(URL("https://example.org/"))
    False
    """

    __slots__ = ("_host", "_port", "_scheme", "_suffix", "rank")

    def __init__(self, text: str) -> None:
        scheme, separator, rest = text.partition("://")
        if not separator or not scheme:
            raise ValueError(f"a mount is a pattern like 'https://' or 'all://*.example.org', not {text!r}")
        authority = rest.removesuffix("/")
        if any(mark in authority for mark in "/?#@"):
            raise ValueError(f"a mount names a scheme, a host and a port, and no more: {text!r}")
        host, port = _split_port(authority)
        if not (port is None or (port.isascii() and port.isdigit() and int(port) <= 65535)):
            raise ValueError(f"a mount's port is a number up to 65535: {text!r}")
        self._scheme = "" if scheme.lower() == "all" else scheme.lower()
        self._port = None if port is None else int(port)
        wildcard = "*." if host.startswith("*.") else "*" if host.startswith("*") else ""
        self._host = _ascii(host.removeprefix(wildcard))
        self._suffix = {"": None, "*.": f".{self._host}", "*": self._host and f".{self._host}"}[wildcard]
        if wildcard == "*.":
            self._host = ""
        # A port says most, then a host in full, then a longer part of one, then a scheme.
        length = len(self._suffix or self._host)
        self.rank = (self._port is not None, bool(self._host) and not wildcard, length, bool(self._scheme))

    def matches(self, url: URL) -> bool:
        """Whether the URL is of this part."""
        scheme, host, port = url.key
        if (self._scheme and scheme != self._scheme) or (self._port is not None and port != self._port):
            return False
        if self._suffix and host.endswith(self._suffix) and len(host) > len(self._suffix):
            return True
        return host == self._host if self._host else not self._suffix


def _split_port(authority: str) -> tuple[str, str | None]:
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):  # RFC 3986 §3.2.2: the colons of an IPv6 address are in brackets
        return authority, None
    return host, port


def _ascii(host: str) -> str:
    """Return a host as URLs have it: lower case, IDNA, IPv6 without brackets."""
    return parse_url(f"http://{host}/").key[1] if host else ""


class Mounts:
    """Transports by pattern, the most telling first; `default` serves the rest, and where None is."""

    __slots__ = ("_default", "_mounts")

    def __init__(self, mounts: Mapping[str, Any], default: Any) -> None:
        patterns = [(Pattern(text), transport) for text, transport in mounts.items()]
        self._mounts = sorted(patterns, key=lambda mount: mount[0].rank, reverse=True)
        self._default = default

    def route(self, url: URL) -> Any:
        """Return the transport for a URL; None for the client's own connections."""
        for pattern, transport in self._mounts:
            if pattern.matches(url):
                return self._default if transport is None else transport
        return self._default

    def transports(self) -> list[Any]:
        """Return each transport once."""
        found = {id(each): each for _, each in self._mounts if each is not None}
        if self._default is not None:
            found[id(self._default)] = self._default
        return list(found.values())
