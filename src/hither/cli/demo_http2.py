"""The demo's server in HTTP/2, on the codec that the client has (RFC 9113; prior knowledge, §3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hither._headers import Headers
from hither.protocol.events import End, RequestHead
from hither.protocol.http2 import HTTP2

from .demo_server import Pages

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from hither.protocol.http2 import Stream

    from .demo_server import DemoServer


def serve(sock: socket.socket, server: DemoServer) -> None:
    """Serve one connection to its end, one request after the other as they are complete."""
    codec = HTTP2(client=False)
    while data := sock.recv(65536):
        for stream in codec.receive_data(data):
            _take(server, codec, stream)
        for stream in list(codec.streams.values()):
            if stream.owner is not None:
                stream.owner.push()
        sock.sendall(codec.data_to_send())
        if codec.failure is not None:
            return


def _take(server: DemoServer, codec: HTTP2, stream: Stream) -> None:
    """Take what came for one request; answer it when it is complete."""
    events, stream.events = stream.events, []
    for event in events:
        if isinstance(event, RequestHead):
            stream.owner = _Exchange(server, codec, stream, event)
        elif isinstance(event, bytes):
            stream.owner.body += event
            codec.consumed(stream, len(event))
        elif isinstance(event, End):
            stream.owner.serve((stream.owner.head.path or b"").decode("ascii"))


class _Exchange(Pages):
    """One request and its response."""

    def __init__(self, server: DemoServer, codec: HTTP2, stream: Stream, head: RequestHead) -> None:
        self.server = server
        self.head = head
        self.headers = Headers.from_raw(head.fields)
        self.body = b""
        self._codec = codec
        self._stream = stream
        self._unsent = b""

    def send(self, content: bytes, media_type: str, *fields: tuple[str, str], status: int = 200) -> None:
        described = [("Content-Type", media_type), ("Content-Length", str(len(content))), *fields]
        head = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in described]
        if self.head.method == "HEAD":
            content = b""
        self._codec.send_head(self._stream, [(b":status", b"%d" % status), *head], end=not content)
        self._unsent = content

    def send_pieces(self, pieces: Iterable[bytes], media_type: str) -> None:
        self.send(b"".join(pieces), media_type)

    def push(self) -> None:
        """Send as much of the content as the client has room for."""
        if self._unsent and not self._stream.sent_end:
            sent = self._codec.send_data(self._stream, self._unsent, end=True)
            self._unsent = self._unsent[sent:]
