"""The HTTP/1.1 pump: moves one request after the other out of, and its response into, one stream."""

from __future__ import annotations

from time import monotonic

from .._body import PIECE
from .._errors import (
    LocalProtocolError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TransportError,
    WriteError,
    WriteTimeout,
)
from .._patterns import pattern
from ..protocol.events import End, Event, Field, ResponseHead
from ..protocol.http1 import ResponseParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._body import Body
    from .._options import Deadline, Timeout
    from ..net.base import Stream

_IN_STEPS = pattern(rb"(?i)\r\n(?:expect|transfer-encoding):")
_EXPECT = pattern(rb"(?i)\r\nexpect:[ \t]*100-continue[ \t]*\r\n")
_LENGTH = pattern(rb"(?i)\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n")

LEASED, SENT, ANSWERED = 1, 2, 3  # where an exchange's marks hold these moments

_CONTINUE_WAIT = 1.0  # seconds for a 100 Continue before the body goes out anyway; curl's default
_ONE_WRITE = 65536  # bytes of a body that go out with the head in one write; more is watched for an early answer


class _Framing:
    """How the pieces of a body are put on the wire, as the request's head says (RFC 9112 §6)."""

    __slots__ = ("_chunked", "_declared", "_sent")

    def __init__(self, head: bytes) -> None:
        declared = _LENGTH.search(head)
        self._declared = None if declared is None else int(declared[1])
        self._chunked = declared is None
        self._sent = 0

    def frame(self, piece: bytes | memoryview) -> bytes | memoryview:
        """Return a piece as it is sent, or for b"" the end of the body."""
        if self._chunked:
            return b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if piece else b"0\r\n\r\n"
        self._sent += len(piece)
        declared = self._declared or 0
        if self._sent > declared or (not piece and self._sent < declared):
            raise LocalProtocolError(
                f"the body gave {self._sent} bytes{' and more' if piece else ''} where Content-Length said {declared}"
            )
        return piece


class HTTP1Connection:
    """A stream that carries one exchange at a time. `reusable` tells whether it may carry the next."""

    __slots__ = (
        "_content",
        "_events",
        "_next",
        "_parser",
        "_sent_whole",
        "_stream",
        "fresh",
        "hints",
        "info",
        "is_stale",
        "reusable",
        "trailers",
    )

    multiplexed = False

    def __init__(self, stream: Stream, info: tuple[Any, Any, tuple[float, float, float]]) -> None:
        self._stream = stream
        self._parser = ResponseParser()
        self._content: bytes | None = None  # where it came together with the head
        self._events: list[Event] = []  # of the response being read
        self._next = 0  # the first of them that is not taken yet
        self._sent_whole = True
        self.is_stale = stream.is_readable  # of an idle connection: the server closed it, or spoke out of turn
        self.reusable = True  # the last response was read to its end, and neither side said that it is the last
        self.fresh = True  # no exchange was begun on it
        self.info = info  # the peer's address, the TLS session, and how long resolve, connect and tls took
        self.hints: list[list[Field]] | None = None
        self.trailers: list[Field] | None = None

    @property
    def answered(self) -> bool:
        """At least one byte of the response has come."""
        return self._parser.started

    def leave(self) -> None:
        """Nothing more is read of this exchange; unless it is complete, the connection cannot be used again."""

    async def aleave(self) -> None:
        """The same, where others may be told."""

    def close(self) -> None:
        """Close at once."""
        self._stream.close()

    def abandon(self) -> None:
        """Let go of the socket without a word to the server, which still talks to another process."""
        if self._stream.socket is not None:
            self._stream.socket.close()

    async def exchange(
        self,
        method: str,
        head: bytes,
        body: bytes | Body | None,
        deadline: Deadline | Timeout,
        marks: list[float],
    ) -> ResponseHead:
        """Send a request and return the head of its final response; `read_chunk` returns the rest.

        `head` is the request's, as it goes on the wire. `marks` takes the moments SENT and ANSWERED.
        """
        self.reusable = False
        parser = self._parser
        parser.expect(method)
        if body is None or (isinstance(body, bytes) and len(body) <= _ONE_WRITE and not _IN_STEPS.search(head)):
            data = head if body is None else head + body
            try:
                rest = self._stream.begin_write(data, deadline.write)
                if rest is not None:
                    await rest
            except OSError as error:
                raise _write_failure(error, deadline) from error
        else:
            answer = await self._send_with_body(head, body, deadline)
            if answer is not None:
                marks[SENT] = marks[ANSWERED] = monotonic()
                return answer
        marks[SENT] = monotonic()
        try:
            reading = self._stream.begin_read(deadline.read)
            data = reading if isinstance(reading, bytes) else await reading
        except OSError as error:
            raise _read_failure(error, deadline) from error
        marks[ANSWERED] = monotonic()
        whole = parser.receive_whole(data)
        if whole is not None:
            answer, self._content = whole
            self.reusable = parser.keep_alive
            return answer
        self._events = events = parser.receive_data(data) if data else parser.receive_end()
        if events:
            first = events[0]
            if isinstance(first, ResponseHead) and first.status >= 200:
                self._next = 1
                return first
        return await self._head(events, deadline)

    async def _receive(self, deadline: Deadline | Timeout) -> list[Event]:
        """Wait for bytes of the response; return what they mean."""
        try:
            data = await self._stream.read(deadline.read)
        except OSError as error:
            raise _read_failure(error, deadline) from error
        return self._parser.receive_data(data) if data else self._parser.receive_end()

    async def _head(self, events: list[Event], deadline: Deadline | Timeout) -> ResponseHead:
        """Return the final head, past informational ones and over as many reads as it takes."""
        while True:
            head = self._take_head(events)
            if head is not None:
                return head
            events = await self._receive(deadline)

    def _take_head(self, events: list[Event]) -> ResponseHead | None:
        """Return the final head if it is among the events, and keep what follows it; note early hints."""
        for index, event in enumerate(events):
            if not isinstance(event, ResponseHead):
                continue
            if event.status >= 200:
                self._events = events
                self._next = index + 1
                return event
            if event.status == 101:
                raise RemoteProtocolError("the server switched protocols (101) without being asked to")
            if event.status == 103:
                self.hints = [*(self.hints or ()), event.fields]
        return None

    # Bodies that are sent piece by piece

    async def _send_with_body(
        self, head: bytes, body: bytes | Body, deadline: Deadline | Timeout
    ) -> ResponseHead | None:
        """Send head and body; return the response's head when it came before the body was out."""
        self._sent_whole = False
        try:
            await self._stream.write(head, deadline.write)
        except OSError as error:
            raise _write_failure(error, deadline) from error
        if _EXPECT.search(head):
            answer = await self._await_continue(deadline)
            if answer is not None:
                return answer
        try:
            answer = await self._upload(body, _Framing(head), deadline)
        finally:
            if not isinstance(body, bytes):
                await body.aclose()
        self._sent_whole = answer is None
        return answer

    async def _await_continue(self, deadline: Deadline | Timeout) -> ResponseHead | None:
        """RFC 9110 §10.1.1: wait a while for the server to say that it wants the body, or that it does not."""
        until = monotonic() + _CONTINUE_WAIT
        while (left := until - monotonic()) > 0:
            try:
                data = await self._stream.read(deadline.within(left))
            except TimeoutError:
                break
            except OSError as error:
                raise _read_failure(error, deadline) from error
            events = self._parser.receive_data(data) if data else self._parser.receive_end()
            head = self._take_head(events)
            if head is not None or any(isinstance(event, ResponseHead) and event.status == 100 for event in events):
                return head
        return None

    async def _upload(self, body: bytes | Body, framing: _Framing, deadline: Deadline | Timeout) -> ResponseHead | None:
        position = 0
        piece: bytes | memoryview
        while True:
            if isinstance(body, bytes):
                piece = memoryview(body)[position : position + PIECE]
                position += len(piece)
            else:
                piece = await body.read_chunk()
            data = framing.frame(piece)
            if not data:
                return None
            answer = await self._give(data, deadline)
            if answer is not None or not piece:
                return answer

    async def _give(self, data: bytes | memoryview, deadline: Deadline | Timeout) -> ResponseHead | None:
        """Write a piece of the body; return the response's head as soon as it comes."""
        try:
            while not await self._stream.upload(data, deadline.write):
                head = self._take_head(await self._receive(deadline))
                if head is not None:
                    return head
                data = b""
        except OSError as error:
            if isinstance(error, TransportError):
                raise
            if isinstance(error, TimeoutError):
                raise _write_failure(error, deadline) from error
            return await self._last_words(error, deadline)
        return None

    async def _last_words(self, error: OSError, deadline: Deadline | Timeout) -> ResponseHead:
        """Look for the answer of a server that did not want to hear the rest."""
        try:
            return await self._head([], deadline)
        except TransportError:
            message = f"the connection broke while the request's body was sent: {error}"
            raise WriteError(message) from error

    # The response's content

    def take_complete(self) -> bytes | None:
        """Return the whole content if it is there already; None when more must be read."""
        content, self._content = self._content, None
        if content is not None:
            return content
        events = self._events
        last = events[-1]
        if not isinstance(last, End):
            return None
        self._end(last)
        first, self._next = self._next, len(events)
        if self._next - first == 2:
            return events[first]  # type: ignore[return-value]  # all between head and end is content
        return b"".join(events[first:-1])  # type: ignore[arg-type]

    def _end(self, end: End) -> None:
        self.reusable = self._parser.keep_alive and self._sent_whole
        if end.trailers:
            self.trailers = end.trailers

    async def read_chunk(self, deadline: Deadline | Timeout) -> bytes:
        """Return the next bytes of the content; b"" at its end."""
        while self._next == len(self._events):
            self._events = await self._receive(deadline)
            self._next = 0
        event = self._events[self._next]
        self._next += 1
        if isinstance(event, bytes):
            return event
        if isinstance(event, End):
            self._end(event)
            return b""
        raise RemoteProtocolError("the server sent a second response inside the first")


def _write_failure(error: OSError, deadline: Deadline | Timeout) -> TransportError:
    if isinstance(error, TimeoutError):
        if error.errno is None:
            return deadline.expired(WriteTimeout, "write", "sending the request")
        return WriteError(f"the server went silent while the request was sent: {error}")  # the kernel's ETIMEDOUT
    return WriteError(f"the connection broke while the request was sent: {error}")


def _read_failure(error: OSError, deadline: Deadline | Timeout) -> TransportError:
    if isinstance(error, TimeoutError) and error.errno is None:
        return deadline.expired(ReadTimeout, "read", "waiting for the response")
    return read_failure(error)


def read_failure(error: OSError) -> ReadError:
    """Say why nothing more can be read."""
    if isinstance(error, TimeoutError):
        return ReadError(f"the server went silent while the response was read: {error}")  # the kernel's ETIMEDOUT
    return ReadError(f"the connection broke while the response was read: {error}")
