"""The client's own network as a transport."""

from __future__ import annotations

import pytest

import hither


def transport(face, **options):
    return hither.AsyncHTTPTransport(**options) if face.is_async else hither.HTTPTransport(**options)


async def test_as_the_transport_of_a_client(face, echo):
    async with face.client(transport=transport(face)) as client:
        answered = await client.post(echo.url("/echo"), content=face.body([b"a", b"b"]))
        assert answered.json()["body"] == "ab"
        assert (await client.get(echo.url("/redirect/2"))).history[0].status_code == 302
        assert (await client.get(echo.url("/json"))).peer is not None
    assert len(echo.connections) == 1, "its connections are kept"


async def test_a_streamed_response(face, echo):
    async with face.client(transport=transport(face)) as client:
        async with client.stream("GET", echo.url("/stream/3")) as response:
            assert [line async for line in response.aiter_lines()] == ["line 0", "line 1", "line 2"]


async def test_a_transport_of_the_users_stands_on_it(face, echo):
    """The first answer is not taken for an answer."""
    seen = []

    def marked(request):
        request.headers["X-Mark"] = str(len(seen))

    class Sync(hither.HTTPTransport):
        def handle_request(self, request):
            for _ in range(2):
                marked(request)
                response = super().handle_request(request)
                seen.append(response.status_code)
                response.read()
            return response

    class Async(hither.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            for _ in range(2):
                marked(request)
                response = await super().handle_async_request(request)
                seen.append(response.status_code)
                await response.aread()
            return response

    async with face.client(transport=(Async if face.is_async else Sync)()) as client:
        answered = await client.get(echo.url("/echo"))
    assert seen == [200, 200]
    assert dict(answered.json()["headers"])["X-Mark"] == "1"


async def test_without_a_client(face, echo):
    request = hither.Request("GET", echo.url("/json"))
    if face.is_async:
        async with hither.AsyncHTTPTransport() as own:
            response = await own.handle_async_request(request)
            await response.aread()
    else:
        with hither.HTTPTransport() as own:
            response = own.handle_request(request)
            response.read()
    assert response.json()["hello"] == "world"
    assert response.request is request


async def test_the_calls_timeouts_hold(face, echo):
    async with face.client(transport=transport(face)) as client:
        with pytest.raises(hither.ReadTimeout):
            await client.get(echo.url("/slow"), timeout=hither.Timeout(read=0.1))
        with pytest.raises(hither.TotalTimeout):
            await client.get(echo.url("/slow"), timeout=hither.Timeout(total=0.1))
        echo.release.set()


async def test_its_options_are_its_own(face, echo_uds, echo):
    mounts = {"http://socket.example": transport(face, uds=echo_uds.path)}
    async with face.client(mounts=mounts) as client:
        assert (await client.get("http://socket.example/json")).json()["hello"] == "world"
        assert (await client.get(echo.url("/json"))).json()["hello"] == "world"


async def test_verify(face, echo_tls, authority_file):
    async with face.client(transport=transport(face, verify=authority_file)) as client:
        assert (await client.get(echo_tls.url("/json"))).status_code == 200
    async with face.client(verify=False, transport=transport(face)) as client:
        with pytest.raises(hither.TLSError):
            await client.get(echo_tls.url("/json"))


async def test_limits_and_local_address(face, echo):
    limits = hither.Limits(max_connections=2)
    async with face.client(transport=transport(face, limits=limits, local_address="127.0.0.3")) as client:
        await face.gather(*(client.get(echo.url("/json")) for _ in range(10)))
        assert echo.connections[0].sock.getpeername()[0] == "127.0.0.3"
    assert len(echo.connections) <= 2


@pytest.mark.parametrize("cls", [hither.HTTPTransport, hither.AsyncHTTPTransport])
def test_unknown_options(cls):
    with pytest.raises(TypeError, match=rf"{cls.__name__}\(\).*'ssl': use verify"):
        cls(ssl=False)
    with pytest.raises(TypeError, match="'base_url'"):
        cls(base_url="http://example.org")
    with pytest.raises(TypeError, match="base_url|http3"):
        cls(http3=True)


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_several_loops(name, echo):
    from faces import FACES

    client = hither.AsyncClient(transport=hither.AsyncHTTPTransport())

    async def ask():
        return (await client.get(echo.url("/json"))).status_code

    assert [FACES[name].run(ask) for _ in range(3)] == [200, 200, 200]
