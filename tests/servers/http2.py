r"""HTTP/2 servers on raw sockets: one that does what a script says, and the echo server.

The PyPI library `h2` keeps the state and refuses to misbehave; what it refuses is sent beside it, frame by frame.

    def script(peer: Peer) -> None:
        got = peer.request()
        peer.respond(got, b"hello")
        peer.raw(goaway(got.id, NO_ERROR))

    with RawServer(http2(script)) as server:
        ...  # server.url("/"), server.connections[0].peer.exchanges
"""

from __future__ import annotations

import select
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame as frames
from h2.settings import SettingCodes, Settings

from .echo import Call, EchoServer
from .raw import Connection, Head, PeerGone, Script

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11

MAX_STREAMS = SettingCodes.MAX_CONCURRENT_STREAMS
WINDOW = SettingCodes.INITIAL_WINDOW_SIZE
TABLE = SettingCodes.HEADER_TABLE_SIZE
FRAME = SettingCodes.MAX_FRAME_SIZE

Fields = list[tuple[bytes, bytes]]


class Exchange:
    """One stream: what the client has sent on it so far."""

    def __init__(self, stream_id: int, fields: Fields) -> None:
        self.id = stream_id
        self.fields = fields
        self.body = bytearray()
        self.size = 0  # of the body, also where it is not kept
        self.ended = False
        self.reset: int | None = None  # the client's error code
        self.answered = False

    def get(self, name: str) -> bytes | None:
        return next((value for key, value in self.fields if key == name.encode()), None)

    @property
    def method(self) -> bytes:
        return self.get(":method") or b""

    @property
    def target(self) -> bytes:
        return self.get(":path") or b""

    def __repr__(self) -> str:
        return f"<Exchange {self.id} {self.method!r} {self.target!r}>"


class Peer:
    """The server's side of one connection. Whatever waits reads, and keeps the connection's rules meanwhile."""

    def __init__(self, connection: Connection, *, keeps: bool = True) -> None:
        self.connection = connection
        self.exchanges: dict[int, Exchange] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None  # the client's
        self.pings = 0  # that the client has sent
        self.pongs = 0
        self.credits = True  # give back at once what flow control counts; False: `credit` does
        self.silent = False  # True: what the protocol asks for is not sent yet
        self.send = connection.send
        self._keeps = keeps  # bodies
        self._untaken: deque[Exchange] = deque()
        configuration = h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.state = h2.connection.H2Connection(configuration)

    def start(self, settings: dict[Any, int] | None = None, window: int = 0) -> None:
        """Send the first SETTINGS; `window`: bytes that the connection's window is larger than at first."""
        values = {**self.state.local_settings, **(settings or {})}
        self.state.local_settings = Settings(client=False, initial_values=values)
        self.state.max_inbound_frame_size = values[FRAME]
        self.state.initiate_connection()
        if window:
            self.state.increment_flow_control_window(window)
        self.flush()

    # -- reading

    def pump(self) -> None:
        """Wait for any bytes and take note of what they say."""
        self.take(self.connection.more())

    def take(self, data: bytes) -> None:
        for event in self.state.receive_data(data):
            self._note(event)
        self.flush()
        server = self.connection.server
        with server.changed:
            server.changed.notify_all()

    def _note(self, event: Any) -> None:
        exchange = self.exchanges.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.RequestReceived):
            exchange = Exchange(event.stream_id, [(bytes(name), bytes(value)) for name, value in event.headers])
            self.exchanges[exchange.id] = exchange
            self._untaken.append(exchange)
        elif isinstance(event, h2.events.DataReceived):
            exchange.size += len(event.data)
            if self._keeps:
                exchange.body += event.data
            if self.credits and event.flow_controlled_length:
                self.credit(exchange, event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.ended = True
        elif isinstance(event, h2.events.StreamReset) and exchange is not None:
            exchange.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def until(self, ready: Callable[[], Any]) -> None:
        """Read until `ready()`."""
        while not ready():
            self.pump()

    def head(self) -> Exchange:
        """The next request, of which at least the head has come."""
        self.until(lambda: self._untaken)
        return self._untaken.popleft()

    def heads(self, count: int) -> list[Exchange]:
        return [self.head() for _ in range(count)]

    def request(self) -> Exchange:
        """The next request, with its body."""
        exchange = self.head()
        self.until(lambda: exchange.ended or exchange.reset is not None)
        return exchange

    def until_reset(self, exchange: Exchange) -> int:
        """Wait for the client to give the stream up; returns the error code."""
        self.until(lambda: exchange.reset is not None)
        assert exchange.reset is not None
        return exchange.reset

    def until_closed(self) -> None:
        """Read, and answer nothing but what the protocol asks for, until the client closes."""
        try:
            while True:
                self.pump()
        except PeerGone:
            pass

    def until_known(self) -> None:
        """Wait until the client has seen all that was sent: it answers a PING."""
        pongs = self.pongs
        self.state.ping(b"are here")
        self.flush()
        self.until(lambda: self.pongs > pongs)

    # -- writing

    def flush(self) -> None:
        if self.silent:
            return
        data = self.state.data_to_send()
        if data:
            self.send(data)

    def raw(self, *what: frames.Frame | bytes) -> None:
        """Send frames, or bytes, that `h2` knows nothing of."""
        self.flush()
        self.connection.send(b"".join(one if isinstance(one, bytes) else one.serialize() for one in what))

    def raw_fields(self, exchange: Exchange, *fields: tuple[bytes, bytes], flags: Iterable[str] = ()) -> None:
        """Send a header block that `h2` would refuse."""
        block = self.state.encoder.encode(list(fields), huffman=False)
        self.raw(frames.HeadersFrame(exchange.id, block, flags=["END_HEADERS", *flags]))

    def interim(self, exchange: Exchange, status: int, *fields: tuple[str, str]) -> None:
        self.state.send_headers(exchange.id, [(":status", str(status)), *fields])
        self.flush()

    def begin(self, exchange: Exchange, *fields: tuple[str, str], status: int = 200, end: bool = False) -> None:
        """Send a response's head."""
        exchange.answered = True
        self.state.send_headers(exchange.id, [(":status", str(status)), *fields], end_stream=end)
        self.flush()

    def respond(self, exchange: Exchange, body: bytes = b"", *fields: tuple[str, str], status: int = 200) -> None:
        """Send a whole response, unless the client has given the stream up."""
        if exchange.reset is not None:
            return
        exchange.answered = True
        head = [(":status", str(status)), ("content-length", str(len(body))), *fields]
        self.state.send_headers(exchange.id, head, end_stream=not body)
        if body:
            self.data(exchange, body, end=True)
        self.flush()

    def data(self, exchange: Exchange, data: bytes, *, end: bool = False) -> None:
        """Send content as flow control allows; nothing more once the client has given the stream up."""
        view = memoryview(data)
        while exchange.reset is None:
            room = self.state.local_flow_control_window(exchange.id)
            if view and room <= 0:
                self.flush()
                self.wait_for_room()
                continue
            piece = view[: min(room, self.state.max_outbound_frame_size)]
            view = view[len(piece) :]
            self.state.send_data(exchange.id, bytes(piece), end_stream=end and not view)
            if not view:
                break
        self.flush()

    def wait_for_room(self) -> None:
        self.pump()

    def trailers(self, exchange: Exchange, *fields: tuple[str, str]) -> None:
        self.state.send_headers(exchange.id, list(fields), end_stream=True)
        self.flush()

    def credit(self, exchange: Exchange, size: int) -> None:
        """Let the client send as much again."""
        self.state.acknowledge_received_data(size, exchange.id)
        self.flush()

    def reset(self, exchange: Exchange, code: int = CANCEL) -> None:
        self.state.reset_stream(exchange.id, code)
        self.flush()

    def serve(self, answer: Callable[[Exchange], bytes] | None = None) -> None:
        """Answer request after request, each with its own target unless told otherwise."""
        while True:
            got = self.request()
            self.respond(got, answer(got) if answer is not None else got.target)


def http2(
    script: Callable[[Peer], Any], settings: dict[Any, int] | None = None, *, window: int = 0, **options: Any
) -> Script:
    """A script of a `Peer`, for `RawServer`; the peer is `connection.peer` afterwards."""

    def run(connection: Connection) -> None:
        connection.peer = peer = Peer(connection, **options)  # type: ignore[attr-defined]
        peer.start(settings, window)
        script(peer)

    return run


def serves(peer: Peer) -> None:
    """Answer request after request, each with its own target."""
    peer.serve()


def unknown(stream_id: int, body: bytes) -> bytes:
    """A frame of a type that nobody knows."""
    return len(body).to_bytes(3, "big") + b"\xbe\x00" + stream_id.to_bytes(4, "big") + body


def goaway(last: int, code: int = NO_ERROR, debug: bytes = b"") -> frames.Frame:
    return frames.GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=debug)


# -- the echo server


class HTTP2EchoServer(EchoServer):
    """`EchoServer` over HTTP/2: over TLS by ALPN, else with prior knowledge. One thread for each request."""

    def _script(self, connection: Connection) -> None:
        peer = connection.peer = EchoPeer(connection)  # type: ignore[attr-defined]
        workers: list[threading.Thread] = []
        try:
            peer.start({MAX_STREAMS: 100, WINDOW: 2**20}, window=2**23)
            for number in range(2**30):
                exchange = self._next(peer)
                if exchange is None:
                    return
                worker = threading.Thread(target=self._answer, args=(peer, exchange, number), name="echo-answer")
                workers.append(worker)
                worker.start()
        finally:
            peer.over = True
            with peer.turn:
                peer.turn.notify_all()
            for worker in workers:
                worker.join()

    def _next(self, peer: EchoPeer) -> Exchange | None:
        """The next request that is complete, or waits to be told to go on."""
        while not peer.waiting:
            if peer.said_goodbye:
                return None
            peer.pump()
        with self.changed:
            exchange = peer.waiting.popleft()
            head = HTTP2Head(exchange)
            self.requests.append(head)
            peer.connection.requests.append(head)
            self.changed.notify_all()
        return exchange

    def _answer(self, peer: EchoPeer, exchange: Exchange, number: int) -> None:
        head = HTTP2Head(exchange)
        try:
            if (head.get("expect") or b"").lower() == b"100-continue":
                with peer.turn:
                    peer.interim(exchange, 100)
            with peer.turn:
                peer.turn.wait_for(lambda: exchange.ended or peer.is_gone(exchange))
            if not exchange.ended:
                return
            call = HTTP2Call(self, peer.connection, head, bytes(exchange.body), number, peer, exchange)
            self.answered += 1
            call.answer()
        except (PeerGone, h2.exceptions.StreamClosedError):
            pass
        except BaseException as error:
            if not self.stopping:
                self.failures.append(error)
        exchange.body.clear()


class EchoPeer(Peer):
    """A peer of several threads: one reads, the others write in turns."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.turn = threading.Condition(threading.RLock())
        self.over = False
        self.said_goodbye = False
        self.waiting: deque[Exchange] = deque()

    def pump(self) -> None:
        sock = self.connection.sock
        if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            try:
                select.select([sock], [], [])
            except (OSError, ValueError) as error:  # closed meanwhile
                raise PeerGone from error
        with self.turn:
            try:
                sock.settimeout(0)
                data = self.connection.more()
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise PeerGone from error
            finally:
                try:
                    sock.settimeout(None)
                except OSError:
                    pass
            self.take(data)
            self.connection.received.clear()
            while self._untaken:
                self.waiting.append(self._untaken.popleft())
            self.turn.notify_all()

    def is_gone(self, exchange: Exchange) -> bool:
        return self.over or exchange.reset is not None

    def wait_for_room(self) -> None:
        if self.over:
            raise PeerGone
        self.turn.wait()


class HTTP2Head(Head):
    """A request's head as HTTP/1.1 tells it: without pseudo-fields, `Host` for `:authority`, names with capitals."""

    def __init__(self, exchange: Exchange) -> None:
        self.raw = b""
        self.method, self.target, self.version = exchange.method, exchange.target, b"HTTP/2"
        self.fields = [
            (b"Host" if name == b":authority" else name.title(), value)
            for name, value in exchange.fields
            if name == b":authority" or not name.startswith(b":")
        ]


class HTTP2Call(Call):
    """One request to the echo server on a stream of its own."""

    def __init__(
        self,
        server: EchoServer,
        connection: Connection,
        head: Head,
        body: bytes,
        number: int,
        peer: EchoPeer,
        exchange: Exchange,
    ) -> None:
        super().__init__(server, connection, head, body, number)
        self.peer, self.stream = peer, exchange

    def write(self, status: int, fields: list[tuple[str, str]], body: bytes = b"") -> None:
        with self.peer.turn:
            if not self.peer.is_gone(self.stream):
                self.peer.begin(self.stream, *_lower(fields), status=status, end=not body)
                if body:
                    self.peer.data(self.stream, body, end=True)

    def write_interim(self, status: int, fields: list[tuple[str, str]]) -> None:
        with self.peer.turn:
            self.peer.interim(self.stream, status, *_lower(fields))

    def write_chunks(self, fields: list[tuple[str, str]], chunks: Iterable[bytes]) -> None:
        with self.peer.turn:
            self.peer.begin(self.stream, *_lower(fields))
        for chunk in chunks:
            with self.peer.turn:
                if self.peer.is_gone(self.stream):
                    raise PeerGone
                self.peer.data(self.stream, chunk)

    def write_trailers(self, fields: list[tuple[str, str]]) -> None:
        with self.peer.turn:
            self.peer.trailers(self.stream, *_lower(fields))

    def write_slowly(self, fields: list[tuple[str, str]], body: bytes) -> None:
        self.write_chunks(fields, (body[i : i + 1] for i in range(len(body))))
        with self.peer.turn:
            self.peer.data(self.stream, b"", end=True)

    def do_close(self) -> None:
        """Answer, say that no more is answered, and close when the client has closed."""
        with self.peer.turn:
            self.peer.respond(self.stream, b"goodbye")
            self.peer.raw(goaway(max(self.peer.exchanges)))
            self.peer.said_goodbye = True

    def do_reset(self) -> None:
        with self.peer.turn:
            self.peer.over = True
            self.connection.reset()


def _lower(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in fields]
