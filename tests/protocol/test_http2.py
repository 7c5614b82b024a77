"""The HTTP/2 codec by itself: what each rule of RFC 9113 makes of the bytes, and what a hostile peer may not do."""

import gc
import struct
import weakref
from random import Random

import pytest

from hither import LocalProtocolError
from hither.protocol import http2
from hither.protocol import http2_frames as h2
from hither.protocol.events import End, RequestHead, Reset, ResponseHead
from hither.protocol.http2 import HTTP2
from hither.protocol.http2_fields import lowered
from hither.protocol.http2_frames import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    frame,
    rst_stream,
    settings_frame,
    window_update,
)

EMPTY_SETTINGS = settings_frame({})
GET = ((b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/"))
POST = ((b":method", b"POST"), *GET[1:])
OK = ((b":status", b"200"),)
CONNECTION = "connection"


def number(value, bits=7):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(*fields):
    """A header block in its plainest form: it needs no table and changes none."""
    return b"".join(b"\x00" + number(len(n)) + n + number(len(v)) + v for n, v in fields)


def headers(stream_id, *fields, end=False, flags=END_HEADERS):
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream_id, block(*fields))


def data(stream_id, content=b"", *, end=False):
    return frame(DATA, END_STREAM if end else 0, stream_id, content)


def padded(kind, stream_id, content, padding, flags=0):
    return frame(kind, PADDED | flags, stream_id, bytes([padding]) + content + bytes(padding))


def setting(key, value):
    return settings_frame({key: value})


def said(codec):
    """The frames that the codec sends: type, flags, stream, payload."""
    out, frames = codec.data_to_send().removeprefix(PREFACE), []
    while out:
        high, low, kind, flags, stream_id = h2.header.unpack_from(out)
        end = h2.HEADER_SIZE + (high << 8 | low)
        frames.append((kind, flags, stream_id, out[h2.HEADER_SIZE : end]))
        out = out[end:]
    return frames


def a_client(**options):
    codec = HTTP2(client=True, **options)
    assert codec.receive_data(EMPTY_SETTINGS + frame(SETTINGS, ACK, 0)) == []
    said(codec)
    return codec


def a_server(**options):
    codec = HTTP2(client=False, **options)
    assert codec.receive_data(PREFACE + EMPTY_SETTINGS + frame(SETTINGS, ACK, 0)) == []
    said(codec)
    return codec


def ask(codec, fields=GET, *, end=True, owner=None):
    method = fields[0][1].decode()
    return codec.open_stream(method, [fields[:1], fields[1:]], end=end, owner=owner)


# What the streams are when a frame comes

WAITING, OPEN, CLOSED, RESET, BEGUN, REFUSED, ENDED, IDLE = 1, 3, 5, 7, 9, 11, 13, 15
PUSHED = 2


def client_in_the_middle():
    """WAITING for a head, OPEN in both directions, CLOSED, RESET by us, with a head (BEGUN), reset by the peer
    (REFUSED), ENDED by the peer alone."""
    codec = a_client()
    ask(codec)
    ask(codec, POST, end=False)
    ask(codec)
    gone = ask(codec)
    ask(codec)
    ask(codec)
    ask(codec, POST, end=False)
    codec.receive_data(headers(OPEN, *OK) + headers(CLOSED, *OK, end=True) + headers(BEGUN, *OK))
    codec.receive_data(rst_stream(REFUSED, REFUSED_STREAM) + headers(ENDED, *OK, end=True))
    codec.reset(gone)
    assert codec.failure is None
    said(codec)
    return codec


def server_in_the_middle():
    """As above: OPEN and BEGUN have content to come, WAITING and ENDED have not."""
    codec = a_server()
    codec.receive_data(headers(WAITING, *GET, end=True) + headers(OPEN, *POST))
    for stream in codec.receive_data(headers(CLOSED, *GET, end=True)):
        codec.send_head(stream, OK, end=True)
    for stream in codec.receive_data(headers(RESET, *POST)):
        codec.reset(stream)
    codec.receive_data(headers(BEGUN, *POST) + headers(REFUSED, *GET, end=True) + rst_stream(REFUSED, CANCEL))
    codec.receive_data(headers(ENDED, *GET, end=True))
    assert codec.failure is None
    said(codec)
    return codec


MUCH = 2**31 - 1
LARGE = bytes(16385)

# Section, name, bytes, error code (None for no error), and the stream in error or the connection.
EITHER_SIDE = [
    ("4.1", "a frame of an unknown type is ignored", frame(0xEE, 0xFF, BEGUN, b"what"), None, None),
    ("4.1", "unknown flags are ignored", frame(PING, ACK | 0xF0, 0, bytes(8)), None, None),
    ("4.1", "the reserved bit is ignored", frame(DATA, 0, BEGUN | 1 << 31, b"x"), None, None),
    ("4.2", "a DATA frame above the maximum", frame(DATA, 0, BEGUN, LARGE), FRAME_SIZE_ERROR, CONNECTION),
    ("4.2", "a HEADERS frame above the maximum", frame(HEADERS, 4, BEGUN, LARGE), FRAME_SIZE_ERROR, CONNECTION),
    ("4.2", "an unknown frame above the maximum", frame(0xEE, 0, 0, LARGE), FRAME_SIZE_ERROR, CONNECTION),
    ("4.2", "a DATA frame of the maximum", data(BEGUN, LARGE[1:]), None, None),
    ("4.3", "a broken header block", frame(HEADERS, 5, BEGUN, b"\xff\xff\xff\xff\xff"), COMPRESSION_ERROR, CONNECTION),
    ("4.3", "an index of nothing", frame(HEADERS, 5, BEGUN, b"\x80"), COMPRESSION_ERROR, CONNECTION),
    ("4.3", "a broken block of a reset stream", frame(HEADERS, 4, RESET, b"\x80"), COMPRESSION_ERROR, CONNECTION),
    (
        "4.3",
        "a header block that another stream interrupts",
        headers(BEGUN, flags=0, end=True) + data(OPEN, b"x"),
        PROTOCOL_ERROR,
        CONNECTION,
    ),
    (
        "5.5",
        "a header block that an unknown frame interrupts",
        headers(BEGUN, flags=0, end=True) + frame(0xEE, 0, BEGUN),
        PROTOCOL_ERROR,
        CONNECTION,
    ),
    ("5.1", "DATA on an idle stream", data(IDLE, b"x"), PROTOCOL_ERROR, CONNECTION),
    ("5.1", "RST_STREAM on an idle stream", rst_stream(IDLE, CANCEL), PROTOCOL_ERROR, CONNECTION),
    ("5.1", "WINDOW_UPDATE on an idle stream", window_update(IDLE, 1), PROTOCOL_ERROR, CONNECTION),
    ("5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, IDLE, bytes(5)), None, None),
    ("5.1", "DATA on a stream that the peer has ended", data(ENDED, b"x"), STREAM_CLOSED, ENDED),
    (
        "5.1",
        "HEADERS on a stream that the peer has ended",
        headers(ENDED, (b"a", b"b"), end=True),
        STREAM_CLOSED,
        ENDED,
    ),
    ("5.1", "WINDOW_UPDATE on a stream that the peer has ended", window_update(ENDED, 1), None, None),
    ("5.1", "PRIORITY on a stream that the peer has ended", frame(PRIORITY, 0, ENDED, bytes(5)), None, None),
    ("5.1", "DATA on a closed stream", data(CLOSED, b"x"), STREAM_CLOSED, CONNECTION),
    ("5.1", "HEADERS on a closed stream", headers(CLOSED, *OK, end=True), STREAM_CLOSED, CONNECTION),
    ("5.1", "WINDOW_UPDATE on a closed stream", window_update(CLOSED, 1), None, None),
    ("5.1", "RST_STREAM on a closed stream", rst_stream(CLOSED, NO_ERROR), None, None),
    ("5.1", "PRIORITY on a closed stream", frame(PRIORITY, 0, CLOSED, bytes(5)), None, None),
    ("5.1", "DATA on a stream that the peer has reset", data(REFUSED, b"x"), STREAM_CLOSED, CONNECTION),
    ("5.1", "RST_STREAM again", rst_stream(REFUSED, CANCEL), None, None),
    ("5.1", "DATA on a stream that we have reset", data(RESET, b"x"), None, None),
    ("5.1", "HEADERS on a stream that we have reset", headers(RESET, *OK), None, None),
    ("5.1", "WINDOW_UPDATE on a stream that we have reset", window_update(RESET, 1), None, None),
    ("5.1", "a second end on a stream that we have reset", data(RESET, end=True) * 2, STREAM_CLOSED, CONNECTION),
    (
        "5.1",
        "content after RST_STREAM on a stream that both have reset",
        rst_stream(RESET, CANCEL) + data(RESET, b"x"),
        STREAM_CLOSED,
        CONNECTION,
    ),
    ("6.1", "DATA without a stream", data(0, b"x"), PROTOCOL_ERROR, CONNECTION),
    ("6.1", "padding as long as the frame", frame(DATA, PADDED, BEGUN, b"\x02ab"), None, None),
    ("6.1", "padding longer than the frame", frame(DATA, PADDED, BEGUN, b"\x03ab"), PROTOCOL_ERROR, CONNECTION),
    ("6.1", "padding without its length", frame(DATA, PADDED, BEGUN, b""), FRAME_SIZE_ERROR, CONNECTION),
    ("6.2", "HEADERS without a stream", headers(0, *OK), PROTOCOL_ERROR, CONNECTION),
    ("6.2", "padding longer than HEADERS", frame(HEADERS, 12, BEGUN, b"\x03ab"), PROTOCOL_ERROR, CONNECTION),
    ("6.2", "HEADERS too short for a padding", frame(HEADERS, 12, BEGUN, b""), FRAME_SIZE_ERROR, CONNECTION),
    ("6.2", "HEADERS too short for a priority", frame(HEADERS, 0x24, BEGUN, bytes(4)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.3", "PRIORITY without a stream", frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL_ERROR, CONNECTION),
    ("6.3", "PRIORITY of 4 bytes", frame(PRIORITY, 0, BEGUN, bytes(4)), FRAME_SIZE_ERROR, BEGUN),
    ("6.3", "PRIORITY of 6 bytes on an idle stream", frame(PRIORITY, 0, IDLE, bytes(6)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.4", "RST_STREAM without a stream", rst_stream(0, CANCEL), PROTOCOL_ERROR, CONNECTION),
    ("6.4", "RST_STREAM of 3 bytes", frame(RST_STREAM, 0, BEGUN, bytes(3)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, BEGUN), PROTOCOL_ERROR, CONNECTION),
    ("6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.5", "SETTINGS with ACK and content", frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.5.2", "ENABLE_PUSH of 2", setting(2, 2), PROTOCOL_ERROR, CONNECTION),
    ("6.5.2", "ENABLE_PUSH of 0", setting(2, 0), None, None),
    ("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", setting(4, 2**31), FLOW_CONTROL_ERROR, CONNECTION),
    ("6.5.2", "INITIAL_WINDOW_SIZE of 2^31-1", setting(4, MUCH), None, None),
    ("6.5.2", "MAX_FRAME_SIZE of 16383", setting(5, 16383), PROTOCOL_ERROR, CONNECTION),
    ("6.5.2", "MAX_FRAME_SIZE of 2^24", setting(5, 2**24), PROTOCOL_ERROR, CONNECTION),
    ("6.5.2", "MAX_FRAME_SIZE of 2^24-1", setting(5, 2**24 - 1), None, None),
    ("6.5.2", "an unknown setting is ignored", setting(0xABCD, 2**32 - 1), None, None),
    ("6.6", "PUSH_PROMISE", frame(PUSH_PROMISE, 4, BEGUN, b"\0\0\0\2" + block(*GET)), PROTOCOL_ERROR, CONNECTION),
    ("6.7", "PING on a stream", frame(PING, 0, BEGUN, bytes(8)), PROTOCOL_ERROR, CONNECTION),
    ("6.7", "PING of 7 bytes", frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, BEGUN, bytes(8)), PROTOCOL_ERROR, CONNECTION),
    ("6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, BEGUN, bytes(3)), FRAME_SIZE_ERROR, CONNECTION),
    ("6.9", "WINDOW_UPDATE of 0 for the connection", window_update(0, 0), PROTOCOL_ERROR, CONNECTION),
    ("6.9", "WINDOW_UPDATE of 0 for a stream", window_update(OPEN, 0), PROTOCOL_ERROR, OPEN),
    ("6.9", "WINDOW_UPDATE with only the reserved bit", window_update(OPEN, 1 << 31), PROTOCOL_ERROR, OPEN),
    ("6.9.1", "the connection's window above its maximum", window_update(0, MUCH), FLOW_CONTROL_ERROR, CONNECTION),
    ("6.9.1", "a stream's window above its maximum", window_update(OPEN, MUCH), FLOW_CONTROL_ERROR, OPEN),
    (
        "6.9.2",
        "a stream's window above its maximum by a setting",
        window_update(OPEN, 1) + setting(4, MUCH),
        FLOW_CONTROL_ERROR,
        CONNECTION,
    ),
    ("6.10", "CONTINUATION of nothing", frame(CONTINUATION, 4, BEGUN), PROTOCOL_ERROR, CONNECTION),
    (
        "6.10",
        "CONTINUATION after the end of the block",
        headers(OPEN, (b"a", b"b"), end=True) + frame(CONTINUATION, 4, OPEN),
        PROTOCOL_ERROR,
        CONNECTION,
    ),
    (
        "6.10",
        "CONTINUATION on another stream",
        headers(BEGUN, flags=0, end=True) + frame(CONTINUATION, 4, OPEN),
        PROTOCOL_ERROR,
        CONNECTION,
    ),
    ("6.10", "CONTINUATION without a stream", frame(CONTINUATION, 4, 0), PROTOCOL_ERROR, CONNECTION),
    ("8.1", "fields in the middle of the content", headers(BEGUN, (b"a", b"b")), PROTOCOL_ERROR, BEGUN),
    ("8.1", "trailers with a pseudo-header field", headers(BEGUN, *OK, end=True), PROTOCOL_ERROR, BEGUN),
    ("8.2.2", "trailers with Connection", headers(BEGUN, (b"connection", b"x"), end=True), PROTOCOL_ERROR, BEGUN),
    ("8441", "ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), PROTOCOL_ERROR, CONNECTION),
    ("8441", "ENABLE_CONNECT_PROTOCOL taken back", setting(8, 1) + setting(8, 0), PROTOCOL_ERROR, CONNECTION),
]


def response(*fields, end=True):
    return headers(WAITING, *fields, end=end)


TO_A_CLIENT = [
    ("5.1", "RST_STREAM on a stream that the server has ended", rst_stream(ENDED, NO_ERROR), None, None),
    ("5.1.1", "HEADERS on an idle stream of ours", headers(IDLE, *OK), PROTOCOL_ERROR, CONNECTION),
    ("5.1.1", "HEADERS on a stream that the server may not open", headers(PUSHED, *OK), PROTOCOL_ERROR, CONNECTION),
    ("5.1.1", "DATA on a stream that the server may not open", data(PUSHED, b"x"), PROTOCOL_ERROR, CONNECTION),
    ("6.5.2", "ENABLE_PUSH of 1 from a server", setting(2, 1), PROTOCOL_ERROR, CONNECTION),
    ("8.1", "content before the head", data(WAITING, b"x"), PROTOCOL_ERROR, WAITING),
    ("8.1", "an informational head that ends the response", response((b":status", b"103")), PROTOCOL_ERROR, WAITING),
    ("8.1", "content after an informational head", response((b":status", b"103"), end=False) + data(1), 1, WAITING),
    ("8.1", "an informational head after the final one", headers(BEGUN, (b":status", b"103")), PROTOCOL_ERROR, BEGUN),
    (
        "8.1.1",
        "more content than Content-Length",
        response(*OK, (b"content-length", b"1"), end=False) + data(1, b"xy"),
        1,
        1,
    ),
    ("8.1.1", "less content than Content-Length", response(*OK, (b"content-length", b"1")), PROTOCOL_ERROR, WAITING),
    (
        "8.1.1",
        "less content than Content-Length before trailers",
        response(*OK, (b"content-length", b"1"), end=False) + response((b"a", b"b")),
        PROTOCOL_ERROR,
        WAITING,
    ),
    ("8.1.1", "two lengths", response(*OK, (b"content-length", b"0, 1")), PROTOCOL_ERROR, WAITING),
    ("8.1.1", "a length twice", response(*OK, (b"content-length", b"0"), (b"content-length", b"0")), None, None),
    ("8.1.1", "a negative length", response(*OK, (b"content-length", b"-1")), PROTOCOL_ERROR, WAITING),
    ("8.1.1", "a 204 may name a length", response((b":status", b"204"), (b"content-length", b"5")), None, None),
    ("8.1.1", "a 304 may name a length", response((b":status", b"304"), (b"content-length", b"5")), None, None),
    ("8.1.1", "a 304 has no content", response((b":status", b"304"), end=False) + data(1, b"x"), 1, WAITING),
    ("8.2.1", "a name in upper case", response(*OK, (b"Server", b"x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a name with a space", response(*OK, (b"a b", b"x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a name above ASCII", response(*OK, (b"\xe9", b"x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a name with a colon inside", response(*OK, (b"a:b", b"x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "an empty name", response(*OK, (b"", b"x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a value with NUL", response(*OK, (b"a", b"x\0y")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a value with CR", response(*OK, (b"a", b"x\ry")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a value with LF", response(*OK, (b"a", b"x\n")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a value that begins with a space", response(*OK, (b"a", b" x")), PROTOCOL_ERROR, WAITING),
    ("8.2.1", "a value that ends with a tab", response(*OK, (b"a", b"x\t")), PROTOCOL_ERROR, WAITING),
    (
        "8.2.1",
        "values of one character, with spaces inside, none",
        response(*OK, (b"a", b"x"), (b"b", b"x \t y"), (b"c", b"")),
        None,
        None,
    ),
    *(
        ("8.2.2", f"the field {name.decode()}", response(*OK, (name, b"x")), PROTOCOL_ERROR, WAITING)
        for name in (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te")
    ),
    ("8.2.2", "te: trailers", response(*OK, (b"te", b"trailers")), None, None),
    ("8.3", "an unknown pseudo-header field", response(*OK, (b":x", b"y")), PROTOCOL_ERROR, WAITING),
    ("8.3", "a pseudo-header field of requests", response(*OK, (b":path", b"/")), PROTOCOL_ERROR, WAITING),
    ("8.3", "a pseudo-header field after others", response((b"a", b"b"), *OK), PROTOCOL_ERROR, WAITING),
    ("8.3", "a pseudo-header field twice", response(*OK, *OK), PROTOCOL_ERROR, WAITING),
    ("8.3.2", "no status", response((b"a", b"b")), PROTOCOL_ERROR, WAITING),
    ("8.3.2", "no fields at all", response(), PROTOCOL_ERROR, WAITING),
    *(
        ("8.3.2", f"the status {status!r}", response((b":status", status)), PROTOCOL_ERROR, WAITING)
        for status in (b"", b"20", b"2000", b"099", b"20x", b"+20")
    ),
    ("8.6", "the status 101", response((b":status", b"101"), end=False), PROTOCOL_ERROR, WAITING),
]


def request(*fields, end=True):
    return headers(IDLE, *fields, end=end)


def without(name):
    return [field for field in GET if field[0] != name]


def instead(name, value):
    return [(field[0], value) if field[0] == name else field for field in GET]


TUNNEL = (b":method", b"CONNECT"), (b":authority", b"a:443")
EXTENDED = (b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]

TO_A_SERVER = [
    ("5.1.1", "a stream of an even number", headers(PUSHED, *GET), PROTOCOL_ERROR, CONNECTION),
    ("5.1.1", "a stream below the last one", headers(IDLE + 2, *GET) + headers(IDLE, *GET), STREAM_CLOSED, CONNECTION),
    ("5.1.1", "a stream that leaves numbers out", headers(IDLE + 100, *GET), None, None),
    ("6.5.2", "ENABLE_PUSH of 1 from a client", setting(2, 1), None, None),
    ("8.1.1", "less content than Content-Length", request(*POST, (b"content-length", b"1")), PROTOCOL_ERROR, IDLE),
    (
        "8.1.1",
        "more content than Content-Length",
        request(*POST, (b"content-length", b"1"), end=False) + data(IDLE, b"xy"),
        1,
        IDLE,
    ),
    ("8.2.1", "a name in upper case", request(*GET, (b"Accept", b"x")), PROTOCOL_ERROR, IDLE),
    ("8.2.2", "Transfer-Encoding", request(*GET, (b"transfer-encoding", b"chunked")), PROTOCOL_ERROR, IDLE),
    ("8.2.2", "te: gzip", request(*GET, (b"te", b"gzip")), PROTOCOL_ERROR, IDLE),
    ("8.3", "a pseudo-header field of responses", request(*GET, *OK), PROTOCOL_ERROR, IDLE),
    ("8.3", "a pseudo-header field after others", request(*GET[:3], (b"a", b"b"), GET[3]), PROTOCOL_ERROR, IDLE),
    *(
        ("8.3.1", f"no {name.decode()}", request(*without(name)), PROTOCOL_ERROR, IDLE)
        for name in (b":method", b":scheme", b":path", b":authority")
    ),
    *(
        ("8.3.1", f"an empty {name.decode()}", request(*instead(name, b"")), PROTOCOL_ERROR, IDLE)
        for name in (b":method", b":scheme", b":path", b":authority")
    ),
    *(
        ("8.3.1", f"{field[0].decode()} twice", request(*GET[:i], field, *GET[i:]), PROTOCOL_ERROR, IDLE)
        for i, field in enumerate(GET)
    ),
    ("8.3.1", "Host in place of :authority", request(*without(b":authority"), (b"host", b"a")), None, None),
    ("8.3.1", "Host as :authority", request(*GET, (b"host", b"A")), None, None),
    ("8.3.1", "Host unlike :authority", request(*GET, (b"host", b"b")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "two hosts", request(*without(b":authority"), (b"host", b"a"), (b"host", b"b")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "userinfo", request(*instead(b":authority", b"u@a")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "a path without a slash", request(*instead(b":path", b"x")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "a path with a space", request(*instead(b":path", b"/a b")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "an asterisk for GET", request(*instead(b":path", b"*")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "an asterisk for OPTIONS", request((b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")), None, None),
    ("8.3.1", "a method that is no token", request(*instead(b":method", b"G T")), PROTOCOL_ERROR, IDLE),
    ("8.3.1", "a scheme that is none", request(*instead(b":scheme", b"ht tp")), PROTOCOL_ERROR, IDLE),
    ("8.5", "CONNECT", request(*TUNNEL, end=False), None, None),
    ("8.5", "CONNECT with :path", request(*TUNNEL, GET[3], end=False), PROTOCOL_ERROR, IDLE),
    ("8.5", "CONNECT with :scheme", request(*TUNNEL, GET[1], end=False), PROTOCOL_ERROR, IDLE),
    ("8.5", "CONNECT without :authority", request(TUNNEL[0], end=False), PROTOCOL_ERROR, IDLE),
    ("8.5", "fields in a tunnel", request(*TUNNEL, end=False) + request((b"a", b"b")), PROTOCOL_ERROR, IDLE),
    ("8441", "extended CONNECT", request(*EXTENDED, end=False), None, None),
    ("8441", "extended CONNECT without :path", request(*EXTENDED[:-1], end=False), PROTOCOL_ERROR, IDLE),
    ("8441", "extended CONNECT without :scheme", request(*EXTENDED[:2], *GET[2:], end=False), PROTOCOL_ERROR, IDLE),
    ("8441", "extended CONNECT without :authority", request(*EXTENDED[:3], GET[3], end=False), PROTOCOL_ERROR, IDLE),
    ("8441", ":protocol with GET", request(*GET, (b":protocol", b"websocket")), PROTOCOL_ERROR, IDLE),
    (
        "8441",
        "a :protocol that is no token",
        request(EXTENDED[0], (b":protocol", b"a b"), *GET[1:]),
        PROTOCOL_ERROR,
        IDLE,
    ),
]

ERRORS = [
    pytest.param(role, sent, code, where, id=f"{role.__name__[:6]}-{section} {name}")
    for role, rows in (
        (client_in_the_middle, EITHER_SIDE + TO_A_CLIENT),
        (server_in_the_middle, EITHER_SIDE + TO_A_SERVER),
    )
    for section, name, sent, code, where in rows
]


@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("role", "sent", "code", "where"), ERRORS)
def test_errors(role, sent, code, where, piecewise):
    codec = role()
    streams = dict(codec.streams)
    for piece in [sent[i : i + 1] for i in range(len(sent))] if piecewise else [sent]:
        for stream in codec.receive_data(piece):
            streams[stream.id] = stream
    told = [one for one in said(codec) if one[0] in (RST_STREAM, GOAWAY)]
    if code is None:
        assert codec.failure is None
        assert told == []
        assert not any(isinstance(event, Reset) for stream in streams.values() for event in stream.events[-1:])
    elif where == CONNECTION:
        name = h2.code_name(code)
        assert f"({name})" in str(codec.failure)
        assert told[-1][0] == GOAWAY
        assert struct.unpack(">LL", told[-1][3])[1] == code
        assert codec.receive_data(EMPTY_SETTINGS) == []
        assert not codec.open
    else:
        assert codec.failure is None
        assert told == [(RST_STREAM, 0, where, struct.pack(">L", code))]
        assert where not in codec.streams
        if where == ENDED and role is client_in_the_middle:  # §8.1: what came in full is not taken back
            assert isinstance(streams[where].events[-1], End)
        else:
            reset = streams[where].events[-1]
            assert isinstance(reset, Reset)
            assert (reset.code, reset.unprocessed) == (code, False)
        assert streams[where].ended
        assert streams[where].sent_end
        # The others go on.
        other = OPEN if where == BEGUN else BEGUN
        codec.receive_data(data(other, b"x"))
        assert streams[other].events[-1] == b"x"


# §3.4: how a connection begins


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        PREFACE[:-1] + b"x",
        PREFACE + frame(PING, 0, 0, bytes(8)),
        PREFACE + frame(SETTINGS, ACK, 0),
        PREFACE + EMPTY_SETTINGS,
    ],
)
@pytest.mark.parametrize("piecewise", [False, True])
def test_the_client_s_preface(sent, piecewise):
    codec = HTTP2(client=False)
    for piece in [sent[i : i + 1] for i in range(len(sent))] if piecewise else [sent]:
        codec.receive_data(piece)
    begins = PREFACE.startswith(sent)
    assert codec.settled is (sent == PREFACE + EMPTY_SETTINGS)
    assert (codec.failure is None) is (begins or codec.settled)
    if codec.failure is not None:
        assert "PROTOCOL_ERROR" in str(codec.failure)


@pytest.mark.parametrize(
    "sent", [b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK, 0), headers(1, *OK)]
)
def test_the_server_s_first_frame_is_settings(sent):
    codec = HTTP2(client=True)
    ask(codec)
    codec.receive_data(sent)
    assert "is HTTP/2 spoken there?" in str(codec.failure)
    assert said(codec)[-1][3][4:] == struct.pack(">L", PROTOCOL_ERROR)


def test_what_each_side_says_first():
    client, server = HTTP2(client=True), HTTP2(client=False, max_streams=7)
    began = client.data_to_send()
    assert began.startswith(PREFACE + b"\0\0")
    assert not client.wants_to_send
    (kind, _, _, values), (_, _, _, window) = said(server)
    assert kind == SETTINGS
    assert dict(struct.iter_unpack(">HL", values)) == {3: 7, 4: 256 * 1024, 6: 256 * 1024, 8: 1}
    assert window == struct.pack(">L", 16 * 1024 * 1024 - 65535)
    server.receive_data(began)
    assert said(server) == [(SETTINGS, ACK, 0, b"")]
    assert server.window_out == 16 * 1024 * 1024
    assert server._initial_window_out == 256 * 1024


def test_settings_of_one_s_own_go_with_the_usual_ones_and_hold():
    codec = HTTP2(client=True, settings={h2.INITIAL_WINDOW_SIZE: 6 * 2**20, h2.MAX_FRAME_SIZE: 20000})
    values = dict(struct.iter_unpack(">HL", said(codec)[0][3]))
    assert values == {2: 0, 4: 6 * 2**20, 5: 20000, 6: 256 * 1024}
    stream = ask(codec)
    codec.receive_data(EMPTY_SETTINGS + headers(1, *OK) + data(1, bytes(20000)))
    assert codec.failure is None
    assert stream.events[1] == bytes(20000)
    codec.receive_data(data(1, bytes(20001)))
    assert "FRAME_SIZE_ERROR" in str(codec.failure)


# §8: messages


def test_a_request_and_its_response():
    client, server = HTTP2(client=True), HTTP2(client=False)
    owner = object()
    mine = client.open_stream("POST", [POST, ((b"a", b"b"),)], end=False, owner=owner)
    assert client.send_data(mine, b"hi", end=True) == 2
    (theirs,) = server.receive_data(client.data_to_send())
    head, content, end = theirs.events
    assert (head.method, head.scheme, head.authority, head.path, head.fields) == (
        "POST",
        b"https",
        b"a",
        b"/",
        [(b"a", b"b")],
    )
    assert content == b"hi"
    assert isinstance(end, End)
    server.send_head(theirs, [(b":status", b"103"), (b"link", b"x")])
    server.send_head(theirs, OK)
    server.send_data(theirs, b"hello")
    server.send_head(theirs, [(b"sum", b"1")], end=True)
    assert not server.streams
    (got,) = client.receive_data(server.data_to_send())
    assert got is mine
    assert got.owner is owner
    assert not client.streams
    early, head, content, end = mine.events
    assert (early.status, head.status, content, end.trailers) == (103, 200, b"hello", [(b"sum", b"1")])
    with pytest.raises(LocalProtocolError):
        client.send_data(mine, b"more")
    with pytest.raises(LocalProtocolError):
        server.send_head(theirs, OK)


def test_a_head_tells_what_the_fields_hold():
    codec = a_client()
    ask(codec)
    ask(codec)
    one, other = codec.receive_data(
        headers(1, *OK, (b"content-encoding", b"gzip"), (b"set-cookie", b"a=b"), end=True) + headers(3, *OK, end=True)
    )
    assert (one.events[0].coded, one.events[0].sets_cookies) == (True, True)
    assert (other.events[0].coded, other.events[0].sets_cookies) == (False, False)
    assert other.events[0].version == "HTTP/2"


def test_no_content_answers_head_whatever_the_fields_say():
    codec = a_client()
    stream = ask(codec, ((b":method", b"HEAD"), *GET[1:]))
    codec.receive_data(headers(1, *OK, (b"content-length", b"5"), end=True))
    assert isinstance(stream.events[-1], End)
    stream = ask(codec, ((b":method", b"HEAD"), *GET[1:]))
    codec.receive_data(headers(3, *OK, (b"content-length", b"5")) + data(3, b"hello"))
    assert isinstance(stream.events[-1], Reset)


def test_a_tunnel_has_no_length_and_no_trailers():
    codec = a_client()
    stream = ask(codec, TUNNEL, end=False)
    codec.receive_data(headers(1, *OK, (b"content-length", b"1")) + data(1, b"xyz"))
    assert stream.events[1] == b"xyz"
    codec.receive_data(headers(1, (b"a", b"b"), end=True))
    assert isinstance(stream.events[-1], Reset)
    refused = ask(codec, TUNNEL, end=False)
    codec.receive_data(headers(3, (b":status", b"407"), (b"content-length", b"3")) + data(3, b"xyz"))
    codec.receive_data(headers(3, (b"a", b"b"), end=True))
    assert refused.events[-1].trailers == [(b"a", b"b")]


def test_crumbs_of_a_cookie_are_joined():
    codec = a_server()
    (stream,) = codec.receive_data(headers(1, *GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d"), end=True))
    assert dict(stream.events[0].fields) == {b"x": b"y", b"cookie": b"a=b; c=d"}


def test_the_host_stands_for_the_authority():
    codec = a_server()
    (stream,) = codec.receive_data(headers(1, *without(b":authority"), (b"host", b"a:1"), end=True))
    assert stream.events[0].authority == b"a:1"


def test_what_of_http1_is_left_out():
    fields = [(b"Host", b"a"), (b"Connection", b"X-Hop, close"), (b"X-Hop", b"1"), (b"TE", b"trailers"), (b"A", b"B")]
    assert lowered(fields) == ((b"te", b"trailers"), (b"a", b"B"))
    assert lowered([(b"Upgrade", b"x"), (b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"5")]) == ()


def test_a_reset_after_the_response_takes_nothing_away():
    """§8.1: a server that has answered in full may ask for no more of the request."""
    codec = a_client()
    stream = ask(codec, POST, end=False)
    codec.receive_data(headers(1, *OK, end=True) + rst_stream(1, NO_ERROR))
    assert [type(event) for event in stream.events] == [ResponseHead, End]
    assert stream.sent_end
    assert not codec.streams


@pytest.mark.parametrize(
    ("before", "code", "unprocessed"),
    [(b"", REFUSED_STREAM, True), (b"", CANCEL, False), (headers(1, *OK), REFUSED_STREAM, False)],
)
def test_only_a_refused_request_may_be_sent_again(before, code, unprocessed):
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(before + rst_stream(1, code))
    reset = stream.events[-1]
    assert (reset.code, reset.unprocessed) == (code, unprocessed)
    assert h2.code_name(code) in reset.reason


def test_goaway_ends_the_streams_that_the_server_never_saw():
    codec = a_client()
    kept, begun, lost = ask(codec), ask(codec), ask(codec)
    codec.receive_data(headers(3, *OK))
    begun.events.clear()
    told = codec.receive_data(h2.goaway(1, ENHANCE_YOUR_CALM, b"too_many_pings"))
    assert told == [begun, lost]
    assert [stream.events[-1].unprocessed for stream in told] == [False, True]
    assert "too_many_pings" in lost.events[-1].reason
    assert codec.goaway == (1, ENHANCE_YOUR_CALM, b"too_many_pings")
    assert not codec.open
    assert codec.failure is None
    codec.receive_data(headers(1, *OK, end=True))
    assert isinstance(kept.events[-1], End)


def test_after_our_goaway_new_streams_are_ignored_and_old_ones_served():
    codec = a_server()
    (old,) = codec.receive_data(headers(1, *GET, end=True))
    codec.go_away()
    assert codec.receive_data(headers(3, *POST) + data(3, b"xyz") + data(3, end=True)) == []
    codec.send_head(old, OK, end=True)
    codec.go_away()
    frames = said(codec)
    assert [one[0] for one in frames] == [GOAWAY, HEADERS, GOAWAY]
    assert frames[0][3] == frames[2][3] == struct.pack(">LL", 1, NO_ERROR)
    assert codec.failure is None


def test_a_stream_beyond_the_number_is_refused():
    codec = a_server(max_streams=2)
    codec.receive_data(headers(1, *GET, end=True) + headers(3, *GET))
    assert codec.receive_data(headers(5, *GET, end=True)) == []
    assert said(codec) == [(RST_STREAM, 0, 5, struct.pack(">L", REFUSED_STREAM))]
    codec.reset(codec.streams[1])
    assert [stream.id for stream in codec.receive_data(headers(7, *GET, end=True))] == [7]


def test_a_server_hears_that_its_client_gave_up_what_it_asked_for():
    codec = a_server()
    (stream,) = codec.receive_data(headers(1, *GET, end=True))
    codec.receive_data(rst_stream(1, CANCEL))
    assert [type(event) for event in stream.events] == [RequestHead, End, Reset]
    assert stream.sent_end


def test_ping_is_answered_and_counts():
    codec = a_client()
    codec.receive_data(frame(PING, 0, 0, b"12345678"))
    assert said(codec) == [(PING, ACK, 0, b"12345678")]
    codec.ping()
    (ping,) = said(codec)
    codec.receive_data(frame(PING, ACK, 0, ping[3]))
    assert codec.pongs == 1
    assert said(codec) == []


def test_a_connection_that_nobody_holds_is_gone_at_once():
    class Owner:
        pass

    codec, owner = a_client(), Owner()
    ask(codec, owner=owner)
    codec.receive_data(headers(1, *OK))
    alive = weakref.ref(owner)
    gc.disable()
    try:
        del owner, codec
        assert alive() is None
    finally:
        gc.enable()


def test_numbers_run_out():
    codec = a_client()
    codec._next_id = h2.LARGEST_ID
    assert codec.open
    assert ask(codec).id == h2.LARGEST_ID
    assert not codec.open


# §4.3 and §6.10: header blocks in pieces


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("padding", [None, 0, 5])
@pytest.mark.parametrize("priority", [False, True])
def test_a_block_in_pieces(size, padding, priority):
    codec = a_client()
    ask(codec)
    whole = block(*OK, (b"a", b"b"))
    pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
    first, flags = pieces[0], END_STREAM | (END_HEADERS if len(pieces) == 1 else 0)
    if priority:
        first, flags = b"\x80\0\0\1\xff" + first, flags | HAS_PRIORITY
    if padding is not None:
        first, flags = bytes([padding]) + first + bytes(padding), flags | PADDED
    sent = frame(HEADERS, flags, 1, first)
    for i, piece in enumerate(pieces[1:], 2):
        sent += frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, 1, piece)
    (stream,) = codec.receive_data(sent)
    head, end = stream.events
    assert head.fields == [(b"a", b"b")]
    assert isinstance(end, End)


def test_a_large_block_is_sent_in_pieces():
    client, server = HTTP2(client=True), HTTP2(client=False)
    fields = tuple((b"x-%d" % i, b"%d" % i * 1000) for i in range(40))
    client.open_stream("GET", [GET, fields], end=True)
    sent = client.data_to_send()
    (stream,) = server.receive_data(sent)
    assert stream.events[0].fields == list(fields)
    kinds = [one[0] for one in said_of(sent.removeprefix(PREFACE))]
    assert kinds[2:4] == [HEADERS, CONTINUATION]


def said_of(sent):
    class Sent:
        def data_to_send(self):
            return sent

    return said(Sent())


# §6.9: flow control


def test_content_waits_for_the_windows():
    codec = a_client()
    stream = ask(codec, POST, end=False)
    content = bytes(100_000)
    assert codec.send_data(stream, content, end=True) == 65535
    assert codec.send_data(stream, content[65535:], end=True) == 0
    frames = said(codec)[1:]
    assert [len(one[3]) for one in frames] == [16384, 16384, 16384, 16383]
    assert not any(one[1] for one in frames)
    codec.receive_data(window_update(1, 100_000))
    assert codec.send_data(stream, content[65535:], end=True) == 0
    codec.receive_data(window_update(0, 20_000))
    assert codec.send_data(stream, content[65535:], end=True) == 20_000
    assert (stream.window_out, codec.window_out) == (80_000, 0)
    codec.receive_data(window_update(0, 20_000))
    assert codec.send_data(stream, content[85535:], end=True) == 14_465
    assert said(codec)[-1][1] == END_STREAM
    assert stream.sent_end


def test_an_end_without_content_needs_no_window():
    codec = a_client()
    stream = ask(codec, POST, end=False)
    codec.receive_data(setting(h2.INITIAL_WINDOW_SIZE, 0))
    assert codec.send_data(stream, b"x") == 0
    assert codec.send_data(stream, b"") == 0
    said(codec)
    assert codec.send_data(stream, b"", end=True) == 0
    assert said(codec) == [(DATA, END_STREAM, 1, b"")]


def test_a_window_may_be_below_zero():
    codec = a_client()
    stream = ask(codec, POST, end=False)
    codec.send_data(stream, bytes(60_000))
    codec.receive_data(setting(h2.INITIAL_WINDOW_SIZE, 10_000))
    assert stream.window_out == 10_000 - 60_000
    assert codec.send_data(stream, b"x") == 0
    codec.receive_data(window_update(1, 50_001))
    assert codec.send_data(stream, b"xy") == 1
    assert ask(codec, POST, end=False).window_out == 10_000


def test_larger_frames_are_sent_where_they_are_taken():
    codec = a_client()
    codec.receive_data(setting(h2.MAX_FRAME_SIZE, 2**24 - 1) + window_update(0, 2**20) + setting(4, 2**20))
    stream = ask(codec, POST, end=False)
    said(codec)
    codec.send_data(stream, memoryview(bytes(200_000)))
    assert [len(one[3]) for one in said(codec)] == [65536, 65536, 65536, 3392]


def test_windows_are_filled_up_as_content_is_used():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    said(codec)
    for _ in range(16):
        codec.receive_data(data(1, bytes(16384)))
    assert said(codec) == []  # nothing was used yet
    codec.receive_data(data(1, b"x"))
    assert [one[0] for one in said(codec)] == [RST_STREAM]
    assert stream.events[-1].code == FLOW_CONTROL_ERROR


def test_a_reader_who_waits_gets_a_larger_window():
    """The window grows while it is what holds the peer up: all of it comes within one round trip."""
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    said(codec)
    window = stream._window_in
    for _ in range(20):
        for _ in range(stream._window_in // 16384):
            codec.receive_data(data(1, bytes(16384)))
            codec.consumed(stream, 16384)
        for kind, flags, _, payload in said(codec):
            if kind == PING and not flags & ACK:
                codec.receive_data(frame(PING, ACK, 0, payload))
    assert window == http2.STREAM_WINDOW
    assert window * 8 < stream._window_in <= http2.LARGEST_STREAM_WINDOW
    assert codec.failure is None


def test_the_window_of_a_reader_who_is_behind_stays():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK) + data(1, bytes(16384)))
    codec._stream_window = http2.LARGEST_STREAM_WINDOW
    for _ in range(100):
        codec.receive_data(data(1, bytes(16384)) * 8)
        codec.consumed(stream, 16384 * 8)
    assert codec.failure is None
    assert stream._received - stream._used == 16384
    assert stream._window_in <= http2.STREAM_WINDOW


def test_the_connection_s_window_is_given_back_at_half():
    codec = a_client()
    half = http2.CONNECTION_WINDOW // 2
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    got = updates = 0
    while not updates:
        codec.receive_data(data(1, bytes(16384)))
        codec.consumed(stream, 16384)
        got += 16384
        updates = sum(struct.unpack(">L", one[3])[0] for one in said(codec) if one[0] == WINDOW_UPDATE and not one[2])
    assert got == updates == half
    assert codec._arrived == codec._credited


def test_padding_is_given_back_unread():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    for _ in range(10_000):
        codec.receive_data(padded(DATA, 1, b"x", 255))
        assert stream.events
        stream.events.clear()
        codec.consumed(stream, 1)
    assert codec.failure is None
    assert stream._received - stream._used == 0


def test_padding_alone_does_not_close_the_window():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    for _ in range(2000):
        codec.receive_data(padded(DATA, 1, b"", 255))
    codec.receive_data(data(1, b"x"))
    assert stream.events[1:] == [b"x"]


def test_a_small_window_holds_from_the_acknowledgement_on():
    """§6.9.3: the client starts with 65,535 bytes, whatever the server's settings say that it has not seen."""
    codec = HTTP2(client=False, settings={h2.INITIAL_WINDOW_SIZE: 1000})
    codec.receive_data(PREFACE + EMPTY_SETTINGS)
    (stream,) = codec.receive_data(headers(1, *POST) + data(1, bytes(16384)) * 3)
    assert codec.failure is None
    assert len(b"".join(stream.events[1:])) == 3 * 16384
    codec.receive_data(frame(SETTINGS, ACK, 0))
    said(codec)
    codec.consumed(stream, 3 * 16384)
    assert said(codec)[0] == (WINDOW_UPDATE, 0, 1, struct.pack(">L", 3 * 16384))
    codec.receive_data(data(1, bytes(1000)))
    assert stream.id in codec.streams
    codec.receive_data(data(1, b"x"))
    assert stream.events[-1].code == FLOW_CONTROL_ERROR


def test_a_small_table_holds_from_the_acknowledgement_on():
    for size in (0, 65536):
        codec = HTTP2(client=False, settings={h2.HEADER_TABLE_SIZE: size})
        codec.receive_data(PREFACE + EMPTY_SETTINGS)
        entry = b"\x40\x01x\x01y"
        codec.receive_data(frame(HEADERS, 5, 1, block(*GET) + entry) + frame(HEADERS, 5, 3, block(*GET) + b"\xbe"))
        assert codec.streams[3].events[0].fields == [(b"x", b"y")]
        update = b"\x3f\xe1\xff\x03" if size else b"\x20"
        codec.receive_data(frame(SETTINGS, ACK, 0) + frame(HEADERS, 5, 5, update + block(*GET)))
        assert codec.failure is None
        assert 5 in codec.streams
        if not size:
            codec.receive_data(frame(HEADERS, 5, 7, b"\x3f\x00" + block(*GET)))
            assert "COMPRESSION_ERROR" in str(codec.failure)


# Hostile peers


def flood(codec, sent, times, *, at_once=100):
    """Send something again and again until the codec has had enough; return after how many times."""
    for count in range(0, times, at_once):
        codec.receive_data(sent * at_once)
        codec.data_to_send()
        if codec.failure is not None:
            assert "ENHANCE_YOUR_CALM" in str(codec.failure)
            return count + at_once
    return None


FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "PING ACK": frame(PING, ACK, 0, bytes(8)),
    "SETTINGS": EMPTY_SETTINGS,
    "SETTINGS ACK": frame(SETTINGS, ACK, 0),
    "empty DATA": data(BEGUN),
    "nothing but padding": padded(DATA, BEGUN, b"", 3),
    "PRIORITY": frame(PRIORITY, 0, BEGUN, bytes(5)),
    "unknown": frame(0xEE, 0, 0),
    "WINDOW_UPDATE": window_update(OPEN, 1),
    "WINDOW_UPDATE of the connection": window_update(0, 1),
    "WINDOW_UPDATE of a closed stream": window_update(CLOSED, 1),
    "RST_STREAM of a closed stream": rst_stream(CLOSED, CANCEL),
    "HEADERS of a reset stream": headers(RESET, *OK),
    "empty DATA of a reset stream": data(RESET),
    "GOAWAY": h2.goaway(BEGUN, NO_ERROR),
}


@pytest.mark.parametrize("role", [client_in_the_middle, server_in_the_middle])
@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_the_connection(role, sent):
    assert flood(role(), sent, 100_000) <= 1200


@pytest.mark.parametrize("pause", [b"", data(BEGUN, b"x" * 100)], ids=["alone", "with content"])
def test_slow_pings_do_not(pause):
    codec = client_in_the_middle()
    for _ in range(20_000):
        codec.receive_data(FLOODS["PING"] + pause)
        codec.data_to_send()
        if pause:
            codec.streams[BEGUN].events.clear()
            codec.consumed(codec.streams[BEGUN], 100)
    assert codec.failure is None


def test_a_header_block_has_so_many_frames():
    codec = a_client()
    ask(codec)
    codec.receive_data(headers(1, *OK, flags=0) + frame(CONTINUATION, 0, 1, block((b"a", b"b"))) * 63)
    assert codec.failure is None
    codec.receive_data(frame(CONTINUATION, 0, 1, b"x"))
    assert "ENHANCE_YOUR_CALM" in str(codec.failure)


def test_a_header_block_has_so_many_bytes():
    codec = a_client()
    ask(codec)
    piece = block(*[(b"a", b"b" * 10)] * 1024)[:16384]
    codec.receive_data(headers(1, *OK, flags=0) + frame(CONTINUATION, 0, 1, piece) * 17)
    assert codec.failure is None
    codec.receive_data(frame(CONTINUATION, 0, 1, piece) * 2)
    assert "ENHANCE_YOUR_CALM" in str(codec.failure)


def test_empty_continuations_tire():
    codec = a_server(max_streams=10**6)
    stream_id = 1
    while codec.failure is None:
        sent = frame(HEADERS, END_STREAM, stream_id, block(*GET)) + frame(CONTINUATION, 0, stream_id) * 50
        codec.receive_data(sent + frame(CONTINUATION, END_HEADERS, stream_id))
        stream_id += 2
    assert stream_id < 100


def test_a_frame_has_so_many_settings():
    codec = a_client()
    codec.receive_data(frame(SETTINGS, 0, 0, struct.pack(">HL", 4, 5) * 32))
    assert codec.failure is None
    codec.receive_data(frame(SETTINGS, 0, 0, struct.pack(">HL", 4, 5) * 33))
    assert "ENHANCE_YOUR_CALM" in str(codec.failure)


def requests_until_it_is_over(codec, after):
    for count in range(1, 10_000):
        stream_id = 2 * count - 1
        codec.receive_data(headers(stream_id, *GET, end=True) + after(stream_id))
        codec.data_to_send()
        assert len(codec.streams) <= 1
        if codec.failure is not None:
            assert "ENHANCE_YOUR_CALM" in str(codec.failure)
            return count
    return None


@pytest.mark.parametrize(
    "after",
    [
        lambda stream_id: rst_stream(stream_id, CANCEL),
        lambda stream_id: window_update(stream_id, 0),
        lambda stream_id: window_update(stream_id, MUCH),
        lambda stream_id: frame(PRIORITY, 0, stream_id, b"x"),
        lambda stream_id: data(stream_id, b"x"),
    ],
    ids=["reset", "made to reset", "window too large", "broken priority", "content after the end"],
)
def test_a_client_cannot_give_up_request_after_request(after):
    """CVE-2023-44487, and CVE-2025-8671, where the server is made to reset."""
    assert requests_until_it_is_over(a_server(), after) <= 150


def test_a_client_may_give_up_what_was_answered():
    codec = a_server()
    for stream_id in range(1, 20_001, 2):
        (stream,) = codec.receive_data(headers(stream_id, *GET, end=True))
        codec.send_head(stream, OK)
        codec.send_data(stream, b"x")
        codec.receive_data(rst_stream(stream_id, CANCEL))
        codec.data_to_send()
    assert codec.failure is None


def test_a_client_may_give_up_every_second_request():
    codec = a_server()
    for stream_id in range(1, 20_001, 2):
        (stream,) = codec.receive_data(headers(stream_id, *GET, end=True))
        if stream_id % 4 == 1:
            codec.receive_data(rst_stream(stream_id, CANCEL))
        else:
            codec.send_head(stream, OK)
            codec.send_data(stream, b"x", end=True)
        codec.data_to_send()
    assert codec.failure is None


def test_refused_streams_tire():
    codec = a_server(max_streams=1)
    for stream_id in range(1, 1001, 2):
        codec.receive_data(headers(stream_id, *GET))
    assert "ENHANCE_YOUR_CALM" in str(codec.failure)
    assert len(codec._resets) < 200


def test_streams_after_our_goaway_tire():
    codec = a_server()
    codec.go_away()
    for stream_id in range(1, 10_001, 2):
        codec.receive_data(headers(stream_id, *GET, end=True) + frame(PRIORITY, 0, 1, bytes(5)) * 2)
    assert "ENHANCE_YOUR_CALM" in str(codec.failure)
    assert len(codec._resets) <= 1024


def test_fields_over_the_limit_cost_the_stream_and_not_the_connection():
    codec = a_client()
    stream, other = ask(codec), ask(codec)
    entry = b"\x40\x01x\x01y"  # goes into the table
    bomb = block(*OK, *[(b"a", b"b" * 1000)] * 8) + b"\xbe" * 2000  # 2,000 references to it
    codec.receive_data(frame(HEADERS, 5, 3, block(*OK) + entry))
    assert other.events[0].fields == [(b"x", b"y")]
    codec.receive_data(frame(HEADERS, END_STREAM | END_HEADERS, 1, bomb + b"\x40\x01z\x01z"))
    assert codec.failure is None
    assert stream.events[-1].code == ENHANCE_YOUR_CALM
    third = ask(codec)
    codec.receive_data(frame(HEADERS, 5, 5, block(*OK) + b"\xbe\xbf"))
    assert third.events[0].fields == [(b"z", b"z"), (b"x", b"y")]


def test_a_bomb_of_references_costs_the_stream():
    codec = a_client()
    ask(codec), ask(codec)
    codec.receive_data(frame(HEADERS, 5, 1, block(*OK) + b"\x40\x01x" + number(4000) + b"y" * 4000))
    (stream,) = codec.receive_data(frame(HEADERS, 5, 3, block(*OK) + b"\xbe" * 16000))
    assert stream.events[-1].code == ENHANCE_YOUR_CALM
    assert codec.failure is None


def test_informational_heads_come_to_an_end():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, (b":status", b"103")) * 32)
    assert stream.id in codec.streams
    codec.receive_data(headers(1, (b":status", b"103")))
    assert isinstance(stream.events[-1], Reset)


def test_late_content_is_allowed_up_to_the_window():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK) + data(1, bytes(16384)))
    codec.reset(stream)
    for _ in range(15):
        codec.receive_data(data(1, bytes(16384)))
    assert codec.failure is None
    assert len(stream.events) == 2
    assert codec._arrived - codec._credited == 16 * 16384
    codec.receive_data(data(1, b"x"))
    assert "FLOW_CONTROL_ERROR" in str(codec.failure)


def test_resets_are_remembered_so_long():
    codec = a_client()
    late = []
    for _ in range(5000):
        stream = ask(codec)
        codec.reset(stream)
        late.append(stream.id)
        codec.data_to_send()
    assert len(codec._resets) == 1024
    for stream_id in late[:400] + late[-1000:]:  # the first are forgotten, and still no error
        codec.receive_data(headers(stream_id, *OK) + data(stream_id, b"x", end=True))
    assert codec.failure is None
    assert len(codec._resets) == 24


def test_small_pieces_do_not_cost_more_than_they_hold():
    codec = a_client()
    stream = ask(codec)
    codec.receive_data(headers(1, *OK))
    for _ in range(100):
        codec.receive_data(data(1, b"xy") * 1000)
    assert len(stream.events) < 300
    assert b"".join(stream.events[1:]) == b"xy" * 100_000


# What heavy but honest use looks like


def test_many_uploads_with_many_window_updates():
    codec = a_client()
    piece = bytes(8192)
    for _ in range(10_000):
        stream = ask(codec, POST, end=False)
        for last in (False, True):
            assert codec.send_data(stream, piece, end=last) == 8192
            # A server that reads 2 KB at a time, and gives both windows back each time.
            codec.receive_data((window_update(0, 2048) + window_update(stream.id, 2048)) * 4)
        codec.data_to_send()
        codec.receive_data(headers(stream.id, *OK) + data(stream.id, b"ok", end=True))
    assert codec.failure is None
    assert codec.window_out == 65535
    assert not codec.streams


def test_one_large_upload_that_is_acknowledged_at_its_end():
    codec = a_client()
    codec.receive_data(setting(4, 2**24) + window_update(0, 2**24))
    stream = ask(codec, POST, end=False)
    assert codec.send_data(stream, bytes(2**24), end=True) == 2**24
    codec.receive_data((window_update(0, 4096) + window_update(1, 4096)) * 4096)
    assert codec.failure is None


def test_many_cancelled_downloads():
    codec = a_client()
    for _ in range(10_000):
        stream = ask(codec)
        codec.receive_data(headers(stream.id, *OK) + data(stream.id, bytes(5000)))
        codec.reset(stream)
        codec.receive_data(data(stream.id, bytes(5000)) * 3 + data(stream.id, end=True))
        codec.data_to_send()
    assert codec.failure is None
    assert not codec.streams
    assert not codec._resets


@pytest.mark.parametrize("how", ["reset by the server", "reset by us", "goaway"])
def test_thousands_of_streams_may_end_at_once(how):
    codec = a_client()
    codec.receive_data(setting(h2.MAX_CONCURRENT_STREAMS, 5000))
    streams = [ask(codec) for _ in range(codec.max_streams)]
    if how == "goaway":
        assert len(codec.receive_data(h2.goaway(0, NO_ERROR))) == 5000
    elif how == "reset by the server":
        assert len(codec.receive_data(b"".join(rst_stream(stream.id, CANCEL) for stream in streams))) == 5000
    else:
        for stream in streams[-1000:]:
            codec.reset(stream)
        late = b"".join(headers(one.id, *OK) * 3 + headers(one.id, (b"a", b"b"), end=True) for one in streams[-1000:])
        assert codec.receive_data(late) == []
    assert codec.failure is None


def test_many_requests_with_pings_between_them():
    codec = a_client()
    for _ in range(10_000):
        stream = ask(codec)
        codec.receive_data(FLOODS["PING"] * 2)
        codec.receive_data(FLOODS["unknown"] + headers(stream.id, *OK) + data(stream.id, b"x", end=True))
        codec.data_to_send()
    assert codec.failure is None


def test_many_requests_with_a_priority_each():
    codec = a_server()
    for stream_id in range(1, 20_001, 2):
        sent = frame(PRIORITY, 0, stream_id, bytes(5)) + headers(stream_id, *GET, end=True) + window_update(0, 1)
        (stream,) = codec.receive_data(sent)
        assert isinstance(stream.events[0], RequestHead)
        codec.send_head(stream, OK)
        codec.send_data(stream, b"x", end=True)
        codec.data_to_send()
    assert codec.failure is None
    assert not codec.streams


# Whatever comes


def heads_of(stream):
    return [
        (event.status, event.fields, event.coded, event.sets_cookies) if isinstance(event, ResponseHead) else event
        for event in stream.events
        if not isinstance(event, End)
    ]


def test_what_is_cached_is_what_was_decoded():
    """Blocks that come again, before and after the table changes, mean what a fresh codec makes of them."""
    entry = b"\x40\x01x\x01y"
    blocks = [
        b"\x88" + block((b"server", b"x"), (b"set-cookie", b"a=b")),
        b"\x88" + block((b"content-encoding", b"gzip")),
        b"\x88" + entry,
        b"\x88\xbe",
        b"\x8d",
        b"\x88\xbe\xbe",
    ]
    random = Random(1)
    codec, history = a_client(), []
    for _ in range(100):
        chosen = random.choice(blocks[: 3 if len(history) < 10 else 6])
        history.append(chosen)
        stream = ask(codec)
        codec.receive_data(frame(HEADERS, 5, stream.id, chosen))
        fresh = a_client()
        for i, one in enumerate(history):
            last = ask(fresh)
            fresh._decoder._blocks.clear(), fresh._decoder._lasting.clear()
            fresh.receive_data(frame(HEADERS, 5, 2 * i + 1, one))
        assert heads_of(stream) == heads_of(last)


def test_the_same_block_is_a_head_to_one_and_trailers_to_another():
    codec = a_client()
    first, second = ask(codec), ask(codec)
    codec.receive_data(headers(1, *OK) + headers(3, *OK))
    codec.receive_data(headers(1, *OK, end=True))
    assert isinstance(first.events[-1], Reset)
    codec.receive_data(headers(3, (b"a", b"b"), end=True))
    assert second.events[-1].trailers == [(b"a", b"b")]
    third = ask(codec)
    codec.receive_data(headers(5, (b"a", b"b"), end=True))
    assert isinstance(third.events[-1], Reset)


def an_honest_conversation(random):
    """What an honest peer sends: the frames of some exchanges, in a possible order."""
    frames = []
    for stream_id in range(1, 12, 2):
        one = [headers(stream_id, *OK, *[(b"a", b"b")] * random.randrange(3))]
        one += [data(stream_id, bytes(random.choice([0, 1, 100, 5000]))) for _ in range(random.randrange(3))]
        one.append(random.choice([data(stream_id, b"x", end=True), headers(stream_id, (b"t", b"x"), end=True)]))
        frames += one
    frames += [FLOODS["PING"], EMPTY_SETTINGS, window_update(0, 100), setting(4, 100), setting(5, 20000)]
    frames += [frame(PUSH_PROMISE, 4, 1, bytes(4)), h2.goaway(7, 0), rst_stream(3, 8)][: random.randrange(3) // 2 * 3]
    return frames


def damaged(frames, random):
    """The same, with frames and bytes missing, doubled and changed."""
    frames = list(frames)
    for _ in range(random.randrange(4)):
        i = random.randrange(len(frames))
        frames[i : i + 1] = random.choice([[], [frames[i]] * 2, [frames[i], random.choice(frames)]])
        frames = frames or [EMPTY_SETTINGS]
    sent = bytearray(b"".join(frames))
    for _ in range(random.choice([0, 0, 1, 2, 10])):
        sent[random.randrange(len(sent))] = random.choice([random.randrange(256), 0, 1, 255])
    return bytes(sent)


def some_frames(random):
    """Frames that are whole and mean little."""
    sent = b""
    for _ in range(random.randrange(1, 60)):
        payload = random.choice(
            [b"", bytes(4), bytes(8), block(*OK), block(*GET), random.randbytes(random.randrange(20))]
        )
        flags = random.choice([0, 1, 4, 5, 8, 0x20, 0x2D, random.randrange(256)])
        sent += frame(random.randrange(12), flags, random.choice([0, 1, 2, 3, 5, 7, 9, 11, 2**31 + 1]), payload)
    return sent


@pytest.mark.parametrize("role", [client_in_the_middle, server_in_the_middle, a_client, a_server])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_a_peer_sends_raises_or_piles_up(role, seed):
    random = Random(seed)
    for _ in range(200):
        codec = role()
        for stream in list(codec.streams.values()):
            stream.events.clear()
        sent = random.choice(
            [
                lambda: damaged(an_honest_conversation(random), random),
                lambda: some_frames(random),
                lambda: random.randbytes(random.choice([1, 9, 100, 3000])),
            ]
        )()
        known = {}
        while sent:
            size = random.choice([1, 8, 9, 10, 100, 10**6])
            for stream in codec.receive_data(sent[:size]):
                known[stream.id] = stream
            sent = sent[size:]
            if random.random() < 0.1 and codec.streams:
                stream = random.choice(list(codec.streams.values()))
                random.choice([codec.reset, lambda one: codec.consumed(one, one._received - one._used)])(stream)
        assert len(codec._rest) < h2.HEADER_SIZE + h2.DEFAULT_FRAME
        assert len(codec._resets) <= 1024
        for stream in known.values():
            ends = [event for event in stream.events if isinstance(event, End | Reset)]
            assert len(ends) <= (1 if codec.client else 2)
            assert all(isinstance(event, Reset) for event in ends[1:])
            assert stream.ended is isinstance(stream.events[-1], End | Reset) or stream.id not in codec.streams
        if codec.failure is not None:
            assert codec.receive_data(PREFACE + EMPTY_SETTINGS) == []
        elif codec.goaway is None:
            assert codec.open
