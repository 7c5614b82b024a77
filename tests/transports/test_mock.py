"""Answers from a function, and what happens to the streams in them."""

from __future__ import annotations

import pytest

import hither


async def first(pieces):
    """Take one piece and leave the rest."""
    piece = await anext(pieces)
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
    return piece


class Closing:
    """An iterable of the user's that wants to be closed, of both kinds."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Pieces(Closing):
    def __iter__(self):
        yield from (b"one", b"two", b"three")


class AsyncPieces(Closing):
    async def __aiter__(self):
        for piece in (b"one", b"two", b"three"):
            yield piece

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_handler_answers(face):
    def handler(request):
        return hither.Response(
            201, json={"method": request.method, "url": request.url, "body": request.content.decode()}
        )

    async with face.client(transport=hither.MockTransport(handler)) as client:
        answered = await client.post("https://example.org/items", params={"a": 1}, content=b"hi")
    assert answered.status_code == 201
    assert answered.json() == {"method": "POST", "url": "https://example.org/items?a=1", "body": "hi"}
    assert answered.url == "https://example.org/items?a=1"


async def test_a_handler_sees_a_streamed_body_whole(face):
    def handler(request):
        return hither.Response(200, content=request.content)

    async with face.client(transport=hither.MockTransport(handler)) as client:
        answered = await client.post("https://example.org/", content=face.body([b"a", b"b", b"c"]))
    assert answered.content == b"abc"


async def test_a_handler_raises(face):
    def handler(request):
        raise hither.ConnectTimeout("no answer")

    async with face.client(transport=hither.MockTransport(handler)) as client:
        with pytest.raises(hither.ConnectTimeout, match=r"no answer \[GET https://example.org/x\]") as caught:
            await client.get("https://example.org/x")
    assert caught.value.request.url == "https://example.org/x"


async def test_redirects_cookies_and_auth_are_the_clients(face):
    def handler(request):
        if request.url.path == "/":
            return hither.Response(302, headers={"Location": "/there", "Set-Cookie": "a=1"})
        return hither.Response(200, json=[request.headers["authorization"], request.headers["cookie"]])

    async with face.client(transport=hither.MockTransport(handler)) as client:
        answered = await client.get("https://example.org/", auth=("user", "secret"))
    assert answered.json() == ["Basic dXNlcjpzZWNyZXQ=", "a=1"]
    assert [each.status_code for each in answered.history] == [302]


@pytest.mark.faces("asyncio", "trio")
async def test_an_async_handler(face):
    async def handler(request):
        return hither.Response(200, text=request.url.host)

    async with face.client(transport=hither.MockTransport(handler)) as client:
        assert (await client.get("https://example.org/")).text == "example.org"


def test_an_async_handler_is_not_for_the_sync_client():
    async def handler(request):
        return hither.Response(200)

    with hither.Client(transport=hither.MockTransport(handler)) as client:
        with pytest.raises(TypeError, match="AsyncClient"):
            client.get("https://example.org/")


@pytest.mark.parametrize("answer", [None, (200, b""), b"text"])
async def test_a_handler_that_returns_no_response(face, answer):
    async with face.client(transport=hither.MockTransport(lambda request: answer)) as client:
        with pytest.raises(TypeError, match="Response"):
            await client.get("https://example.org/")


def test_a_handler_is_a_function():
    with pytest.raises(TypeError, match="handler"):
        hither.MockTransport(hither.Response(200))


async def test_a_stream_is_read_and_closed(face):
    stream = AsyncPieces() if face.is_async else Pieces()
    transport = hither.MockTransport(lambda request: hither.Response(200, stream=stream))
    async with face.client(transport=transport) as client:
        assert (await client.get("https://example.org/")).content == b"onetwothree"
    assert stream.closed == 1


async def test_a_stream_that_is_left_is_closed(face):
    stream = AsyncPieces() if face.is_async else Pieces()
    transport = hither.MockTransport(lambda request: hither.Response(200, stream=stream))
    async with face.client(transport=transport) as client:
        async with client.stream("GET", "https://example.org/") as response:
            async for piece in response.aiter_bytes():
                assert piece == b"one"
                break
        assert stream.closed == 1
        async with client.stream("GET", "https://example.org/"):
            pass
        assert stream.closed == 2


async def test_closing_a_response_closes_a_generator(face):
    ended = []

    def pieces():
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append("sync")

    async def async_pieces():
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append("async")

    make = async_pieces if face.is_async else pieces
    transport = hither.MockTransport(lambda request: hither.Response(200, content=make()))
    async with face.client(transport=transport) as client:
        async with client.stream("GET", "https://example.org/") as response:
            assert await first(response.aiter_raw()) == b"one"
        assert ended == ["async" if face.is_async else "sync"]


@pytest.mark.faces("asyncio", "trio")
async def test_closing_an_async_response_closes_a_sync_generator(face):
    ended = []

    def pieces():
        try:
            yield b"one"
        finally:
            ended.append(True)

    response = hither.Response(200, stream=pieces())
    assert await first(response.aiter_bytes()) == b"one"
    await response.aclose()
    assert ended == [True]


def test_a_generator_that_never_began_is_closed():
    generator = (piece for piece in [b"one"])
    hither.Response(200, stream=generator).close()
    assert list(generator) == []


def test_a_file_stays_open():
    import io

    file = io.BytesIO(b"content")
    response = hither.Response(200, content=file)
    response.close()
    assert not file.closed


def test_a_closed_stream_is_not_read_as_if_whole():
    response = hither.Response(200, stream=iter([b"one", b"two"]))
    response.close()
    with pytest.raises(hither.StreamClosed):
        response.read()


async def test_a_gzip_stream_is_decoded(face):
    import gzip

    data = gzip.compress(b"hello" * 100)

    def handler(request):
        return hither.Response(200, headers={"Content-Encoding": "gzip"}, content=face.body([data[:7], data[7:]]))

    async with face.client(transport=hither.MockTransport(handler)) as client:
        assert (await client.get("https://example.org/")).content == b"hello" * 100
