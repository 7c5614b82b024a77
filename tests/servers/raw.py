r"""A server of raw sockets that does exactly what a script says, byte for byte, and records what it was sent.

A script is a function of one `Connection`, or a list of steps, each a function of one `Connection` or plain
bytes to send. Each accepted connection runs the next script; the last one serves all further connections.

    with RawServer([head(), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]) as server:
        ...  # server.url("/"), server.connections[0].received, server.requests

Nothing here sleeps: a script waits for bytes, for the peer's end, or for a `threading.Event`. What goes wrong in
a script (an assertion, a bug) is raised when the server is left; a peer that goes away only ends its script.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Step = Callable[["Connection"], Any] | bytes
Script = Callable[["Connection"], Any] | Sequence[Step]

LIMIT = 10.0  # seconds that any single wait of a script may take before the test is called stuck


class PeerGone(Exception):
    """The client closed or reset the connection where the script wanted bytes."""


class Head:
    """One request head as it was received."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        line, *fields = raw[:-4].split(b"\r\n")
        self.method, self.target, self.version = line.split(b" ")
        self.fields = [(name, value.strip()) for name, _, value in (f.partition(b":") for f in fields)]

    def get(self, name: str, default: bytes | None = None) -> bytes | None:
        found = self.get_all(name)
        return found[0] if found else default

    def get_all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.lower().encode()]

    def __repr__(self) -> str:
        return f"<Head {self.method!r} {self.target!r}>"


class Connection:
    """One accepted connection: what a script acts on and what a test looks at afterwards."""

    def __init__(self, server: RawServer, sock: socket.socket, index: int) -> None:
        self.server, self.sock, self.index = server, sock, index
        self.received = bytearray()
        self.requests: list[Head] = []
        self.bodies: list[bytes] = []
        self.ended = threading.Event()  # the script is over and the socket closed
        self.peer_closed = False
        self._taken = 0

    # -- reading

    def more(self) -> bytes:
        """Wait for any bytes; raises `PeerGone` at the end."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            self.peer_closed = True
            raise PeerGone from error
        if not data:
            self.peer_closed = True
            raise PeerGone
        self.received += data
        return data

    def until(self, mark: bytes) -> bytes:
        while (at := self.received.find(mark, self._taken)) < 0:
            self.more()
        return self._take(at + len(mark))

    def exactly(self, size: int) -> bytes:
        while len(self.received) - self._taken < size:
            self.more()
        return self._take(self._taken + size)

    def _take(self, end: int) -> bytes:
        data = bytes(self.received[self._taken : end])
        self._taken = end
        if not self.server.records:
            del self.received[:end]
            self._taken = 0
        return data

    def head(self) -> Head:
        """The next request's head."""
        head = Head(self.until(b"\r\n\r\n"))
        with self.server.changed:
            if not self.server.records:
                self.requests.clear()
                self.bodies.clear()
                self.server.requests.clear()
            self.requests.append(head)
            self.server.requests.append(head)
            self.server.changed.notify_all()
        return head

    def body(self) -> bytes:
        """The body that belongs to the last head, by Content-Length or chunked."""
        head = self.requests[-1]
        if (head.get("transfer-encoding") or b"").lower() == b"chunked":
            body = self._chunked()
        else:
            body = self.exactly(int(head.get("content-length") or 0))
        self.bodies.append(body)
        return body

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        while self.until(b"\r\n") != b"\r\n":
            pass
        return body

    def until_closed(self) -> None:
        """Read, and record, until the client closes."""
        try:
            while True:
                self.more()
        except PeerGone:
            pass

    # -- writing

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PeerGone from error

    def send_pieces(self, pieces: Iterable[bytes]) -> None:
        """Send each piece by itself, and where the kernel tells, only after the one before was read."""
        for piece in pieces:
            if piece:
                self.send(piece)
                self._until_read()

    def send_bytewise(self, data: bytes) -> None:
        self.send_pieces(data[i : i + 1] for i in range(len(data)))

    def _until_read(self) -> None:
        """Linux: look until the client's receive queue is empty, at most 200 times: it may be reading no more."""
        if not sys.platform.startswith("linux") or self.sock.family != socket.AF_INET:
            return
        try:
            host, port = self.sock.getpeername()
        except OSError as error:
            raise PeerGone from error
        client = b"%s:%04X" % (_proc_address(host), port)
        for _ in range(200):
            if not _receive_queue(client):
                return
            os.sched_yield()

    def endless(self, block: bytes, first: bytes = b"") -> None:
        """Send `first`, then `block` again and again until the client is gone; 64 MiB is taken for endless."""
        self.send(first)
        for _ in range(64 * 2**20 // len(block)):
            self.send(block)
        raise AssertionError("the client read 64 MiB of what should have been refused")

    # -- waiting and ending

    def wait(self, event: threading.Event) -> None:
        self.server.waited.append(event)
        if not event.wait(LIMIT):
            raise AssertionError("the event that this script waits for never came")
        if self.server.stopping:
            raise PeerGone

    def half_close(self) -> None:
        """Send the end of this side, keep reading."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise PeerGone from error

    def close(self) -> None:
        """An orderly end (FIN)."""
        _shut(self.sock)
        self.ended.set()

    def reset(self) -> None:
        """Drop the connection with a reset (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.ended.set()

    def start_tls(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def run(self, script: Script) -> None:
        if callable(script):
            script(self)
            return
        for step in script:
            if isinstance(step, bytes):
                self.send(step)
            else:
                step(self)


class RawServer:
    """Listens on a free loopback port, or on a Unix socket; a context manager."""

    records = True  # False: forget what was dealt with, for servers that live long

    def __init__(
        self,
        *scripts: Script,
        tls: ssl.SSLContext | None = None,
        uds: str | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.scripts = scripts
        self.tls = tls
        self.connections: list[Connection] = []
        self.requests: list[Head] = []
        self.changed = threading.Condition()
        self.waited: list[threading.Event] = []
        self.stopping = False
        self.failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        if uds is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(uds)
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.socket(family)
            self._listener.bind((host, 0))
            self.host, self.port = host, self._listener.getsockname()[1]
        self._listener.listen(512)

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.origin + path

    def wait_for(self, ready: Callable[[RawServer], bool]) -> None:
        """Wait until `ready(server)`, looked at after each request head and each new or ended connection."""
        with self.changed:
            if not self.changed.wait_for(lambda: ready(self), LIMIT):
                raise AssertionError(f"not reached: {self.connections}, {self.requests}")

    def __enter__(self) -> RawServer:
        self._acceptor = threading.Thread(target=self._accept, name="raw-accept")
        self._acceptor.start()
        return self

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopping:
                sock.close()
                return
            if sock.family != getattr(socket, "AF_UNIX", None):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                connection = Connection(self, sock, len(self.connections))
                self.connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,), name="raw-serve")
                self._threads.append(thread)
                self.changed.notify_all()
            thread.start()

    def _serve(self, connection: Connection) -> None:
        script = self.scripts[min(connection.index, len(self.scripts) - 1)]
        try:
            if self.tls is not None:
                connection.start_tls(self.tls)
            connection.run(script)
        except PeerGone:
            pass
        except (ConnectionError, ssl.SSLError) as error:
            if self.tls is None:
                self.failures.append(error)
        except BaseException as error:  # raised again in the test's own thread
            if not self.stopping:
                self.failures.append(error)
        finally:
            if not connection.ended.is_set():
                connection.close()
            with self.changed:
                self.changed.notify_all()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stopping = True
        for event in self.waited:
            event.set()
        for connection in self.connections:
            _shut(connection.sock, only_wake=True)
        with socket.socket(self._listener.family) as waker:
            waker.connect(self._listener.getsockname())
            self._acceptor.join(LIMIT)
        self._listener.close()
        for thread in [*self._threads, self._acceptor]:
            thread.join(LIMIT)
            assert not thread.is_alive(), f"{thread} did not end"
        if kind is None and self.failures:
            raise self.failures[0]


def _shut(sock: socket.socket, *, only_wake: bool = False) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    if not only_wake:
        sock.close()


def _proc_address(host: str) -> bytes:
    return b"%08X" % struct.unpack("=I", socket.inet_aton(host))[0]


def _receive_queue(address: bytes) -> int:
    """Bytes that wait to be read by the socket with this local address, from /proc/net/tcp."""
    with open("/proc/self/net/tcp", "rb") as table:
        for line in table:
            columns = line.split()
            if columns[1] == address:
                return int(columns[4].partition(b":")[2], 16)
    return 0


# -- steps: functions that return a step


def head() -> Step:
    """Read a request head."""
    return lambda connection: connection.head()


def request() -> Step:
    """Read a request head and its body."""

    def step(connection: Connection) -> None:
        connection.head()
        connection.body()

    return step


def bytewise(data: bytes) -> Step:
    """Send one byte at a time."""
    return lambda connection: connection.send_bytewise(data)


def pieces(*data: bytes) -> Step:
    """Send each piece by itself."""
    return lambda connection: connection.send_pieces(data)


def endless(block: bytes, first: bytes = b"") -> Step:
    """Send `block` until the client is gone."""
    return lambda connection: connection.endless(block, first)


def wait(event: threading.Event) -> Step:
    """Wait for the test to set `event`."""
    return lambda connection: connection.wait(event)


def until_closed(connection: Connection) -> None:
    """Read until the client closes; never answer."""
    connection.until_closed()


def close(connection: Connection) -> None:
    """Close in order."""
    connection.close()


def half_close(connection: Connection) -> None:
    """Close this side's sending half."""
    connection.half_close()


def reset(connection: Connection) -> None:
    """Drop the connection with a reset."""
    connection.reset()


def response(
    body: bytes = b"",
    *fields: str,
    status: str = "200 OK",
    length: int | None = None,
) -> bytes:
    """The bytes of a response with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(body: bytes = b"", *fields: str, status: str = "200 OK") -> list[Step]:
    """Read one request, answer it."""
    return [request(), response(body, *fields, status=status)]


def keep_answering(make: Callable[[Head], bytes] | bytes) -> Script:
    """Answer request after request on the one connection until the client closes it."""

    def script(connection: Connection) -> None:
        while True:
            got = connection.head()
            connection.body()
            connection.send(make(got) if callable(make) else make)

    return script
