"""From decoded bytes to text: which charset, incremental decoding, and lines.

The charset of a body is looked for in this order: the `charset` parameter of Content-Type, a byte order
mark, the client's default.
"""

from __future__ import annotations

import codecs
from functools import lru_cache

from ._patterns import pattern

# RFC 9110 §5.6.6: parameters = *( OWS ";" OWS [ parameter ] ), a value is a token or a quoted-string.
# Whitespace around "=" is forbidden there and common in the field, so it is taken.
_PARAMETER = pattern(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))')
_QUOTED_PAIR = pattern(r"\\(.)")

# Python calls these text encodings, yet no peer means them: some cannot decode, and punycode takes
# quadratic time.
_NOT_CHARSETS = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"})

# The codecs that leave a byte order mark in the text; "utf-16" and "utf-32" take it out themselves.
_KEEP_BOM = frozenset({"utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})

# Longest first: UTF-16's little-endian mark is the beginning of UTF-32's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What these mean without a mark is the machine's byte order to Python, or an error when incremental.
_TELL_BY_MARK = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}

_LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")


def media_type_parameter(value: str, name: str) -> str | None:
    """One parameter of a Content-Type value, unquoted; `None` when it is absent (RFC 9110 §8.3.1).

    >>> media_type_parameter('multipart/form-data; boundary="a;b"', "boundary")
    'a;b'
    """
    for match in _PARAMETER.finditer(value):
        if match[1].lower() == name:
            quoted: str | None = match[2]
            return _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else match[3].strip()
    return None


def charset_from_content_type(value: str | None) -> str | None:
    """The `charset` parameter in lower case, or `None`; whether Python knows it is another question.

    >>> charset_from_content_type("text/html; Charset='ISO-8859-1'")
    'iso-8859-1'
    >>> charset_from_content_type("application/json") is None
    True
    """
    if not value or ";" not in value:
        return None
    charset = media_type_parameter(value, "charset")
    return charset.strip("'\" ").lower() or None if charset else None


@lru_cache(maxsize=128)
def is_known_charset(name: str) -> bool:
    """Whether `name` is a charset that text can be decoded from, incrementally too.

    Python's bytes-to-bytes codecs are not: a peer must not choose "zlib" or "base64" here.

    >>> is_known_charset("utf-8"), is_known_charset("base64"), is_known_charset("no-such-charset")
    (True, False, False)
    """
    try:
        codec = codecs.lookup(name)
        "".encode(name)
        b"".decode(name)
    except (LookupError, ValueError):
        return False
    return codec.name not in _NOT_CHARSETS and codec.incrementaldecoder is not None


def detect_bom(data: bytes) -> str | None:
    r"""The encoding that a byte order mark at the start of `data` tells, or `None`.

    The name is one for `TextDecoder` and `decode_text`, which leave the mark out of the text.
    Four bytes are enough to see.

    >>> detect_bom(b"\xef\xbb\xbfabc"), detect_bom(b"\xff\xfea\x00"), detect_bom(b"abc")
    ('utf-8', 'utf-16', None)
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    return None


def _settle(encoding: str, data: bytes) -> str:
    """`encoding`, made exact when it is UTF-16 or UTF-32 and `data` does not begin with a mark.

    Little-endian then, as the Encoding Standard has it for "utf-16".
    """
    name = codecs.lookup(encoding).name
    marks = _TELL_BY_MARK.get(name)
    return encoding if marks is None or data.startswith(marks) else f"{name}-le"


def decode_text(data: bytes, encoding: str) -> str:
    r"""A whole body as text: bad bytes become U+FFFD, a byte order mark is left out.

    Raises `LookupError` when Python does not know `encoding`.

    >>> decode_text(b"\xef\xbb\xbfcaf\xc3\xa9", "utf-8")
    'café'
    """
    text = data.decode(_settle(encoding, data), "replace")
    if text[:1] == "\ufeff" and codecs.lookup(encoding).name in _KEEP_BOM:
        return text[1:]
    return text


class TextDecoder:
    r"""Decodes a body piece by piece, with the same result as `decode_text` on the whole.

    Raises `LookupError` when Python does not know `encoding`.

    >>> decoder = TextDecoder("utf-8")
    >>> decoder.decode(b"caf\xc3") + decoder.decode(b"\xa9") + decoder.flush()
    'café'
    """

    __slots__ = ("_decoder", "_encoding", "_head", "_may_have_mark")

    def __init__(self, encoding: str) -> None:
        codec = codecs.lookup(encoding)
        self._encoding = codec.name
        self._may_have_mark = codec.name in _KEEP_BOM
        self._head: bytes | None = b"" if codec.name in _TELL_BY_MARK else None
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")

    def decode(self, data: bytes) -> str:
        """The text that `data` completes; bytes of an unfinished character wait for the next call."""
        if self._head is None:
            return self._without_mark(self._decoder.decode(data))
        self._head += data
        return self._decode_head() if len(self._head) >= 4 else ""

    def flush(self) -> str:
        """What is left at the end of the body: U+FFFD for an unfinished character, or nothing."""
        text = self._decode_head() if self._head is not None else ""
        return text + self._without_mark(self._decoder.decode(b"", True))

    def _decode_head(self) -> str:
        head, self._head = self._head or b"", None
        self._decoder = codecs.getincrementaldecoder(_settle(self._encoding, head))("replace")
        return self._decoder.decode(head)

    def _without_mark(self, text: str) -> str:
        if not (self._may_have_mark and text):
            return text
        self._may_have_mark = False
        return text.removeprefix("\ufeff")


class LineDecoder:
    r"""Splits text into lines as `str.splitlines` does, wherever the pieces happen to be cut.

    A line is given as soon as its end is seen: after "\r" nothing is waited for, and a "\n" that opens the
    next piece belongs to it. Time is linear in the text, however long a line is.

    >>> decoder = LineDecoder()
    >>> decoder.feed("one\r"), decoder.feed("\ntwo\nth"), decoder.feed("ree"), decoder.flush()
    (['one'], ['two'], [], ['three'])
    """

    __slots__ = ("_after_cr", "_held")

    def __init__(self) -> None:
        self._held: list[str] = []
        self._after_cr = False

    def feed(self, text: str) -> list[str]:
        """The lines that `text` completes, without their ends."""
        if not text:
            return []
        if self._after_cr and text[0] == "\n":
            text = text[1:]
        self._after_cr = text[-1:] == "\r"
        if not text:
            return []
        lines = text.splitlines()
        rest = None if text[-1] in _LINE_ENDS else lines.pop()
        if lines and self._held:
            lines[0] = "".join((*self._held, lines[0]))
            self._held.clear()
        if rest is not None:
            self._held.append(rest)
        return lines

    def flush(self) -> list[str]:
        """The last line when the text did not end with a line end; an empty list otherwise."""
        if not self._held:
            return []
        line = "".join(self._held)
        self._held.clear()
        return [line]
