"""HTTP/2 frames as they stand on the wire (RFC 9113 §4, §6, §7): types, flags, settings, error codes."""

from __future__ import annotations

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # §3.4

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)
ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441 §3

# §7
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(
    7
)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY, HTTP_1_1_REQUIRED = (
    range(7, 14)
)
_CODES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

DEFAULT_TABLE = 4096  # bytes, §6.5.2
DEFAULT_WINDOW = 65535  # bytes, §6.9.2
DEFAULT_FRAME = 16384  # bytes, §4.2
LARGEST_WINDOW = LARGEST_ID = 2**31 - 1
LARGEST_FRAME = 2**24 - 1

HEADER_SIZE = 9
header = Struct(">HBBBL")  # length in two parts, type, flags, stream
read_header = header.unpack_from
number = Struct(">L")
setting = Struct(">HL")
_two_numbers = Struct(">LL")


class Fault(Exception):
    """A connection error, §5.4.1."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StreamFault(Exception):
    """A stream error, §5.4.2: the connection goes on."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one frame.

    >>> frame(PING, ACK, 0, b"12345678").hex()
    '0000080601000000003132333435363738'
    """
    size = len(payload)
    return header.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings_frame(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame, §6.5."""
    return frame(SETTINGS, 0, 0, b"".join(setting.pack(key, value) for key, value in values.items()))


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame, §6.9."""
    return header.pack(0, 4, WINDOW_UPDATE, 0, stream_id) + number.pack(increment)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return an RST_STREAM frame, §6.4."""
    return header.pack(0, 4, RST_STREAM, 0, stream_id) + number.pack(code)


def goaway(last_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame, §6.8."""
    return frame(GOAWAY, 0, 0, _two_numbers.pack(last_id, code) + debug)


def read_goaway(payload: bytes) -> tuple[int, int, bytes]:
    """Return a GOAWAY frame's last stream, code and debug data."""
    last, code = _two_numbers.unpack_from(payload)
    return last & LARGEST_ID, code, payload[8:]


def code_name(code: int) -> str:
    """Name an error code.

    >>> code_name(REFUSED_STREAM), code_name(99)
    ('REFUSED_STREAM', 'code 99')
    """
    return _CODES[code] if code < len(_CODES) else f"code {code}"
