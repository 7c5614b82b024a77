"""The demo's server: small, real, in this process, on a free port of the loopback interface."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

POEM = "".join(f"{number}: hither and thither\n" for number in range(1, 1001))


class DemoServer(ThreadingHTTPServer):
    """Serves while it is entered; `url` is its origin. When it is left, its threads and sockets are gone."""

    request_queue_size = 512  # of the 200 connections that come at once, none waits for a second SYN
    daemon_threads = False  # server_close() joins them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.stopping = threading.Event()
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="demo-server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        with self._lock:
            for sock in self._open:
                _wake(sock)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, so that it can be ended, and serve it in a thread."""
        with self._lock:
            self.connections += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away, which the tour's time-out does on purpose."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _wake(sock: socket.socket) -> None:
    with suppress(OSError):  # the client was first
        sock.shutdown(socket.SHUT_RDWR)


class Pages:
    """What the server has to show: `/name` is answered by `on_name`, whatever version of HTTP it is asked in."""

    server: Any  # the `DemoServer`
    headers: Any  # the request's, with `get`
    body: bytes
    query: dict[str, str]

    def serve(self, target: str) -> None:
        """Answer a request whose headers and body are known."""
        parts = urlsplit(target)
        self.query = dict(parse_qsl(parts.query))
        page = getattr(self, "on_" + parts.path.strip("/"), None)
        if page is None:
            self.send(b"no such page", "text/plain", status=404)
        else:
            page()

    def send(self, content: bytes, media_type: str, *fields: tuple[str, str], status: int = 200) -> None:
        """Send a whole response."""
        raise NotImplementedError

    def send_pieces(self, pieces: Iterable[bytes], media_type: str) -> None:
        """Send a response piece by piece."""
        raise NotImplementedError

    def send_json(self, value: Any, *fields: tuple[str, str], status: int = 200) -> None:
        """Send JSON."""
        self.send(json.dumps(value).encode(), "application/json", *fields, status=status)

    def on_hello(self) -> None:
        """Greet."""
        self.send_json({"hello": self.query.get("name", "you")})

    def on_items(self) -> None:
        """Create what was sent."""
        self.send_json({"created": json.loads(self.body)}, ("Location", "/items/1"), status=201)

    def on_item(self) -> None:
        """Show one of many."""
        self.send_json({"item": int(self.query["n"])})

    def on_old(self) -> None:
        """Lead to a new place."""
        self.send_json({}, ("Location", "/hello?name=newcomer"), status=301)

    def on_login(self) -> None:
        """Set a cookie."""
        self.send_json({}, ("Set-Cookie", "visitor=ada; Path=/; HttpOnly"))

    def on_visitor(self) -> None:
        """Show the cookie."""
        self.send_json({"cookie": self.headers.get("Cookie")})

    def on_poem(self) -> None:
        """A thousand lines, each a piece."""
        self.send_pieces(POEM.encode().splitlines(keepends=True), "text/plain; charset=utf-8")

    def on_squeezed(self) -> None:
        """Show the poem in gzip."""
        self.send(gzip.compress(POEM.encode()), "text/plain", ("Content-Encoding", "gzip"))

    def on_upload(self) -> None:
        """Describe what was sent."""
        self.send_json(
            {
                "type": self.headers.get("Content-Type"),
                "length": len(self.body),
                "sha256": hashlib.sha256(self.body).hexdigest(),
            }
        )

    def on_slow(self) -> None:
        """Answer late."""
        self.server.stopping.wait(float(self.query["seconds"]))
        self.send_json({"slept": True})


class _Handler(Pages, BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    server_version = "demo"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one piece

    def handle(self) -> None:
        """Serve the connection in the version of HTTP that its first bytes are of (RFC 9113 §3.4)."""
        if self.connection.recv(4, socket.MSG_PEEK) == b"PRI ":
            from .demo_http2 import serve

            serve(self.connection, self.server)
        else:
            super().handle()

    def _serve(self) -> None:
        self.body = b"".join(self._body())
        self.serve(self.path)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 # the base's names

    def _body(self) -> Iterable[bytes]:
        """Read the request's body, chunked (RFC 9112 §7.1) or of a known length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def send(self, content: bytes, media_type: str, *fields: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_pieces(self, pieces: Iterable[bytes], media_type: str) -> None:
        """Send each piece as a chunk."""
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base's name
        """Keep the terminal to the tour."""
