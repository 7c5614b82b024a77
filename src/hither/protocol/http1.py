r"""HTTP/1.1 messages as the client receives them (RFC 9112): bytes in, events out, no I/O.

```
           ┌──────────── 1xx ───────────┐
 expect()  ▼                            │
 ───────► HEAD ──────┬──► LENGTH ───────┼────────────────► DONE ──► EXCESS (bytes nobody asked for)
                     ├──► CHUNK_SIZE ⇄ CHUNK_DATA ─ 0 ─► TRAILERS ──► DONE
                     ├──► UNTIL_CLOSE ── end of file ────► DONE
                     ├──► DONE            (HEAD, 204, 304, length 0)
                     └──► TUNNEL          (2xx to CONNECT, 101)
```

A state is the method that takes the next bytes; everything that changes the state is in `ResponseParser`.
"""

from __future__ import annotations

from .._errors import LocalProtocolError, RemoteProtocolError
from .._patterns import pattern
from .events import END, End, ResponseHead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import Event, Field

MAX_HEAD = 256 * 1024  # bytes of one head; Chrome's kMaxHeaderBufSize
MAX_FIELDS = 1000  # per head or trailer section; Apache and hyper stop at 100, and real sites send more
MAX_INFORMATIONAL = 32  # 1xx heads for one request; Go's net/http started with 5, and 103 may come several times
MAX_CHUNK_LINE = 4096  # bytes; Go's maxLineLength for chunk headers
MAX_TRAILER_LINE = 8192  # bytes; nginx's large_client_header_buffers
MAX_CHUNK_EXTENSIONS = 16 * 1024  # bytes for one message; Go's limit since CVE-2023-39326
_PAID_BY_CONTENT = 2  # bytes of extensions that are not counted for each byte in the chunk; Go's
_MAX_EXCESS = 100  # bytes kept of what nobody asked for: enough to know and to show

_STATUS_LINE = pattern(rb"HTTP/1\.([0-9]) ([1-9][0-9][0-9])(?: ([^\x00\r\n]*))?")
_FIELD_LINE = pattern(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00\r\n]*)")
_CHUNK_LINE = pattern(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00\r\n]*)?")
_TOKEN = pattern(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEAD_END = pattern(rb"\r?\n\r?\n")
_LINE_END = pattern(rb"\r?\n")
_FOLD = pattern(rb"\r?\n[ \t]+")

# What a field means to the framing of its message, or to the engine.
_ORDINARY, _LENGTH, _TRANSFER, _CONNECTION, _CODED, _COOKIE = range(6)
_MEANING = {
    b"content-length": _LENGTH,
    b"transfer-encoding": _TRANSFER,
    b"connection": _CONNECTION,
    b"content-encoding": _CODED,
    b"set-cookie": _COOKIE,
}

# Lines seen before, parsed and checked: servers repeat theirs in every response.
_MAX_CACHED = 1024  # field lines; all are forgotten together
_MAX_CACHED_STATUSES = 64
_MAX_CACHED_LINE = 128  # bytes; longer lines are rarely repeated
_field_lines: dict[bytes, tuple[Field, int]] = {}
_status_lines: dict[bytes, tuple[str, int, bytes]] = {}

# Whole heads seen before: within the second that Date names, a busy server repeats even these.
_MAX_CACHED_HEADS = 256
_MAX_CACHED_HEAD = 1024  # bytes
_heads: dict[bytes, _FramedHead] = {}
_methods: dict[str, bytes] = {}

_BODILESS = frozenset({"HEAD", "CONNECT"})  # RFC 9112 §6.3: whose responses do not end where the fields say


class _IrregularHead(Exception):
    """A head with bare line feeds or folded lines, to be read the slow way."""


def encode_method(method: str) -> bytes:
    """Check a method (RFC 9110 §9.1: a token) and return it for the wire; `LocalProtocolError` otherwise.

    >>> encode_method("GET")
    b'GET'
    """
    known = _methods.get(method)
    if known is not None:
        return known
    if _TOKEN.fullmatch(method) is None:
        raise LocalProtocolError(f"the method {method!r} is not a token: only letters, digits and !#$%&'*+-.^_`|~")
    encoded = method.encode("ascii")
    if len(_methods) < 64:
        _methods[method] = encoded
    return encoded


def request_head(method: str, target: bytes, host: bytes | None, fields: bytes) -> bytes:
    r"""Return a request's head from its parts, which are checked already; `host` is None when a field says it.

    >>> request_head("GET", b"/", b"example.org", b"Accept: */*\r\n")
    b'GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n'
    """
    verb = _methods.get(method) or encode_method(method)
    if host is None:
        return b"".join((verb, b" ", target, b" HTTP/1.1\r\n", fields, b"\r\n"))
    return b"".join((verb, b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n", fields, b"\r\n"))


def _parse_field_line(line: bytes) -> tuple[Field, int]:
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        if b"\n" in line or line[:1] in (b" ", b"\t"):
            raise _IrregularHead
        raise RemoteProtocolError(f"the server sent a line that is no header field: {line[:100]!r}")
    name, value = match.groups()
    entry = (name, value.strip(b" \t")), _MEANING.get(name.lower(), _ORDINARY)
    if len(line) <= _MAX_CACHED_LINE and entry[1] != _COOKIE:
        if len(_field_lines) >= _MAX_CACHED:
            _field_lines.clear()
        _field_lines[line] = entry
    return entry


def _parse_status_line(line: bytes) -> tuple[str, int, bytes]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        if b"\n" in line:
            raise _IrregularHead
        raise RemoteProtocolError(f"the server did not answer in HTTP/1: {line[:100]!r}")
    minor, status, reason = match.groups()
    entry = "HTTP/1.1" if minor != b"0" else "HTTP/1.0", int(status), reason or b""
    if len(line) <= _MAX_CACHED_LINE:
        if len(_status_lines) >= _MAX_CACHED_STATUSES:
            _status_lines.clear()
        _status_lines[line] = entry
    return entry


def _regular_lines(data: bytes) -> tuple[list[bytes], int]:
    """Split a head that ends lines with a bare LF (RFC 9112 §2.2) or folds them (§5.2); also return its size."""
    end = _HEAD_END.search(data)
    if end is None:
        raise RemoteProtocolError("the server sent a head without an end")
    status_line, _, rest = data[: end.start()].partition(b"\n")
    if rest[:1] in (b" ", b"\t"):
        raise RemoteProtocolError("the server sent white space between the status line and the first field")
    lines = _LINE_END.split(_FOLD.sub(b" ", rest)) if rest else []
    return [status_line.rstrip(b"\r"), *lines], end.end()


class _FramedHead:
    """A head, and what it says of the body after it."""

    __slots__ = ("chunked", "fault", "head", "keep_alive", "length", "whole")

    def __init__(self, head: ResponseHead, lengths: list[bytes], transfer: list[bytes], connection: bytes) -> None:
        self.head = head
        self.length: int | None = None
        self.chunked = False
        self.fault: str | None = None  # raised when the head belongs to a response with a body
        # RFC 9112 §9.3: whether the connection outlives this response.
        options = {option.strip(b" \t") for option in connection.split(b",")}
        modern = head.version == "HTTP/1.1"
        self.keep_alive = b"close" not in options and (modern or b"keep-alive" in options)
        if transfer:
            self.chunked = b",".join(transfer).strip(b" \t").lower() == b"chunked"
            if lengths:
                self.fault = "the server sent both Content-Length and Transfer-Encoding"
            elif not self.chunked:
                self.fault = f"the server used a transfer coding that was not offered: {transfer[0][:100]!r}"
            # RFC 9112 §6.1: in HTTP/1.0 the framing is faulty, so the connection is closed after the message.
            self.keep_alive = self.keep_alive and modern
        elif lengths:
            self._take_length(lengths)
        # The length, where that is all there is to the framing.
        self.whole = self.length if head.status >= 200 and head.status not in (204, 304) and self.length else -1

    def _take_length(self, values: list[bytes]) -> None:
        """RFC 9112 §6.3: repeated lengths are fine when they agree."""
        lengths = {piece.strip(b" \t") for value in values for piece in value.split(b",")}
        length = lengths.pop()
        if lengths or not length.isdigit() or len(length) > 19:
            self.fault = f"the server sent an invalid Content-Length: {b', '.join(values)[:100]!r}"
        else:
            self.length = int(length)


def _parse_head(lines: list[bytes], block: bytes | None) -> _FramedHead:
    """Parse a head's lines; `block`, its bytes, is remembered when it may come again."""
    line = lines[0]
    version, status, reason = _status_lines.get(line) or _parse_status_line(line)
    fields: list[Field] = []
    head = ResponseHead(status, reason, version, fields)
    lengths: list[bytes] = []
    transfer: list[bytes] = []
    connection = b""
    for line in lines[1:]:
        field, meaning = _field_lines.get(line) or _parse_field_line(line)
        fields.append(field)
        if meaning:
            if meaning == _LENGTH:
                lengths.append(field[1])
            elif meaning == _TRANSFER:
                transfer.append(field[1])
            elif meaning == _CONNECTION:
                connection += b"," + field[1].lower()
            elif meaning == _CODED:
                head.coded = True
            else:
                head.sets_cookies = True
    if len(fields) > MAX_FIELDS:
        raise RemoteProtocolError(f"the server sent more than {MAX_FIELDS} header fields")
    framed = _FramedHead(head, lengths, transfer, connection)
    if block is not None and len(block) <= _MAX_CACHED_HEAD and not head.sets_cookies:
        if len(_heads) >= _MAX_CACHED_HEADS:
            _heads.clear()
        _heads[block] = framed
    return framed


class ResponseParser:
    r"""Turns the bytes of a connection into the responses to the requests sent on it, one at a time.

    `expect(method)` announces a request; `receive_data` and `receive_end` return events; `keep_alive` tells
    after the `End` whether the connection may carry another request. `RemoteProtocolError` when the server
    breaks the rules; the parser is of no use afterwards.

    >>> parser = ResponseParser()
    >>> parser.expect("GET")
    >>> parser.receive_data(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    [<ResponseHead 200 1 fields>, b'hi', <End 0 trailers>]
    """

    __slots__ = (
        "_awaits_head",
        "_buffer",
        "_cookie_head",
        "_informational",
        "_method",
        "_overhead",
        "_remaining",
        "_scanned",
        "_state",
        "_total",
        "_trailers",
        "keep_alive",
    )

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._awaits_head = False  # a response is expected, and nothing of it was received
        self._state: Callable[[bytes, int, list[Event]], int] = self._excess
        self._method = ""
        self._remaining = 0  # bytes of the body, or of the chunk
        self._total = 0  # bytes of a body of known length
        self._scanned = 0
        self._overhead = 0
        self._informational = 0
        # The last head that set cookies, with its bytes: others see nothing of it, and it goes with the connection.
        self._cookie_head: tuple[bytes, _FramedHead] | None = None
        self._trailers: list[Field] = []
        self.keep_alive = True  # as far as the last head told

    def expect(self, method: str) -> None:
        """Get ready for the response to a request with this method."""
        if self._buffer:
            raise RemoteProtocolError("the server sent bytes that no request asked for")
        self._method = method
        self._awaits_head = True

    @property
    def started(self) -> bool:
        """Whether any byte of the response that is expected has come."""
        return not self._awaits_head

    @property
    def done(self) -> bool:
        """Whether no response is being received."""
        return not self._awaits_head and self._state == self._excess

    @property
    def excess(self) -> bytes:
        """Bytes after the end of the response: a tunnel's first, or a fault of the server."""
        return bytes(self._buffer)

    def receive_whole(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Take a whole response, behind a head that was seen before, and return head and content.

        None when `data` is anything else: then nothing is taken, and it is for `receive_data`.
        """
        block, _, content = data.partition(b"\r\n\r\n")
        known = _heads.get(block)
        if known is None and self._cookie_head is not None and self._cookie_head[0] == block:
            known = self._cookie_head[1]
        if known is None or known.whole != len(content) or not self._awaits_head or self._method in _BODILESS:
            return None
        self._awaits_head = False
        self.keep_alive = known.keep_alive
        return known.head, content

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the server."""
        if self._awaits_head:
            self._awaits_head = False
            self._state = self._head
            self._informational = 0
        events: list[Event] = []
        size = len(data)
        position = 0
        while position < size:
            position = self._state(data, position, events)
        return events

    def receive_end(self) -> list[Event]:
        """Take the end of the server's bytes."""
        state = self._state
        self.keep_alive = False
        if self._awaits_head:
            raise RemoteProtocolError("the server closed the connection without an answer")
        if state == self._until_close:
            self._state = self._excess
            return [END]
        if state == self._head:
            raise RemoteProtocolError("the server closed the connection inside the response's head")
        if state == self._length:
            received = self._total - self._remaining
            raise RemoteProtocolError(
                f"the server closed the connection after {received} of {self._total} bytes of the body"
            )
        if state not in (self._excess, self._tunnel):
            raise RemoteProtocolError("the server closed the connection inside the chunked body")
        return []

    # The states

    def _head(self, data: bytes, position: int, events: list[Event]) -> int:
        buffer = self._buffer
        if not buffer:
            end = data.find(b"\r\n\r\n", position)
            if 0 <= end <= position + MAX_HEAD - 4:
                block = data[position:end]
                known = _heads.get(block)
                if known is None:
                    try:
                        known = _parse_head(block.split(b"\r\n"), block)
                    except _IrregularHead:
                        return self._buffered_head(data, position, events)
                    if known.head.sets_cookies and len(block) <= _MAX_CACHED_HEAD:
                        self._cookie_head = block, known
                events.append(known.head)
                self._frame(known, events)
                return end + 4
        return self._buffered_head(data, position, events)

    def _buffered_head(self, data: bytes, position: int, events: list[Event]) -> int:
        """Take a head that came in pieces, or that has irregular lines."""
        buffer = self._buffer
        buffered = len(buffer)
        buffer += data[position:]
        complete = _HEAD_END.search(buffer, max(self._scanned - 3, 0))
        if complete is None or complete.end() > MAX_HEAD:
            self._check_incomplete(buffer)
            return len(data)
        head = bytes(buffer)
        buffer.clear()
        self._scanned = 0
        size = complete.end()
        try:
            framed = _parse_head(head[: complete.start()].split(b"\r\n"), None)
        except _IrregularHead:
            lines, size = _regular_lines(head)
            framed = _parse_head(lines, None)
        events.append(framed.head)
        self._frame(framed, events)
        return position + size - buffered

    def _check_incomplete(self, buffer: bytearray) -> None:
        if not b"HTTP/1.".startswith(buffer[:7]):
            raise RemoteProtocolError(f"the server did not answer in HTTP/1: {bytes(buffer[:100])!r}")
        if len(buffer) > MAX_HEAD:
            raise RemoteProtocolError(f"the server sent a head of more than {MAX_HEAD} bytes")
        self._scanned = len(buffer)

    def _frame(self, framed: _FramedHead, events: list[Event]) -> None:
        """RFC 9112 §6.3: choose the state for what follows a head, case by case."""
        status = framed.head.status
        self.keep_alive = framed.keep_alive
        if status < 200:
            self._frame_interim(status)
        elif self._method == "CONNECT" and status < 300:
            self._state = self._tunnel
            self.keep_alive = False
        elif self._method == "HEAD" or status in {204, 304}:
            self._finish(events)
        elif framed.length is not None:
            self._total = self._remaining = framed.length
            if framed.length:
                self._state = self._length
            else:
                self._finish(events)
        elif framed.fault is not None:
            raise RemoteProtocolError(framed.fault)
        elif framed.chunked:
            self._trailers = []
            self._overhead = 0
            self._state = self._chunk_size
        else:
            self.keep_alive = False
            self._state = self._until_close

    def _frame_interim(self, status: int) -> None:
        if status == 101:
            self._state = self._tunnel
            self.keep_alive = False
            return
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise RemoteProtocolError(f"the server sent more than {MAX_INFORMATIONAL} informational responses")

    def _finish(self, events: list[Event], end: End = END) -> None:
        self._state = self._excess
        events.append(end)

    def _length(self, data: bytes, position: int, events: list[Event]) -> int:
        left = len(data) - position
        remaining = self._remaining
        if left < remaining:
            events.append(data[position:] if position else data)
            self._remaining = remaining - left
            return position + left
        events.append(data[position : position + remaining])
        self._remaining = 0
        self._finish(events)
        return position + remaining

    def _until_close(self, data: bytes, position: int, events: list[Event]) -> int:
        events.append(data[position:] if position else data)
        return len(data)

    def _tunnel(self, data: bytes, position: int, events: list[Event]) -> int:
        self._buffer += data[position:]
        return len(data)

    def _excess(self, data: bytes, position: int, events: list[Event]) -> int:
        self.keep_alive = False
        self._buffer += data[position : position + _MAX_EXCESS - len(self._buffer)]
        return len(data)

    def _line(self, data: bytes, position: int, limit: int) -> tuple[bytes | None, int]:
        """Return the next line of at most `limit` bytes without its CR LF, or None while it is incomplete."""
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        line = bytes(self._buffer + data[position:stop]) if self._buffer else data[position:stop]
        if len(line) > limit:
            raise RemoteProtocolError(f"the server sent a line of more than {limit} bytes inside a chunked body")
        if end < 0:
            self._buffer[:] = line
            return None, stop
        self._buffer.clear()
        if line[-2:] != b"\r\n":
            raise RemoteProtocolError(f"the server ended a line of a chunked body without CR LF: {line[:100]!r}")
        return line[:-2], stop

    def _chunk_size(self, data: bytes, position: int, events: list[Event]) -> int:
        line, position = self._line(data, position, MAX_CHUNK_LINE)
        if line is None:
            return position
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError(f"the server sent an invalid chunk size: {line[:100]!r}")
        digits = match[1]
        self._remaining = int(digits, 16)
        if len(line) > len(digits):
            self._count_extension(len(line) - len(digits))
        if self._remaining:
            self._state = self._chunk_data
        else:
            self._state = self._trailer
            self._overhead = 0
        return position

    def _count_extension(self, size: int) -> None:
        """RFC 9112 §7.1.1: limit chunk extensions, and white space in their place."""
        self._overhead = max(self._overhead + size - _PAID_BY_CONTENT * self._remaining, 0)
        if self._overhead > MAX_CHUNK_EXTENSIONS:
            raise RemoteProtocolError(f"the server sent over {MAX_CHUNK_EXTENSIONS} bytes of chunk extensions")

    def _chunk_data(self, data: bytes, position: int, events: list[Event]) -> int:
        piece = data[position : position + self._remaining]
        self._remaining -= len(piece)
        events.append(piece)
        if not self._remaining:
            self._state = self._chunk_end
        return position + len(piece)

    def _chunk_end(self, data: bytes, position: int, events: list[Event]) -> int:
        ending = bytes(self._buffer) + data[position : position + 2 - len(self._buffer)]
        if ending == b"\r\n":
            position += 2 - len(self._buffer)
            self._buffer.clear()
            self._state = self._chunk_size
            return position
        if ending != b"\r":
            raise RemoteProtocolError("the server sent a chunk longer than its size")
        self._buffer[:] = ending
        return len(data)

    def _trailer(self, data: bytes, position: int, events: list[Event]) -> int:
        line, position = self._line(data, position, MAX_TRAILER_LINE)
        if line is None:
            return position
        if not line:
            self._finish(events, End(self._trailers) if self._trailers else END)
            return position
        try:
            self._trailers.append((_field_lines.get(line) or _parse_field_line(line))[0])
        except _IrregularHead:
            raise RemoteProtocolError(f"the server folded a trailer line: {line[:100]!r}") from None
        self._overhead += len(line)
        if len(self._trailers) > MAX_FIELDS or self._overhead > MAX_HEAD:
            raise RemoteProtocolError(f"the server sent over {MAX_FIELDS} trailers or {MAX_HEAD} bytes of them")
        return position
