"""A response on a terminal: the head, and content that is text, with JSON indented."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any, TextIO

from hither._text import TextDecoder

from .escaping import Lines, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hither._response import Response

# Bytes of JSON that are held back to be indented, and characters that are coloured: more than fits a screen a
# thousand times over, and what a slow machine still does at once. What is longer is shown as it comes.
_MOST_INDENTED = 4 * 1024 * 1024
_MOST_COLOURED = 256 * 1024

_JSON_TYPE = re.compile(r"application/([^;]*\+)?json|text/json", re.IGNORECASE)
_JSON_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Screen:
    """Writes to a terminal; in colour when rich is installed. Nothing that the server chose controls it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._console = _console(out)

    def head(self, response: Response) -> None:
        """Write the status line and the fields."""
        status = response.status_code
        colour = "green" if status < 300 else "yellow" if status < 400 else "red"
        first = f"{status} {response.reason_phrase}".rstrip()
        self._line((f"{response.http_version} ", "bold"), (first, f"bold {colour}"))
        for name, value in response.headers.raw:
            self._line((name.decode("latin-1"), "cyan"), (": ", "dim"), (value.decode("utf-8", "replace"), ""))
        self._out.flush()

    def content(self, response: Response, *, apart: bool) -> None:
        """Read and write the content; `apart` puts an empty line before it."""
        pieces = response.iter_bytes()
        first = next(pieces, b"")
        if not first:
            return
        if apart:
            self._out.write("\n")
        encoding = response._encoding_for(first)
        if _is_binary(first, encoding, named=response.charset_encoding is not None):
            self._binary(response)
            return
        if _JSON_TYPE.match(response.headers.get("content-type", "").lstrip()):
            first, whole = _gather(first, pieces)
            if whole and self._json(first, encoding):
                return
        self._text(first, pieces, encoding)

    def _line(self, *parts: tuple[str, str]) -> None:
        parts = tuple((one_line(text, self._out), style) for text, style in parts)
        if self._console is None:
            self._out.write("".join(text for text, _ in parts) + "\n")
        else:
            from rich.text import Text

            self._console.print(Text.assemble(*parts), soft_wrap=True)

    def _binary(self, response: Response) -> None:
        size = response.headers.get("content-length", "")
        parts = [
            response.headers.get("content-type", ""),
            f"{size} bytes" if size and "content-encoding" not in response.headers else "",
        ]
        described = ", ".join(filter(None, parts))
        self._line((f"[binary content{': ' + described if described else ''}; -o FILE saves it]", "dim"))

    def _json(self, content: bytes, encoding: str) -> bool:
        """Write JSON indented; False when it is none."""
        from json import loads

        try:
            text = content.decode(encoding).removeprefix("\ufeff")
            loads(text)
        except (ValueError, RecursionError):
            return False
        text = visible(indented(text), self._out)
        if self._console is None or len(text) > _MOST_COLOURED:
            self._out.write(text + "\n")
        else:
            from rich.highlighter import JSONHighlighter

            self._console.print(JSONHighlighter()(text), soft_wrap=True)
        self._out.flush()
        return True

    def _text(self, first: bytes, rest: Iterator[bytes], encoding: str) -> None:
        """Write text piece by piece, as it comes."""
        decoder, lines = TextDecoder(encoding), Lines(self._out)
        last = self._put(lines.feed(decoder.decode(first)), "\n")
        for piece in rest:
            last = self._put(lines.feed(decoder.decode(piece)), last)
        last = self._put(lines.feed(decoder.flush()) + lines.flush(), last)
        if last != "\n":
            self._put("\n", last)

    def _put(self, text: str, last: str) -> str:
        """Write the text and return the last character that was written by now."""
        self._out.write(text)
        self._out.flush()
        return text[-1:] or last


def indented(text: str) -> str:
    """Return JSON with each member on a line of its own; numbers, strings and repeated names stay.

    >>> print(indented('{"a":[1,2.50,{}],"b":"x,y"}'))
    {
      "a": [
        1,
        2.50,
        {}
      ],
      "b": "x,y"
    }
    """
    out: list[str] = []
    depth, before = 0, ""
    for part in _JSON_PART.findall(text):
        if part in ("}", "]"):
            depth -= 1
            if before not in ("{", "["):
                out.append("\n" + "  " * depth)
        elif before in ("{", "[", ","):
            out.append("\n" + "  " * depth)
        out.append(": " if part == ":" else part)
        if part in ("{", "["):
            depth += 1
        before = part
    return "".join(out)


def _console(out: TextIO) -> Any:
    """Return rich's console, or None without rich or without colours (NO_COLOR, TERM=dumb)."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    return console if console.is_terminal and console.color_system and not console.no_color else None


def _gather(first: bytes, pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """Return what comes, up to a bound, and whether it is all."""
    held = [first]
    size = len(first)
    while size <= _MOST_INDENTED:
        piece = next(pieces, b"")
        if not piece:
            return b"".join(held), True
        held.append(piece)
        size += len(piece)
    return b"".join(held), False


def _is_binary(start: bytes, encoding: str, *, named: bool) -> bool:
    """Whether content is no text, by its first bytes: NUL is in them, or they do not decode as is guessed."""
    if codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        return False
    if b"\0" in start:
        return True
    if named:
        return False
    try:
        codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return True
    return False
