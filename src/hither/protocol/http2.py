"""HTTP/2 (RFC 9113), either side of a connection: bytes in, events out, no I/O.

`receive_data` takes the peer's bytes and returns the streams that something has happened to; each has its news in
`events`: a head, content as `bytes`, `End`, or `Reset`. What there is to send gathers until `data_to_send` takes it.
A stream's fault ends that stream. A connection's fault is told to the peer by GOAWAY and stands in `failure`.

A stream's states (§5.1), and where they are kept: idle streams have numbers that nobody has used yet, open ones
(half-closed ones too) are in `streams`, closed ones are in neither.

```
                       ┌─ END_STREAM comes ─► `ended` ────── END_STREAM goes ──┐
 idle ── HEADERS ──► open                                                      ├─► closed
                       ├─ END_STREAM goes ──► `sent_end` ─── END_STREAM comes ─┘
                       ├─ RST_STREAM comes ──────────────────────────────────────► closed
                       └─ RST_STREAM goes ───────────────────────────────────────► closed; `_resets`: frames that
                                                                                   were on their way are ignored
```
"""

from __future__ import annotations

from .._errors import LocalProtocolError, RemoteProtocolError
from . import http2_frames as h2
from .events import END, End, Reset
from .hpack import Decoder, Encoder, FieldsTooLarge, HPACKError
from .http2_fields import Malformed, read_request, read_response, read_trailers
from .http2_frames import (
    END_HEADERS,
    END_STREAM,
    HEADER_SIZE,
    LARGEST_ID,
    PADDED,
    Fault,
    StreamFault,
    header,
    read_header,
)
from .http2_stream import Stream

__all__ = ["HTTP2", "Stream"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .events import Event, Field
    from .hpack import Block
    from .http2_fields import Meaning

MAX_HEAD = 256 * 1024  # bytes of a header list, counted as §6.5.2 does; as in HTTP/1.1
MAX_FIELDS = 1000
MAX_BLOCK = 256 * 1024  # bytes of one header block before it is decompressed
MAX_CONTINUATIONS = 64  # frames of one header block: CVE-2024-27316
MAX_INFORMATIONAL = 32
MAX_SETTINGS = 32  # in one frame: CVE-2020-11080; nghttp2's
PATIENCE = 1000  # frames that change nothing, beyond those that were paid for: CVE-2019-9512, 9515, 9518; nghttp2's
_PAY = 2  # such frames for each read and each piece of content in it; WINDOW_UPDATEs for each head and piece we send
_LATE_FRAMES = 4  # such frames for each stream: what a server still says on those that were reset all at once
_RESET_COST = 10  # of a request that ends unanswered by its client's doing, in such frames: CVE-2023-44487, 2025-8671
_BYTES_AN_UPDATE = 256  # bytes of content that we send pay for a WINDOW_UPDATE: some peers read little at a time
_SMALL = 1024  # bytes: unread pieces up to here are joined, so that they do not cost more memory than the window says
_MAX_REMEMBERED = 1024  # streams that were reset, and whose last frames may still be on their way

STREAM_WINDOW = 256 * 1024  # bytes on their way to one stream at first
CONNECTION_WINDOW = LARGEST_STREAM_WINDOW = 16 * 1024 * 1024  # bytes
UNKNOWN_MAX_STREAMS = 100  # streams until the peer has said how many, §6.5.2
_UNLIKE_OTHERS = frozenset({"HEAD", "CONNECT", ""})  # responses to these, and requests, may not have Content-Length's
_BESIDE_FIELDS = PADDED | h2.HAS_PRIORITY
_MEASURE = b"bandwdth"  # a PING that measures how much arrives in one round trip


class HTTP2:
    """A connection's state. `client` says which side this is; `settings` go to the peer beside the usual ones."""

    __slots__ = (
        "_acknowledged",
        "_arrived",
        "_block",
        "_credited",
        "_decoder",
        "_encoder",
        "_forgotten",
        "_frame_in",
        "_frame_out",
        "_going_away",
        "_initial_window_in",
        "_initial_window_out",
        "_last_in",
        "_last_served",
        "_measured_from",
        "_next_id",
        "_only",
        "_out",
        "_patience",
        "_peer",
        "_preface",
        "_read_head",
        "_resets",
        "_rest",
        "_settings",
        "_stream_window",
        "_touched",
        "_updates",
        "client",
        "connect_protocol",
        "failure",
        "goaway",
        "max_streams",
        "pongs",
        "settled",
        "streams",
        "window_out",
    )

    def __init__(self, *, client: bool, max_streams: int = 100, settings: dict[int, int] | None = None) -> None:
        values = {h2.INITIAL_WINDOW_SIZE: STREAM_WINDOW, h2.MAX_HEADER_LIST_SIZE: MAX_HEAD}
        if client:
            values = {h2.ENABLE_PUSH: 0, **values}
        else:
            values = {h2.MAX_CONCURRENT_STREAMS: max_streams, **values, h2.ENABLE_CONNECT_PROTOCOL: 1}
        values.update(settings or {})
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.failure: RemoteProtocolError | None = None
        self.goaway: tuple[int, int, bytes] | None = None  # the peer's: last stream, code, debug data
        self.max_streams = UNKNOWN_MAX_STREAMS  # that the peer lets us open
        self.settled = False  # the peer's first SETTINGS have come
        self.connect_protocol = False  # the peer takes extended CONNECT, RFC 8441
        self.window_out = h2.DEFAULT_WINDOW
        self.pongs = 0
        self._peer = "server" if client else "client"
        self._settings = values
        self._acknowledged = False  # the peer has taken our settings
        self._next_id = 1 if client else 2
        self._last_in = 0  # the highest stream that the peer has opened
        self._last_served = 0  # the same, but for those that came after our GOAWAY
        self._going_away = False
        self._encoder = Encoder()
        self._decoder = Decoder(max_list_size=MAX_HEAD, max_fields=MAX_FIELDS)
        self._read_head: Callable[[Sequence[Field]], Meaning] = read_response if client else read_request
        self._frame_in = values.get(h2.MAX_FRAME_SIZE, h2.DEFAULT_FRAME)
        self._frame_out = h2.DEFAULT_FRAME
        self._initial_window_in = values[h2.INITIAL_WINDOW_SIZE]
        self._initial_window_out = h2.DEFAULT_WINDOW
        self._stream_window = self._initial_window_in  # what a stream's window may grow to
        self._arrived = 0  # bytes of content, with its padding, on all streams
        self._credited = 0  # of them, those for which the connection's window was filled up again
        self._measured_from = -1  # what had arrived when the measuring PING left; below zero when none is on its way
        self._patience = PATIENCE
        self._updates = PATIENCE  # WINDOW_UPDATEs that may come
        self._resets: dict[int, int] = {}  # streams that we reset → bytes that may still come for them
        self._forgotten = 0  # the highest that was there and had to make room
        self._rest = b""
        self._block: tuple[int, int, list[bytes]] | None = None  # a header block without its end: stream, flags, parts
        self._preface = b"" if client else h2.PREFACE
        self._only: int | None = h2.SETTINGS  # the one kind of frame that may come now, §3.4 and §4.3
        self._touched: list[Stream] = []
        self._out = [h2.PREFACE] if client else []
        self._out.append(h2.settings_frame(values))
        self._out.append(h2.window_update(0, CONNECTION_WINDOW - h2.DEFAULT_WINDOW))
        if values.get(h2.HEADER_TABLE_SIZE, 0) > h2.DEFAULT_TABLE:
            self._decoder.resize(values[h2.HEADER_TABLE_SIZE])

    # What goes out

    def data_to_send(self) -> bytes:
        """Take what has gathered for the peer."""
        out = self._out
        if len(out) == 1:
            data = out[0]
            out.clear()
            return data
        data = b"".join(out)
        out.clear()
        return data

    @property
    def wants_to_send(self) -> bool:
        """Whether something has gathered."""
        return bool(self._out)

    @property
    def open(self) -> bool:
        """Whether new streams can be opened, but for their number."""
        return self.failure is None and self.goaway is None and not self._going_away and self._next_id <= LARGEST_ID

    def open_stream(self, method: str, blocks: Sequence[Sequence[Field]], *, end: bool, owner: Any = None) -> Stream:
        """Send a request's head, §8.3.1, its fields in one or more parts; `end` when there is no content."""
        stream_id = self._next_id
        self._next_id += 2
        stream = Stream(stream_id, method, self._initial_window_out, self._initial_window_in, owner)
        self.streams[stream_id] = stream
        self._send_block(stream_id, blocks, end)
        stream.sent_end = end
        return stream

    def send_head(self, stream: Stream, fields: Sequence[Field], *, end: bool = False) -> None:
        """Send a response's head, or trailers with `end`."""
        self._check_sending(stream)
        if not stream.answered:
            stream.answered = True
            self._patience = min(self._patience + _RESET_COST, PATIENCE)
        self._send_block(stream.id, (fields,), end)
        if end:
            self._sent_end(stream)

    def send_data(self, stream: Stream, data: bytes | memoryview, *, end: bool = False) -> int:
        """Send content as far as the windows allow; returns how many bytes were taken. `end` counts with the last."""
        self._check_sending(stream)
        size = len(data)
        allowed = min(size, stream.window_out, self.window_out)
        if allowed <= 0:
            if size or not end:
                return 0
            allowed = 0
        position = 0
        while True:
            piece = data[position : position + min(self._frame_out, allowed - position)]
            position += len(piece)
            last = end and position == size
            length = len(piece)
            self._out.append(header.pack(length >> 8, length & 0xFF, h2.DATA, END_STREAM if last else 0, stream.id))
            if piece:
                self._out.append(piece)  # type: ignore[arg-type]  # join takes any buffer
            if position >= allowed:
                break
        stream.window_out -= allowed
        self.window_out -= allowed
        self._updates += _PAY + allowed // _BYTES_AN_UPDATE
        if end and allowed == size:
            self._sent_end(stream)
        return allowed

    def reset(self, stream: Stream, code: int = h2.CANCEL) -> None:
        """Give a stream up, §6.4; nothing more will happen to it."""
        if self.streams.pop(stream.id, None) is None:
            return
        if not stream.ended:
            self._remember(stream.id, max(stream._window_in + self._grace(), 0))
        stream.ended = stream.sent_end = True
        self._out.append(h2.rst_stream(stream.id, code))

    def consumed(self, stream: Stream, size: int) -> None:
        """The content was used: let the peer send as much again, and more when its reader is the one who waits."""
        stream._used += size
        if stream.ended:
            return
        unread = stream._received - stream._used
        if not unread and stream._target < self._stream_window:
            stream._target = self._stream_window
        room = stream._target - unread - stream._window_in
        if room * 2 >= stream._target:
            stream._window_in += room
            self._out.append(h2.window_update(stream.id, room))
            if self._measured_from < 0 and self._stream_window < LARGEST_STREAM_WINDOW:
                self._measured_from = self._arrived
                self._out.append(h2.frame(h2.PING, 0, 0, _MEASURE))

    def ping(self) -> None:
        """Ask whether the peer is there; `pongs` counts the answers."""
        self._out.append(h2.frame(h2.PING, 0, 0, b"areuthre"))

    def go_away(self, code: int = h2.NO_ERROR, debug: bytes = b"") -> None:
        """Tell the peer that no stream beyond those we know will be served, §6.8."""
        self._going_away = True
        self._out.append(h2.goaway(self._last_served, code, debug))

    def _send_block(self, stream_id: int, blocks: Sequence[Sequence[Field]], end: bool) -> None:
        block = b"".join(map(self._encoder.encode, blocks))
        flags = END_STREAM if end else 0
        most = self._frame_out
        size = len(block)
        if size <= most:
            self._out.append(header.pack(size >> 8, size & 0xFF, h2.HEADERS, flags | END_HEADERS, stream_id) + block)
        else:
            pieces = [block[at : at + most] for at in range(0, size, most)]
            self._out.append(h2.frame(h2.HEADERS, flags, stream_id, pieces[0]))
            for piece in pieces[1:-1]:
                self._out.append(h2.frame(h2.CONTINUATION, 0, stream_id, piece))
            self._out.append(h2.frame(h2.CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
        self._updates += _PAY

    def _check_sending(self, stream: Stream) -> None:
        if stream.sent_end:
            raise LocalProtocolError("the message is sent already")

    def _sent_end(self, stream: Stream) -> None:
        stream.sent_end = True
        if stream.ended:
            self.streams.pop(stream.id, None)

    # What comes in

    def receive_data(self, data: bytes) -> list[Stream]:
        """Take the peer's bytes; return the streams that have news. Look at `failure` and `goaway` afterwards."""
        if self.failure is not None:
            return []
        touched = self._touched = []
        if self._patience < PATIENCE:
            self._patience += _PAY
        if self._rest:
            data = self._rest + data
        try:
            self._rest = self._frames(data, self._take_preface(data) if self._preface else 0)
        except Fault as fault:
            self._fail(fault.code, str(fault))
        except HPACKError as error:
            self._fail(h2.COMPRESSION_ERROR, f"the header compression is broken: {error}")
        return touched

    def _frames(self, data: bytes, position: int) -> bytes:
        """Handle all frames that are there whole; return what is left of the data."""
        size = len(data)
        handlers = self._HANDLERS
        while size - position >= HEADER_SIZE:
            high, low, kind, flags, stream_id = read_header(data, position)
            length = high << 8 | low
            if self._only is not None and kind != self._only:
                raise self._out_of_place()
            if length > self._frame_in:
                raise Fault(h2.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start = position + HEADER_SIZE
            position = start + length
            if position > size:
                return data[start - HEADER_SIZE :]
            if kind < len(handlers):
                if stream_id > LARGEST_ID:
                    stream_id &= LARGEST_ID  # the reserved bit
                try:
                    handlers[kind](self, flags, stream_id, data[start:position])
                except StreamFault as fault:
                    self._fault(self.streams[stream_id], fault.code, str(fault))
            else:
                self._tire()  # §4.1: frames of unknown types are ignored
        return data[position:]

    def _out_of_place(self) -> Fault:
        if self.settled:
            return Fault(h2.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        return Fault(h2.PROTOCOL_ERROR, "the first frame is no SETTINGS frame: is HTTP/2 spoken there?")

    def _take_preface(self, data: bytes) -> int:
        preface = self._preface
        if not data.startswith(preface[: len(data)]):
            raise Fault(h2.PROTOCOL_ERROR, "the connection does not begin with HTTP/2's preface")
        if len(data) < len(preface):
            self._preface = preface[len(data) :]
            return len(data)
        self._preface = b""
        return len(preface)

    def _fail(self, code: int, message: str) -> None:
        """§5.4.1: the connection is of no more use."""
        said = f"the {self._peer} broke HTTP/2 ({h2.code_name(code)}): {message}"
        self.failure = RemoteProtocolError(said)
        self._rest = b""
        self.go_away(code)

    def _tire(self, by: int = 1) -> None:
        """Count a frame that changes nothing. A client has more patience the more it has asked for."""
        self._patience -= by
        if self._patience < 0 and (
            not self.client or self._patience < -_LATE_FRAMES * (len(self.streams) + len(self._resets))
        ):
            raise Fault(h2.ENHANCE_YOUR_CALM, "too many frames that change nothing")

    def _fault(self, stream: Stream, code: int, message: str) -> None:
        """§5.4.2: one stream is in error."""
        whole = stream.ended
        self.reset(stream, code)
        reason = f"the {self._peer} broke HTTP/2 on a stream ({h2.code_name(code)}): {message}"
        self._lose(stream, Reset(code, reason), whole=whole)

    def _cut_off(self, stream: Stream, code: int, reason: str, *, unprocessed: bool) -> None:
        """The peer gives a stream up."""
        whole = stream.ended
        del self.streams[stream.id]
        stream.ended = stream.sent_end = True
        self._lose(stream, Reset(code, reason, unprocessed=unprocessed and not stream.has_head), whole=whole)

    def _lose(self, stream: Stream, event: Reset, *, whole: bool) -> None:
        """A stream is over by the peer's doing. §8.1: a response that was there in `whole` stays so."""
        if not (whole and self.client):
            self._tell(stream, event)
        if not self.client:
            self._tire(1 if stream.answered else _RESET_COST)

    def _remember(self, stream_id: int, allowed: int) -> None:
        """Keep in mind a stream for which frames may still be on their way, `allowed` bytes of content at most."""
        if len(self._resets) >= _MAX_REMEMBERED:
            oldest = next(iter(self._resets))
            del self._resets[oldest]
            self._forgotten = max(self._forgotten, oldest)
        self._resets[stream_id] = allowed

    def _tell(self, stream: Stream, event: Event) -> None:
        if not stream.events:
            self._touched.append(stream)
        stream.events.append(event)

    def _is_idle(self, stream_id: int) -> bool:
        """Whether nobody has opened that stream yet, §5.1."""
        ours = stream_id % 2 == (1 if self.client else 0)
        return stream_id >= self._next_id if ours else stream_id > self._last_in

    def _without_stream(self, stream_id: int, flags: int, size: int = 0) -> None:
        """A frame for a stream that is not open: late when we reset it, an error otherwise, §5.1."""
        if not stream_id or self._is_idle(stream_id):
            raise Fault(h2.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which nobody has opened")
        allowed = self._resets.get(stream_id)
        if allowed is None:
            if stream_id > self._forgotten:
                raise Fault(h2.STREAM_CLOSED, f"a frame for stream {stream_id}, which is closed")
            self._tire()
        elif size > allowed:
            raise Fault(h2.FLOW_CONTROL_ERROR, f"more content than the window of stream {stream_id}, which was reset")
        elif flags & END_STREAM:
            del self._resets[stream_id]
        elif size:
            self._resets[stream_id] = allowed - size
        else:
            self._tire()

    def _unpadded(self, payload: bytes) -> bytes:
        """Take padding away, §6.1."""
        if not payload:
            raise Fault(h2.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
        if payload[0] >= len(payload):
            raise Fault(h2.PROTOCOL_ERROR, "more padding than frame")
        return payload[1 : len(payload) - payload[0]]

    # One method a frame type

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        arrived = self._arrived = self._arrived + size
        if arrived - self._credited >= CONNECTION_WINDOW // 2:
            self._credit()
        content = self._unpadded(payload) if flags & PADDED else payload
        stream = self.streams.get(stream_id)
        if stream is None:
            self._without_stream(stream_id, flags, size)
            return
        if stream.ended:
            raise StreamFault(h2.STREAM_CLOSED, "content after the end")
        if not stream.has_head:
            raise StreamFault(h2.PROTOCOL_ERROR, "content before the head")
        if size > stream._window_in and size > stream._window_in + self._grace():
            raise StreamFault(h2.FLOW_CONTROL_ERROR, "more content than the stream's window")
        stream._window_in -= size
        size = len(content)
        received = stream._received = stream._received + size
        if content is not payload:
            self.consumed(stream, 0)  # nobody reads padding, which takes room in the windows
        expected = stream._expected
        if expected is not None and received > expected:
            raise StreamFault(h2.PROTOCOL_ERROR, f"more content than expected: {expected} bytes")
        if size:
            if self._patience < PATIENCE:
                self._patience += _PAY
            events = stream.events
            if not events:
                self._touched.append(stream)
            elif size < _SMALL and type(last := events[-1]) is bytes and len(last) < _SMALL:
                events.pop()
                content = last + content
            events.append(content)
        elif not flags & END_STREAM:
            self._tire()
        if flags & END_STREAM:
            self._end(stream, END)

    def _grace(self) -> int:
        """Return how many bytes a stream's window may lack: a client starts before it knows that its is smaller."""
        return 0 if self._acknowledged else max(h2.DEFAULT_WINDOW - self._initial_window_in, 0)

    def _credit(self) -> None:
        """Give back what has come of the connection's window; the streams' own windows hold their readers' pace."""
        self._out.append(h2.window_update(0, self._arrived - self._credited))
        self._credited = self._arrived

    def _end(self, stream: Stream, end: End) -> None:
        """The peer's message is complete, if it is as long as it said, §8.1.1."""
        expected = stream._expected
        if expected is not None and stream._received != expected:
            message = f"the content ended after {stream._received} of {expected} bytes"
            raise StreamFault(h2.PROTOCOL_ERROR, message)
        stream.ended = True
        if stream.sent_end:
            del self.streams[stream.id]
        if not stream.events:
            self._touched.append(stream)
        stream.events.append(end)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "HEADERS without a stream")
        if flags & _BESIDE_FIELDS:
            payload = self._fragment(flags, payload)
        if flags & END_HEADERS:
            self._on_block(stream_id, flags, payload)
        else:
            self._block = (stream_id, flags, [payload])
            self._only = h2.CONTINUATION

    def _fragment(self, flags: int, payload: bytes) -> bytes:
        """Take away what stands beside the fields, §6.2."""
        if flags & PADDED:
            payload = self._unpadded(payload)
        if flags & h2.HAS_PRIORITY:
            if len(payload) < 5:
                raise Fault(h2.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            payload = payload[5:]
        return payload

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first_flags, parts = self._block
        parts.append(payload)
        if len(parts) > MAX_CONTINUATIONS or sum(map(len, parts)) > MAX_BLOCK:
            raise Fault(h2.ENHANCE_YOUR_CALM, f"a header block of {len(parts)} frames")
        if not payload:
            self._tire()
        if flags & END_HEADERS:
            self._block = self._only = None
            self._on_block(stream_id, first_flags, b"".join(parts))

    def _on_block(self, stream_id: int, flags: int, data: bytes) -> None:
        """A whole header block: a head, or trailers. It is decoded in any case, for both sides' tables stay in step."""
        try:
            block = self._decoder.decode(data)
        except FieldsTooLarge:
            block = None
        stream = self.streams.get(stream_id)
        if stream is None:
            if self.client or not stream_id % 2 or not self._is_idle(stream_id):
                self._without_stream(stream_id, flags)
                return
            stream = self._accept(stream_id)
            if stream is None:
                return
        if stream.ended:
            raise StreamFault(h2.STREAM_CLOSED, "fields after the end")
        if block is None:
            raise StreamFault(h2.ENHANCE_YOUR_CALM, f"fields of more than {MAX_HEAD} bytes")
        if stream.has_head:
            self._take_trailers(stream, block, flags)
        else:
            self._take_head(stream, block, flags)

    def _take_head(self, stream: Stream, block: Block, flags: int) -> None:
        meaning: Meaning | None = block.meaning
        if meaning is None:
            meaning = block.meaning = self._read_head(block.fields)
        head = meaning.head
        if meaning.interim:
            self._take_interim(stream, head, flags)
            return
        stream.has_head = True
        stream._expected = meaning.length
        if stream._method in _UNLIKE_OTHERS:
            if stream._method == "HEAD":
                stream._expected = 0
            elif meaning.tunnel:
                stream._expected = None
                stream._tunnel = True
        if not stream.events:
            self._touched.append(stream)
        stream.events.append(head)
        if flags & END_STREAM:
            self._end(stream, END)

    def _take_interim(self, stream: Stream, head: Event, flags: int) -> None:
        if flags & END_STREAM:
            raise Malformed("the response ends with an informational status")
        stream._interims += 1
        if stream._interims > MAX_INFORMATIONAL:
            raise Malformed(f"more than {MAX_INFORMATIONAL} informational responses")
        self._tell(stream, head)

    def _take_trailers(self, stream: Stream, block: Block, flags: int) -> None:
        if not flags & END_STREAM:
            raise Malformed("fields in the middle of the content")
        if stream._tunnel:
            raise Malformed("fields in a tunnel")
        trailers = read_trailers(block.fields)
        self._end(stream, End(trailers) if trailers else END)

    def _accept(self, stream_id: int) -> Stream | None:
        """A client opens a stream: None when it must not, §5.1.2."""
        self._last_in = stream_id
        if self._going_away:
            self._remember(stream_id, self._initial_window_in)
            self._tire()
            return None
        self._last_served = stream_id
        stream = Stream(stream_id, "", self._initial_window_out, self._initial_window_in, None)
        self.streams[stream_id] = stream
        if len(self.streams) > self._settings[h2.MAX_CONCURRENT_STREAMS]:
            self.reset(stream, h2.REFUSED_STREAM)
            self._tire(_RESET_COST)
            return None
        return stream

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != 5:
            kind = StreamFault if stream_id in self.streams else Fault
            raise kind(h2.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")
        self._tire()  # §5.3.2: it is read and ignored

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(h2.FRAME_SIZE_ERROR, f"RST_STREAM of {len(payload)} bytes")
        if not stream_id or self._is_idle(stream_id):
            raise Fault(h2.PROTOCOL_ERROR, "RST_STREAM for a stream that nobody has opened")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._resets.pop(stream_id, None)
            self._tire()
            return
        (code,) = h2.number.unpack(payload)
        reason = f"the {self._peer} gave the stream up: {h2.code_name(code)}"
        self._cut_off(stream, code, reason, unprocessed=code == h2.REFUSED_STREAM)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & h2.ACK:
            if payload:
                raise Fault(h2.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with content")
            self._on_acknowledged()
            return
        if len(payload) % 6:
            raise Fault(h2.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
        if len(payload) > MAX_SETTINGS * 6:
            raise Fault(h2.ENHANCE_YOUR_CALM, f"more than {MAX_SETTINGS} settings")
        if self.settled:
            self._tire()
        else:
            self.settled = True
            self._only = None
        for key, value in h2.setting.iter_unpack(payload):
            self._apply(key, value)
        self._out.append(h2.frame(h2.SETTINGS, h2.ACK, 0))

    def _on_acknowledged(self) -> None:
        """The peer has taken our settings: what is smaller by them than by default holds from now on."""
        if not self.settled:
            raise self._out_of_place()
        self._tire()
        if not self._acknowledged:
            self._acknowledged = True
            table = self._settings.get(h2.HEADER_TABLE_SIZE, h2.DEFAULT_TABLE)
            if table < h2.DEFAULT_TABLE:
                self._decoder.resize(table)

    def _apply(self, key: int, value: int) -> None:
        """Take one of the peer's settings, §6.5.2."""
        if key == h2.HEADER_TABLE_SIZE:
            self._encoder.resize(value)
        elif key == h2.ENABLE_PUSH:
            if value > (0 if self.client else 1):
                raise Fault(h2.PROTOCOL_ERROR, f"the setting ENABLE_PUSH is {value}")
        elif key == h2.MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif key == h2.INITIAL_WINDOW_SIZE:
            if value > h2.LARGEST_WINDOW:
                raise Fault(h2.FLOW_CONTROL_ERROR, f"the setting INITIAL_WINDOW_SIZE is {value}")
            self._resize_windows(value - self._initial_window_out)
            self._initial_window_out = value
        elif key == h2.MAX_FRAME_SIZE:
            if not h2.DEFAULT_FRAME <= value <= h2.LARGEST_FRAME:
                raise Fault(h2.PROTOCOL_ERROR, f"the setting MAX_FRAME_SIZE is {value}")
            self._frame_out = min(value, 64 * 1024)  # larger ones hold other streams up
        elif key == h2.ENABLE_CONNECT_PROTOCOL:
            if value > 1 or (self.connect_protocol and not value):
                raise Fault(h2.PROTOCOL_ERROR, f"the setting ENABLE_CONNECT_PROTOCOL is {value}")
            self.connect_protocol = bool(value)

    def _resize_windows(self, difference: int) -> None:
        """§6.9.2: a new initial window changes those of the open streams, even to below zero."""
        for stream in self.streams.values():
            stream.window_out += difference
            if stream.window_out > h2.LARGEST_WINDOW:
                raise Fault(h2.FLOW_CONTROL_ERROR, "a stream's window grew too large")

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise Fault(h2.PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise Fault(h2.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        self._tire()
        if not flags & h2.ACK:
            self._out.append(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif payload == _MEASURE:
            self._measured_round_trip()
        else:
            self.pongs += 1

    def _measured_round_trip(self) -> None:
        """Double the windows when they are what holds the peer up.

        The PING left when half a window was still open: most of that came before the answer.
        """
        if self._measured_from >= 0:
            if (self._arrived - self._measured_from) * 3 >= self._stream_window:
                self._stream_window = min(self._stream_window * 2, LARGEST_STREAM_WINDOW)
            self._measured_from = -1

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise Fault(h2.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise Fault(h2.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
        self._tire()
        self.goaway = last, code, debug = h2.read_goaway(payload)
        said = f" ({debug[:100].decode('ascii', 'replace')})" if debug else ""
        reason = f"the {self._peer} ends the connection: {h2.code_name(code)}{said}"
        for number, stream in list(self.streams.items()):
            if number > last and number % 2 == (1 if self.client else 0):
                self._cut_off(stream, code, reason, unprocessed=True)

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(h2.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} bytes")
        increment = h2.number.unpack(payload)[0] & h2.LARGEST_WINDOW
        self._updates -= 1
        if self._updates < 0:
            raise Fault(h2.ENHANCE_YOUR_CALM, "too many WINDOW_UPDATEs for what was sent")
        if not stream_id:
            if not increment:
                raise Fault(h2.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            self.window_out += increment
            if self.window_out > h2.LARGEST_WINDOW:
                raise Fault(h2.FLOW_CONTROL_ERROR, "the connection's window grew too large")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._is_idle(stream_id):
                raise Fault(h2.PROTOCOL_ERROR, f"WINDOW_UPDATE for stream {stream_id}, which nobody has opened")
            return
        if not increment:
            raise StreamFault(h2.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        stream.window_out += increment
        if stream.window_out > h2.LARGEST_WINDOW:
            raise StreamFault(h2.FLOW_CONTROL_ERROR, "the stream's window grew too large")

    _HANDLERS = (
        _on_data,
        _on_headers,
        _on_priority,
        _on_rst_stream,
        _on_settings,
        _on_push_promise,
        _on_ping,
        _on_goaway,
        _on_window_update,
        _on_continuation,
    )
