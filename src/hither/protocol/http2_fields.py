"""Which fields an HTTP/2 message may have, and what they say of it: RFC 9113 §8.2 and §8.3."""

from __future__ import annotations

from .._patterns import pattern
from .events import RequestHead, ResponseHead
from .http2_frames import PROTOCOL_ERROR, StreamFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .events import Field

# RFC 9110 §5.1 and §5.5, in the lower case of RFC 9113 §8.2.1.
_NAME = pattern(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = pattern(rb"(?:[^\x00\r\n\t ](?:[^\x00\r\n]*[^\x00\r\n\t ])?)?")
_STATUS = pattern(rb"[1-9][0-9][0-9]")
_METHOD = pattern(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME = pattern(rb"[A-Za-z][A-Za-z0-9+.\-]*")
_AUTHORITY = pattern(rb"[^\x00-\x20\x7f/?#@\\]+")
_PATH = pattern(rb"/[^\x00-\x20\x7f]*|\*")

# §8.2.2: what belongs to one connection of HTTP/1.1 has no place here.
_CONNECTION_SPECIFIC = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_UNSENT = _CONNECTION_SPECIFIC | {b"host"}  # the authority is told in `:authority`
_REQUEST_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})


class Malformed(StreamFault):
    """A message that breaks a rule of §8."""

    def __init__(self, message: str) -> None:
        super().__init__(PROTOCOL_ERROR, message)


class Meaning:
    """What a header block means as the head of a message.

    `length` is that of the content where it is known; `tunnel` whether the message begins one, or does so in answer
    to CONNECT (§8.5).
    """

    __slots__ = ("head", "interim", "length", "tunnel")

    def __init__(
        self, head: ResponseHead | RequestHead, length: int | None, *, tunnel: bool, interim: bool = False
    ) -> None:
        self.head = head
        self.length = length
        self.tunnel = tunnel
        self.interim = interim


def lowered(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return fields as HTTP/2 sends them: names in lower case, without those of HTTP/1.1 connections.

    >>> lowered([(b"Accept", b"*/*"), (b"Connection", b"close"), (b"TE", b"gzip")])
    ((b'accept', b'*/*'),)
    """
    named = [(name.lower(), value) for name, value in fields]
    named_by_connection = {
        option.strip().lower() for name, value in named if name == b"connection" for option in value.split(b",")
    }
    return tuple(
        (name, value.strip(b" \t"))
        for name, value in named
        if name not in _UNSENT
        and name not in named_by_connection
        and (name != b"te" or value.strip().lower() == b"trailers")
    )


def _split(fields: Sequence[Field], allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], list[Field]]:
    """Return pseudo-header fields and the others, all checked."""
    pseudo: dict[bytes, bytes] = {}
    ordinary: list[Field] = []
    for field in fields:
        name, value = field
        if _VALUE.fullmatch(value) is None:
            raise Malformed(f"the field {name[:100]!r} has an invalid value: {value[:100]!r}")
        if name[:1] == b":":
            if ordinary or name in pseudo or name not in allowed:
                raise Malformed(f"the pseudo-header field {name[:100]!r} is unknown, repeated, or out of place")
            pseudo[name] = value
            continue
        if _NAME.fullmatch(name) is None:
            raise Malformed(f"a field has the invalid name {name[:100]!r}")
        if name in _CONNECTION_SPECIFIC or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed(f"the field {name.decode('ascii')!r} belongs to HTTP/1.1")
        ordinary.append(field)
    return pseudo, ordinary


def _content_length(fields: list[Field]) -> int | None:
    lengths = {
        piece.strip(b" \t") for name, value in fields if name == b"content-length" for piece in value.split(b",")
    }
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 19:
        raise Malformed(f"an invalid Content-Length: {length[:100]!r}")
    return int(length)


_RESPONSE_PSEUDO = frozenset({b":status"})
_NO_PSEUDO: frozenset[bytes] = frozenset()


def read_response(fields: Sequence[Field]) -> Meaning:
    """Check a response's head and return it, §8.3.2; informational ones too."""
    pseudo, ordinary = _split(fields, _RESPONSE_PSEUDO)
    status = pseudo.get(b":status", b"")
    if _STATUS.fullmatch(status) is None:
        raise Malformed(f"the response has the status {status[:100]!r}")
    if status == b"101":
        raise Malformed("the status 101 does not exist in HTTP/2")
    code = int(status)
    head = ResponseHead(code, b"", "HTTP/2", ordinary)
    names = {name for name, _ in ordinary}
    head.coded = b"content-encoding" in names
    head.sets_cookies = b"set-cookie" in names
    length = _content_length(ordinary) if b"content-length" in names else None
    if code in (204, 304):
        length = 0  # §8.1.1: whatever the field says
    return Meaning(head, length, tunnel=200 <= code < 300, interim=code < 200)


def read_request(fields: Sequence[Field]) -> Meaning:
    """Check a request's head and return it, §8.3.1; extended CONNECT as well, RFC 8441 §4."""
    pseudo, ordinary = _split(fields, _REQUEST_PSEUDO)
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise Malformed(f"the request has the method {method[:100]!r}")
    scheme = pseudo.get(b":scheme")
    authority = pseudo.get(b":authority")
    path = pseudo.get(b":path")
    protocol = pseudo.get(b":protocol")
    connect = method == b"CONNECT"
    if protocol is not None and (not connect or _METHOD.fullmatch(protocol) is None):
        raise Malformed(f"the request has the :protocol {protocol[:100]!r}")
    if connect and protocol is None:
        if scheme is not None or path is not None or authority is None:
            raise Malformed("CONNECT takes :authority and neither :scheme nor :path")
    elif scheme is None or path is None:
        raise Malformed("the request lacks a :scheme or a :path")
    elif _SCHEME.fullmatch(scheme) is None:
        raise Malformed(f"the request has the scheme {scheme[:100]!r}")
    elif _PATH.fullmatch(path) is None or (path == b"*" and method != b"OPTIONS"):
        raise Malformed(f"the request has the path {path[:100]!r}")
    authority = _authority(authority, ordinary)
    if authority is None and scheme in (b"http", b"https"):
        raise Malformed("the request names no authority")
    head = RequestHead(method.decode("ascii"), scheme, authority, path, protocol, _joined_cookies(ordinary))
    return Meaning(head, None if connect else _content_length(ordinary), tunnel=connect)


def _authority(authority: bytes | None, fields: list[Field]) -> bytes | None:
    """Return `:authority`, or Host in its place; they may not differ, §8.3.1."""
    named = [value for name, value in fields if name == b"host"]
    if authority is not None:
        named.append(authority)
    if len({value.lower() for value in named}) > 1:
        raise Malformed("the request names several authorities")
    if not named:
        return None
    if _AUTHORITY.fullmatch(named[-1]) is None:
        raise Malformed(f"the request has the authority {named[-1][:100]!r}")
    return named[-1]


def _joined_cookies(fields: list[Field]) -> list[Field]:
    """§8.2.3: a Cookie field may come in crumbs."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    return [field for field in fields if field[0] != b"cookie"] + [(b"cookie", b"; ".join(crumbs))]


def read_trailers(fields: Sequence[Field]) -> list[Field]:
    """Check trailer fields and return them, §8.1."""
    return _split(fields, _NO_PSEUDO)[1]
