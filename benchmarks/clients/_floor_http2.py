"""The bare floor over HTTP/2: frame headers are read, DATA is taken, and END_STREAM makes an answer.

Windows are as large as they may be. No field is decoded, no status looked at, no error handled.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from struct import Struct
from urllib.parse import urlsplit

BUFFER = memoryview(bytearray(256 * 1024))  # what comes from the socket
PLAIN = memoryview(bytearray(64 * 1024))  # and what TLS makes of it

HEAD = Struct(">BHBBL")  # RFC 9113 §4.1: the length's upper byte and its lower two, type, flags, stream
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM = ACK = 1
END_HEADERS = 4
WINDOW = 2**31 - 1
SETTING = Struct(">HL")
OPENING = b"".join(
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD.pack(0, 18, SETTINGS, 0, 0),
        SETTING.pack(1, 0),  # HEADER_TABLE_SIZE
        SETTING.pack(2, 0),  # ENABLE_PUSH
        SETTING.pack(4, WINDOW),  # INITIAL_WINDOW_SIZE: of a stream; none here needs more
        HEAD.pack(0, 4, WINDOW_UPDATE, 0, 0) + (WINDOW - 65535).to_bytes(4, "big"),
    ]
)
SETTINGS_ACK = HEAD.pack(0, 0, SETTINGS, ACK, 0)

Body = bytes | int


class _Target:
    """What is known of a URL before its requests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 443)
        path, authority = parts.path.encode(), parts.netloc.encode()
        # RFC 7541: GET and https are in the static table, the two others are literals without indexing.
        self.fields = b"\x82\x87\x04%c%s\x01%c%s" % (len(path), path, len(authority), authority)

    def request(self, stream: int) -> bytes:
        return HEAD.pack(0, len(self.fields), HEADERS, END_HEADERS | END_STREAM, stream) + self.fields


def _context(authority: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    return context


class _Frames:
    """What arrives on a connection. `deliver` is called with a stream and its body, or the size alone."""

    def __init__(self, write: Callable[[bytes], object], deliver: Callable[[int, Body], object]) -> None:
        self._write, self._deliver = write, deliver
        self.keep_body = True
        self._rest = b""  # of a frame that is not DATA, or of a frame's header
        self._missing = 0  # bytes of the DATA frame
        self._stream = self._ends = 0
        self._pieces: dict[int, list[bytes]] = {}
        self._size = 0
        self._used = 0  # of the connection's window

    def receive(self, size: int) -> None:
        """Take the first bytes of PLAIN."""
        data: bytes | memoryview = PLAIN[:size]
        if self._rest:
            data = self._rest + data
            self._rest, size = b"", len(data)
        at = 0
        while at < size:
            if self._missing:
                at = self._take(data, at, size)
                continue
            if size - at < 9:
                break
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            length = high << 16 | low
            if kind == DATA:
                self._missing, self._stream, self._ends = length, stream, flags & END_STREAM
                at += 9
                if not length and self._ends:
                    self._end()
                continue
            if size - at < 9 + length:
                break
            if kind == SETTINGS and not flags & ACK:
                self._write(SETTINGS_ACK)
            at += 9 + length
        if at < size:
            self._rest = bytes(data[at:])

    def _take(self, data: bytes | memoryview, at: int, size: int) -> int:
        end = min(at + self._missing, size)
        taken = end - at
        self._missing -= taken
        self._used += taken
        if self._used > WINDOW // 2:
            self._write(HEAD.pack(0, 4, WINDOW_UPDATE, 0, 0) + self._used.to_bytes(4, "big"))
            self._used = 0
        if not self.keep_body:
            self._size += taken
        elif self._stream in self._pieces:
            self._pieces[self._stream].append(bytes(data[at:end]))
        else:
            self._pieces[self._stream] = [bytes(data[at:end])]
        if self._ends and not self._missing:
            self._end()
        return end

    def _end(self) -> None:
        if self.keep_body:
            pieces = self._pieces.pop(self._stream)
            self._deliver(self._stream, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        else:
            size, self._size = self._size, 0
            self._deliver(self._stream, size)


class SyncHTTP2:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._context = _context(authority)
        self._targets: dict[str, _Target] = {}
        self._socket: ssl.SSLSocket | None = None
        self._next = 1
        self._body: Body | None = None

    def _connect(self, target: _Target) -> ssl.SSLSocket:
        plain = socket.create_connection(target.address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = self._context.wrap_socket(plain, server_hostname=target.address[0])
        sock.sendall(OPENING)
        self._frames = _Frames(sock.sendall, self._deliver)
        return sock

    def _deliver(self, stream: int, body: Body) -> None:
        self._body = body

    def get(self, url: str) -> Body:
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = _Target(url)
        sock = self._socket
        if sock is None:
            sock = self._socket = self._connect(target)
        sock.sendall(target.request(self._next))
        self._next += 2
        self._body = None
        receive, receive_into = self._frames.receive, sock.recv_into
        while self._body is None:
            receive(receive_into(PLAIN))
        return self._body

    def download(self, url: str) -> Body:
        self._frames.keep_body = False
        size = self.get(url)
        self._frames.keep_body = True
        return size

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _Connection(asyncio.BufferedProtocol):
    """Many exchanges at a time: `answers` has a future for each stream."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] | None = self._loop.create_future()
        self.frames = _Frames(self._send, self._deliver)
        self.answers: dict[int, asyncio.Future[Body]] = {}
        self._unsent: list[bytes] = []
        self._next = 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._shake_hands()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.transport.write(self._outgoing.read())
            return
        self._tls.write(OPENING)
        self.transport.write(self._outgoing.read())
        self.ready.set_result(None)
        self.ready = None

    def ask(self, target: _Target) -> asyncio.Future[Body]:
        answer = self.answers[self._next] = self._loop.create_future()
        self._send(target.request(self._next))
        self._next += 2
        return answer

    def _send(self, data: bytes) -> None:
        """All of one turn of the loop leaves in one write."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        self._tls.write(b"".join(self._unsent))
        self._unsent.clear()
        self.transport.write(self._outgoing.read())

    def _deliver(self, stream: int, body: Body) -> None:
        self.answers.pop(stream).set_result(body)

    def get_buffer(self, hint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, size: int) -> None:
        self._incoming.write(BUFFER[:size])
        if self.ready is not None:
            self._shake_hands()
            if self.ready is not None:
                return
        try:
            while size := self._tls.read(65536, PLAIN):
                self.frames.receive(size)
        except ssl.SSLWantReadError:
            pass

    def eof_received(self) -> bool:
        return False


class AsyncHTTP2:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._context = _context(authority)
        self._targets: dict[str, _Target] = {}
        self._connection: _Connection | None = None

    async def get(self, url: str) -> Body:
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = _Target(url)
        if self._connection is None:
            connection = _Connection(self._context, target.address[0])
            ready = connection.ready
            await asyncio.get_running_loop().create_connection(lambda: connection, *target.address)
            await ready
            self._connection = connection
        return await self._connection.ask(target)

    async def download(self, url: str) -> Body:
        frames = self._connection.frames
        frames.keep_body = False
        size = await self.get(url)
        frames.keep_body = True
        return size

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.transport.close()
