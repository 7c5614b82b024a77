"""The HTTP/2 codec in conversation with the package h2, on either side: both see the same messages and windows."""

from random import Random

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hither.protocol.events import End, RequestHead, Reset, ResponseHead
from hither.protocol.http2 import CONNECTION_WINDOW, HTTP2
from hither.protocol.http2_frames import CANCEL


class Got:
    """What one side has received on one stream."""

    def __init__(self):
        self.heads = []
        self.content = b""
        self.trailers = []
        self.ended = False
        self.reset = False


class Ours:
    def __init__(self, *, client):
        self.codec = HTTP2(client=client)
        self.got = {}
        self.streams = {}
        self.unused = []

    def open(self, fields, *, end):
        stream = self.codec.open_stream(fields[0][1].decode(), [fields[:4], fields[4:]], end=end)
        self.streams[stream.id] = stream
        self.got[stream.id] = Got()
        return stream.id

    def fields(self, stream_id, fields, *, end):
        self.codec.send_head(self.streams[stream_id], fields, end=end)

    def data(self, stream_id, content, padding, *, end):
        stream = self.streams[stream_id]
        if not content and stream.window_out < 0:  # allowed by §6.9.1, but h2 takes it for an error
            return -1
        return self.codec.send_data(stream, content, end=end)

    def reset(self, stream_id):
        self.codec.reset(self.streams[stream_id], CANCEL)

    def gone(self, stream_id):
        """Whether nothing can be sent any more."""
        return self.streams[stream_id].sent_end

    def receive(self, data):
        for stream in self.codec.receive_data(data):
            self.streams[stream.id] = stream
            got = self.got.setdefault(stream.id, Got())
            for event in stream.events:
                if isinstance(event, bytes):
                    got.content += event
                    self.unused.append((stream, len(event)))
                elif isinstance(event, ResponseHead):
                    got.heads.append([(b":status", b"%d" % event.status), *event.fields])
                elif isinstance(event, RequestHead):
                    pseudo = [(b":method", event.method.encode()), (b":scheme", event.scheme)]
                    got.heads.append([*pseudo, (b":authority", event.authority), (b":path", event.path), *event.fields])
                elif isinstance(event, End):
                    got.ended = True
                    got.trailers = event.trailers
                else:
                    assert isinstance(event, Reset)
                    got.reset = True
            stream.events.clear()
        assert self.codec.failure is None, self.codec.failure

    def use(self, chance):
        for item in [item for item in self.unused if chance()]:
            self.unused.remove(item)
            self.codec.consumed(*item)

    def ping(self):
        self.codec.ping()

    def resettle(self, window, frame):
        """Settings do not change here."""

    def close(self):
        self.codec.go_away()

    def windows(self):
        return self.codec.window_out, CONNECTION_WINDOW - self.codec._arrived + self.codec._credited

    def send(self):
        return self.codec.data_to_send()


class Theirs:
    def __init__(self, *, client):
        config = h2.config.H2Configuration(client_side=client, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.got = {}
        self.resets = set()
        self.unused = []
        self.closed = False
        self.settling = True

    def open(self, fields, *, end):
        stream_id = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream_id, fields, end_stream=end)
        self.got[stream_id] = Got()
        return stream_id

    def fields(self, stream_id, fields, *, end):
        self.connection.send_headers(stream_id, fields, end_stream=end)

    def data(self, stream_id, content, padding, *, end):
        cost = 0 if padding is None else padding + 1
        room = min(self.connection.local_flow_control_window(stream_id), self.connection.max_outbound_frame_size) - cost
        if room < min(len(content), 1):
            return -1
        size = min(len(content), room)
        self.connection.send_data(
            stream_id, content[:size], end_stream=end and size == len(content), pad_length=padding
        )
        return size

    def reset(self, stream_id):
        self.resets.add(stream_id)
        self.connection.reset_stream(stream_id, CANCEL)

    def gone(self, stream_id):
        return stream_id in self.resets

    def receive(self, data):
        self.connection.max_inbound_frame_size = 30_000  # h2 looks up its limit only once for all of the data
        for event in self.connection.receive_data(data):
            got = self.got.setdefault(getattr(event, "stream_id", None), Got())
            if isinstance(
                event,
                h2.events.RequestReceived | h2.events.ResponseReceived | h2.events.InformationalResponseReceived,
            ):
                got.heads.append(list(event.headers))
            elif isinstance(event, h2.events.TrailersReceived):
                got.trailers = list(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                got.content += event.data
                self.unused.append((event.flow_controlled_length, event.stream_id))
            elif isinstance(event, h2.events.StreamEnded):
                got.ended = True
            elif isinstance(event, h2.events.StreamReset):
                got.reset = True
                self.resets.add(event.stream_id)
            elif isinstance(event, h2.events.SettingsAcknowledged):
                self.settling = False
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.closed = True

    def use(self, chance):
        for item in [item for item in self.unused if chance()]:
            self.unused.remove(item)
            self.connection.acknowledge_received_data(*item)

    def ping(self):
        self.connection.ping(b"12345678")

    def resettle(self, window, frame):
        if self.settling:  # h2 takes an acknowledgement for that of all settings it has sent
            return
        self.settling = True
        codes = h2.settings.SettingCodes
        self.connection.update_settings(
            {codes.INITIAL_WINDOW_SIZE: window, codes.MAX_FRAME_SIZE: frame, codes.HEADER_TABLE_SIZE: window % 5000}
        )

    def close(self):
        self.connection.close_connection(last_stream_id=2**31 - 1)

    def windows(self):
        manager = self.connection._inbound_flow_control_window_manager
        return self.connection.outbound_flow_control_window, manager.current_window_size

    def send(self):
        return self.connection.data_to_send()


class Message:
    """What is to be said on one stream: heads, content, trailers; `said` is what was."""

    def __init__(self, heads, pieces, trailers, cut):
        self.heads = heads
        self.pieces = pieces
        self.trailers = trailers
        self.left = [("head", head) for head in heads] + [("data", piece) for piece in pieces]
        self.left += [("fields", trailers)] if trailers else []
        self.cut = cut  # given up before so many of these are left
        self.resets = False

    @property
    def content(self):
        return b"".join(piece for piece, _ in self.pieces)


NAMES = st.sampled_from(
    [b"x-a", b"server", b"content-type", b"x-long-name-of-a-field", b"set-cookie", b"cache-control"]
)
VALUES = st.sampled_from([b"", b"a", b"text/html; charset=utf-8", b"0" * 300, b"\xff\x80"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
PIECES = st.lists(
    st.tuples(
        st.sampled_from([b"", b"a", b"hello", b"z" * 1000, b"z" * 16384, b"z" * 70_000]),
        st.sampled_from([None, None, 0, 1, 255]),
    ),
    max_size=4,
)
CUTS = st.sampled_from([None] * 6 + [0, 1, 2])


@st.composite
def messages(draw, *, request):
    pieces = draw(PIECES)
    length = [(b"content-length", b"%d" % sum(len(piece) for piece, _ in pieces))] if draw(st.booleans()) else []
    if request:
        pseudo = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", b"a"),
            (b":path", b"/" + b"p" * draw(st.integers(0, 3))),
        ]
        heads = [pseudo + draw(FIELDS) + length]
    else:
        heads = [
            [(b":status", draw(st.sampled_from([b"100", b"103"]))), *draw(FIELDS)]
            for _ in range(draw(st.integers(0, 2)))
        ]
        heads.append([(b":status", draw(st.sampled_from([b"200", b"404"]))), *draw(FIELDS), *length])
    return Message(heads, pieces, draw(FIELDS), draw(CUTS))


@st.composite
def exchanges(draw):
    request, response = draw(messages(request=True)), draw(messages(request=False))
    if request.cut is not None:  # h2 takes an informational head on a stream that it has reset for an error
        response = Message(response.heads[-1:], response.pieces, response.trailers, response.cut)
    return request, response


CONVERSATIONS = st.lists(exchanges(), min_size=1, max_size=5)


def say(side, stream_id, message, *, request):
    """Say the next of what is left on a stream; returns the stream's number, and whether anything was done."""
    if message.cut is not None and len(message.left) <= message.cut and (stream_id is not None):
        side.reset(stream_id)
        message.left.clear()
        message.resets = True
        return stream_id, True
    kind, what = message.left[0]
    last = len(message.left) == 1
    if kind == "data":
        content, padding = what
        size = side.data(stream_id, content, padding, end=last)
        if size < len(content) or size < 0:
            message.left[0] = "data", (content[max(size, 0) :], padding)
            return stream_id, size > 0
    elif request and kind == "head":
        stream_id = side.open(what, end=last)
    else:
        side.fields(stream_id, what, end=last)
    del message.left[0]
    return stream_id, True


class Conversation:
    def __init__(self, client, server, exchanges, random):
        self.client, self.server, self.random = client, server, random
        self.exchanges = [[None, request, response] for request, response in exchanges]
        self.on_the_way = {client: b"", server: b""}  # to whom

    def move(self, *, all_of_it=False):
        """Let some bytes arrive."""
        moved = False
        for sender, receiver in (self.client, self.server), (self.server, self.client):
            self.on_the_way[receiver] += sender.send()
            waiting = self.on_the_way[receiver]
            size = len(waiting) if all_of_it else self.random.choice([0, 1, 9, 100, 3000, 20_000, 100_000, 1_000_000])
            if size and waiting:
                moved = True
                receiver.receive(waiting[:size])
                self.on_the_way[receiver] = waiting[size:]
        return moved

    def speak(self):
        """Let both sides say something on each stream, if they may."""
        done = False
        for exchange in self.random.sample(self.exchanges, len(self.exchanges)):
            stream_id, request, response = exchange
            if request.left and not (stream_id and self.client.gone(stream_id)):
                exchange[0], spoke = say(self.client, stream_id, request, request=True)
                done |= spoke
            stream_id = exchange[0]
            heard = stream_id in self.server.got and self.server.got[stream_id].heads
            if heard and response.left and not self.server.gone(stream_id) and self.random.random() < 0.7:
                _, spoke = say(self.server, stream_id, response, request=False)
                done |= spoke
        return done

    def go_on(self):
        for _ in range(3000):
            done = self.speak()
            chance = self.random.random()
            if chance < 0.05:
                self.random.choice([self.client, self.server]).ping()
            elif chance < 0.1:
                frame = self.random.choice([16384, 16384, 30_000])
                for side in self.client, self.server:
                    side.resettle(self.random.choice([1, 100, 10_000, 65535, 200_000]), frame)
            for side in self.client, self.server:
                side.use(lambda: self.random.random() < 0.3)
            done |= self.move()
            if not done and self.is_over():
                return
            if not done:
                for side in self.client, self.server:
                    side.use(lambda: True)
                self.move(all_of_it=True)
        raise AssertionError("the conversation does not come to its end")

    def is_over(self):
        return not any(self.on_the_way.values()) and all(
            (not request.left or self.client.gone(number)) and (not response.left or self.server.gone(number))
            for number, request, response in self.exchanges
            if number or request.left
        )


def check(message, got, *, cut):
    """What was said is what was heard; some of it when the stream was given up."""
    if got is None:
        assert cut
        return
    said = [sorted(head) for head in message.heads]
    heard = [sorted(head) for head in got.heads]
    if got.ended and not got.reset:
        assert heard == said
        assert got.content == message.content
        assert got.trailers == message.trailers
    else:
        assert cut
        assert heard == said[: len(heard)]
        assert message.content.startswith(got.content)


@pytest.mark.parametrize("client", [Ours, Theirs])
@given(exchanges=CONVERSATIONS, random=st.builds(Random, st.integers(0, 2**32)))
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_both_hear_the_same(client, exchanges, random):
    server = Theirs if client is Ours else Ours
    client, server = client(client=True), server(client=False)
    conversation = Conversation(client, server, exchanges, random)
    conversation.go_on()
    for number, request, response in conversation.exchanges:
        cut = request.resets or response.resets
        check(request, server.got.get(number), cut=cut)
        check(response, client.got.get(number), cut=cut)
    for side in client, server:
        side.use(lambda: True)
    while conversation.move(all_of_it=True):
        pass
    sent, received = client.windows()
    assert server.windows() == (received, sent)
    ours, theirs = (client, server) if isinstance(client, Ours) else (server, client)
    assert not ours.codec.streams
    assert not ours.codec._block
    for codec_first in random.sample([True, False], 1):
        (ours if codec_first else theirs).close()
        conversation.move(all_of_it=True)
        assert theirs.closed if codec_first else ours.codec.goaway
    assert ours.codec.failure is None
