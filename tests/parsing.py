"""What the tests of the HTTP/1.1 parser share: feeding it, and seeing all that it makes of its food."""

import re

import pytest

from hither import RemoteProtocolError
from hither.protocol import http1
from hither.protocol.events import END, End, ResponseHead
from hither.protocol.http1 import ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def forget():
    """Make the parser as it is in a new process."""
    for seen in (http1._heads, http1._field_lines, http1._status_lines):
        seen.clear()


class Outcome:
    """All that can be seen of a parser after it was given some bytes."""

    def __init__(self, parser, events, error=None):
        self.error = error
        self.done = parser.done
        self.keep_alive = parser.keep_alive
        self.excess = parser.excess
        self.started = parser.started
        self.heads = [
            (event.version, event.status, event.reason, tuple(event.fields), event.coded, event.sets_cookies)
            for event in events
            if isinstance(event, ResponseHead)
        ]
        self.body = b"".join(event for event in events if isinstance(event, bytes))
        self.ends = [tuple(event.trailers) for event in events if isinstance(event, End)]
        kinds = "".join("H" if isinstance(e, ResponseHead) else "E" if isinstance(e, End) else "B" for e in events)
        self.order = re.sub("B+", "B", kinds)

    @property
    def status(self):
        return self.heads[-1][1]

    @property
    def fields(self):
        return list(self.heads[-1][3])

    def __eq__(self, other):
        if self.error or other.error:  # how much was reported before it depends on the cuts
            return (self.error is None) == (other.error is None)
        return vars(self) == vars(other)

    def __repr__(self):
        return f"<Outcome {vars(self)}>"


def receive(*pieces, method="GET", end=False, parser=None):
    """Give the pieces to a parser that expects a response; `end` closes the connection after them."""
    parser = parser or ResponseParser()
    parser.expect(method)
    events = []
    try:
        for piece in pieces:
            whole = parser.receive_whole(piece)
            new = parser.receive_data(piece) if whole is None else [*whole, END]
            assert b"" not in new
            events += new
        if end:
            events += parser.receive_end()
    except RemoteProtocolError as error:
        return Outcome(parser, events, error)
    return Outcome(parser, events)


def refused(*pieces, match, **options):
    with pytest.raises(RemoteProtocolError, match=match):
        error = receive(*pieces, **options).error
        if error is not None:
            raise error
