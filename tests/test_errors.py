"""Every error that knows its request names it, and keeps the user's secrets."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
from typing import Any

import pytest

import hither
from servers.raw import RawServer, head, wait

SECRET = "http://ada:hunter2@example.org/items?q=1"
KINDS = [
    kind
    for kind in vars(hither).values()
    if isinstance(kind, type) and issubclass(kind, hither.HTTPError) and kind is not hither.HTTPStatusError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_made_with_its_request_names_it(kind):
    sent = hither.Request("PUT", SECRET)
    error = kind("what happened", request=sent)
    assert error.request is sent
    assert str(error).startswith("what happened ")
    assert "PUT" in str(error)
    assert "example.org/items?q=1" in str(error)
    assert "hunter2" not in str(error) + repr(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_it_is_named_once():
    sent = hither.Request("GET", "http://example.org/here")
    error = hither.ReadError("what happened", request=sent)
    error.attach(hither.Request("GET", "http://example.org/elsewhere"))
    assert error.request is sent
    assert str(error).count("http://") == 1


def test_a_status_error_names_it_once():
    with pytest.raises(hither.HTTPStatusError) as caught:
        hither.Response(404, request=hither.Request("GET", SECRET)).raise_for_status()
    assert str(caught.value).startswith("client error 404 Not Found ")
    assert str(caught.value).count("GET") == str(caught.value).count("example.org/items?q=1") == 1
    assert "hunter2" not in str(caught.value)


def test_an_error_without_a_request_says_only_what_happened():
    assert str(hither.ReadError("what happened")) == "what happened"
    assert str(hither.ReadError()) == ""


async def test_what_the_main_loop_raises_names_the_request(face, echo):
    async with face.client(max_response_bytes=1000) as client:
        for kind, path in ((hither.TooManyRedirects, "/redirect/3"), (hither.ResponseTooLarge, "/big/5000")):
            with pytest.raises(kind) as caught:
                await client.get(echo.url(path), max_redirects=1)
            assert f"[GET {caught.value.request.url}]" in str(caught.value)
        with pytest.raises(hither.UnsupportedProtocol, match=r"\[GET ftp://example.org/\]"):
            await client.get("ftp://example.org/")


async def test_what_a_response_raises_names_the_request(face, echo):
    async with face.client() as client, client.stream("GET", echo.url("/big/5000")) as answered:
        with pytest.raises(hither.ResponseNotRead, match=r"\[GET http://.*/big/5000\]"):
            _ = answered.content
        async for _ in answered.aiter_bytes():
            pass
        with pytest.raises(hither.StreamConsumed, match=r"\[GET http://.*/big/5000\]"):
            await answered.aread()


# -- who gave up: the kernel, or a time limit of ours


async def given_up_by_the_kernel(face: Any, size: int) -> hither.NetworkError:
    """What a POST fails with when the peer takes nothing more; tcp(7): ETIMEDOUT after TCP_USER_TIMEOUT ms."""
    over = threading.Event()
    options = [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100), (socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)]
    with RawServer([head(), wait(over)]) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        async with face.client(socket_options=options, timeout=15) as client:
            with pytest.raises((hither.ReadError, hither.WriteError)) as caught:
                await client.post(server.url("/asked"), content=bytes(size))
    return caught.value


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
async def test_a_read_that_the_kernel_gives_up_is_no_time_limit_of_ours(face):
    error = await given_up_by_the_kernel(face, 40_000)
    assert str(error).startswith("the server went silent while the response was read: ")
    assert not isinstance(error, TimeoutError)


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_USER_TIMEOUT is Linux's")
@pytest.mark.faces("sync", "asyncio", "uvloop")
async def test_nor_a_write(face):
    error = await given_up_by_the_kernel(face, 4_000_000)
    assert str(error).startswith("the server went silent while ")
    assert not isinstance(error, TimeoutError)
