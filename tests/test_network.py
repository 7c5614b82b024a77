"""Whatever goes wrong around an exchange, its lease comes back, and what went wrong is what is raised."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

import hither
from servers.raw import RawServer, head, keep_answering, request, response, until_closed

ONE = hither.Limits(max_connections=1)
SOON = hither.Timeout(connect=5, read=5, write=5, pool=0.5)
ENDLESS = b"HTTP/1.1 %b\r\nContent-Length: 100000000\r\nLocation: /next\r\nWWW-Authenticate: Basic\r\n\r\n" + bytes(
    1000
)
HERE = keep_answering(response(b"here"))


class Odd(Exception):
    """Nothing that the library knows."""


async def is_free(client: Any, server: RawServer) -> None:
    """The one connection that is allowed can be had."""
    assert (await client.get(server.url("/free"))).content == b"here"


def begun(status: bytes) -> list[Any]:
    """Answer with the beginning of a large body, of which nobody will see the end."""
    return [request(), ENDLESS % status, until_closed]


@pytest.mark.parametrize("hook", ["request", "response", "redirect"])
async def test_a_hook_that_raises(face, hook):
    def fail(_: Any) -> None:
        if armed:
            raise Odd

    armed = [True]
    with RawServer(begun(b"302 Found"), HERE) as server:
        async with face.client(limits=ONE, timeout=SOON, event_hooks={hook: [face.hook(fail)]}) as client:
            with pytest.raises(Odd):
                await client.get(server.url())
            armed.clear()
            if hook == "request":
                server.scripts = (HERE,)
            await is_free(client, server)


async def test_an_auth_flow_that_raises(face):
    class Failing(hither.Auth):
        def auth_flow(self, request: hither.Request) -> Iterator[hither.Request]:
            yield request
            raise Odd

    with RawServer(begun(b"401 Unauthorized"), HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            with pytest.raises(Odd):
                await client.get(server.url(), auth=Failing())
            await is_free(client, server)


@pytest.mark.parametrize("status", [b"307 Temporary Redirect", b"401 Unauthorized"], ids=["redirect", "challenge"])
async def test_a_body_that_cannot_be_sent_again(face, status):
    class Twice(hither.Auth):
        def auth_flow(self, request: hither.Request) -> Iterator[hither.Request]:
            yield request
            yield request

    with RawServer(begun(status), HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            auth = Twice() if status.startswith(b"401") else None
            with pytest.raises(hither.StreamConsumed):
                await client.post(server.url(), content=face.body([b"once"]), auth=auth)
            await is_free(client, server)


@pytest.mark.parametrize("location", [b"ftp://example.org/", b"http://[::1", b"http://a b\x01/"])
async def test_a_redirect_that_leads_nowhere(face, location):
    block = ENDLESS.replace(b"/next", location) % b"302 Found"
    with RawServer([head(), block, until_closed], HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            with pytest.raises((hither.HTTPError, ValueError)):
                await client.get(server.url())
            await is_free(client, server)


async def test_too_many_redirects(face):
    with RawServer(begun(b"302 Found"), HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            with pytest.raises(hither.TooManyRedirects):
                await client.get(server.url(), max_redirects=0)
            await is_free(client, server)


@pytest.mark.parametrize("error", [OSError("the disk is gone"), FileNotFoundError(2, "no"), Odd("odd"), TimeoutError()])
async def test_a_body_that_raises(face, error):
    """It is the caller's own error that comes out, at once: nobody waits for an answer to half a request."""

    def pieces() -> Iterator[bytes]:
        yield b"x" * 10
        raise error

    with RawServer([head(), until_closed], HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            started = monotonic()
            with pytest.raises(type(error)) as caught:
                await client.post(server.url(), content=face.body(pieces()))
            assert caught.value is error
            assert monotonic() - started < 2
            await is_free(client, server)


async def test_a_file_that_cannot_be_read(face, tmp_path):
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with RawServer([head(), until_closed], HERE) as server:
        async with face.client(limits=ONE, timeout=SOON) as client:
            with pytest.raises(OSError, match="Input/output") as caught:
                await client.post(server.url(), content=Broken())
            assert not isinstance(caught.value, hither.HTTPError)
            await is_free(client, server)


async def test_closing_the_client_closes_what_comes_back_later(face):
    """An open response outlives its client, and its connection goes with it, not to the idle ones."""
    with RawServer([request(), response(b"hello"), until_closed]) as server:
        async with face.client() as client:
            answered = await client.send(client.build_request("GET", server.url()), stream=True)
        assert await answered.aread() == b"hello"
        await answered.aclose()
        await face.call(server.connections[0].ended.wait, 5)
        assert server.connections[0].peer_closed


@pytest.mark.parametrize(
    ("script", "options", "kind", "said"),
    [
        ([until_closed], {"timeout": hither.Timeout(read=0.05)}, hither.ReadTimeout, r"timeout\.read = 0\.05 s"),
        (
            [until_closed],
            {"timeout": hither.Timeout(None, total=0.05)},
            hither.TotalTimeout,
            r"timeout\.total = 0\.05 s",
        ),
        ([head(), b"nonsense\r\n\r\n"], {}, hither.RemoteProtocolError, None),
        ([head()], {}, hither.RemoteProtocolError, "without an answer"),
        ([head(), lambda connection: connection.reset()], {}, hither.ReadError, "broke while the response was read"),
    ],
    ids=["read", "total", "nonsense", "closed", "reset"],
)
async def test_errors_say_what_when_and_where(face, script, options, kind, said):
    import pickle

    with RawServer(script) as server:
        async with face.client() as client:
            with pytest.raises(kind, match=said) as caught:
                await client.get(server.url("/path").replace("//", "//user:secret@"), **options)
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith(f"[GET {server.url('/path').replace('//', '//user:***@')}]")
    assert caught.value.request.method == "GET"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (kind, str(caught.value))
