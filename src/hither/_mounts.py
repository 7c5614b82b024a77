"""Which transport serves which URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._url import URL


class Pattern:
    """A part of all URLs: `all://`, `https://`, `https://example.org:8443`, `all://*.example.org`.

    `*.example.org` means its subdomains, `*example.org` the domain too.

    >>> from hither import URL
    >>> Pattern("all://*.example.org").matches(URL("https://www.example.org/"))
    True
    >>> Pattern("https://*.example.org").matches(URL("https://example.org/"))
    False
    """

    __slots__ = ("_host", "_port", "_scheme", "rank", "text")

    def __init__(self, text: str) -> None:
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise ValueError(f"a mount is a pattern like 'https://' or 'all://*.example.org', not {text!r}")
        host, _, port = rest.rstrip("/").lower().rpartition(":") if _has_port(rest) else (rest.rstrip("/").lower(), "", "")
        self.text = text
        self._scheme = "" if scheme.lower() == "all" else scheme.lower()
        self._host = "" if host == "*" else host.strip("[]")
        self._port = int(port) if port else None
        # A port says most, then a longer host, then a scheme.
        self.rank = (self._port is not None, len(self._host), bool(self._scheme))

    def matches(self, url: URL) -> bool:
        """Whether the URL is of this part."""
        scheme, host, port = url.key
        if (self._scheme and scheme != self._scheme) or (self._port is not None and port != self._port):
            return False
        wanted = self._host
        if wanted.startswith("*."):
            return host.endswith(wanted[1:])
        if wanted.startswith("*"):
            return host == wanted[1:] or host.endswith("." + wanted[1:])
        return not wanted or host == wanted


def _has_port(rest: str) -> bool:
    return rest.rstrip("/").rpartition(":")[2].isdigit() and not rest.rstrip("/").endswith("]")


class Mounts:
    """Transports by pattern, the most telling first; `default` serves the rest."""

    __slots__ = ("_default", "_mounts")

    def __init__(self, mounts: Mapping[str, Any], default: Any) -> None:
        patterns = [(Pattern(text), transport) for text, transport in mounts.items()]
        self._mounts = sorted(patterns, key=lambda mount: mount[0].rank, reverse=True)
        self._default = default

    def route(self, url: URL) -> Any:
        """Return the transport for a URL; None for the client's own connections."""
        for pattern, transport in self._mounts:
            if pattern.matches(url):
                return transport
        return self._default

    def transports(self) -> list[Any]:
        """Return each transport once."""
        found = {id(each): each for _, each in self._mounts if each is not None}
        if self._default is not None:
            found[id(self._default)] = self._default
        return list(found.values())
