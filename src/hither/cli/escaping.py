"""Text that a server chose, made safe for a terminal; and secrets, made safe for a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

# C0 but for tab and line feed, DEL, C1 (ECMA-48 §5.2, §5.3), and what reorders text or breaks lines unseen
# (Unicode's bidirectional controls, U+2028 and U+2029).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"[\t\n]+")
_SECRET_NAME = re.compile(r"token|secret|password|api-?key", re.IGNORECASE)


def _escape(found: re.Match[str]) -> str:
    number = ord(found.group())
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def visible(text: str, out: TextIO) -> str:
    r"""Write control characters out, and those that `out` has no byte for; lines and tabs stay.

    >>> import sys
    >>> print(visible("\x1b[31mred\x9b", sys.stdout))
    \x1b[31mred\x9b
    """
    text = _CONTROLS.sub(_escape, text)
    encoding = out.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str, out: TextIO) -> str:
    """Return the text as one visible line."""
    return visible(_BREAKS.sub(" ", text), out)


class Lines:
    r"""Makes text visible that comes in pieces; "\r\n" ends a line also when a piece ends between the two.

    >>> import sys
    >>> lines = Lines(sys.stdout)
    >>> lines.feed("one\r") + lines.feed("\ntwo\r") + lines.flush()
    'one\ntwo\\x0d'
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown of all that came."""
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        return visible(text.removesuffix("\r").replace("\r\n", "\n"), self._out)

    def flush(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return visible(held, self._out)


def masked(name: str, value: str) -> str:
    """Return a field's value for a log: credentials are left out, what says nothing secret stays.

    >>> masked("Authorization", "Basic YTpi"), masked("Cookie", "sid=31d4; theme=dark")
    ('Basic [secure]', 'sid=[secure]; theme=[secure]')
    >>> masked("Set-Cookie", "sid=31d4; Path=/; HttpOnly")
    'sid=[secure]; Path=/; HttpOnly'
    """
    mask = _MASKS.get(name.lower())
    if mask is not None:
        return mask(value)
    return "[secure]" if _SECRET_NAME.search(name) else value


def _credentials(value: str) -> str:
    scheme, space, rest = value.partition(" ")
    return f"{scheme} [secure]" if space and rest else "[secure]"


def _cookie(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}=[secure]" if equals else "[secure]"


def _cookies(value: str) -> str:
    return "; ".join(_cookie(pair.strip()) for pair in value.split(";"))


def _set_cookie(value: str) -> str:
    pair, semicolon, attributes = value.partition(";")
    return _cookie(pair) + semicolon + attributes


_MASKS: dict[str, Callable[[str], str]] = {
    "authorization": _credentials,
    "proxy-authorization": _credentials,
    "cookie": _cookies,
    "set-cookie": _set_cookie,
}
