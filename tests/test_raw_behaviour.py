"""What the client does when the server misbehaves: each case over every face, byte for byte."""

from __future__ import annotations

import os
import gzip
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hither
from servers.raw import (
    Connection,
    answer,
    bytewise,
    close,
    endless,
    half_close,
    head,
    keep_answering,
    pieces,
    request,
    reset,
    response,
    until_closed,
    wait,
)

QUICK = hither.Timeout(connect=5, read=0.15, write=5, pool=5)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def expect_error(face: Any, server: Any, kind: type[Exception], **options: Any) -> Any:
    """One GET which must fail with exactly `kind`, say so well, and leave the client usable."""
    async with face.client(**options) as client:
        with pytest.raises(kind) as caught:
            await client.get(server.url("/asked"))
    assert type(caught.value) is kind
    assert "/asked" in str(caught.value), "the message names the URL"
    assert "GET" in str(caught.value), "the message names the method"
    assert caught.value.request.url == server.url("/asked")
    return caught.value


# -- whole answers in odd pieces


WHOLE = {
    "content-length": response(b"hello"),
    "chunked": CHUNKED + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nX-Trailer: yes\r\n\r\n",
    "until-close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    "http/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "after-1xx": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"hello"),
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("kind", WHOLE)
async def test_split_at_every_byte(face, raw, kind):
    with raw([request(), bytewise(WHOLE[kind]), close]) as server:
        async with face.client() as client:
            answered = await client.get(server.url())
    assert answered.status_code == 200
    assert answered.content == b"hello"


@pytest.mark.parametrize("kind", WHOLE)
async def test_streamed_while_split_at_every_byte(face, raw, kind):
    with raw([request(), bytewise(WHOLE[kind]), close]) as server:
        async with face.client() as client, client.stream("GET", server.url()) as answered:
            chunks = [chunk async for chunk in answered.aiter_bytes()]
    assert b"".join(chunks) == b"hello"


def plain(response: Any) -> tuple[Any, ...]:
    return (
        response.status_code,
        response.reason_phrase,
        response.headers.multi_items(),
        response.content,
        sorted(response.trailers.multi_items()),
    )


SPLIT = {
    **WHOLE,
    "gzip": response(gzip.compress(b"hello", mtime=0), "Content-Encoding: gzip"),
    "many-fields": response(b"hello", "X-A: 1", "X-B: 2", "X-A: 3", "Set-Cookie: a=b"),
    "reason": b"HTTP/1.1 200 Fine by me\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.time_limit(60)
def test_any_split_of_the_bytes_gives_the_same_response(face, raw):
    current: list[bytes] = []

    def script(connection: Connection) -> None:
        connection.head()
        connection.send_pieces(current)

    async def get(url: str) -> tuple[Any, ...]:
        async with face.client() as client:
            return plain(await client.get(url))

    with raw(script) as server:

        @settings(max_examples=25, deadline=None, database=None)
        @given(st.sampled_from(sorted(SPLIT)), st.lists(st.integers(0, 200), max_size=12))
        def holds(kind: str, cuts: list[int]) -> None:
            data = SPLIT[kind]
            current[:] = [data]
            whole = face.run(get, server.url())
            marks = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
            current[:] = [data[a:b] for a, b in zip(marks, marks[1:], strict=False)]
            assert face.run(get, server.url()) == whole
            assert whole[3] == b"hello"

        holds()


async def test_a_204_and_a_304_and_a_head_have_no_body(face, raw):
    def make(got: Any) -> bytes:
        if got.method == b"HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        if got.target == b"/304":
            return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    with raw(keep_answering(make)) as server:
        async with face.client() as client:
            head_answer = await client.head(server.url())
            not_modified = await client.get(server.url("/304"))
            nothing = await client.get(server.url("/204"))
    assert [head_answer.content, not_modified.content, nothing.content] == [b"", b"", b""]
    assert head_answer.headers["content-length"] == "1000"
    assert len(server.connections) == 1, "all three were read whole, so the connection was reused"


async def test_obsolete_line_folding_and_bare_lf_never_split_a_response(face, raw):
    """RFC 9112 §5.2, §2.2: a fold is refused or read as spaces; it is no new field."""
    with raw([request(), b"HTTP/1.1 200 OK\r\nX-A: 1\r\n Evil: 2\r\nContent-Length: 2\r\n\r\nhi"]) as server:
        async with face.client() as client:
            try:
                answered = await client.get(server.url())
            except hither.RemoteProtocolError:
                return
    assert "evil" not in answered.headers


# -- answers that end too early


TRUNCATED = {
    "nothing": b"",
    "in-the-status-line": b"HTTP/1.1 20",
    "in-the-fields": b"HTTP/1.1 200 OK\r\nContent-Le",
    "in-the-body": response(b"hello", length=10),
    "before-the-body": response(b"", length=10),
    "in-a-chunk": CHUNKED + b"a\r\nhello",
    "between-chunks": CHUNKED + b"5\r\nhello\r\n",
    "in-a-chunk-size": CHUNKED + b"5\r\nhello\r\n0",
    "before-the-trailers-end": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "in-the-trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-A: 1",
    "after-1xx": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("where", TRUNCATED)
async def test_truncated(face, raw, where):
    with raw([request(), TRUNCATED[where], close]) as server:
        await expect_error(face, server, hither.RemoteProtocolError)
    assert len(server.connections) == 1, "a fresh connection that fails is no reason to ask again"


@pytest.mark.parametrize("where", ["in-the-body", "in-a-chunk", "between-chunks"])
async def test_truncated_while_streaming(face, raw, where):
    with raw([request(), TRUNCATED[where], close]) as server:
        async with face.client() as client:
            received = b""
            with pytest.raises(hither.RemoteProtocolError):
                async with client.stream("GET", server.url()) as answered:
                    async for chunk in answered.aiter_bytes():
                        received += chunk
    assert received == b"hello", "what came before the end was handed out"


@pytest.mark.parametrize("where", ["in-the-fields", "in-the-body", "in-a-chunk"])
async def test_reset_while_answering(face, raw, where):
    sent = threading.Event()

    def script(connection: Connection) -> None:
        connection.head()
        connection.send_pieces([TRUNCATED[where]])
        sent.set()
        connection.reset()

    with raw(script) as server:
        await expect_error(face, server, hither.ReadError)


async def test_truncated_gzip_is_a_decoding_error(face, raw):
    with raw(answer(gzip.compress(b"hello" * 100)[:-9], "Content-Encoding: gzip")) as server:
        await expect_error(face, server, hither.DecodingError)


async def test_half_closed_server_is_still_read(face, raw):
    with raw([request(), b"HTTP/1.1 200 OK\r\n\r\nhello", half_close, until_closed]) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"hello"


# -- answers that never come, and late ones


async def test_never_answering(face, raw):
    with raw(until_closed) as server:
        await expect_error(face, server, hither.ReadTimeout, timeout=QUICK)


async def test_never_ending_body(face, raw):
    with raw([request(), response(b"hel", length=5), until_closed]) as server:
        await expect_error(face, server, hither.ReadTimeout, timeout=QUICK)


async def test_dripping_server_meets_the_total_timeout(face, raw):
    """Each read comes in time, so only `total` can end this."""
    gate = threading.Event()

    def script(connection: Connection) -> None:
        connection.head()
        connection.server.waited.append(gate)
        connection.send(response(b"", length=10_000))
        for _ in range(10_000):
            gate.wait(0.02)
            connection.send(b".")

    with raw(script) as server:
        timeout = hither.Timeout(read=5, total=0.3)
        await expect_error(face, server, hither.TotalTimeout, timeout=timeout)


async def test_never_accepting_peer_meets_the_write_timeout(face, raw):
    """The server reads nothing, so the socket's buffers fill up."""
    gate = threading.Event()
    with raw([wait(gate)]) as server:
        async with face.client(timeout=hither.Timeout(write=0.2, read=10)) as client:
            with pytest.raises(hither.WriteTimeout):
                await client.post(server.url(), content=bytes(64 * 2**20))


async def test_a_late_answer_never_reaches_the_next_request(face, raw):
    late = threading.Event()
    with raw([request(), wait(late), response(b"late")], keep_answering(response(b"mine"))) as server:
        async with face.client(timeout=QUICK) as client:
            with pytest.raises(hither.ReadTimeout):
                await client.get(server.url("/slow"))
            late.set()
            answered = await client.get(server.url("/quick"))
        assert answered.content == b"mine"
        assert [got.target for got in server.requests] == [b"/slow", b"/quick"]
        assert len(server.connections) == 2


async def test_an_abandoned_stream_never_reaches_the_next_request(face, raw):
    with raw([request(), response(b"left over", length=100), until_closed], answer(b"mine")) as server:
        async with face.client() as client:
            async with client.stream("GET", server.url()) as answered:
                assert answered.status_code == 200
            assert (await client.get(server.url())).content == b"mine"


# -- connections that are not what they were


@pytest.mark.parametrize("how", ["same-packet", "later"])
async def test_garbage_after_a_response_never_reaches_the_next_request(face, raw, how):
    garbage = response(b"not yours")
    sent = threading.Event()

    def script(connection: Connection) -> None:
        connection.head()
        if how == "same-packet":
            connection.send(response(b"one") + garbage)
        else:
            connection.send(response(b"one"))
            connection.send(garbage)
        sent.set()
        connection.until_closed()

    with raw(script, keep_answering(response(b"two"))) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            await face.call(sent.wait, 10)
            assert (await client.get(server.url())).content == b"two"
    assert len(server.connections) == 2


async def test_closed_while_idle_is_noticed_before_use(face, raw):
    with raw([*answer(b"one"), close], keep_answering(response(b"two"))) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            await face.call(server.connections[0].ended.wait, 10)
            answered = await client.post(server.url(), content=b"not idempotent, yet safe")
    assert answered.content == b"two"
    assert server.connections[1].bodies == [b"not idempotent, yet safe"]
    assert bytes(server.connections[0].received).count(b"HTTP/1.1\r\n") == 1, "nothing was sent on the dead one"


@pytest.mark.parametrize("how", [close, reset], ids=["closed", "reset"])
async def test_an_end_that_the_loop_has_not_seen_yet_is_noticed_before_use(face, raw, how):
    """The loop was busy when the server closed, so nobody was told; the kernel knows."""
    with raw([*answer(b"one"), how], keep_answering(response(b"two"))) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            server.connections[0].ended.wait(10)  # holds the loop up, on purpose
            assert (await client.post(server.url(), content=b"not idempotent")).content == b"two"
    assert server.connections[1].bodies == [b"not idempotent"]


async def test_reset_while_idle_is_noticed_before_use(face, raw):
    with raw([*answer(b"one"), reset], keep_answering(response(b"two"))) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            await face.call(server.connections[0].ended.wait, 10)
            assert (await client.post(server.url(), content=b"x")).content == b"two"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_closed_on_reuse_is_asked_once_more(face, raw, method):
    with raw([*answer(b"one"), head(), close], keep_answering(response())) as server:
        async with face.client() as client:
            await client.get(server.url())
            answered = await client.request(method, server.url("/again"))
    assert answered.status_code == 200
    assert [got.target for got in server.requests] == [b"/", b"/again", b"/again"]
    assert len(server.connections) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_closed_on_reuse_is_not_asked_again_when_it_may_have_acted(face, raw, method):
    with raw([*answer(b"one"), request(), close], keep_answering(response(b"twice!"))) as server:
        async with face.client() as client:
            await client.get(server.url())
            with pytest.raises(hither.TransportError) as caught:
                await client.request(method, server.url("/act"), content=b"pay")
    assert isinstance(caught.value, (hither.RemoteProtocolError, hither.ReadError))
    assert [got.target for got in server.requests] == [b"/", b"/act"]


async def test_closed_on_reuse_is_asked_only_once_more(face, raw):
    """A server that always closes is not asked for ever."""
    with raw([*answer(b"one"), head(), close], [head(), close]) as server:
        async with face.client() as client:
            await client.get(server.url())
            with pytest.raises(hither.RemoteProtocolError):
                await client.get(server.url("/again"))
    assert [got.target for got in server.requests] == [b"/", b"/again", b"/again"]


async def test_closed_on_reuse_after_the_first_byte_is_not_asked_again(face, raw):
    with raw([*answer(b"one"), head(), b"H", close], keep_answering(response(b"twice!"))) as server:
        async with face.client() as client:
            await client.get(server.url())
            with pytest.raises(hither.RemoteProtocolError):
                await client.get(server.url("/again"))
    assert len(server.requests) == 2


async def test_connection_close_is_obeyed(face, raw):
    with raw([*answer(b"one", "Connection: close"), until_closed], answer(b"two")) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            assert (await client.get(server.url())).content == b"two"
    assert len(server.connections) == 2


async def test_http10_connection_is_not_reused(face, raw):
    old = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\none"
    with raw([request(), old, until_closed], answer(b"two")) as server:
        async with face.client() as client:
            assert (await client.get(server.url())).content == b"one"
            assert (await client.get(server.url())).content == b"two"


# -- answers that HTTP does not allow


BAD = {
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "tls-alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "html": b"<html><body>hello</body></html>\r\n\r\n",
    "wrong-version": b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status-of-two-digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status-of-four-digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status-not-a-number": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    "field-without-colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nhi",
    "nul-in-a-value": b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\nhi",
    "bare-cr-in-a-value": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nhi",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "conflicting-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "conflicting-list": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
    "negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "signed-length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "underscored-length": b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\nhello",
    "length-not-a-number": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "endless-length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "chunked-twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunk-size-not-hexadecimal": CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n",
    "chunk-size-signed": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-with-0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-empty": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk-longer-than-said": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "chunk-size-too-long": CHUNKED + b"0" * 100 + b"5\r\nhello\r\n0\r\n\r\n",
    "101-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: upgrade\r\n\r\nodd",
}


@pytest.mark.parametrize("kind", BAD)
async def test_what_http_does_not_allow_is_refused(face, raw, kind):
    with raw([request(), BAD[kind], until_closed]) as server:
        await expect_error(face, server, hither.RemoteProtocolError, timeout=hither.Timeout(read=3))
        await face.call(server.wait_for, lambda server: server.connections[0].peer_closed)


ENDLESS = {
    "fields": (b"X-Filler: abcdefghijklmnopqrstuvwxyz\r\n", b"HTTP/1.1 200 OK\r\n"),
    "one-field": (b"a" * 64, b"HTTP/1.1 200 OK\r\nX-Long: "),
    "status-line": (b"a" * 64, b"HTTP/1.1 200 "),
    "empty-lines": (b"\r\n", b""),
    "no-line-at-all": (b"x" * 64, b""),
    "1xx": (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
    "early-hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b""),
    "trailers": (b"X-Filler: abcdefghijklmnopqrstuvwxyz\r\n", CHUNKED + b"0\r\n"),
    "chunk-extension": (b";a=b" * 16, CHUNKED + b"5"),
    "chunk-size": (b"0" * 64, CHUNKED),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_endless(face, raw, what):
    block, first = ENDLESS[what]
    with raw([request(), endless(block * 16, first), until_closed]) as server:
        await expect_error(face, server, hither.RemoteProtocolError)


async def test_a_client_outlives_every_bad_answer(face, raw):
    scripts = [[request(), bad, close] for bad in BAD.values()]
    with raw(*scripts, keep_answering(response(b"fine"))) as server:
        async with face.client(limits=hither.Limits(max_connections=1)) as client:
            for _ in scripts:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())
            assert (await client.get(server.url())).content == b"fine"


# -- what must never leave the client


INJECTED = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\x00b"]


@pytest.mark.parametrize("value", INJECTED)
@pytest.mark.parametrize("where", ["request", "client", "bytes", "built"])
async def test_header_value_injection(face, raw, value, where):
    with raw(keep_answering(response())) as server:
        headers = {"X-A": value}
        with pytest.raises(hither.LocalProtocolError):
            if where == "client":
                async with face.client(headers=headers) as client:
                    await client.get(server.url())
            else:
                async with face.client() as client:
                    if where == "built":
                        built = client.build_request("GET", server.url())
                        built.headers["X-A"] = value
                        await client.send(built)
                    else:
                        given = {b"X-A": value.encode()} if where == "bytes" else headers
                        await client.get(server.url(), headers=given)
    assert server.requests == []


@pytest.mark.parametrize("name", ["X A", "X:A", "", "X\r\nA", "X\x00", "X-Ä"])
async def test_header_name_injection(face, raw, name):
    with raw(keep_answering(response())) as server:
        async with face.client() as client:
            with pytest.raises(hither.LocalProtocolError):
                await client.get(server.url(), headers={name: "1"})
    assert server.requests == []


@pytest.mark.parametrize("method", ["GET /evil HTTP/1.1\r\nX:", "G T", "GET\r\n", "GET\x00", ""])
async def test_method_injection(face, raw, method):
    with raw(keep_answering(response())) as server:
        async with face.client() as client:
            with pytest.raises(hither.LocalProtocolError):
                await client.request(method, server.url())
    assert server.requests == []


@pytest.mark.parametrize("path", ["/a\r\nX-Evil: 1", "/a\nb", "/a\x00b", "/a\tb", "/a?q=\r\n"])
async def test_target_injection(face, raw, path):
    with raw(keep_answering(response())) as server:
        async with face.client() as client:
            with pytest.raises(hither.InvalidURL):
                await client.get(server.url(path))
    assert server.requests == []


async def test_a_redirect_cannot_inject(face, raw):
    with raw(keep_answering(response(b"", "Location: /a b\x7f?c=\xc3\xa9", status="302 Found"))) as server:
        async with face.client() as client:
            with pytest.raises(hither.HTTPError):
                await client.get(server.url())
    for got in server.requests[1:]:
        assert b" " not in got.target
        assert got.target.isascii()


# -- uploads


@pytest.mark.parametrize("kind", ["bytes", "stream"])
async def test_early_413_while_uploading_is_returned(face, raw, kind):
    """The server answers after the head, reads nothing more and closes: that is a response, not a broken pipe."""
    block, count = bytes(65536), 400

    def script(connection: Connection) -> None:
        connection.head()
        connection.send(response(b"too large", "Connection: close", status="413 Content Too Large"))
        connection.half_close()
        connection.until_closed()

    with raw(script, keep_answering(response(b"next"))) as server:
        async with face.client() as client:
            content = block * count if kind == "bytes" else face.body(block for _ in range(count))
            answered = await client.post(server.url(), content=content)
            assert (answered.status_code, answered.content) == (413, b"too large")
            assert (await client.get(server.url())).content == b"next"
    assert len(server.connections) == 2, "a connection with half a request on it is not reused"


async def test_early_413_and_a_reset_while_uploading(face, raw):
    """As nginx does it: answer, close with bytes unread, so a reset follows the answer."""

    def script(connection: Connection) -> None:
        connection.head()
        connection.send_pieces([response(b"too large", "Connection: close", status="413 Content Too Large")])
        connection.more()
        connection.close()

    with raw(script) as server:
        async with face.client() as client:
            try:
                answered = await client.post(server.url(), content=face.body(bytes(65536) for _ in range(400)))
            except hither.NetworkError:
                return  # the reset overtook the answer in the kernel: RFC 9112 §9.6 warns of it
    assert answered.status_code == 413


async def test_early_401_stops_the_upload(face, raw):
    """Once the answer is final the rest of the body is not sent."""
    taken = 0

    def blocks():
        nonlocal taken
        for _ in range(4000):
            taken += 1
            yield bytes(65536)

    def script(connection: Connection) -> None:
        connection.head()
        connection.send(response(b"who?", status="401 Unauthorized"))
        connection.until_closed()

    with raw(script) as server:
        async with face.client() as client:
            answered = await client.post(server.url(), content=face.body(blocks()))
    assert answered.status_code == 401
    assert taken < 4000


async def test_expect_100_continue_waits_for_the_100(face, raw):
    seen: list[bytes] = []

    def script(connection: Connection) -> None:
        got = connection.head()
        assert got.get("expect") == b"100-continue"
        seen.append(bytes(connection.received[len(got.raw) :]))
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.body()
        connection.send(response(b"taken"))

    with raw(script) as server:
        async with face.client() as client:
            answered = await client.post(server.url(), content=b"body", headers={"Expect": "100-continue"})
    assert answered.content == b"taken"
    assert seen == [b""], "no byte of the body came before the 100"
    assert server.connections[0].bodies == [b"body"]


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large"])
async def test_expect_100_continue_refused_sends_no_body(face, raw, status):
    def script(connection: Connection) -> None:
        connection.head()
        connection.send(response(b"no", status=status))
        connection.until_closed()

    with raw(script) as server:
        async with face.client() as client:
            answered = await client.post(server.url(), content=b"precious", headers={"Expect": "100-continue"})
            assert answered.status_code == int(status[:3])
            await client.aclose()
        await face.call(server.wait_for, lambda server: server.connections[0].peer_closed)
    assert b"precious" not in server.connections[0].received


async def test_expect_100_continue_does_not_wait_for_ever(face, raw):
    """RFC 9110 §10.1.1: a server that never says 100 gets the body all the same."""
    with raw([request(), response(b"taken")]) as server:
        async with face.client() as client:
            answered = await client.post(server.url(), content=b"body", headers={"Expect": "100-continue"})
    assert answered.content == b"taken"
    assert server.connections[0].bodies == [b"body"]


async def test_a_body_shorter_than_declared_is_not_sent_as_whole(face, raw):
    with raw(until_closed) as server:
        async with face.client(timeout=hither.Timeout(read=3)) as client:
            with pytest.raises(hither.LocalProtocolError):
                await client.post(server.url(), content=face.body([b"ab"]), headers={"Content-Length": "5"})


async def test_a_body_longer_than_declared_is_cut_off_with_an_error(face, raw):
    with raw(until_closed) as server:
        async with face.client(timeout=hither.Timeout(read=3)) as client:
            with pytest.raises(hither.LocalProtocolError):
                await client.post(server.url(), content=face.body([b"abc", b"xyz"]), headers={"Content-Length": "5"})
    assert b"xyz" not in b"".join(bytes(connection.received) for connection in server.connections)


async def test_an_upload_that_raises_breaks_the_connection(face, raw):
    """The server must never take half a chunked body for a whole one."""

    def blocks():
        yield b"half"
        raise RuntimeError("the disk is gone")

    with raw(until_closed, keep_answering(response(b"next"))) as server:
        async with face.client(limits=hither.Limits(max_connections=1)) as client:
            with pytest.raises(RuntimeError, match="the disk is gone"):
                await client.post(server.url(), content=face.body(blocks()))
            assert (await client.get(server.url())).content == b"next"
        assert not bytes(server.connections[0].received).endswith(b"0\r\n\r\n")


# -- connecting


async def test_refused_connection(face, raw):
    with raw(until_closed) as server:
        pass  # nobody listens there any more
    error = await expect_error(face, server, hither.ConnectError)
    assert error.__cause__ is not None


async def test_unknown_name(face):
    async with face.client() as client:
        with pytest.raises(hither.NameResolutionError):
            await client.get("http://does-not-exist.invalid/")


async def test_tls_server_that_speaks_plain_http(face, raw):
    with raw([b"HTTP/1.1 400 Bad Request\r\n\r\n", until_closed]) as server:
        async with face.client() as client:
            with pytest.raises(hither.TLSError):
                await client.get(server.url().replace("http:", "https:"))


async def test_untrusted_certificate(face, raw, server_tls):
    with raw(keep_answering(response()), tls=server_tls) as server:
        async with face.client() as client:
            with pytest.raises(hither.TLSError, match="(?i)certificate"):
                await client.get(server.url())
    assert server.requests == []


async def test_handshake_that_never_ends(face, raw):
    with raw(until_closed) as server:
        async with face.client(timeout=hither.Timeout(connect=0.2)) as client:
            with pytest.raises(hither.ConnectTimeout):
                await client.get(server.url().replace("http:", "https:"))


async def test_truncated_under_tls(face, raw, server_tls, authority_file):
    """A TLS connection cut without close_notify is no end of a body (invariant 7)."""
    with raw([request(), response(b"hello", length=10), close], tls=server_tls) as server:
        async with face.client(verify=authority_file) as client:
            with pytest.raises((hither.RemoteProtocolError, hither.ReadError)):
                await client.get(server.url())


async def test_closed_while_idle_under_tls(face, raw, server_tls, authority_file):
    with raw([*answer(b"one"), close], keep_answering(response(b"two")), tls=server_tls) as server:
        async with face.client(verify=authority_file) as client:
            assert (await client.get(server.url())).content == b"one"
            await face.call(server.connections[0].ended.wait, 10)
            assert (await client.post(server.url(), content=b"x")).content == b"two"


async def test_split_at_every_byte_under_tls(face, raw, server_tls, authority_file):
    """Each byte is a TLS record of its own."""
    with raw([request(), bytewise(WHOLE["chunked"]), until_closed], tls=server_tls) as server:
        async with face.client(verify=authority_file) as client:
            assert (await client.get(server.url())).content == b"hello"


async def test_large_bodies_both_ways_under_tls(face, raw, server_tls, authority_file):
    """Larger than the steps in which they are encrypted and decrypted."""
    content = os.urandom(2**21 + 1)
    with raw(keep_answering(response(content)), tls=server_tls) as server:
        async with face.client(verify=authority_file) as client:
            for body in (content, face.body(content[at : at + 200_000] for at in range(0, len(content), 200_000))):
                assert (await client.post(server.url(), content=body)).content == content
    assert server.connections[0].bodies == [content, content]


async def test_early_413_while_uploading_large_pieces_under_tls(face, raw, server_tls, authority_file):
    def script(connection: Connection) -> None:
        connection.head()
        connection.send(response(b"too large", "Connection: close", status="413 Content Too Large"))
        connection.until_closed()

    with raw(script, tls=server_tls) as server:
        async with face.client(verify=authority_file) as client:
            answered = await client.post(server.url(), content=face.body(bytes(2**20) for _ in range(40)))
            assert (answered.status_code, answered.content) == (413, b"too large")
            await client.aclose()


# -- what is sent


async def test_header_case_and_order_on_the_wire(face, raw):
    with raw(keep_answering(response())) as server:
        async with face.client() as client:
            fields = [("X-lower-UPPER", "1"), ("a", "2"), ("X-lower-UPPER", "3")]
            await client.get(server.url(), headers=fields)
    names = [(name, value) for name, value in server.requests[0].fields if name in (b"X-lower-UPPER", b"a")]
    assert names == [(b"X-lower-UPPER", b"1"), (b"a", b"2"), (b"X-lower-UPPER", b"3")]


async def test_one_host_field_and_it_comes_first(face, raw):
    """RFC 9110 §7.2."""
    with raw(keep_answering(response())) as server:
        async with face.client() as client:
            await client.get(server.url())
            await client.get(server.url(), headers={"Host": "elsewhere.example"})
    assert [got.get_all("host") for got in server.requests] == [
        [f"127.0.0.1:{server.port}".encode()],
        [b"elsewhere.example"],
    ]
    assert server.requests[0].fields[0][0].lower() == b"host"


async def test_pieces_of_one_chunk_arrive_as_they_come(face, raw):
    gate = threading.Event()
    with raw([request(), pieces(CHUNKED, b"5\r\nhello\r\n"), wait(gate), b"5\r\nworld\r\n0\r\n\r\n"]) as server:
        async with face.client() as client, client.stream("GET", server.url()) as answered:
            received = b""
            async for chunk in answered.aiter_raw():
                received += chunk
                gate.set()
    assert received == b"helloworld"
