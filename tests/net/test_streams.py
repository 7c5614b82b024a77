"""What the runtimes promise (`net/base.py`): streams that lose nothing and close at once, wake-ups that are not lost."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import hither
from hither.net.base import LOOK_UP, Runtime, Stream
from servers.raw import RawServer, head, request, response, until_closed, wait


def runtime_of(face: Any) -> Runtime:
    if face.name == "sync":
        from hither.net.blocking import BlockingRuntime

        return BlockingRuntime()
    if face.name == "trio":
        from hither.net.trio import TrioRuntime

        return TrioRuntime()
    import asyncio

    from hither.net.asyncio import AsyncioRuntime

    return AsyncioRuntime(asyncio.get_running_loop())


@contextlib.asynccontextmanager
async def pair(face: Any) -> AsyncIterator[tuple[Stream, socket.socket]]:
    """A stream, and the other end as a blocking socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.settimeout(5)
    stream = await runtime_of(face).open(ours)
    with theirs:
        try:
            yield stream, theirs
        finally:
            stream.close()
            await runtime_of(face).sleep(0)


class TestParker:
    async def test_a_wake_before_the_wait_is_not_lost(self, face):
        parker = runtime_of(face).parker()
        parker.wake()
        assert await parker.wait(5) is True

    async def test_a_wake_after_the_time_was_up_is_not_lost(self, face):
        parker = runtime_of(face).parker()
        assert await parker.wait(0.001) is False
        parker.wake()
        assert await parker.wait(5) is True

    @pytest.mark.faces("asyncio", "uvloop")
    async def test_a_wake_in_the_same_turn_as_the_timeout_is_not_lost(self, face):
        """The timer fires first, the wake comes before the waiter runs on."""
        import asyncio

        loop = asyncio.get_running_loop()
        parker = runtime_of(face).parker()
        waiting = asyncio.ensure_future(parker.wait(0.01))
        await asyncio.sleep(0)
        loop.call_later(0.012, parker.wake)
        time.sleep(0.05)  # both are due when the loop looks again
        assert await waiting or await parker.wait(1)

    async def test_without_a_wake_the_time_goes_by(self, face):
        assert await runtime_of(face).parker().wait(0) is False


class TestReading:
    async def test_bytes_then_the_end(self, face):
        async with pair(face) as (stream, peer):
            peer.sendall(b"hello")
            assert await stream.read(5) == b"hello"
            peer.shutdown(socket.SHUT_WR)
            assert await stream.read(5) == b""
            assert await stream.read(5) == b""
            await stream.write(b"still heard", 5)
            assert peer.recv(100) == b"still heard"

    async def test_a_timeout_is_a_timeout_error(self, face):
        async with pair(face) as (stream, _):
            for seconds in (0.01, 0):
                with pytest.raises(TimeoutError):
                    await stream.read(seconds)

    async def test_a_wait_without_limit_is_not_cut_short_by_the_limit_of_the_one_before(self, face):
        async with pair(face) as (stream, peer):
            peer.sendall(b"one")
            assert await stream.read(0.05) == b"one"
            later = threading.Timer(0.2, peer.sendall, [b"two"])
            later.start()
            assert await stream.read(None) == b"two"
            later.join()

    async def test_nor_a_longer_one(self, face):
        async with pair(face) as (stream, peer):
            peer.sendall(b"one")
            assert await stream.read(0.05) == b"one"
            later = threading.Timer(0.2, peer.sendall, [b"two"])
            later.start()
            assert await stream.read(3) == b"two"
            later.join()

    async def test_but_a_shorter_one_is_kept(self, face):
        async with pair(face) as (stream, peer):
            peer.sendall(b"one")
            assert await stream.read(30) == b"one"
            with pytest.raises(TimeoutError):
                await stream.read(0.02)

    async def test_begun_it_says_whether_there_is_anything_to_await(self, face):
        async with pair(face) as (stream, peer):
            rest = stream.begin_write(b"hello", 5)
            if rest is not None:
                await rest
            assert peer.recv(100) == b"hello"
            peer.sendall(b"one")
            begun = stream.begin_read(5)
            assert (begun if isinstance(begun, bytes) else await begun) == b"one"
            if face.name != "sync":
                waiting = stream.begin_read(5)
                peer.sendall(b"two")
                assert await waiting == b"two"
            peer.shutdown(socket.SHUT_WR)
            assert await stream.read(5) == b""
            begun = stream.begin_read(5)
            assert (begun if isinstance(begun, bytes) else await begun) == b""

    async def test_begun_it_keeps_the_time_limit(self, face):
        async with pair(face) as (stream, _):
            with pytest.raises(TimeoutError):
                assert await stream.begin_read(0.01)
        async with pair(face) as (stream, _):
            with pytest.raises(TimeoutError):
                assert await stream.begin_write(bytes(2**24), 0.05)

    async def test_is_readable(self, face):
        async with pair(face) as (stream, peer):
            assert not stream.is_readable()
            peer.sendall(b"x")
            assert stream.is_readable()
            assert await stream.read(5) == b"x"
            assert not stream.is_readable()
            peer.close()
            assert stream.is_readable()

    async def test_what_comes_while_nobody_reads_is_bounded_and_not_lost(self, face):
        content = os.urandom(2**23)
        async with pair(face) as (stream, peer):
            sender = threading.Thread(target=peer.sendall, args=(content,))
            sender.start()
            data = await stream.read(5)
            for _ in range(20):
                await runtime_of(face).sleep(0.001)
            assert getattr(stream, "_ahead_size", 0) <= 2**18 + 2**17
            while len(data) < len(content):
                data += await stream.read(5)
            assert data == content
            await face.call(sender.join, 5)

    async def test_a_reset_is_an_os_error(self, face):
        import struct

        async with pair(face) as (stream, peer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            with pytest.raises(OSError):
                await stream.read(5)

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_closed_while_another_task_reads_is_an_os_error(self, face):
        async with pair(face) as (stream, _):

            async def close() -> None:
                await runtime_of(face).sleep(0.01)
                stream.close()

            read, _ = await face.gather(stream.read(5), close(), return_exceptions=True)
        assert isinstance(read, OSError)
        assert not isinstance(read, TimeoutError)


async def pull(peer: socket.socket, size: int, face: Any) -> bytes:
    data = b""
    while len(data) < size:
        data += await face.call(peer.recv, 2**20)
    return data


class TestWriting:
    async def test_upload_stops_when_the_peer_speaks_and_keeps_what_is_left(self, face):
        first, more = os.urandom(2**23), b"the rest"
        async with pair(face) as (stream, peer):
            peer.sendall(b"wait")
            while not stream.is_readable(ask_kernel=True):
                await runtime_of(face).sleep(0.001)
            await runtime_of(face).sleep(0)
            assert await stream.upload(first, 5) is False
            assert await stream.read(5) == b"wait"
            reader = threading.Thread(target=lambda: received.append(_all_of(peer, len(first) + len(more))))
            received: list[bytes] = []
            reader.start()
            assert await stream.upload(more, 5) is True
            await _flushed(face, stream, reader)
            assert received == [first + more]

    async def test_upload_looks_up_even_while_the_socket_takes_all_it_gives(self, face):
        async with pair(face) as (stream, peer):
            reader = threading.Thread(target=_drain, args=(peer,))
            reader.start()
            assert await stream.upload(bytes(65536), 5) is True
            peer.sendall(b"stop")
            while not stream.is_readable(ask_kernel=True):
                await runtime_of(face).sleep(0.001)
            # An event loop polls in one turn and hands on in the next: twice the distance between two looks.
            assert False in [await stream.upload(bytes(65536), 5) for _ in range(2 * LOOK_UP + 1)]
            assert await stream.read(5) == b"stop"
            stream.close()
            await face.call(reader.join, 5)

    async def test_nothing_that_was_sent_is_held_any_more(self, face):
        content = bytes(2**18)
        before = sys.getrefcount(content)
        async with pair(face) as (stream, peer):
            reader = threading.Thread(target=_drain, args=(peer,))
            reader.start()
            while not await stream.upload(content, 5):
                pass
            await runtime_of(face).sleep(0.001)
            assert sys.getrefcount(content) == before
            stream.close()
            await face.call(reader.join, 5)

    async def test_a_peer_that_does_not_read_meets_the_timeout(self, face):
        async with pair(face) as (stream, _):
            with pytest.raises(TimeoutError):
                await stream.write(bytes(2**24), 0.05)
        async with pair(face) as (stream, _):
            with pytest.raises(TimeoutError):
                await stream.upload(bytes(2**24), 0.05)

    @pytest.mark.parametrize("size", [30_000, 60_000])
    async def test_closing_does_not_wait_for_a_peer_that_does_not_read(self, face, size):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            ours = socket.socket()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)
            ours.connect(listener.getsockname())
            theirs, _ = listener.accept()
        ours.setblocking(False)
        stream = await runtime_of(face).open(ours)
        with theirs:
            with contextlib.suppress(TimeoutError):
                await stream.write(bytes(size), 0.02)
            with pytest.raises(TimeoutError):
                await stream.read(0.02)
            stream.close()
            for _ in range(3):
                await runtime_of(face).sleep(0.01)
            assert ours.fileno() == -1

    async def test_after_close_nothing_is_sent_and_nothing_raised(self, face):
        async with pair(face) as (stream, _):
            stream.close()
            stream.send_now(b"x")
            stream.close()


def _drain(peer: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while peer.recv(2**20):
            pass


def _all_of(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = peer.recv(2**20)
        assert piece
        data += piece
    return bytes(data)


async def _flushed(face: Any, stream: Stream, reader: threading.Thread) -> None:
    while reader.is_alive():
        await runtime_of(face).sleep(0.005)
    reader.join()


async def test_timeout_none_after_a_timeout_on_the_same_connection(face):
    """The limit of the first request is none of the second one's business."""
    go = threading.Event()
    with RawServer([request(), response(b"one"), head(), wait(go), response(b"two"), until_closed]) as server:
        async with face.client() as client:
            await client.get(server.url(), timeout=0.1)
            timer = threading.Timer(0.3, go.set)
            timer.start()
            assert (await client.get(server.url(), timeout=None)).content == b"two"
            timer.join()
        assert len(server.connections) == 1


@pytest.mark.faces("asyncio", "uvloop", "trio")
async def test_a_response_that_another_task_closes(face, raw):
    with raw([request(), response(b"begun", length=100), until_closed]) as server:
        async with face.client() as client:
            async with client.stream("GET", server.url()) as answered:
                chunks = answered.aiter_raw()
                assert await anext(chunks) == b"begun"

                async def close() -> None:
                    await runtime_of(face).sleep(0.01)
                    await answered.aclose()

                read, _ = await face.gather(anext(chunks), close(), return_exceptions=True)
                assert isinstance(read, hither.HTTPError)
