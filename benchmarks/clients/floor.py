"""The bare floor: what it costs to move the bytes with a socket or `asyncio.BufferedProtocol`, and no client at all.

It knows the servers here and does the least that works with them: no pool limits, no time-outs, no checks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit

from ._floor_http2 import AsyncHTTP2, SyncHTTP2

__all__ = ["Async", "AsyncHTTP2", "Sync", "SyncHTTP2", "make_client"]

BUFFER = memoryview(bytearray(256 * 1024))  # all connections of a loop receive here, one after another
PIECE = 64 * 1024  # bytes read from a file at once
END = b"\r\n\r\n"
LENGTH = b"Content-Length: "
BOUNDARY = b"0123456789abcdef0123456789abcdef"
FORM = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n\r\n' % BOUNDARY
FORM_END = b"\r\n--%s--\r\n" % BOUNDARY


class _Target:
    """What is known of a URL before its requests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.tls = parts.scheme == "https"
        self.base = f"{parts.scheme}://{parts.netloc}"
        cookie = "Cookie: session=0123456789abcdef; theme=dark\r\n" if parts.path == "/cookies" else ""
        self._start = f"{parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{cookie}"
        self.request = f"GET {self._start}\r\n".encode()
        self.keep = parts.path != "/closing"
        self.decode = _decoder(parts.path)

    def post(self, size: int, kind: str = "application/octet-stream") -> bytes:
        return f"POST {self._start}Content-Length: {size}\r\nContent-Type: {kind}\r\n\r\n".encode()

    def parts(self, path: str, *, form: bool) -> tuple[bytes, bytes]:
        """What goes before and after a file."""
        size = os.stat(path).st_size
        if not form:
            return self.post(size), b""
        size += len(FORM) + len(FORM_END)
        return self.post(size, f"multipart/form-data; boundary={BOUNDARY.decode()}") + FORM, FORM_END


def _decoder(path: str) -> Callable[[bytes], bytes] | None:
    if path.endswith(".gzip"):
        return lambda data: zlib.decompress(data, wbits=31)
    if path.endswith(".br"):
        import brotli

        return brotli.decompress
    if path.endswith(".zstd"):
        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        return zstd.decompress
    return None


def _frame(data: bytes) -> tuple[int, int]:
    """Where the body starts, and how long it is."""
    start = data.index(LENGTH) + len(LENGTH)
    return data.index(END) + 4, int(data[start : data.index(b"\r", start)])


class make_client:
    """What stands in for making a client: the one thing that all of them need before they can do TLS."""

    def __init__(self) -> None:
        ssl.create_default_context()

    def close(self) -> None:
        pass


def _context(authority: str | None) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=authority) if authority else None


class Sync:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._context = _context(authority)
        self._targets: dict[str, _Target] = {}
        self._free: list[socket.socket] = []
        self._session: ssl.SSLSession | None = None  # of the last TLS connection, to be resumed

    def _lease(self, url: str) -> tuple[_Target, socket.socket]:
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = _Target(url)
        if self._free:
            return target, self._free.pop()
        sock = socket.create_connection(target.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls:
            assert self._context is not None
            sock = self._context.wrap_socket(sock, server_hostname=target.address[0], session=self._session)
        return target, sock

    def get(self, url: str) -> bytes:
        target, sock = self._lease(url)
        sock.sendall(target.request)
        data = sock.recv(65536)
        start, length = _frame(data)
        body = data[start:]
        if len(body) < length:
            body = _receive_rest(sock, body, length)
        if target.keep:
            self._free.append(sock)
        else:
            if target.tls:
                self._session = sock.session
            sock.close()
        if data[9] == 51:  # 3xx
            return self.get(target.base + "/json")
        return target.decode(body) if target.decode else body

    def download(self, url: str) -> int:
        target, sock = self._lease(url)
        sock.sendall(target.request)
        data = sock.recv(65536)
        start, length = _frame(data)
        size = len(data) - start
        while size < length:
            size += sock.recv_into(BUFFER)
        self._free.append(sock)
        return size

    def upload(self, url: str, path: str) -> bytes:
        return self._post(url, path, form=False)

    def multipart(self, url: str, path: str) -> bytes:
        return self._post(url, path, form=True)

    def _post(self, url: str, path: str, *, form: bool) -> bytes:
        target, sock = self._lease(url)
        head, tail = target.parts(path, form=form)
        sock.sendall(head)
        piece = BUFFER[:PIECE]
        with open(path, "rb", buffering=0) as file:
            while size := file.readinto(piece):
                sock.sendall(piece[:size])
        if tail:
            sock.sendall(tail)
        data = sock.recv(65536)
        self._free.append(sock)
        return data[data.index(END) + 4 :]

    def close(self) -> None:
        for sock in self._free:
            sock.close()


def _receive_rest(sock: socket.socket, body: bytes, length: int) -> bytes:
    pieces, missing = [body], length - len(body)
    while missing:
        pieces.append(sock.recv(min(missing, 65536)))
        missing -= len(pieces[-1])
    return b"".join(pieces)


class _Connection(asyncio.BufferedProtocol):
    """One exchange at a time: `answer` is a future of the response's head and body."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[bytes, bytes | int]] | None = None
        self.keep_body = True
        self.writable: asyncio.Future[None] | None = None
        self._missing = 0
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.write = transport.write

    def get_buffer(self, hint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, size: int) -> None:
        if self._missing and not self.keep_body:
            self._missing -= size
            if not self._missing:
                self._deliver()
        else:
            self.received(bytes(BUFFER[:size]))

    def received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
            if self.keep_body:
                self._pieces.append(data)
        else:
            start, length = _frame(data)
            body = data[start:]
            self._missing = length - len(body)
            self._head = data
            if not self._missing:
                return self.answer.set_result((data, body))
            self._length = length
            self._pieces.append(body)
        if not self._missing:
            self._deliver()
        return None

    def _deliver(self) -> None:
        body = b"".join(self._pieces) if self.keep_body else self._length
        self._pieces.clear()
        self.answer.set_result((self._head, body))

    def pause_writing(self) -> None:
        self.writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self.writable.set_result(None)
        self.writable = None

    def eof_received(self) -> bool:
        return False


class _TLSConnection(_Connection):
    """The same through `ssl.MemoryBIO`, which costs less than the loops' own TLS."""

    def __init__(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> None:
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        self.ready: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write = self._encrypt
        self._shake_hands()

    def _encrypt(self, data: bytes) -> None:
        self.tls.write(data)
        self.transport.write(self._outgoing.read())

    def _shake_hands(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.transport.write(self._outgoing.read())
            return
        self.transport.write(self._outgoing.read())
        self.ready.set_result(None)
        self.ready = None

    def buffer_updated(self, size: int) -> None:
        self._incoming.write(BUFFER[:size])
        if self.ready is not None:
            return self._shake_hands()
        try:
            while self._incoming.pending or self.tls.pending():
                data = self.tls.read(65536)
                if not data:
                    return None
                self.received(data)
        except ssl.SSLWantReadError:
            pass
        return None


class Async:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._context = _context(authority)
        self._targets: dict[str, _Target] = {}
        self._free: list[_Connection] = []
        self._session: ssl.SSLSession | None = None  # of the last TLS connection, to be resumed

    async def _connect(self, target: _Target) -> _Connection:
        loop = asyncio.get_running_loop()
        if not target.tls:
            return (await loop.create_connection(_Connection, *target.address))[1]
        assert self._context is not None
        connection = _TLSConnection(self._context, target.address[0], self._session)
        ready = connection.ready
        await loop.create_connection(lambda: connection, *target.address)
        await ready
        return connection

    def _target(self, url: str) -> _Target:
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = _Target(url)
        return target

    async def get(self, url: str) -> bytes:
        target = self._target(url)
        connection = self._free.pop() if self._free else await self._connect(target)
        connection.answer = asyncio.get_running_loop().create_future()
        connection.write(target.request)
        head, body = await connection.answer
        if target.keep:
            self._free.append(connection)
        else:
            if target.tls:
                self._session = connection.tls.session
            connection.transport.close()
        if head[9] == 51:  # 3xx
            return await self.get(target.base + "/json")
        return target.decode(body) if target.decode else body

    async def download(self, url: str) -> int:
        target = self._target(url)
        connection = self._free.pop() if self._free else await self._connect(target)
        connection.answer, connection.keep_body = asyncio.get_running_loop().create_future(), False
        connection.write(target.request)
        _, size = await connection.answer
        connection.keep_body = True
        self._free.append(connection)
        return size

    async def upload(self, url: str, path: str) -> bytes:
        return await self._post(url, path, form=False)

    async def multipart(self, url: str, path: str) -> bytes:
        return await self._post(url, path, form=True)

    async def _post(self, url: str, path: str, *, form: bool) -> bytes:
        target = self._target(url)
        connection = self._free.pop() if self._free else await self._connect(target)
        head, tail = target.parts(path, form=form)
        connection.answer = asyncio.get_running_loop().create_future()
        connection.write(head)
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(PIECE):
                connection.write(piece)
                if connection.writable is not None:
                    await connection.writable
        if tail:
            connection.write(tail)
        _, body = await connection.answer
        self._free.append(connection)
        return body

    async def close(self) -> None:
        for connection in self._free:
            connection.transport.close()
