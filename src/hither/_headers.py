"""Header fields (RFC 9110 §5): a case-insensitive, ordered, many-valued mapping, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from functools import lru_cache

from ._errors import LocalProtocolError
from ._patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeVar, overload

    from ._types import HeaderTypes

    T = TypeVar("T")


# RFC 9110 §5.6.2: token
_TOKEN = pattern(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# Fields whose values are credentials: they never show in a repr, so never in a log by accident.
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")  # RFC 9110 §5.5: fields were ISO-8859-1 once


def _key(name: bytes) -> str:
    return _text(name).lower()


_MAX_KNOWN_NAME = 64  # bytes; no registered name is longer
_known_key = lru_cache(maxsize=1024)(_key)  # as `_line_start`


def _name_bytes(name: object) -> bytes:
    if isinstance(name, str):
        return name.encode()
    if isinstance(name, bytes):
        return name
    raise TypeError(f"a header name must be str or bytes, not {type(name).__name__}: {name!r:.60}")


def _value_bytes(name: object, value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bool, int, float)):
        raise TypeError(f"the value of header {name!r} is {value!r}: write str({value!r})")
    raise TypeError(f"the value of header {name!r} must be str or bytes, not {type(value).__name__}")


def _pairs(headers: object) -> Iterator[tuple[object, object]]:
    if isinstance(headers, Headers):
        yield from headers._raw
        return
    listed = getattr(headers, "multi_items", None) or getattr(headers, "items", None)
    items = listed() if listed is not None else headers
    if isinstance(items, (str, bytes)) or not isinstance(items, Iterable):
        raise TypeError(f"headers must be a mapping or (name, value) pairs, not {type(headers).__name__}")
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"headers must be (name, value) pairs, not {type(item).__name__}")
        yield item[0], item[1]


def _fields(headers: object) -> Iterator[tuple[bytes, bytes]]:
    for name, value in _pairs(headers):
        raw_name = _name_bytes(name)
        if isinstance(value, (list, tuple)):
            for each in value:
                yield raw_name, _value_bytes(name, each)
        else:
            yield raw_name, _value_bytes(name, value)


class Headers(MutableMapping[str, str]):
    """Header fields: names match in any case, order and spelling stay, a name may repeat.

    Takes a mapping (a list or tuple as value makes several fields), `(name, value)` pairs, or `Headers`;
    names and values `str` or `bytes`. Raises `TypeError` for other kinds, numbers included.

    >>> headers = Headers([("Accept", "text/html"), ("accept", "text/plain")])
    >>> headers["ACCEPT"]
    'text/html, text/plain'
    >>> headers.get_list("accept")
    ['text/html', 'text/plain']
    >>> headers.raw
    [(b'Accept', b'text/html'), (b'accept', b'text/plain')]
    """

    __slots__ = ("_index", "_raw")

    _raw: list[tuple[bytes, bytes]]
    _index: dict[str, list[bytes]] | None  # by lower-case name; built on first look-up, then kept in step

    def __init__(self, headers: HeaderTypes | None = None) -> None:
        if headers is None:
            self._raw = []
        elif isinstance(headers, Headers):
            self._raw = headers._raw.copy()
        else:
            self._raw = list(_fields(headers))
        self._index = None

    @classmethod
    def from_raw(cls, raw: list[tuple[bytes, bytes]]) -> Headers:
        """Wrap fields that were checked already: the list is neither copied nor looked at."""
        self = cls.__new__(cls)
        self._raw = raw
        self._index = None
        return self

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The fields as they are on the wire, in order: a new list of `(name, value)`."""
        return list(self._raw)

    def _lookup(self) -> dict[str, list[bytes]]:
        index = self._index
        if index is None:
            index = self._index = {}
            for name, value in self._raw:
                key = _known_key(name) if len(name) <= _MAX_KNOWN_NAME else _key(name)
                values = index.get(key)
                if values is None:
                    index[key] = [value]
                else:
                    values.append(value)
        return index

    def __getitem__(self, key: str) -> str:
        values = self._lookup()[key.lower()]
        if len(values) == 1:
            return _text(values[0])
        return ", ".join([_text(value) for value in values])  # RFC 9110 §5.3

    if TYPE_CHECKING:

        @overload
        def get(self, key: str, /) -> str | None: ...
        @overload
        def get(self, key: str, /, default: str | T) -> str | T: ...
        def get(self, key: str, /, default: Any = None) -> Any: ...
    else:

        def get(self, key: str, /, default: Any = None) -> Any:
            """All values of `key`, joined with ", ", or `default`."""
            values = self._lookup().get(key.lower())
            if values is None:
                return default
            return _text(values[0]) if len(values) == 1 else ", ".join([_text(value) for value in values])

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        """Each value of `key` by itself; with `split_commas`, split into the members of its list.

        A comma inside a quoted string splits nothing (RFC 9110 §5.6.1).

        >>> Headers({"Vary": "accept, cookie"}).get_list("vary", split_commas=True)
        ['accept', 'cookie']
        """
        if self._index is None and key.isascii():  # to look once is cheaper than an index
            sought = key.lower().encode("ascii")
            size = len(sought)
            values = [_text(value) for name, value in self._raw if len(name) == size and name.lower() == sought]
        else:
            values = [_text(value) for value in self._lookup().get(key.lower(), ())]
        if not split_commas:
            return values
        return [member for value in values for member in _split_list(value)]

    def multi_items(self) -> list[tuple[str, str]]:
        """Every field in order, names in lower case, repeated ones by themselves."""
        return [(_text(name).lower(), _text(value)) for name, value in self._raw]

    def __setitem__(self, key: str, value: str) -> None:
        self._put(_name_bytes(key), [_value_bytes(key, value)])

    def _put(self, name: bytes, values: list[bytes]) -> None:
        index = self._lookup()
        key = _text(name).lower()
        fields = [(name, value) for value in values]
        if key not in index:
            self._raw.extend(fields)
        else:
            places = [i for i, field in enumerate(self._raw) if _text(field[0]).lower() == key]
            for i in reversed(places):
                del self._raw[i]
            self._raw[places[0] : places[0]] = fields
        if values:
            index[key] = values
        else:
            index.pop(key, None)

    def add(self, key: str, value: str) -> None:
        """Add one more field after those that are there, whatever their names."""
        name, encoded = _name_bytes(key), _value_bytes(key, value)
        self._raw.append((name, encoded))
        if self._index is not None:
            self._index.setdefault(_text(name).lower(), []).append(encoded)

    def __delitem__(self, key: str) -> None:
        if key.lower() not in self._lookup():
            raise KeyError(key)
        self._put(_name_bytes(key), [])

    def update(self, headers: Any = (), /, **named: str) -> None:
        """Replace the names given, each at its first place; `None` removes a name (Requests' habit).

        >>> headers = Headers({"Accept": "*/*", "User-Agent": "x"})
        >>> headers.update({"accept": "text/html", "User-Agent": None})
        >>> headers
        Headers({'accept': 'text/html'})
        """
        new: dict[str, tuple[bytes, list[bytes]]] = {}
        for name, value in (*_pairs(headers or ()), *named.items()):
            raw_name = _name_bytes(name)
            values = new.setdefault(_text(raw_name).lower(), (raw_name, []))[1]
            if isinstance(value, (list, tuple)):
                values.extend([_value_bytes(name, each) for each in value])
            elif value is not None:
                values.append(_value_bytes(name, value))
        for raw_name, values in new.values():
            self._put(raw_name, values)

    def clear(self) -> None:
        """Remove every field."""
        self._raw.clear()
        self._index = None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._lookup()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._lookup()))

    def __len__(self) -> int:
        """How many different names there are."""
        return len(self._lookup())

    def __bool__(self) -> bool:
        return bool(self._raw)

    def copy(self) -> Headers:
        """A copy that changes by itself."""
        return Headers.from_raw(list(self._raw))

    __copy__ = copy

    def __eq__(self, other: object) -> bool:
        """Whether both have the same values for the same names, in whatever case and order."""
        if not isinstance(other, Headers):
            if not isinstance(other, (Mapping, list, tuple)):
                return NotImplemented
            try:
                other = Headers(other)
            except (TypeError, ValueError):
                return False
        return self._lookup() == other._lookup()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        items = [(name, "[secure]" if name in _SECRET else value) for name, value in self.multi_items()]
        shown = dict(items)
        return f"Headers({shown if len(shown) == len(items) else items})"


def _split_list(value: str) -> list[str]:
    if '"' not in value:
        return [member for part in value.split(",") if (member := part.strip(" \t"))]
    return [member for part in _MEMBER.findall(value) if (member := part.strip(" \t"))]


# RFC 9110 §5.6.1, §5.6.4: a list member, its quoted strings taken whole; a quote without an end runs on.
_MEMBER = pattern(r'(?s)(?:[^",]|"(?:[^"\\]|\\.)*+(?:"|$))+')


@lru_cache(maxsize=1024)  # more than the names a process sends; HPACK implementations keep about as many
def _line_start(name: bytes) -> bytes:
    if _TOKEN.fullmatch(name) is None:
        raise LocalProtocolError(f"illegal header name {name!r:.100}: RFC 9110 §5.6.2 allows only a token")
    return name + b": "


def check_value(name: bytes, value: bytes) -> None:
    r"""Raise `LocalProtocolError` when a field value holds CR, LF or NUL (RFC 9110 §5.5).

    >>> check_value(b"X", b"a\r\nEvil: b")
    Traceback (most recent call last):
    hither._errors.LocalProtocolError: illegal value of header 'X': it holds a CR
    """
    for octet, what in ((b"\r", "a CR"), (b"\n", "an LF"), (b"\0", "a NUL")):
        if octet in value:
            raise LocalProtocolError(f"illegal value of header {_text(name)!r:.100}: it holds {what}")


def check_fields(raw: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise `LocalProtocolError` for the first field that must not be sent, as `encode_fields` does."""
    for name, value in raw:
        _line_start(name)
        check_value(name, value)


def encode_fields(raw: Iterable[tuple[bytes, bytes]]) -> bytes:
    r"""Write fields as HTTP/1.1 header lines; whitespace around values is left out.

    Raises `LocalProtocolError` for a name that is no token (RFC 9110 §5.6.2) and a value with CR, LF or NUL
    (RFC 9110 §5.5): nothing of it reaches the wire.

    >>> encode_fields([(b"Host", b"example.org"), (b"Accept", b" */* ")])
    b'Host: example.org\r\nAccept: */*\r\n'
    """
    lines = [_line_start(name) + value.strip(b" \t") for name, value in raw]
    if not lines:
        return b""
    lines.append(b"")
    block = b"\r\n".join(lines)
    # Each line brings one CR and one LF of its own: any more came inside a value.
    ends = len(lines) - 1
    if block.count(b"\r") != ends or block.count(b"\n") != ends or b"\0" in block:
        for line in lines:
            name, _, value = line.partition(b": ")
            check_value(name, value)
    return block
