"""Percent-encoding (RFC 3986 §2.1) and query strings (application/x-www-form-urlencoded)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ._patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import Any

    from ._types import ParamTypes

# RFC 3986 §2: what may stand nowhere in a URI, and a "%" that starts no escape. "[" and "]" are let through,
# as every browser does: servers know them in queries.
_ILLEGAL = pattern(r'[^!-~]+|["<>\\^`{|}]|%(?![0-9A-Fa-f]{2})')
# RFC 3986 §2.3: all but the unreserved characters; the space becomes "+" afterwards.
_FORM_UNSAFE = pattern(r"[^A-Za-z0-9_.~ -]+")
_RESERVED = pattern(r"[^A-Za-z0-9_.~-]+")
_ESCAPES = pattern(r"(?:%[0-9A-Fa-f]{2})+")


def _escape_match(match: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in match[0].encode()])


def _escape_bytes_match(match: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in match[0].encode("latin-1")])


def _unescape_match(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def escape_illegal(text: str, also: str = "") -> str:
    """Percent-encode what no URI may hold, and the characters of `also`; escapes that are there stay.

    >>> escape_illegal("/ä b%20c%")
    '/%C3%A4%20b%20c%25'
    """
    text = _ILLEGAL.sub(_escape_match, text)
    for character in also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def quote_all(text: str) -> str:
    """Percent-encode all but the unreserved characters (RFC 3986 §2.3), "%" included.

    >>> quote_all("p@ss:w%rd")
    'p%40ss%3Aw%25rd'
    """
    return _RESERVED.sub(_escape_match, text)


def form_quote(text: str | bytes) -> str:
    """Encode one name or value of a form; a space becomes "+" (WHATWG URL §5.2, as Requests and HTTPX do).

    >>> form_quote("a b&c")
    'a+b%26c'
    """
    if isinstance(text, str):
        quoted = _FORM_UNSAFE.sub(_escape_match, text)
    else:
        quoted = _FORM_UNSAFE.sub(_escape_bytes_match, text.decode("latin-1"))
    return quoted.replace(" ", "+")


def unquote(text: str) -> str:
    """Decode percent-escapes as UTF-8; what is not UTF-8 becomes U+FFFD.

    >>> unquote("/%C3%A4%20b")
    '/ä b'
    """
    return _ESCAPES.sub(_unescape_match, text) if "%" in text else text


def parse_query(query: str) -> list[tuple[str, str]]:
    """The decoded pairs of a query string, blank values kept (WHATWG URL §5.1).

    >>> parse_query("a=1&b=x+y&c")
    [('a', '1'), ('b', 'x y'), ('c', '')]
    """
    pairs = []
    for field in query.split("&"):
        if field:
            name, _, value = field.replace("+", " ").partition("=")
            pairs.append((unquote(name), unquote(value)))
    return pairs


def _plain(value: object) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, bytearray):
        return bytes(value)
    return str(value)


def _values(name: object, value: object) -> Iterable[object]:
    if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, Iterable):
        return (value,)
    if isinstance(value, Mapping):
        raise TypeError(f"the value of {name!r} is a {type(value).__name__}: forms and queries do not nest")
    return value


def _items(params: object) -> Iterator[tuple[object, object]]:
    listed = getattr(params, "multi_items", None) or getattr(params, "items", None)
    items = listed() if listed is not None else params
    if not isinstance(items, Iterable):
        raise TypeError(f"expected a mapping, pairs, str or bytes, not {type(params).__name__}")
    for item in items:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"expected (name, value) pairs, not {type(item).__name__}: {item!r:.60}")
        yield item[0], item[1]


def flatten_params(params: object) -> Iterator[tuple[str | bytes, str | bytes]]:
    """Every single pair of a mapping or of pairs: lists repeat the name, `None` leaves it out.

    >>> list(flatten_params({"a": [1, True], "b": None}))
    [('a', '1'), ('a', 'true')]
    """
    for name, value in _items(params):
        key = _plain(name)
        for single in _values(name, value):
            if single is not None:
                yield key, _plain(single)


def encode_params(params: ParamTypes) -> str:
    """Encode query parameters or form fields, as Requests' users expect.

    Takes a mapping or `(name, value)` pairs; a list, tuple or set as value repeats the name, `None` leaves it
    out, `True` is "true". A `str` or `bytes` is taken as already encoded. Raises `TypeError` for other kinds.

    >>> encode_params({"q": "a b", "n": [1, 2], "off": None})
    'q=a+b&n=1&n=2'
    """
    if isinstance(params, str):
        return escape_illegal(params, also="#")
    if isinstance(params, (bytes, bytearray)):
        return _ILLEGAL.sub(_escape_bytes_match, params.decode("latin-1")).replace("#", "%23")
    return "&".join([f"{form_quote(name)}={form_quote(value)}" for name, value in flatten_params(params)])


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


class QueryParams(Mapping[str, str]):
    """The decoded parameters of a query: an immutable, ordered mapping whose names may repeat.

    Takes a query string (`str` or `bytes`), a mapping, `(name, value)` pairs, or keyword arguments.

    >>> params = QueryParams("a=1&a=2&b=x+y")
    >>> params["a"], params.get_list("a"), params["b"]
    ('1', ['1', '2'], 'x y')
    >>> str(params.set("a", 3).add("c", True))
    'a=3&b=x+y&c=true'
    """

    __slots__ = ("_pairs",)

    _pairs: tuple[tuple[str, str], ...]

    def __init__(self, params: ParamTypes | None = None, /, **named: Any) -> None:
        pairs: list[tuple[str, str]] = []
        if isinstance(params, QueryParams):
            pairs.extend(params._pairs)
        elif isinstance(params, (str, bytes)):
            pairs.extend(parse_query(_decoded(params)))
        elif params is not None:
            pairs.extend((_decoded(name), _decoded(value)) for name, value in flatten_params(params))
        pairs.extend((_decoded(name), _decoded(value)) for name, value in flatten_params(named))
        self._pairs = tuple(pairs)

    def __getitem__(self, key: str) -> str:
        for name, value in self._pairs:
            if name == key:
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(name == key for name, _ in self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same pairs, in whatever order."""
        if isinstance(other, Mapping):
            return sorted(self._pairs) == sorted(QueryParams(other)._pairs)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._pairs))

    def __str__(self) -> str:
        return "&".join([f"{form_quote(name)}={form_quote(value)}" for name, value in self._pairs])

    def __repr__(self) -> str:
        return f"QueryParams({str(self)!r})"

    def get_list(self, key: str) -> list[str]:
        """All values of `key`, in order; empty when there is none."""
        return [value for name, value in self._pairs if name == key]

    def multi_items(self) -> list[tuple[str, str]]:
        """All pairs in order, repeated names included (`items()` has the first of each)."""
        return list(self._pairs)

    def set(self, key: str, value: Any = None) -> QueryParams:
        """A copy in which `key` has only `value`, at the place of its first occurrence.

        >>> str(QueryParams("a=1&b=2&a=3").set("a", 4))
        'a=4&b=2'
        """
        return self.merge({key: value})

    def add(self, key: str, value: Any = None) -> QueryParams:
        """A copy with one more `key`, after what is there."""
        return QueryParams([*self._pairs, (key, value)])

    def remove(self, key: str) -> QueryParams:
        """A copy without `key`."""
        return QueryParams([pair for pair in self._pairs if pair[0] != key])

    def merge(self, params: ParamTypes | None = None) -> QueryParams:
        """A copy in which the names of `params` replace those of the same name; `None` removes one.

        >>> str(QueryParams("a=1&b=2").merge({"a": [3, 4], "c": 5, "b": None}))
        'a=3&a=4&c=5'
        """
        new: dict[str, list[str]] = {}
        if params is not None and not isinstance(params, (str, bytes, QueryParams)):
            params = list(_items(params))  # type: ignore[arg-type]  # names of any kind: `_plain` makes them str
            new = {_decoded(_plain(name)): [] for name, _ in params}
        for name, value in QueryParams(params)._pairs:
            new.setdefault(name, []).append(value)
        merged: list[tuple[str, str]] = []
        replaced = set(new)
        for name, value in self._pairs:
            if name not in replaced:
                merged.append((name, value))
            else:
                merged.extend((name, each) for each in new.pop(name, ()))
        merged.extend((name, each) for name, values in new.items() for each in values)
        return QueryParams(merged)
