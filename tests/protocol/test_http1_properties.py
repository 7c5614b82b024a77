"""However a server's bytes are cut, and whatever was parsed before them, they mean the same."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from parsing import CHUNKED, OK, forget, receive

LINE_ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r\n \r\n", b" \n\t \r\n"])
TOKENS = st.sampled_from([b"A", b"x-long-name", b"Set-Cookie", b"Content-Encoding", b"~!"])
VALUES = st.sampled_from([b"", b"b", b" spaced out ", b"a: b", b"\xff\x01", b"keep-alive", b"0"]) | st.binary(
    max_size=6
).map(lambda value: value.translate(None, b"\0\r\n"))
BODIES = st.sampled_from([b"", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]) | st.binary(max_size=30)
CONNECTION = st.sampled_from([[]] * 3 + [[(b"Connection", b"close")], [(b"connection", b"Keep-Alive")]])


def lines(draw, fields):
    return b"".join(name + b":" + value + draw(LINE_ENDS) for name, value in fields)


def a_head(draw, status, fields):
    minor = draw(st.sampled_from([b"1", b"1", b"1", b"0"]))
    reason = draw(st.sampled_from([b" OK", b" ", b"", b" \xe9 x"]))
    fields = draw(st.permutations(draw(st.lists(st.tuples(TOKENS, VALUES), max_size=3)) + fields))
    head = b"HTTP/1." + minor + b" " + status + reason + draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    return head + lines(draw, fields) + draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))


def a_chunked_body(draw, pieces):
    chunks = b""
    for piece in pieces:
        extension = draw(st.sampled_from([b"", b"", b" ", b";a", b';a="b c"']))
        chunks += b"%x" % len(piece) + extension + b"\r\n" + piece + b"\r\n"
    trailers = draw(st.lists(st.tuples(TOKENS, VALUES), max_size=2))
    return chunks + b"0\r\n" + b"".join(b"%b:%b\r\n" % field for field in trailers) + b"\r\n"


@st.composite
def responses(draw):
    """A request's method, and all that its server sends until it closes the connection."""
    data = b""
    for status in draw(st.lists(st.sampled_from([b"100", b"102", b"103", b"199"]), max_size=3)):
        data += a_head(draw, status, [])
    fields = draw(CONNECTION)
    body = draw(BODIES)
    framing = draw(st.sampled_from(["length", "length", "chunked", "close"]))
    if framing == "length":
        fields = [*fields, (b"Content-Length", b"%d" % len(body))]
    elif framing == "chunked":
        fields = [*fields, (b"Transfer-Encoding", b"chunked")]
        body = a_chunked_body(draw, [body[i : i + 7] for i in range(0, len(body), 7)])
    data += a_head(draw, draw(st.sampled_from([b"200", b"200", b"404", b"204", b"304", b"101"])), fields)
    data += body + draw(st.sampled_from([b""] * 4 + [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 300]))
    return draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "CONNECT"])), data


@st.composite
def damaged(draw):
    """The same, with a few bytes missing, added or changed."""
    method, data = draw(responses())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 3))
        new = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b",", b"0", b"f", b"\r\n\r\n"]))
        data = data[:start] + new + data[stop:]
    return method, data


def cut(data, places):
    places = sorted({place % (len(data) + 1) for place in places} - {0, len(data)})
    return [data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True) if i < j]


PLACES = st.lists(st.integers(0, 10**6), max_size=12)
ANSWERS = responses() | damaged()


@settings(max_examples=400, deadline=None)
@given(ANSWERS, PLACES, st.booleans())
@example(("GET", OK + b"Content-Length: 2\r\n\r\nhi"), [], False)
@example(("GET", b"HTTP/1.1 200 OK\nA: b\n\nA: b\r\n\r\n"), [20], True)
def test_any_cut_gives_the_same_from_a_cold_and_a_warm_cache(answer, places, end):
    method, data = answer
    forget()
    whole = receive(data, method=method, end=end) if data else receive(method=method, end=end)
    assert receive(*cut(data, range(len(data))), method=method, end=end) == whole, "byte by byte"
    assert receive(*cut(data, places), method=method, end=end) == whole, "cut, warm"
    assert receive(*cut(data, [len(data)]), method=method, end=end) == whole, "whole, warm"
    forget()
    assert receive(*cut(data, places), method=method, end=end) == whole, "cut, cold"


@settings(max_examples=100, deadline=None)
@given(responses(), PLACES)
def test_what_is_generated_is_valid(answer, places):
    method, data = answer
    got = receive(*cut(data, places), method=method, end=True)
    assert got.error is None
    assert got.done or got.status == 101 or method == "CONNECT"


@st.composite
def histories(draw):
    """Several answers that share heads, or parts of them, in any order."""
    related = []
    for method, data in draw(st.lists(ANSWERS, min_size=1, max_size=3)):
        end = data.find(b"\r\n\r\n")
        place = draw(st.integers(0, len(data)))
        tail = draw(st.binary(max_size=8))
        related += [
            (method, data),
            (draw(st.sampled_from(["GET", "HEAD", "CONNECT"])), data),
            (method, data[: end + 4] + tail),
            (method, data[:end] + tail + data[end:]),
            (method, data[:place]),
            (method, tail + data),
            (method, data[:place] + data),
        ]
    return draw(st.lists(st.sampled_from(related), min_size=2, max_size=12))


@settings(max_examples=200, deadline=None)
@given(histories(), st.booleans())
def test_no_history_changes_what_bytes_mean(history, end):
    alone = []
    for method, data in history:
        forget()
        alone.append(receive(*cut(data, []), method=method, end=end))
    forget()
    for (method, data), expected in zip(history, alone, strict=True):
        assert receive(*cut(data, []), method=method, end=end) == expected


POISONS = [
    OK + b"Content-Length: 3\r\n\r\nabc",
    OK + b"Content-Length: 3\r\n\r\nab",
    OK + b"Content-Length: 3\r\n\r\nabcd",
    OK + b"Content-Length: 3\r\n\r\n",
    OK + b"Content-Length: 3\r\n\r",
    OK + b"Content-Length: 3",
    OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    OK + b"Content-Length: 3\n\nabc",
    OK + b"Content-Length: 3\n\nabc\r\n\r\n",
    OK + b"Content-Length: 3\r\n\r\n" + b"\xff\0\r",
    OK + b"X: \xff\xfe\x80\r\nContent-Length: 3\r\n\r\nabc",
    OK + b"X: \0\r\nContent-Length: 3\r\n\r\nabc",
    OK + b"\r\n\r\nabc",
    b"HTTP/1.1 100 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 204 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"Content-Length: 3\r\n\r\nabc",
    b"\r\n\r\n",
    b"\r\n\r\nabc",
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
    CHUNKED + b"0\r\nHTTP/1.1 200 OK\r\n\r\n",
]


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "CONNECT"])
def test_no_answer_spoils_the_cache_for_another(method, end):
    for poison in POISONS:
        for victim in POISONS:
            forget()
            expected = receive(victim, method=method, end=end)
            forget()
            receive(poison, end=end)
            receive(poison, method=method, end=end)
            assert receive(victim, method=method, end=end) == expected


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(["GET", "HEAD", "CONNECT"]),
    st.sampled_from([b"", b"HTTP/1.1 ", OK, OK + b"\r\n", CHUNKED, CHUNKED + b"1\r\nx\r\n", CHUNKED + b"0\r\n"]),
    st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"\n", b" ", b"1", b"0", b"A:", b";"])).map(b"".join),
    PLACES,
)
def test_any_bytes_at_all_are_an_answer_or_an_error(method, start, rest, places):
    receive(*cut(start + rest, places), method=method, end=True)
