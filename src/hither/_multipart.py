"""multipart/form-data (RFC 7578), streamed: a file in a form is never read as a whole."""

from __future__ import annotations

import os

from ._body import PIECE, Body, form_pairs, make_body
from ._errors import LocalProtocolError
from ._headers import Headers, encode_fields
from ._patterns import pattern
from ._text import media_type_parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# RFC 2046 §5.1.1: boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = pattern(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")

# HTML, "multipart/form-data encoding algorithm": these three and no others.
_ESCAPES = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}


class MultipartBody(Body):
    """Heads, values and files in the order in which they are sent."""

    __slots__ = ("_index", "_items")

    def __init__(self, items: list[bytes | Body]) -> None:
        bodies = [item for item in items if isinstance(item, Body)]
        sizes = [len(item) if isinstance(item, bytes) else item.length for item in items]
        known = [size for size in sizes if size is not None]
        super().__init__(
            sum(known) if len(known) == len(sizes) else None,
            replayable=all(body.replayable for body in bodies),
            is_async=any(body.is_async for body in bodies),
        )
        self._items = items
        self._index = 0

    async def read_chunk(self) -> bytes:
        self.consumed = True
        while self._index < len(self._items):
            item = self._items[self._index]
            piece = b"" if isinstance(item, bytes) else await item.read_chunk()
            if piece:
                return piece
            self._index += 1
            if isinstance(item, bytes) and item:
                return item
        return b""

    def _restart(self) -> None:
        for item in self._items:
            if isinstance(item, Body):
                item.rewind()
        self._index = 0


def encode_multipart(data: Any, files: Any, content_type: str | None) -> tuple[bytes | Body, bytes]:
    r"""The body of a form with files, fields first, and its Content-Type.

    A small form that is in memory as it is comes as `bytes`.

    >>> body, content_type = encode_multipart({"a": "1"}, {}, "multipart/form-data; boundary=x")
    >>> body
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    """
    boundary, full_type = _choose_boundary(content_type)
    delimiter = b"--" + boundary
    items: list[bytes | Body] = []
    parts: list[tuple[bytes, bytes | Body]] = [_field_part(name, value) for name, value in _fields(data)]
    parts += [_file_part(name, value) for name, value in _pairs(files)]
    for head, value in parts:
        _append(items, delimiter + b"\r\n" + head + b"\r\n")
        _append(items, value)
        _append(items, b"\r\n")
    _append(items, delimiter + b"--\r\n")
    if len(items) == 1 and isinstance(items[0], bytes):
        return items[0], full_type
    return MultipartBody(items), full_type


def _append(items: list[bytes | Body], item: bytes | Body) -> None:
    """Join small neighbours, so that a form of many fields is not sent in many small pieces."""
    last = items[-1] if items else None
    if isinstance(item, bytes) and isinstance(last, bytes) and len(last) + len(item) <= PIECE:
        items[-1] = last + item
    else:
        items.append(item)


def _choose_boundary(content_type: str | None) -> tuple[bytes, bytes]:
    """The boundary and the Content-Type that names it: the caller's, completed where it lacks one."""
    found = media_type_parameter(content_type, "boundary") if content_type else None
    if found is not None and content_type is not None:
        if not _BOUNDARY.fullmatch(found):
            raise LocalProtocolError(f"RFC 2046 does not allow the multipart boundary {found!r}")
        return found.encode("ascii"), content_type.encode()
    boundary = os.urandom(16).hex()
    if not content_type:
        full_type = f"multipart/form-data; boundary={boundary}"
    elif content_type.lstrip().lower().startswith("multipart/"):
        full_type = f"{content_type.rstrip('; ')}; boundary={boundary}"
    else:
        full_type = content_type
    return boundary.encode(), full_type.encode()


def _fields(data: Any) -> list[tuple[Any, Any]]:
    if data is None:
        return []
    if not hasattr(data, "keys") and not isinstance(data, (list, tuple)):
        raise TypeError(f"with files=, data= is a mapping or a list of pairs, not {type(data).__name__}")
    return form_pairs(_pairs(data, "data="))


def _pairs(values: Any, what: str = "files=") -> Iterable[tuple[Any, Any]]:
    if hasattr(values, "keys"):
        return [(key, values[key]) for key in values.keys()]  # noqa: SIM118 - any mapping, multidicts too
    if isinstance(values, (list, tuple)) and all(isinstance(v, (list, tuple)) and len(v) == 2 for v in values):
        return values
    raise TypeError(f"{what} takes a mapping or a list of (name, value) pairs, not {type(values).__name__}")


def _quote(name: Any) -> bytes:
    if isinstance(name, bytes):
        name = name.decode()
    if not isinstance(name, str):
        raise TypeError(f"a multipart name is str or bytes, not {type(name).__name__}")
    if "\0" in name:
        raise LocalProtocolError(f"a multipart name must not contain NUL: {name!r}")
    return name.translate(_ESCAPES).encode()


def _disposition(name: Any, filename: Any) -> bytes:
    value = b'form-data; name="' + _quote(name) + b'"'
    return value if filename is None else value + b'; filename="' + _quote(filename) + b'"'


def _field_part(name: Any, value: str | bytes) -> tuple[bytes, bytes | Body]:
    head = encode_fields([(b"Content-Disposition", _disposition(name, None))])
    return head, value.encode() if isinstance(value, str) else value


def _file_part(name: Any, value: Any) -> tuple[bytes, bytes | Body]:
    filename, source, content_type, extra = _unpack(value)
    fields = Headers(extra).raw if extra else []
    present = {field.lower() for field, _ in fields}
    head = []
    if b"content-disposition" not in present:
        head.append((b"Content-Disposition", _disposition(name, filename)))
    if b"content-type" not in present and (content_type or filename is not None):
        guessed = content_type or _guess_type(filename)
        head.append((b"Content-Type", guessed if isinstance(guessed, bytes) else guessed.encode()))
    return encode_fields([*head, *fields]), make_body(source, f"the file for {name!r}")


def _unpack(value: Any) -> tuple[Any, Any, str | bytes | None, Any]:
    """(filename, source, type, headers) from the forms that Requests and HTTPX take."""
    if not isinstance(value, (tuple, list)):
        return _guess_name(value), value, None, None
    if not 2 <= len(value) <= 4:
        raise TypeError(f"a file is (name, file[, type[, headers]]), not a tuple of {len(value)}")
    filename, source, content_type, extra = (*value, None, None)[:4]
    return filename, source, content_type, extra


def _guess_name(file: Any) -> str:
    # open(descriptor).name is a number; sys.stdin's and its like are "<stdin>".
    name = getattr(file, "name", None)
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    if isinstance(name, str) and name[:1] != "<":
        return os.path.basename(name) or "upload"
    return "upload"


def _guess_type(filename: Any) -> str:
    import mimetypes

    name = filename.decode("utf-8", "replace") if isinstance(filename, bytes) else filename
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
