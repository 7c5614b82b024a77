"""Request bodies: what a user may pass as content, data, files or json, and how it is read to be sent.

Small bodies are plain `bytes`. All others are a `Body`, which is read in pieces and, where its source
allows it, rewound to be sent again.
"""

from __future__ import annotations

import io

from ._errors import StreamConsumed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    Fields = list[tuple[bytes, bytes]]

# Bytes sent at once. From 128 KiB on glibc's malloc takes fresh pages for each piece, and gives them back.
PIECE = 96 * 1024

_FORM = b"application/x-www-form-urlencoded"
_TAKES = "takes bytes, str, a binary file, or a sync or async iterable of bytes"


class Body:
    """A request body that is read piece by piece.

    `length` is its size in bytes, or `None` when that is not known before the end. `is_async` says that it
    can be read by `read_chunk` only. `replayable` says that `rewind` can bring a body back that was sent.

    >>> body = make_body(iter([b"one", b"two"]))
    >>> list(body), body.consumed, body.replayable
    ([b'one', b'two'], True, False)
    """

    __slots__ = ("consumed", "is_async", "length", "replayable")

    def __init__(self, length: int | None, *, replayable: bool, is_async: bool = False) -> None:
        self.length = length
        self.replayable = replayable
        self.is_async = is_async
        self.consumed = False

    async def read_chunk(self) -> bytes:
        """The next piece; `b""` at the end. Suspends only when `is_async` is set."""
        raise NotImplementedError

    def next_chunk(self) -> bytes:
        """`read_chunk` without await; `TypeError` for an async source."""
        if self.is_async:
            raise TypeError("an async iterable can be sent by AsyncClient only: pass a sync one to Client")
        try:
            self.read_chunk().send(None)
        except StopIteration as done:
            piece: bytes = done.value
            return piece
        raise RuntimeError("a sync body must not suspend")

    async def aclose(self) -> None:
        """Say that no more will be read, to an async generator that would wait for more."""

    def rewind(self) -> None:
        """Go back to the start, to be sent again; `StreamConsumed` when the source can be read only once."""
        if self.consumed:
            if not self.replayable:
                raise StreamConsumed("the request body was an iterator, which can be sent only once")
            self._restart()
            self.consumed = False

    def _restart(self) -> None:
        raise NotImplementedError

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.next_chunk, b"")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.read_chunk():
            return piece
        raise StopAsyncIteration


class FileBody(Body):
    """A binary file, from where it stands now to where it ends now."""

    __slots__ = ("_file", "_left", "_start")

    def __init__(self, file: Any) -> None:
        self._file = file
        self._start, length = _measure(file)
        self._left: int | None = None
        super().__init__(length, replayable=self._start is not None)

    async def read_chunk(self) -> bytes:
        if not self.consumed:
            self._begin()
        size = PIECE if self._left is None else min(PIECE, self._left)
        piece = self._file.read(size) if size else b""
        if isinstance(piece, str):
            raise TypeError("the file gives str: open it in binary mode")
        if self._left is not None:
            self._left -= len(piece)
        return bytes(piece) if piece else b""

    def _begin(self) -> None:
        # A file that grows while it is sent is sent up to the length that was declared.
        self.consumed = True
        self._left = self.length
        if self._start is not None:
            self._file.seek(self._start)

    def _restart(self) -> None:
        try:
            self._file.seek(self._start)
        except (OSError, ValueError) as exc:
            raise StreamConsumed(f"the file cannot be rewound to be sent again: {exc}") from exc


class IterableBody(Body):
    """A sync iterable of pieces; an iterator is one-shot, anything else is iterated anew on a replay."""

    __slots__ = ("_given", "_iterator", "_most", "_source")

    def __init__(self, source: Any) -> None:
        is_async = hasattr(source, "__aiter__")
        one_shot = hasattr(source, "__anext__" if is_async else "__next__")
        super().__init__(None, replayable=not one_shot, is_async=is_async)
        self._source = source
        self._iterator: Any = None
        self._given = 0
        self._most = 0

    async def read_chunk(self) -> bytes:
        self._begin()
        for piece in self._iterator:
            if data := _piece(piece):
                return self._count(data)
        return self._end()

    def _begin(self) -> None:
        if self._iterator is None:
            self._iterator = aiter(self._source) if self.is_async else iter(self._source)
            self.consumed = True

    def _count(self, data: bytes) -> bytes:
        self._given += len(data)
        return data

    def _end(self) -> bytes:
        # An iterable may stand on something one-shot: sent again, it would look whole and be empty.
        if self._given < self._most:
            raise StreamConsumed(
                f"the request body gave {self._most} bytes before and only {self._given} when sent again"
            )
        return b""

    def _restart(self) -> None:
        self._most = max(self._most, self._given)
        self._given = 0
        self._iterator = None


class AsyncIterableBody(IterableBody):
    """An async iterable of pieces; else as `IterableBody`."""

    __slots__ = ()

    async def read_chunk(self) -> bytes:
        self._begin()
        while True:
            try:
                piece = await anext(self._iterator)
            except StopAsyncIteration:
                return self._end()
            if data := _piece(piece):
                return self._count(data)

    async def aclose(self) -> None:
        close = getattr(self._iterator, "aclose", None)
        if close is not None and self.consumed:
            await close()


class AsyncFileBody(Body):
    """A file whose `read` is a coroutine, as those of trio, anyio and aiofiles; it is sent once."""

    __slots__ = ("_file",)

    def __init__(self, file: Any) -> None:
        super().__init__(None, replayable=False, is_async=True)
        self._file = file

    async def read_chunk(self) -> bytes:
        self.consumed = True
        return _piece(await self._file.read(PIECE))


def _piece(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a request body's iterable gives bytes, not {type(piece).__name__}")


def _measure(file: Any) -> tuple[int | None, int | None]:
    """Where the file stands and how many bytes follow; `None` for what cannot be told."""
    try:
        start: int = file.tell()
        end: int = file.seek(0, io.SEEK_END)
        if end is None:  # file-likes that copy only half of the interface
            end = file.tell()
        file.seek(start)
    except (AttributeError, TypeError, OSError, ValueError):
        length = getattr(file, "len", None)  # the toolbelt's streaming encoders
        return None, length if isinstance(length, int) else None
    return start, max(0, end - start)


def _refuse_text(file: Any, what: str) -> None:
    # Wrappers such as tempfile's are no TextIOBase, but hand on the attribute.
    if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
        raise TypeError(f"{what} is a file in text mode: open it in binary mode ('rb')")


def make_body(source: Any, what: str = "content=") -> bytes | Body:
    r"""The body for a value that is content as it stands. `what` names the argument in a `TypeError`.

    >>> make_body("grüß")
    b'gr\xc3\xbc\xc3\x9f'
    >>> make_body(12)
    Traceback (most recent call last):
    TypeError: content= takes bytes, str, a binary file, or a sync or async iterable of bytes, not int
    """
    if isinstance(source, (bytes, str, bytearray, memoryview)):
        return _piece(source)
    if isinstance(source, Body):
        return source
    _refuse_wrong_kind(source, what)
    if hasattr(source, "__aiter__"):
        return AsyncFileBody(source) if hasattr(source, "read") else AsyncIterableBody(source)
    if hasattr(source, "read"):
        _refuse_text(source, what)
        return FileBody(source)
    if hasattr(source, "__iter__"):
        return IterableBody(source)
    raise TypeError(f"{what} {_TAKES}, not {type(source).__name__}")


def _refuse_wrong_kind(source: Any, what: str) -> None:
    if isinstance(source, type):
        raise TypeError(f"{what} {_TAKES}, not the class {source.__name__}")
    if hasattr(source, "keys"):
        raise TypeError(f"{what} {_TAKES}, not a mapping: pass it as data= (a form) or json=")
    if hasattr(source, "__fspath__"):
        raise TypeError(f"{what} {_TAKES}, not a path: pass open(path, 'rb')")
    if hasattr(source, "iter_bytes"):
        raise TypeError(f"{what} {_TAKES}, not a response: pass its iter_bytes() or aiter_bytes()")


def framing(body: bytes | Body) -> Fields:
    """The field that tells where the body ends (RFC 9112 §6.2, §6.1); none for an empty one.

    >>> framing(b"abc"), framing(make_body(iter([b"abc"])))
    ([(b'Content-Length', b'3')], [(b'Transfer-Encoding', b'chunked')])
    """
    if isinstance(body, bytes):
        return [(b"Content-Length", b"%d" % len(body))] if body else []
    if body.length is not None:
        return [(b"Content-Length", b"%d" % body.length)]
    return [(b"Transfer-Encoding", b"chunked")]


def encode_body(
    content: Any = None,
    data: Any = None,
    files: Any = None,
    json: Any = None,
    *,
    json_dumps: Callable[[Any], str | bytes] | None = None,
    content_type: str | None = None,
) -> tuple[bytes | Body | None, Fields]:
    """The body, and the fields it asks for: Content-Length or Transfer-Encoding, and Content-Type.

    `content_type` is the caller's own. A multipart body takes its boundary from there; the Content-Type
    returned with it takes the caller's place: it is the same, with a boundary where that was missing.
    No body gives `(None, [])`; an empty one `(b"", [])`. Raises `TypeError` for a wrong kind of value and for
    two that exclude each other, `LocalProtocolError` for a multipart name or boundary that cannot be sent.

    >>> encode_body(json={"a": [1, None]})
    (b'{"a":[1,null]}', [(b'Content-Length', b'14'), (b'Content-Type', b'application/json')])
    >>> encode_body(data={"a": ["1", True], "b": "ä b"})[0]
    b'a=1&a=true&b=%C3%A4+b'
    """
    data = None if data is None or _is_empty(data) else data
    files = None if files is None or _is_empty(files) else files
    if content is None and data is None and files is None and json is None:
        return None, []
    _refuse_two(content, data, files, json)
    if json is not None:
        return _with_type(_dump(json, json_dumps), b"application/json")
    if files is not None:
        from ._multipart import encode_multipart

        return _with_type(*encode_multipart(data, files, content_type))
    if data is not None:
        if _is_form(data):
            return _with_type(_encode_form(data), _FORM)
        content = data
    body = make_body(content, "content=" if data is None else "data=")
    return body, framing(body)


def _with_type(body: bytes | Body, content_type: bytes) -> tuple[bytes | Body, Fields]:
    return body, [*framing(body), (b"Content-Type", content_type)]


def _is_empty(value: Any) -> bool:
    # `data={}` and `files=[]` are how Requests' callers say "none".
    return not value and (hasattr(value, "keys") or isinstance(value, (list, tuple)))


def _refuse_two(content: Any, data: Any, files: Any, json: Any) -> None:
    given = [
        name
        for name, value in (("content", content), ("data", data), ("files", files), ("json", json))
        if value is not None
    ]
    if len(given) > 1 and given != ["data", "files"]:
        raise TypeError(f"a request has one body: pass {given[0]}= or {given[1]}=, not both")


def _is_form(data: Any) -> bool:
    if hasattr(data, "keys"):
        return True
    if not isinstance(data, (list, tuple)):
        return False
    pairs = sum(isinstance(item, (list, tuple)) and len(item) == 2 for item in data)
    if pairs not in (0, len(data)):
        raise TypeError("data= as a list is a form's (name, value) pairs, or pieces of bytes, not both")
    return pairs > 0


def form_pairs(data: Any) -> list[tuple[Any, Any]]:
    """A form's fields, one pair for each value; lists and the like repeat their name.

    >>> form_pairs({"a": [1, 2], "b": None, "c": False})
    [('a', '1'), ('a', '2'), ('b', ''), ('c', 'false')]
    """
    items = [(key, data[key]) for key in data.keys()] if hasattr(data, "keys") else data  # noqa: SIM118
    return [(_form_value(name, name), one) for name, value in items for one in _form_values(name, value)]


def _form_values(name: Any, value: Any) -> list[str | bytes]:
    if hasattr(value, "keys") or hasattr(value, "read"):
        hint = "use json= for nested data" if hasattr(value, "keys") else "a file goes into files="
        raise TypeError(f"the form field {name!r} takes a value or a list, not {type(value).__name__}: {hint}")
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, bytearray)):
        return [_form_value(name, item) for item in value]
    return [_form_value(name, value)]


def _form_value(name: Any, value: Any) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, (list, tuple, dict, set)):
        raise TypeError(f"the form field {name!r} holds a nested {type(value).__name__}: use json= for that")
    return str(value)


def _encode_form(data: Any) -> bytes:
    from urllib.parse import urlencode

    return urlencode(form_pairs(data)).encode("ascii")


_json_encode: Callable[[Any], str] | None = None


def _dump(value: Any, json_dumps: Callable[[Any], str | bytes] | None) -> bytes:
    if json_dumps is not None:
        text = json_dumps(value)
        if not isinstance(text, (str, bytes)):
            raise TypeError(f"json_dumps must give str or bytes, not {type(text).__name__}")
        return _piece(text)
    global _json_encode
    if _json_encode is None:
        import json

        # RFC 8259 §6: NaN and infinity are not JSON.
        _json_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    try:
        return _json_encode(value).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form, but a \u escape
        import json

        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
