"""What may be said of the HTTP/2 codec whatever a peer sends; and a fuzzer that looks for bytes that say something new.

    python tests/protocol/http2_fuzzing.py --seconds 600

mutates the inputs of corpus/http2.txt and adds to it those that make the codec do what no earlier input did. The tests
play the corpus through.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random

from hither.protocol import http2_frames as h2
from hither.protocol.events import End, RequestHead, Reset, ResponseHead
from hither.protocol.hpack import Encoder
from hither.protocol.http2 import HTTP2

CORPUS = Path(__file__).with_name("corpus") / "http2.txt"
MOST = 400  # inputs of the corpus
ROLES = ("client", "server")

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]
OK = [(b":status", b"200"), (b"content-type", b"text/plain"), (b"content-length", b"5")]
SETTINGS = h2.settings_frame({})


def codec_for(role: str) -> HTTP2:
    """A codec in the middle of its life: as a client with three requests under way, one of them an upload."""
    codec = HTTP2(client=role == "client", max_streams=10)
    if role == "server":
        codec.receive_data(h2.PREFACE)
        return codec
    codec.receive_data(SETTINGS)
    for method in ("GET", "HEAD", "POST"):
        fields = [(b":method", method.encode()), *GET[1:]]
        codec.open_stream(method, [fields], end=method != "POST")
    return codec


def told(events: list[object]) -> list[tuple[object, ...]]:
    """Events as values, with content that belongs together in one piece."""
    found: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, bytes):
            if found and found[-1][0] == "content":
                found[-1] = ("content", found[-1][1] + event)  # type: ignore[operator]
            else:
                found.append(("content", event))
        elif isinstance(event, ResponseHead):
            found.append(("response", event.status, tuple(event.fields)))
        elif isinstance(event, RequestHead):
            found.append(("request", event.method, event.scheme, event.authority, event.path, tuple(event.fields)))
        elif isinstance(event, End):
            found.append(("end", tuple(event.trailers)))
        elif isinstance(event, Reset):
            found.append(("reset", event.code, event.unprocessed))
    return found


def outcome(role: str, data: bytes, sizes: Random | None) -> tuple[object, ...]:
    """Give a codec the bytes, whole or in pieces, and return all that it tells; checks what holds for any bytes."""
    codec = codec_for(role)
    known = dict(codec.streams)
    position = 0
    while position < len(data):
        size = len(data) if sizes is None else sizes.choice([1, 2, 9, 10, 33, 1000])
        for stream in codec.receive_data(data[position : position + size]):
            known[stream.id] = stream
        position += size
        assert len(codec._rest) < h2.HEADER_SIZE + h2.DEFAULT_FRAME
    for stream in known.values():
        ends = [event for event in stream.events if isinstance(event, End | Reset)]
        assert len(ends) <= (1 if codec.client else 2)
        assert stream.ended or stream.id in codec.streams
    if codec.failure is not None:
        assert codec.receive_data(SETTINGS) == []
        assert not codec.open
    events = {number: told(stream.events) for number, stream in known.items()}
    return str(codec.failure), codec.goaway, codec.max_streams, events


def check(role: str, data: bytes, random: Random) -> tuple[object, ...]:
    """The outcome, which is the same however the bytes are cut."""
    whole = outcome(role, data, None)
    assert outcome(role, data, random) == whole
    return whole


def signature(found: tuple[object, ...]) -> str:
    """What an outcome has that another may not have."""
    failure, goaway, _, events = found
    kinds = sorted({"".join(str(event[0])[0] for event in said)[:8] for said in events.values()})  # type: ignore[attr-defined]
    codes = sorted({event[1] for said in events.values() for event in said if event[0] == "reset"})  # type: ignore[attr-defined]
    return f"{failure[:70]}|{goaway and goaway[1]}|{kinds}|{codes}"  # type: ignore[index]


def read_corpus() -> list[tuple[str, bytes]]:
    """The inputs: a role, and what its peer sends."""
    if not CORPUS.exists():
        return []
    return [(role, bytes.fromhex(code)) for role, code in (line.split() for line in CORPUS.read_text().splitlines())]


def seeds() -> list[tuple[str, bytes]]:
    """Honest conversations to begin with."""
    encode = Encoder().encode
    head = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, encode(OK))
    body = h2.frame(h2.DATA, h2.END_STREAM, 1, b"hello")
    trailers = h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 3, encode([(b"x-check", b"1")]))
    rest = h2.window_update(0, 100) + h2.rst_stream(3, 8) + h2.goaway(5, 0, b"bye")
    request = h2.frame(h2.HEADERS, h2.END_HEADERS, 1, Encoder().encode([*GET, (b"content-length", b"5")]))
    ping = h2.frame(h2.PING, 0, 0, bytes(8))
    other = h2.settings_frame({h2.INITIAL_WINDOW_SIZE: 10, h2.MAX_CONCURRENT_STREAMS: 5})
    return [
        ("client", head + body + trailers + ping + other + rest),
        ("client", h2.frame(h2.HEADERS, 0, 1, b"\x88") + h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, b"")),
        ("server", SETTINGS + request + body + ping + other + h2.window_update(1, 9) + h2.rst_stream(1, 8)),
    ]


def mutated(data: bytes, others: list[bytes], random: Random) -> bytes:
    """Bytes like these: frames and bytes missing, doubled, changed, and taken from others."""
    frames = split(data)
    for _ in range(random.randrange(1, 4)):
        place = random.randrange(len(frames) + 1)
        action = random.randrange(6)
        if action == 0 and frames:
            del frames[place % len(frames)]
        elif action == 1 and frames:
            frames.insert(place, random.choice(frames))
        elif action == 2:
            frames[place:place] = random.choice(split(random.choice(others)) or [b""]), b""
        elif action == 3:
            payload = random.randbytes(random.choice([0, 4, 5, 6, 8, 9, 30]))
            flags = random.choice([0, 1, 4, 5, 8, 0x20, 0x2D])
            frames.insert(place, h2.frame(random.randrange(11), flags, random.randrange(8), payload))
        elif frames:
            changed = bytearray(frames[place % len(frames)])
            for _ in range(random.choice([1, 1, 2, 8])):
                if changed:
                    changed[random.randrange(len(changed))] = random.choice([random.randrange(256), 0, 1, 255])
            frames[place % len(frames)] = bytes(changed)
    return b"".join(frames)[:4000]


def split(data: bytes) -> list[bytes]:
    """The frames of a conversation, as far as they are whole."""
    frames = []
    while len(data) >= h2.HEADER_SIZE:
        size = h2.HEADER_SIZE + int.from_bytes(data[:3], "big")
        frames.append(data[:size])
        data = data[size:]
    return [*frames, data] if data else frames


def fuzz(seconds: float, seed: int) -> int:
    """Look for new behaviour until the time is up; returns how many inputs were tried."""
    random = Random(seed)
    corpus = {signature(check(role, data, random)): (role, data) for role, data in [*seeds(), *read_corpus()]}
    until = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until:
        role, data = random.choice(list(corpus.values()))
        data = mutated(data, [other for _, other in corpus.values()], random)
        tried += 1
        try:
            found = signature(check(role, data, random))
        except Exception:
            print(f"seed {seed}: {role} {data.hex()}", file=sys.stderr)
            raise
        if found not in corpus and len(corpus) < MOST:
            corpus[found] = (role, data)
        elif found in corpus and len(data) < len(corpus[found][1]) and corpus[found][0] == role:
            corpus[found] = (role, data)
    CORPUS.parent.mkdir(exist_ok=True)
    CORPUS.write_text("".join(sorted(f"{role} {data.hex()}\n" for role, data in corpus.values() if data)))
    return tried


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(fuzz(chosen.seconds, chosen.seed), "inputs;", len(read_corpus()), "in the corpus")
