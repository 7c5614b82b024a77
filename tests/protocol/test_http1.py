"""The HTTP/1.1 parser by itself: what each rule of RFC 9112 makes of the bytes."""

import time

import pytest
from parsing import CHUNKED, OK, forget, receive, refused

from hither import LocalProtocolError, RemoteProtocolError
from hither.protocol import http1
from hither.protocol.events import End
from hither.protocol.http1 import ResponseParser, encode_method, request_head


@pytest.fixture(autouse=True)
def _cold():
    forget()


# RFC 9112 §6.3: where the body ends


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "head"])
def test_content_length_ends_the_body(method):
    got = receive(OK + b"Content-Length: 2\r\n\r\nhi", method=method)
    assert (got.status, got.body, got.ends, got.order) == (200, b"hi", [()], "HBE")
    assert got.done
    assert got.keep_alive
    assert got.excess == b""


def test_a_length_of_zero_ends_the_response_with_its_head():
    got = receive(OK + b"Content-Length: 0\r\n\r\n")
    assert got.order == "HE"
    assert got.done
    assert got.keep_alive


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("fields", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_204_and_304_have_no_body_whatever_the_fields_say(status, fields):
    for _ in "cold", "warm":
        got = receive(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n")
        assert got.order == "HE"
        assert got.done
        assert got.keep_alive


@pytest.mark.parametrize(
    "fields", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: x\r\n"]
)
def test_an_answer_to_head_has_no_body_whatever_the_fields_say(fields):
    for _ in "cold", "warm":
        got = receive(OK + fields + b"\r\n", method="HEAD")
        assert got.order == "HE"
        assert got.done
        assert got.keep_alive


def test_the_same_bytes_answer_get_and_head_differently():
    data = OK + b"Content-Length: 5\r\n\r\nhello"
    for _ in "cold", "warm":
        assert receive(data).body == b"hello"
        got = receive(data, method="HEAD")
        assert (got.body, got.excess, got.keep_alive) == (b"", b"hello", False)
        got = receive(data, method="CONNECT")
        assert (got.order, got.excess, got.keep_alive) == ("H", b"hello", False)


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"299 Fine"])
def test_success_to_connect_opens_a_tunnel(status):
    parser = ResponseParser()
    got = receive(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nhi", method="CONNECT", parser=parser)
    assert got.order == "H"
    assert got.excess == b"hi"
    assert not got.keep_alive
    assert parser.receive_data(b" there" * 100) == []
    assert parser.excess == b"hi" + b" there" * 100
    assert parser.receive_end() == []


def test_failure_to_connect_has_a_body():
    data = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"
    for _ in "cold", "warm":
        got = receive(data, method="CONNECT")
        assert (got.status, got.body, got.done, got.keep_alive) == (407, b"no", True, True)


def test_101_leaves_the_rest_to_the_new_protocol():
    got = receive(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    assert (got.status, got.order, got.excess, got.keep_alive) == (101, "H", b"\x81\x00", False)


def test_without_length_the_body_ends_with_the_connection():
    parser = ResponseParser()
    got = receive(OK + b"\r\nall", b" of it", parser=parser)
    assert (got.body, got.order, got.done, got.keep_alive) == (b"all of it", "HB", False, False)
    (end,) = parser.receive_end()
    assert isinstance(end, End)
    assert parser.done
    assert not parser.keep_alive
    assert parser.receive_end() == []


def test_equal_lengths_count_once():
    for fields in (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"Content-Length: 2, 2\r\n"):
        assert receive(OK + fields + b"\r\nhi").body == b"hi"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2, 3\r\n",
        b"Content-Length: 2,\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: 2 3\r\n",
        b"Content-Length: 2\r\n 3\r\n",
        b"Content-Length: 2.0\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: 10000000000000000000000\r\n",
    ],
)
def test_an_invalid_length_is_refused(fields):
    for _ in "cold", "warm":
        refused(OK + fields + b"\r\nhi", match="invalid Content-Length")


@pytest.mark.parametrize("order", [1, -1])
def test_length_and_transfer_coding_together_are_refused(order):
    fields = [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"][::order]
    for _ in "cold", "warm":
        refused(OK + b"".join(fields) + b"\r\n0\r\n\r\n", match="both Content-Length and Transfer-Encoding")


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b""])
def test_a_transfer_coding_that_was_not_offered_is_refused(coding):
    refused(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n", match="not offered")


def test_two_transfer_codings_in_two_fields_are_refused():
    fields = b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
    refused(OK + fields + b"\r\n0\r\n\r\n", match="not offered")


# Informational responses


def test_informational_responses_come_before_the_final_one():
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n"
    for _ in "cold", "warm":
        got = receive(interim + OK + b"Content-Length: 2\r\n\r\nhi")
        assert [head[1] for head in got.heads] == [100, 103, 200]
        assert (got.order, got.body, got.keep_alive) == ("HHHBE", b"hi", True)


def test_close_in_an_informational_response_is_not_about_the_connection():
    interim = b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"
    assert receive(interim + OK + b"Content-Length: 0\r\n\r\n").keep_alive


def test_the_number_of_informational_responses_is_limited():
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    last = OK + b"Content-Length: 0\r\n\r\n"
    parser = ResponseParser()
    for _ in "counted", "for", "each", "request":
        assert receive(interim * http1.MAX_INFORMATIONAL + last, parser=parser).status == 200
    refused(interim * (http1.MAX_INFORMATIONAL + 1) + last, match="informational")


# RFC 9112 §9.3: whether the connection stays


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", None, True),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"close", False),
        (b"1.1", b"Close", False),
        (b"1.1", b"x, \tclose ,y", False),
        (b"1.1", b"closed", True),
        (b"1.1", b"keep-alive, close", False),
        (b"1.0", None, False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"keep-alive, close", False),
        (b"1.2", None, True),
    ],
)
def test_whether_the_connection_stays(version, connection, stays):
    field = b"" if connection is None else b"Connection: " + connection + b"\r\n"
    data = b"HTTP/" + version + b" 200 OK\r\n" + field + b"Content-Length: 1\r\n\r\nx"
    for _ in "cold", "warm":
        assert receive(data).keep_alive is stays


def test_options_of_several_connection_fields_count():
    fields = b"Connection: x\r\ncONNECTION: close\r\nConnection: y\r\nContent-Length: 0\r\n"
    assert not receive(OK + fields + b"\r\n").keep_alive


def test_chunks_in_http_1_0_are_read_and_the_connection_closed():
    head = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    got = receive(head + b"2\r\nhi\r\n0\r\n\r\n")
    assert (got.body, got.keep_alive) == (b"hi", False)


# Chunks


@pytest.mark.parametrize(
    "chunks",
    [
        b"2\r\nhi\r\n0\r\n\r\n",
        b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
        b'2;a=b;c="d;e"\r\nhi\r\n000;x\r\n\r\n',
        b"2 \t \r\nhi\r\n0 ;\r\n\r\n",
        b"0000000000000002\r\nhi\r\n0\r\n\r\n",
    ],
)
def test_chunks_are_joined(chunks):
    got = receive(CHUNKED + chunks)
    assert (got.body, got.ends, got.done, got.keep_alive, got.excess) == (b"hi", [()], True, True, b"")


def test_hexadecimal_sizes_of_either_case():
    assert receive(CHUNKED + b"aB\r\n" + b"x" * 0xAB + b"\r\n0\r\n\r\n").body == b"x" * 0xAB


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", b"-1", b"+1", b"0x1", b" 1", b"1 1", b"1_0", b"1,", b"1;\0", b"1\r", b"1;a\rb", b"\xb2",
        b"00000000000000001",
    ],
)  # fmt: skip
def test_an_invalid_chunk_size_is_refused(line):
    refused(CHUNKED + line + b"\r\nx\r\n0\r\n\r\n", match="invalid chunk size")


@pytest.mark.parametrize("after", [b"xx", b"xy\r\n", b"x0\r\n", b"x\n", b"x\r0\r\n", b"x\n0\r\n"])
def test_a_chunk_longer_than_its_size_is_refused(after):
    data = CHUNKED + b"1\r\n" + after
    refused(data, match="longer than its size")
    refused(data[:-1], data[-1:], match="longer than its size")


@pytest.mark.parametrize("data", [b"1\nx\r\n0\r\n\r\n", b"1\r\nx\r\n0\n\r\n", b"0\r\nA: b\n\r\n", b"0\r\n\n"])
def test_a_bare_line_feed_inside_a_chunked_body_is_refused(data):
    refused(CHUNKED + data, match="without CR LF")


def test_trailers_come_with_the_end():
    for cut in range(1, 4):
        chunks = b"2\r\nhi\r\n0\r\nChecksum:  a b \r\nX-Empty:\r\n\r\n"
        got = receive(CHUNKED + chunks[:-cut], chunks[-cut:])
        assert got.ends == [((b"Checksum", b"a b"), (b"X-Empty", b""))]
        assert got.fields == [(b"Transfer-Encoding", b"chunked")]
        assert got.keep_alive


def test_trailers_of_one_response_are_not_those_of_the_next():
    parser = ResponseParser()
    assert receive(CHUNKED + b"0\r\nA: b\r\n\r\n", parser=parser).ends == [((b"A", b"b"),)]
    assert receive(CHUNKED + b"0\r\n\r\n", parser=parser).ends == [()]


def test_trailers_do_not_frame():
    got = receive(CHUNKED + b"0\r\nContent-Length: 5\r\nConnection: close\r\nTransfer-Encoding: x\r\n\r\n")
    assert (got.done, got.keep_alive, len(got.ends[0])) == (True, True, 3)


@pytest.mark.parametrize(
    ("trailer", "why"),
    [(b"A: b\r\n c\r\n", "folded"), (b" A: b\r\n", "folded"), (b"A b\r\n", "no header field"), (b":\r\n", "no header")],
)
def test_a_malformed_trailer_is_refused(trailer, why):
    refused(CHUNKED + b"0\r\n" + trailer + b"\r\n", match=why)


# Heads


def test_what_a_head_tells():
    head = b"HTTP/1.1 404 Not \xe9 Here\r\nX-A:\t one \r\nx-a:two\r\nEmpty:\r\nColon: a:b: c\r\n\xe9: no\r\n\r\n"
    refused(head, match="no header field")
    got = receive(head.replace(b"\xe9: no\r\n", b"Obs: \xe9\r\n"))
    fields = ((b"X-A", b"one"), (b"x-a", b"two"), (b"Empty", b""), (b"Colon", b"a:b: c"), (b"Obs", b"\xe9"))
    assert got.heads == [("HTTP/1.1", 404, b"Not \xe9 Here", fields, False, False)]


def test_a_head_tells_whether_it_has_cookies_and_codings():
    for _ in "cold", "warm":
        got = receive(OK + b"set-cookie: a=b\r\nCONTENT-ENCODING: gzip\r\nContent-Length: 0\r\n\r\n")
        assert got.heads[0][4:] == (True, True)


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 999 x", b"HTTP/1.9 200 a b"])
def test_status_lines_that_are_taken(line):
    assert receive(line + b"\r\n\r\n").order == "H"


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK", b"HTTP/1 200 OK", b"HTTP/1.10 200 OK", b"http/1.1 200 OK", b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1 200OK", b" HTTP/1.1 200 OK", b"HTTP/1.1 200 O\0K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 \xb2\xb2\xb2", b"",
    ],
)  # fmt: skip
def test_status_lines_that_are_refused(line):
    refused(line + b"\r\nContent-Length: 0\r\n\r\n", match="did not answer in HTTP/1")


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail ESMTP\r\n", b"\x15\x03\x01", b"<html>", b"HTTP/2", b"HTTX", b"\r\n", b"\0"],
)
def test_what_is_not_http_is_noticed_at_once(greeting):
    refused(greeting, match="did not answer in HTTP/1")
    refused(*(greeting[i : i + 1] for i in range(len(greeting))), match="did not answer in HTTP/1")


@pytest.mark.parametrize("line", [b"A", b"A : b", b": b", b"A b: c", b"A\0: b", b"A: \0", b"A: b\rc", b"A(: b"])
def test_malformed_fields_are_refused(line):
    refused(OK + line + b"\r\n\r\n", match="no header field")
    refused(OK + b"X: y\n" + line + b"\r\n\r\n", match="no header field")
    refused(CHUNKED + b"0\r\n" + line + b"\r\n\r\n", match="no header field")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nA: b\nContent-Length: 2\n\nhi",
        b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\nA: b\r\nContent-Length: 2\r\n\nhi",
        b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\n\r\nhi",
    ],
)
def test_bare_line_feeds_end_lines_of_a_head(data):
    for _ in range(2):
        got = receive(data)
        assert (got.fields, got.body) == ([(b"A", b"b"), (b"Content-Length", b"2")], b"hi")
        assert got.done
        assert got.keep_alive


def test_a_head_with_bare_line_feeds_ends_where_it_ends_though_its_body_looks_like_a_head():
    body = b"A: b\r\n\r\nc"
    got = receive(b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(body) + body)
    assert (got.body, got.done, got.fields) == (body, True, [(b"Content-Length", b"9")])


@pytest.mark.parametrize(
    ("folded", "value"),
    [
        (b"b\r\n c", b"b c"),
        (b"b\r\n\tc\r\n  d", b"b c d"),
        (b"b\n c", b"b c"),
        (b"\r\n b", b"b"),
        (b"b\r\n ", b"b"),
        (b"b\r\n \r\n c", b"b  c"),
    ],
)
def test_folded_lines_are_joined_with_spaces(folded, value):
    got = receive(OK + b"A: " + folded + b"\r\nContent-Length: 0\r\n\r\n")
    assert (got.fields[0], got.order) == ((b"A", value), "HE")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_white_space_before_the_first_field_is_refused(line_end):
    refused(b"HTTP/1.1 200 OK" + line_end + b" A: b\r\n\r\n", match="white space between")


# Ends that come too early, and bytes that come too late


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "without an answer"),
        (b"H", "inside the response's head"),
        (OK, "inside the response's head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "inside the response's head"),
        (OK + b"Content-Length: 3\r\n\r\n", "after 0 of 3 bytes"),
        (OK + b"Content-Length: 3\r\n\r\nhi", "after 2 of 3 bytes"),
        (CHUNKED, "inside the chunked body"),
        (CHUNKED + b"2", "inside the chunked body"),
        (CHUNKED + b"2\r\nh", "inside the chunked body"),
        (CHUNKED + b"2\r\nhi", "inside the chunked body"),
        (CHUNKED + b"2\r\nhi\r\n", "inside the chunked body"),
        (CHUNKED + b"2\r\nhi\r\n0\r\n", "inside the chunked body"),
        (CHUNKED + b"2\r\nhi\r\n0\r\nA: b\r\n", "inside the chunked body"),
    ],
)
def test_a_truncated_response_is_an_error(data, why):
    for _ in "cold", "warm":
        got = receive(*([data] if data else []), end=True)
        assert why in str(got.error)
        assert not got.keep_alive
        assert not got.done


def test_the_end_after_a_whole_response_is_fine_and_the_last_of_the_connection():
    for _ in "cold", "warm":
        got = receive(OK + b"Content-Length: 2\r\n\r\nhi", end=True)
        assert (got.order, got.error, got.keep_alive) == ("HBE", None, False)


@pytest.mark.parametrize("response", [OK + b"Content-Length: 2\r\n\r\nhi", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"])
def test_bytes_after_the_response_end_the_connection(response):
    for _ in "cold", "warm":
        parser = ResponseParser()
        got = receive(response + OK, parser=parser)
        assert (got.body, got.done, got.keep_alive, got.excess) == (b"hi", True, False, OK)
        with pytest.raises(RemoteProtocolError, match="no request asked for"):
            parser.expect("GET")


def test_bytes_between_responses_end_the_connection():
    parser = ResponseParser()
    assert receive(OK + b"Content-Length: 2\r\n\r\nhi", parser=parser).keep_alive
    assert parser.receive_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n") == []
    assert not parser.keep_alive
    with pytest.raises(RemoteProtocolError, match="no request asked for"):
        parser.expect("GET")


def test_little_is_kept_of_what_nobody_asked_for():
    parser = ResponseParser()
    receive(OK + b"Content-Length: 0\r\n\r\n" + b"x" * 1000, parser=parser)
    for _ in range(100):
        parser.receive_data(b"y" * 1000)
    assert parser.excess == b"x" * 100


def test_one_parser_reads_one_response_after_the_other():
    parser = ResponseParser()
    for method, data, body in [
        ("GET", OK + b"Content-Length: 2\r\n\r\nhi", b"hi"),
        ("HEAD", OK + b"Content-Length: 2\r\n\r\n", b""),
        ("GET", CHUNKED + b"3\r\nyou\r\n0\r\nA: b\r\n\r\n", b"you"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b""),
    ] * 3:
        got = receive(data, method=method, parser=parser)
        assert (got.body, got.keep_alive, got.done, got.started) == (body, True, True, True)
        got = receive(*(data[i : i + 1] for i in range(len(data))), method=method, parser=parser)
        assert (got.body, got.keep_alive, got.done, got.started) == (body, True, True, True)


def test_a_whole_response_behind_a_known_head_is_taken_at_once():
    forget()
    parser = ResponseParser()
    data = OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi"
    parser.expect("GET")
    assert parser.receive_whole(data) is None
    assert not parser.started
    known = parser.receive_data(data)[0]
    parser = ResponseParser()
    parser.expect("GET")
    assert parser.receive_whole(data) == (known, b"hi")
    assert (parser.started, parser.done, parser.keep_alive) == (True, True, False)


def test_what_is_no_whole_response_is_not_taken():
    data = OK + b"Content-Length: 2\r\n\r\nhi"
    assert receive(data).done
    for method, other in [
        ("GET", data[:-1]),
        ("GET", data + b"!"),
        ("GET", data[:-4]),
        ("GET", b""),
        ("GET", OK + b"Content-Length: 3\r\n\r\nhi"),
        ("HEAD", data),
        ("CONNECT", data),
    ]:
        parser = ResponseParser()
        parser.expect(method)
        assert parser.receive_whole(other) is None
        assert not parser.started
    parser.expect("GET")
    parser.receive_data(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert parser.receive_whole(data) is None


def test_started_tells_whether_a_byte_of_the_answer_has_come():
    parser = ResponseParser()
    for _ in range(2):
        parser.expect("GET")
        assert not parser.started
        assert not parser.done
        parser.receive_data(b"H")
        assert parser.started
        parser.receive_data(b"TTP/1.1 204 No Content\r\n\r\n")
        assert parser.done


# Bounds: what is at one is taken, one more is refused, in one piece or in many


def head_of(size):
    head = OK + b"Content-Length: 0\r\n"
    while size - len(head) > 100_000:
        head += b"A: " + b"a" * 50_000 + b"\r\n"
    return head + b"A: " + b"a" * (size - len(head) - 7) + b"\r\n\r\n"


def in_pieces(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("piece", [1, 1000, 65536, 10**6])
@pytest.mark.parametrize("bare", [False, True])
def test_bound_of_a_head(piece, bare):
    fits, too_long = head_of(http1.MAX_HEAD), head_of(http1.MAX_HEAD + 1)
    assert len(fits) == http1.MAX_HEAD
    if bare:
        fits, too_long = (data.replace(b"OK\r\n", b"OK\nX:\n") for data in (head_of(len(fits) - 4), too_long))
    assert receive(*in_pieces(fits, piece)).order == "HE"
    assert receive(*in_pieces(fits + b"\0" * 10, piece)).order == "HE"
    refused(*in_pieces(too_long, piece), match="head of more than 262144 bytes")
    refused(*in_pieces(too_long[:-1] + b"a" * 100, piece), match="head of more than 262144 bytes")


@pytest.mark.parametrize("piece", [1, 10**6])
def test_bound_of_fields(piece):
    head = OK + b"Content-Length: 0\r\n" + b"A:\r\n" * (http1.MAX_FIELDS - 1)
    assert len(receive(*in_pieces(head + b"\r\n", piece)).fields) == http1.MAX_FIELDS
    refused(*in_pieces(head + b"A:\r\n\r\n", piece), match="more than 1000 header fields")


@pytest.mark.parametrize("piece", [1, 10**6])
def test_bound_of_trailers(piece):
    data = CHUNKED + b"0\r\n" + b"A:\r\n" * http1.MAX_FIELDS
    assert len(receive(*in_pieces(data + b"\r\n", piece)).ends[0]) == http1.MAX_FIELDS
    refused(*in_pieces(data + b"A:\r\n\r\n", piece), match="1000 trailers")


@pytest.mark.parametrize("piece", [1, 1000, 10**6])
def test_bound_of_trailer_bytes(piece):
    longest = b"A:" + b"a" * (http1.MAX_TRAILER_LINE - 4) + b"\r\n"
    assert receive(*in_pieces(CHUNKED + b"0\r\n" + longest * 32 + b"\r\n", piece)).done
    refused(*in_pieces(CHUNKED + b"0\r\n" + longest * 33 + b"\r\n", piece), match="262144 bytes of them")
    refused(*in_pieces(CHUNKED + b"0\r\nA" + longest, piece), match="line of more than 8192 bytes")
    refused(*in_pieces(CHUNKED + b"0\r\nAA" + longest[:-1], piece), match="line of more than 8192 bytes")


@pytest.mark.parametrize("piece", [1, 1000, 10**6])
def test_bound_of_a_chunk_line(piece):
    longest = b"1;" + b"e" * (http1.MAX_CHUNK_LINE - 4) + b"\r\n"
    assert receive(*in_pieces(CHUNKED + longest + b"x\r\n0\r\n\r\n", piece)).body == b"x"
    refused(*in_pieces(CHUNKED + b"0" + longest, piece), match="line of more than 4096 bytes")
    refused(*in_pieces(CHUNKED + b"00" + longest[:-1], piece), match="line of more than 4096 bytes")


@pytest.mark.parametrize("filler", [b";" + b"e" * 10, b" " * 11])
def test_bound_of_chunk_extensions(filler):
    """Each chunk's two bytes of content pay for four of the eleven."""
    chunk = b"2" + filler + b"\r\nxx\r\n"
    most = http1.MAX_CHUNK_EXTENSIONS // (11 - 4)
    assert len(receive(CHUNKED + chunk * most + b"0\r\n\r\n").body) == 2 * most
    refused(CHUNKED + chunk * (most + 1) + b"0\r\n\r\n", match="16384 bytes of chunk extensions")


def test_signed_chunks_of_a_long_body_are_taken():
    chunk = b"400;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 1024 + b"\r\n"
    assert len(receive(CHUNKED + chunk * 1000 + b"0\r\n\r\n").body) == 1024 * 1000


def test_bounds_are_for_one_response():
    parser = ResponseParser()
    data = CHUNKED + b"1;" + b"e" * 4000 + b"\r\nx\r\n0\r\n" + (b"A: " + b"a" * 100 + b"\r\n") * 600 + b"\r\n"
    for _ in range(10):
        assert receive(data, parser=parser).keep_alive


def test_caches_are_bounded():
    for i in range(3000):
        long = b"b" * (300 * (i % 2))
        assert (
            receive(b"HTTP/1.1 200 OK%d%b\r\nA: %d%b\r\nContent-Length: 1\r\n\r\nx" % (i, long, i, long)).body == b"x"
        )
    assert len(http1._heads) <= http1._MAX_CACHED_HEADS
    assert len(http1._field_lines) <= http1._MAX_CACHED
    assert len(http1._status_lines) <= http1._MAX_CACHED_STATUSES
    assert max(map(len, http1._heads)) <= http1._MAX_CACHED_HEAD
    assert max(map(len, [*http1._field_lines, *http1._status_lines])) <= http1._MAX_CACHED_LINE


def test_cookies_are_not_cached():
    for data in (
        OK + b"Set-Cookie: secret=1\r\nContent-Length: 0\r\n\r\n",
        CHUNKED + b"0\r\nSet-Cookie: secret=1\r\n\r\n",
    ):
        receive(data)
    assert b"secret" not in b"".join([*http1._heads, *http1._field_lines, *http1._status_lines])


# Time: linear in the bytes, however they come


SPACES = b" " * 200_000


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        pytest.param(head_of(http1.MAX_HEAD), 1, id="head"),
        pytest.param(OK + b"A: b\n" + b" c\n" * 80_000 + b"\n", 1, id="folds"),
        pytest.param(OK + b"A:\n" * 999 + b"\n", 1, id="bare-line-feeds"),
        pytest.param(OK + b"\r\r" * 60_000 + b"\n" + b"\r\n", 1, id="carriage-returns"),
        pytest.param(OK + b"A: b\r\n c\r\nD: " + SPACES + b"e\r\n\r\n", 10**6, id="spaces-beside-a-fold"),
        pytest.param(OK + b"A: " + SPACES + b"\0\r\n\r\n", 10**6, id="spaces-and-a-nul"),
        pytest.param(OK + b"A: " + SPACES + b"\r\n\r\n", 10**6, id="spaces"),
        pytest.param(OK + b"a" * 200_000 + b"\r\n\r\n", 10**6, id="no-colon"),
        pytest.param(OK + b"Content-Length: " + b"1," * 100_000 + b"1\r\n\r\nx", 10**6, id="lengths"),
        pytest.param(OK + b"Connection: " + b"a," * 100_000 + b"\r\n\r\n", 10**6, id="options"),
        pytest.param(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n", 1, id="chunks"),
        pytest.param(CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n", 10**7, id="chunks-at-once"),
        pytest.param(CHUNKED + b"0\r\n" + (b"A: " + b"a" * 8000 + b"\r\n") * 32 + b"\r\n", 1, id="long-trailers"),
        pytest.param(CHUNKED + b"0\r\n" + (b"A: " + b"a" * 200 + b"\r\n") * 999 + b"\r\n", 1, id="many-trailers"),
        pytest.param(OK + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000, 1, id="length"),
        pytest.param(OK + b"\r\n" + b"x" * 500_000, 1, id="until-close"),
    ],
)
def test_time_is_linear(data, piece):
    """A quadratic path takes minutes here; these take tenths of a second."""
    start = time.process_time()
    receive(*in_pieces(data, piece))
    assert time.process_time() - start < 5


# Requests


@pytest.mark.parametrize("method", ["GET", "get", "M-SEARCH", "!#$%&'*+-.^_`|~09Az"])
def test_methods_that_are_tokens(method):
    assert encode_method(method) == method.encode()
    start = method.encode() + b" /x HTTP/1.1\r\n"
    assert request_head(method, b"/x", None, b"A: b\r\n") == start + b"A: b\r\n\r\n"
    assert request_head(method, b"/x", b"h", b"A: b\r\n") == start + b"Host: h\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("method", ["", "GET ", "GET\n", "GE\rT", "G\0ET", "G\u00c9T", "GET / HTTP/1.1\r\nA:", "a:b"])
def test_methods_that_are_not(method):
    for encode in (encode_method, lambda method: request_head(method, b"/", b"h", b"")):
        with pytest.raises(LocalProtocolError, match="not a token"):
            encode(method)


def test_a_head_that_sets_cookies_is_remembered_by_its_connection_alone():
    from hither.protocol import http1

    data = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=hidden\r\nContent-Length: 2\r\n\r\nhi"
    parser = http1.ResponseParser()
    parser.expect("GET")
    first = parser.receive_data(data)
    parser.expect("GET")
    head, content = parser.receive_whole(data)
    assert (head is first[0], content) == (True, b"hi")
    other = http1.ResponseParser()
    other.expect("GET")
    assert other.receive_whole(data) is None
    assert not any(b"hidden" in block for block in http1._heads)
