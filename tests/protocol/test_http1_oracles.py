"""The HTTP/1.1 parser beside h11 and httptools (llhttp): every difference is a known one, with its reason.

Whole and damaged responses are made from a grammar by seeded random numbers, so a run can be repeated. A
difference is that one takes bytes which the other refuses, or that both take them for different responses:
status codes, fields, body, trailers. `DIFFERENCES` lists what may differ and why; the first entry that fits
explains a case, and one that none explains fails the test. Every entry has a sample that shows it.
"""

import os
import random
import re

import h11
import httptools
import pytest

from hither import RemoteProtocolError
from hither.protocol.events import End, ResponseHead
from hither.protocol.http1 import ResponseParser

REFUSED, TUNNEL, CUT = "refused", "tunnel", "cut short"


class Answer:
    """What a parser makes of all bytes of a connection, up to the end of the first final response."""

    def __init__(self):
        self.statuses = []
        self.fields = []  # of the last head
        self.trailers = []
        self.body = b""
        self.verdict = REFUSED  # or TUNNEL, CUT, or "" for a whole response

    @property
    def taken(self):
        return self.verdict in ("", TUNNEL)

    def value(self):
        if self.verdict == TUNNEL:
            return self.verdict, self.statuses, plain(self.fields)
        return self.verdict, self.statuses, plain(self.fields), self.body, plain(self.trailers)

    def __repr__(self):
        return f"<{self.verdict or 'whole'} {self.statuses} {self.fields} {self.body!r} {self.trailers}>"


def plain(fields):
    """Fields without what the oracles do to them: h11 joins lengths, lower-cases names and transfer codings."""
    found = []
    for name, value in fields:
        name, value = bytes(name).lower(), re.sub(rb"[ \t]+", b" ", bytes(value)).strip()
        if name == b"transfer-encoding":
            value = value.lower()
        elif name == b"content-length":
            value = value.partition(b",")[0].strip()
            if (name, value) in found:
                continue
        found.append((name, value))
    return found


def ask_hither(data, method):
    parser = ResponseParser()
    answer = Answer()
    try:
        parser.expect(method)
        events = [*parser.receive_data(data), *parser.receive_end()] if data else parser.receive_end()
    except RemoteProtocolError as error:
        if "closed the connection" in str(error):
            answer.verdict = CUT
        return answer
    for event in events:
        if isinstance(event, ResponseHead):
            answer.statuses.append(event.status)
            answer.fields = event.fields
        elif isinstance(event, End):
            answer.trailers = event.trailers
        else:
            answer.body += event
    answer.verdict = "" if parser.done else TUNNEL
    return answer


def ask_h11(data, method):
    answer = Answer()
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="h:80" if method == "CONNECT" else "/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        if data:
            connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.InformationalResponse | h11.Response):
                answer.statuses.append(event.status_code)
                answer.fields = event.headers.raw_items()
                if connection.their_state is h11.SWITCHED_PROTOCOL:
                    answer.verdict = TUNNEL
                    return answer
            elif isinstance(event, h11.Data):
                answer.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                answer.trailers = event.headers.raw_items()
                answer.verdict = ""
                return answer
            else:
                return answer
    except h11.RemoteProtocolError as error:
        if re.search("closed connection|unexpectedly|ConnectionClosed", str(error)):
            answer.verdict = CUT
        return answer


class Callbacks:
    """What llhttp calls; it knows neither the request's method nor the end of the connection."""

    def __init__(self):
        self.answer = Answer()
        self.parser = httptools.HttpResponseParser(self)
        self.in_body = self.whole = False

    def on_message_begin(self):
        if not self.whole:
            self.answer.fields = []
            self.in_body = False

    def on_header(self, name, value):
        if not self.whole:
            (self.answer.trailers if self.in_body else self.answer.fields).append((name, value))

    def on_headers_complete(self):
        if not self.whole:
            self.answer.statuses.append(self.parser.get_status_code())
            self.in_body = True

    def on_body(self, body):
        if not self.whole:
            self.answer.body += body

    def on_message_complete(self):
        self.whole = self.whole or self.answer.statuses[-1] >= 200

    def ends_with_connection(self):
        """RFC 9112 §6.3, what httptools leaves to its caller."""
        names = [name.lower() for name, _ in self.answer.fields]
        codings = [value.strip().lower() for name, value in self.answer.fields if name.lower() == b"transfer-encoding"]
        if codings:
            return not codings[-1].endswith(b"chunked")
        return b"content-length" not in names


def ask_httptools(data, method):
    callbacks = Callbacks()
    answer = callbacks.answer
    refused = False
    try:
        callbacks.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        if answer.statuses[-1] == 101:
            answer.verdict = TUNNEL
            return answer
    except httptools.HttpParserError:
        refused = True
    if callbacks.whole:
        answer.verdict = ""
    elif not refused:
        open_ended = callbacks.in_body and answer.statuses[-1] >= 200 and callbacks.ends_with_connection()
        answer.verdict = "" if open_ended else CUT
    return answer


ORACLES = {"h11": ask_h11, "httptools": ask_httptools}


# What may differ


class Case:
    """An answer on the wire, and what was made of it."""

    def __init__(self, data, method, oracle):
        self.data = data
        self.method = method
        self.oracle = oracle
        self.ours = ask_hither(data, method)
        self.theirs = ORACLES[oracle](data, method)

    @property
    def differs(self):
        if not self.ours.taken and not self.theirs.taken:
            return False  # cut short or refused: either way it is an error
        return self.ours.value() != self.theirs.value()

    @property
    def kind(self):
        if not self.theirs.taken:
            return "we take it"
        return "both take it" if self.ours.taken else "they take it"

    def head(self):
        """All heads as they are on the wire, up to the end of the last one that either parser saw."""
        ends = [match.end() for match in re.finditer(rb"\r?\n\r?\n", self.data)]
        count = max(len(self.ours.statuses), len(self.theirs.statuses), 1)
        return self.data[: ends[min(count, len(ends)) - 1]] if ends else self.data

    def body(self):
        return self.data[len(self.head()) :]

    def has(self, pattern):
        return re.search(pattern, self.head(), re.IGNORECASE) is not None

    def values(self, name):
        """Values of a field of the last head that they saw."""
        return [value for key, value in self.theirs.fields if bytes(key).lower() == name]

    def __repr__(self):
        return (
            f"{self.kind}, beside {self.oracle}: {self.method} {self.data!r}\n  we: {self.ours}\n  they: {self.theirs}"
        )


class Difference:
    """`applies` looks at the bytes; `sample` shows the difference, as the answer to `method`."""

    def __init__(self, oracle, kind, why, applies, sample, method="GET"):
        self.oracle = oracle
        self.kind = kind
        self.why = why
        self.applies = applies
        self.sample = sample
        self.method = method

    def explains(self, case):
        return self.oracle == case.oracle and self.kind == case.kind and self.applies(case)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMING = (b"content-length", b"transfer-encoding")
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
BARE_LF = rb"(?<!\r)\n"
CONTROL = rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"


def in_head(pattern):
    return lambda case: case.has(pattern)


def in_chunks(pattern):
    """Of bodies whose head says chunked, to look at their lines; content is as good as never taken for one."""
    return lambda case: case.has(rb"\ntransfer-encoding:") and re.search(pattern, case.body()) is not None


def frames_nothing(case):
    """Framing fields in a head that no body follows, be it the last one or an informational one."""
    heads = re.split(rb"\r?\n\r?\n", case.head())
    final = case.ours.statuses[-1] in (204, 304) or case.method in ("HEAD", "CONNECT")
    heads = [head for head in heads if final or re.match(rb"HTTP/1\.[0-9] 1", head)]
    return any(re.search(rb"\n(?:content-length|transfer-encoding):", head, re.IGNORECASE) for head in heads)


def interim_closes(case):
    """An informational head in HTTP/1.0, or with `Connection: close`."""
    heads = [head for head in re.split(rb"\r?\n\r?\n", case.head()) if re.match(rb"HTTP/1\.[0-9] 1", head)]
    return any(re.search(rb"^HTTP/1\.0|\nconnection:.*close", head, re.IGNORECASE) for head in heads)


def has_odd_extension(case):
    """A chunk line that is not as in RFC 9112 §7.1, white space included."""
    found = re.findall(rb"(?:^|\n)([0-9A-Fa-f]+[;\t ][^\r\n]*)(?=\r\n)", case.body())
    return any(
        re.fullmatch(rb'[0-9A-Fa-f]+(?:;%b(?:=(?:%b|"[\t !#-\[\]-~\x80-\xff]*"))?)*' % (TOKEN, TOKEN), line) is None
        for line in found
    )


DIFFERENCES = [
    Difference(
        "httptools",
        "we take it",
        "a bare LF ends a line of a head: RFC 9112 §2.2 allows it to a recipient, and old servers need it",
        in_head(BARE_LF),
        b"HTTP/1.1 200 OK\nA: b\n\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "a folded line becomes one with spaces: RFC 9112 §5.2 demands that of user agents",
        in_head(rb"\r\n[ \t]"),
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "control characters but CR, LF and NUL stay in a value: RFC 9110 §5.5 allows it, they delimit nothing",
        lambda case: (
            any(re.search(CONTROL, value) for _, value in case.ours.fields + case.ours.trailers)
            or case.has(rb":[^\r\n]*" + CONTROL)
        ),
        b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "an invalid length, or one beside a transfer coding, frames nothing where there is no body (RFC 9112 §6.3)",
        frames_nothing,
        b"HTTP/1.1 204 OK\r\nContent-Length: x\r\n\r\n",
    ),
    Difference(
        "httptools",
        "they take it",
        "another transfer coding than chunked was not asked for: its content would reach the caller encoded "
        "(RFC 9112 §6.1, §7)",
        lambda case: [value.lower() for value in case.values(b"transfer-encoding")] not in ([], [b"chunked"]),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "they take it",
        "NUL in a reason: no valid head has it anywhere (RFC 9112 §4)",
        in_head(rb"HTTP/1\.[0-9] [0-9]{3} [^\r\n]*\0"),
        b"HTTP/1.1 200 O\0K\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "the same length twice is that length: RFC 9112 §6.3 allows it, and it was seen in the wild",
        lambda case: len(plain(case.ours.fields)) < len(case.ours.fields),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    ),
    Difference(
        "httptools",
        "we take it",
        "a higher minor version: RFC 9110 §2.5 has it read as the highest that is known, which is 1.1",
        in_head(rb"HTTP/1\.[2-9] "),
        b"HTTP/1.2 200 OK\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "an informational response in HTTP/1.0 or with `Connection: close` does not close the connection before "
        "the final one (RFC 9110 §15.2)",
        interim_closes,
        b"HTTP/1.0 100 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "we take it",
        "a chunk extension is skipped unread, its size limited: RFC 9112 §7.1.1 has unknown ones ignored, and "
        "white space in their place is common",
        has_odd_extension,
        CHUNKED + b"1 \r\nx\r\n0;a=b=\xff\r\n\r\n",
    ),
    Difference(
        "httptools",
        "we take it",
        "101: llhttp needs an Upgrade field beside it; our parser tells, and the connection refuses it",
        lambda case: case.ours.statuses[-1] == 101,
        b"HTTP/1.1 101 OK\r\n\r\n\x81\0",
    ),
    Difference(
        "httptools",
        "we take it",
        "a framing field among the trailers, where it means nothing (RFC 9110 §6.5.1)",
        lambda case: any(bytes(name).lower() in FRAMING for name, _ in case.ours.trailers),
        CHUNKED + b"0\r\nContent-Length: x\r\n\r\n",
    ),
    Difference(
        "httptools",
        "we take it",
        "a tab after a transfer coding is white space around the value like any other (RFC 9112 §5)",
        in_head(rb"\ntransfer-encoding:[ \t]*chunked[ \t]*\t"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "httptools",
        "they take it",
        "HTTP/0.9 and HTTP/2.0 have another syntax than HTTP/1 (RFC 9112 §2.3)",
        in_head(rb"HTTP/(?:0\.9|2\.0) "),
        b"HTTP/2.0 200 OK\r\n\r\nbody",
    ),
    Difference(
        "httptools",
        "they take it",
        "empty lines before a status line: RFC 9112 §2.2 has servers skip them, not clients",
        lambda case: re.search(rb"(?:^|\n\r?\n)[\r\n]+HTTP/1\.", case.data),
        b"\r\nHTTP/1.1 200 OK\r\n\r\nbody",
    ),
    Difference(
        "h11",
        "we take it",
        "101: h11 must have sent an Upgrade; our parser tells, and the connection refuses it",
        lambda case: case.ours.statuses[-1] == 101,
        b"HTTP/1.1 101 OK\r\n\r\n",
    ),
    Difference(
        "h11",
        "we take it",
        "an invalid length or transfer coding among the trailers, where it means nothing (RFC 9110 §6.5.1)",
        lambda case: any(bytes(name).lower() in FRAMING for name, _ in case.ours.trailers),
        CHUNKED + b"0\r\nContent-Length: x\r\n\r\n",
    ),
    Difference(
        "h11",
        "they take it",
        "both a length and a transfer coding: RFC 9112 §6.3 says that it may be an attempt at smuggling, and "
        "ought to be an error",
        lambda case: all(case.values(name) for name in FRAMING),
        CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    Difference(
        "h11",
        "we take it",
        "vertical tab and form feed, which h11 refuses of all control characters: RFC 9110 §5.5 lets them stay",
        lambda case: (
            case.has(rb"[\x0b\x0c]") or any(re.search(rb"[\x0b\x0c]", value) for _, value in case.ours.trailers)
        ),
        b"HTTP/1.1 200 OK\r\nA: \x0b\r\n\r\nbody",
    ),
    Difference(
        "h11",
        "we take it",
        "an invalid length or transfer coding frames nothing where there is no body (RFC 9112 §6.3)",
        frames_nothing,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        method="HEAD",
    ),
    Difference(
        "h11",
        "we take it",
        "white space before a chunk extension: RFC 9112 §7.1.1 has it (BWS)",
        in_chunks(rb"[0-9A-Fa-f][ \t]+;"),
        CHUNKED + b"1 ;a\r\nx\r\n0\r\n\r\n",
    ),
    Difference(
        "h11",
        "they take it",
        "a bare LF inside a chunked body: the leave of RFC 9112 §2.2 is for heads, elsewhere it lets two "
        "parsers disagree on where a message ends",
        in_chunks(BARE_LF),
        CHUNKED + b"0\r\nA: b\n\n",
    ),
    Difference(
        "h11",
        "they take it",
        "a folded trailer: nobody sends them, and a trailer may be dropped anyhow (RFC 9110 §6.5.1)",
        in_chunks(rb"\r\n[ \t]"),
        CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
    ),
    Difference(
        "h11",
        "they take it",
        "NUL, or a CR that ends no line, in a chunk extension: nothing valid has it (RFC 9112 §7.1.1)",
        in_chunks(rb"[0-9A-Fa-f];[^\n]*(?:\0|\r(?!\n))"),
        CHUNKED + b"1;\0\r\nx\r\n0\r\n\r\n",
    ),
    Difference(
        "h11",
        "they take it",
        "another major version than 1 has another syntax (RFC 9112 §2.3)",
        in_head(rb"HTTP/[02-9]\.[0-9] "),
        b"HTTP/2.0 200 OK\r\n\r\nbody",
    ),
]


def explain(case):
    return next((known for known in DIFFERENCES if known.explains(case)), None)


# Answers, and what may befall them

NAMES = [b"Server", b"X-A", b"Set-Cookie", b"Content-Type", b"Date", b"Vary", b"content-encoding", b"A"]
VALUES = [b"", b"nginx", b"a=b; Path=/", b"a, b", b"text/html;charset=utf-8", b"\xff\xe9", b"x\ty", b"a:b"]
FRAGMENTS = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\0", b"\x01", b"\x7f", b"\x80", b":", b";", b",", b"0",
    b"1", b"9", b"f", b"-", b"+", b"_", b'"', b"=", b"\r\n ", b"\n\t", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", b"200", b"100",
    b"Content-Length: 3\r\n", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: x\r\n", b"0\r\n\r\n", b"1\r\nx\r\n", b"chunked", b", chunked",
]  # fmt: skip


def make_answer(rng):
    """Return a response as a server that keeps to the RFC may send it."""
    interim = [make_head(rng, rng.choice([b"100", b"102", b"103"]), []) for _ in range(rng.choice([0, 0, 0, 0, 1, 2]))]
    body = rng.randbytes(rng.choice([0, 1, 3, 12])) if rng.random() < 0.7 else b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    framing = rng.choice(["length", "length", "length", "chunked", "chunked", "chunked", "close", "none"])
    fields = []
    status = rng.choice([b"200", b"200", b"200", b"404", b"500", b"301"])
    if framing == "length":
        fields = [(b"Content-Length", b"%d" % len(body))]
    elif framing == "chunked":
        fields = [(rng.choice([b"Transfer-Encoding", b"transfer-encoding"]), rng.choice([b"chunked", b"Chunked"]))]
        body = make_chunks(rng, body)
    elif framing == "none":
        status, body = rng.choice([b"204", b"304"]), b""
    fields += rng.choice([[], [], [(b"Connection", rng.choice([b"close", b"keep-alive"]))]])
    return b"".join(interim) + make_head(rng, status, fields) + body


def make_head(rng, status, fields):
    fields = fields + [(rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.choice([0, 1, 2, 4]))]
    rng.shuffle(fields)
    colon = rng.choice([b": ", b": ", b":", b": \t"])
    minor = rng.choice([b"1", b"1", b"1", b"0"])
    lines = [b"HTTP/1.%b %b %b" % (minor, status, rng.choice([b"OK", b"Not \xe9 Found", b""]))]
    return b"\r\n".join([*lines, *(name + colon + value for name, value in fields), b"", b""])


def make_chunks(rng, body):
    chunks = b""
    while body:
        size = rng.randint(1, len(body))
        extension = rng.choice([b"", b"", b"", b";a", b";a=b", b';a="b;c"', b";a=b;c"])
        chunks += b"%x%b\r\n%b\r\n" % (size, extension, body[:size])
        body = body[size:]
    trailers = [b"%b: %b\r\n" % (rng.choice(NAMES), rng.choice(VALUES)) for _ in range(rng.choice([0, 0, 1, 2]))]
    return chunks + b"0\r\n" + b"".join(trailers) + b"\r\n"


def damage(rng, data):
    """Change a few bytes, mostly of the heads and chunk lines, where parsers may come to differ."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        ends = [match.start() for match in re.finditer(rb"\n|: ?|[;, ]", data)] or [0]
        place = rng.choice(ends) + rng.choice([-1, 0, 0, 1]) if rng.random() < 0.6 else rng.randrange(len(data) + 1)
        place = max(place, 0)
        match rng.randrange(7):
            case 0:
                data = data[:place] + data[place + rng.choice([1, 1, 2, 5]) :]
            case 1 | 2 | 3:
                data = data[:place] + rng.choice(FRAGMENTS) + data[place:]
            case 4:
                data = data[:place] + rng.choice(FRAGMENTS) + data[place + 1 :]
            case 5:
                data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
            case 6:
                stop = place + rng.randrange(40)
                data = data[:stop] + data[place:stop] + data[stop:]
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.05 else data


def compare(cases, seed):
    """Compare so many answers with both oracles; return how many differ, by reason."""
    rng = random.Random(seed)
    counts = {}
    for _ in range(cases):
        data = make_answer(rng)
        if rng.random() < 0.85:
            data = damage(rng, data)
        for oracle, method in (("httptools", "GET"), ("h11", rng.choice(["GET", "GET", "GET", "HEAD", "CONNECT"]))):
            case = Case(data, method, oracle)
            if case.differs:
                known = explain(case)
                assert known is not None, f"no known difference\n{case!r}"
                counts[known.why] = counts.get(known.why, 0) + 1
    return counts


def test_every_known_difference_is_one():
    for known in DIFFERENCES:
        case = Case(known.sample, known.method, known.oracle)
        assert case.differs, f"no longer a difference: {known.why}\n{case!r}"
        assert explain(case) is known, f"explained by another entry than {known.why!r}\n{case!r}"


def test_valid_answers_mean_the_same_to_all():
    """Without damage only what httptools thinks of informational responses in HTTP/1.0 differs."""
    rng = random.Random(1)
    for _ in range(1000):
        data = make_answer(rng)
        for oracle in ORACLES:
            case = Case(data, "GET", oracle)
            assert case.ours.taken, f"a valid answer is refused\n{case!r}"
            assert not case.differs or (oracle == "httptools" and interim_closes(case)), repr(case)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_answers_mean_the_same_to_all_but_for_known_differences(seed):
    assert compare(2500, seed)


@pytest.mark.slow
@pytest.mark.time_limit(600)
def test_many_more_damaged_answers():
    """`HITHER_FUZZ_CASES` and `HITHER_FUZZ_SEED` make the run longer and another one."""
    cases = int(os.environ.get("HITHER_FUZZ_CASES", "60000"))
    counts = compare(cases, os.environ.get("HITHER_FUZZ_SEED", "more"))
    print(*sorted(f"{count:7} {why}" for why, count in counts.items()), sep="\n")
