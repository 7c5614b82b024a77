"""HTTP/2 through the public client, against a server that is scripted frame by frame, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import hyperframe.frame as frames
import pytest

import hither
from cancelling import cancel_at
from faces import connections
from hither.protocol.http2 import HTTP2
from servers.http2 import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FRAME,
    INTERNAL_ERROR,
    MAX_STREAMS,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    TABLE,
    WINDOW,
    Exchange,
    Peer,
    goaway,
    http2,
    serves,
    unknown,
)
from servers.raw import Connection, close, keep_answering, response, until_closed

pytestmark = [pytest.mark.protocols("http2"), pytest.mark.usefixtures("protocol")]

ONE = hither.Limits(max_connections=1)
FIRM = hither.Timeout(connect=5, read=5, write=5, pool=5)
LARGE = 300_000  # bytes: more than a window that nobody has enlarged


@contextlib.asynccontextmanager
async def opened(face: Any, **options: Any) -> AsyncIterator[Any]:
    """A client; afterwards nothing is leased out, and no task is left."""
    tasks = asyncio.all_tasks() if face.name in ("asyncio", "uvloop") else set()
    async with face.client(**{"timeout": FIRM, **options}) as client:
        yield client
        assert connections(client)[0] == 0
    if tasks:
        assert asyncio.all_tasks() <= tasks


def peer_of(server: Any, index: int = 0) -> Peer:
    return server.connections[index].peer


async def is_sound(client: Any, url: str) -> None:
    for number in range(2):
        assert (await client.get(f"{url}?sound={number}")).text == f"/?sound={number}"


# -- how many at once


class TestStreams:
    @pytest.mark.parametrize("rest", ["answered", "refused"])
    async def test_a_burst_before_the_servers_first_settings_which_then_allow_ten(self, face, raw, rest):
        """Until its SETTINGS come a hundred may be opened; those too many are answered, or refused and sent again."""
        most: list[int] = []

        def script(connection: Connection) -> None:
            if connection.index:
                return http2(serves, {MAX_STREAMS: 10})(connection)
            peer = connection.peer = Peer(connection)
            peer.state.initiate_connection()
            peer.state.clear_outbound_data_buffer()
            peer.silent = True
            first = peer.heads(100)
            connection.send(frames.SettingsFrame(0, {int(MAX_STREAMS): 10}).serialize())
            peer.silent = False
            for number, got in enumerate(first):
                if rest == "refused" and number >= 10:
                    peer.reset(got, REFUSED_STREAM)
                else:
                    peer.respond(got, got.target)
            while True:
                got = peer.request()
                most.append(peer.state.open_inbound_streams)
                peer.respond(got, got.target)

        with raw(script) as server:
            async with opened(face, limits=ONE) as client:

                async def ask(number: int) -> str:
                    return (await client.get(server.url(f"/{number}"))).text

                assert await face.gather(*map(ask, range(200))) == [f"/{number}" for number in range(200)]
        assert max(most, default=0) <= 10

    async def test_never_more_than_the_limit_on_a_connection(self, face, raw):
        """Further connections are opened as far as the limits allow; the rest waits in line."""
        full = threading.Barrier(2)

        def script(peer: Peer) -> None:
            got = peer.heads(3)
            full.wait(5)
            while True:
                peer.until_known()
                assert peer.state.open_inbound_streams <= 3
                for one in got:
                    peer.respond(one, one.target)
                got = [peer.head()]

        limits = hither.Limits(max_connections=2, max_streams_per_connection=3)
        with raw(http2(script)) as server:
            async with opened(face, limits=limits) as client:

                async def ask(number: int) -> str:
                    return (await client.get(server.url(f"/{number}"))).text

                assert await face.gather(*map(ask, range(20))) == [f"/{number}" for number in range(20)]
        assert len(server.connections) == 2

    async def test_a_full_connection_is_no_reason_to_open_another_beyond_the_limits(self, face, raw):
        def script(peer: Peer) -> None:
            while True:
                got = peer.request()
                assert peer.state.open_inbound_streams <= 2
                peer.respond(got, got.target)

        with raw(http2(script, {MAX_STREAMS: 2})) as server:
            async with opened(face, limits=ONE) as client:
                await is_sound(client, server.url())  # the server's limit is known from here on

                async def ask(number: int) -> str:
                    return (await client.get(server.url(f"/{number}"))).text

                assert await face.gather(*map(ask, range(50))) == [f"/{number}" for number in range(50)]
        assert len(server.connections) == 1

    @pytest.mark.faces("asyncio", "uvloop")  # threads, and trio's tasks, start in no order
    async def test_the_line_is_fair(self, face, raw):
        with raw(http2(serves)) as server:
            async with opened(face, limits=hither.Limits(max_connections=1, max_streams_per_connection=1)) as client:
                await face.gather(*(client.get(server.url(f"/{number}")) for number in range(30)))
        targets = [exchange.target for exchange in peer_of(server).exchanges.values()]
        assert targets == [b"/%d" % number for number in range(30)]

    async def test_many_at_once_share_one_connection(self, face, raw):
        """The server answers when it has all of them, the last first."""

        def script(peer: Peer) -> None:
            for got in reversed(peer.heads(50)):
                peer.respond(got, got.target)
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face) as client:

                async def ask(number: int) -> str:
                    return (await client.get(server.url(f"/{number}"))).text

                assert await face.gather(*map(ask, range(50))) == [f"/{number}" for number in range(50)]
        assert len(server.connections) == 1

    async def test_a_busy_origin_makes_room_for_another(self, face, raw):
        """One connection in all: who waits for another origin gets its turn, however busy the first one is."""
        with raw(http2(serves)) as busy, raw(http2(serves)) as other:
            async with opened(face, limits=ONE) as client:

                async def ask(url: str) -> bool:
                    return (await client.get(url)).status_code == 200

                jobs = [ask(busy.url(f"/{number}")) for number in range(40)]
                jobs[20:20] = [ask(other.url(f"/{number}")) for number in range(5)]
                assert await face.gather(*jobs) == [True] * 45
                for server in (busy, other, busy):
                    await is_sound(client, server.url())

    @pytest.mark.parametrize(
        "limits",
        [{"keepalive_expiry": 0}, {"max_keepalive_connections": 0}, {"max_connections_per_host": 1}],
        ids=lambda limits: next(iter(limits)),
    )
    async def test_other_limits(self, face, raw, limits):
        with raw(http2(serves)) as server:
            async with opened(face, limits=hither.Limits(**limits)) as client:

                async def ask(number: int) -> str:
                    return (await client.get(server.url(f"/{number}"))).text

                for _ in range(3):
                    assert await face.gather(*map(ask, range(10))) == [f"/{number}" for number in range(10)]

    @pytest.mark.parametrize("speaks", ["h2", "http/1.1", "nothing"])
    async def test_a_cold_start_of_many(self, face, raw, speaks, http2_tls, server_tls, authority_file):
        """Nobody knows yet what the server speaks: one asks. With HTTP/2 the others share its connection."""
        script = http2(serves) if speaks == "h2" else keep_answering(lambda got: response(got.target))
        context = http2_tls if speaks == "h2" else server_tls
        with raw(script if speaks != "nothing" else close, tls=None if speaks == "nothing" else context) as server:
            async with opened(face, http1=True, verify=authority_file) as client:
                url = server.url().replace("http://", "https://")

                async def ask(number: int) -> str:
                    return (await client.get(f"{url}{number}")).text

                outcomes = await face.gather(*map(ask, range(20)), return_exceptions=True)
        if speaks == "nothing":
            assert {type(outcome) for outcome in outcomes} == {hither.TLSError}
        else:
            assert outcomes == [f"/{number}" for number in range(20)]
        assert speaks != "h2" or len(server.connections) == 1

    async def test_stream_ids_run_out(self, face, raw, monkeypatch):
        """§5.1.1: a connection whose identifiers are used up is followed by another."""
        make = HTTP2.__init__

        def near_the_end(self: HTTP2, **options: Any) -> None:
            make(self, **options)
            self._next_id = 2**31 - 5

        monkeypatch.setattr(HTTP2, "__init__", near_the_end)
        with raw(http2(serves)) as server:
            async with opened(face, limits=ONE) as client:
                for number in range(7):
                    assert (await client.get(server.url(f"/{number}"))).text == f"/{number}"
        assert 3 <= len(server.connections) <= 4
        for connection in server.connections:
            assert all(stream_id < 2**31 for stream_id in connection.peer.exchanges)


# -- flow control


class TestFlowControl:
    @pytest.mark.parametrize("first", [0, 1])
    async def test_two_uploads_wait_for_room_and_the_one_that_waits_gets_it(self, face, raw, first):
        """One exchange reads for both: what it reads is the other's WINDOW_UPDATE."""

        def script(peer: Peer) -> None:
            peer.credits = False
            both = peer.heads(2)
            peer.until(lambda: sum(got.size for got in both) == 65535)
            peer.state.increment_flow_control_window(2 * LARGE)
            for got in (both[first], both[1 - first]):
                peer.state.increment_flow_control_window(LARGE, got.id)
                peer.flush()
                peer.until(lambda got=got: got.ended)
                peer.respond(got, hashlib.sha256(got.body).hexdigest().encode())
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face) as client:

                async def send(letter: bytes) -> bool:
                    answered = await client.post(server.url(), content=letter * LARGE)
                    return answered.text == hashlib.sha256(letter * LARGE).hexdigest()

                assert await face.gather(send(b"a"), send(b"b")) == [True, True]
        assert len(server.connections) == 1

    @pytest.mark.parametrize("kind", ["bytes", "pieces"])
    async def test_a_window_that_shrinks_below_zero_in_mid_upload(self, face, raw, kind):
        def script(peer: Peer) -> None:
            peer.credits = False
            got = peer.head()
            peer.until(lambda: got.size == 65535)
            peer.state.update_settings({WINDOW: 1000})  # now the client's window is 1000 - 65535
            peer.flush()
            peer.until_known()
            peer.state.increment_flow_control_window(64_000, got.id)  # 535 bytes below zero
            peer.flush()
            peer.until_known()
            assert got.size == 65535
            peer.state.increment_flow_control_window(10_535, got.id)
            peer.flush()
            peer.until(lambda: got.size == 75_535)
            peer.until_known()
            assert got.size == 75_535
            peer.state.increment_flow_control_window(LARGE, got.id)
            peer.flush()
            peer.until(lambda: got.ended)
            peer.respond(got, str(got.size).encode())
            peer.until_closed()

        content = bytes(LARGE) if kind == "bytes" else face.body([bytes(1000)] * 300)
        with raw(http2(script, window=2**20)) as server:
            async with opened(face) as client:
                assert (await client.post(server.url(), content=content)).text == str(LARGE)

    @pytest.mark.time_limit(60)
    @pytest.mark.parametrize("kind", ["bytes", "pieces"])
    async def test_a_huge_upload_that_comes_back_while_it_is_sent(self, face, raw, kind):
        """The server takes no more than it has sent back; the caller reads no faster than it likes."""
        size = 4_000_000
        content = hashlib.shake_128(b"huge").digest(size)

        def script(peer: Peer) -> None:
            peer.credits = False
            got = peer.head()
            peer.begin(got)
            done = 0
            while True:
                peer.until(lambda: got.size > done or got.ended)
                if got.size == done:
                    break
                piece = bytes(got.body)
                got.body.clear()
                peer.data(got, piece)
                peer.credit(got, len(piece))
                done += len(piece)
            peer.data(got, b"", end=True)
            peer.until_closed()

        pieces = [content[at : at + 50_000] for at in range(0, size, 50_000)]
        with raw(http2(script)) as server:
            async with opened(face) as client:
                body = content if kind == "bytes" else face.body(pieces)
                digest = hashlib.sha256()
                async with client.stream("POST", server.url(), content=body) as answered:
                    async for chunk in answered.aiter_bytes(7919):
                        digest.update(chunk)
                assert digest.digest() == hashlib.sha256(content).digest()

    async def test_many_uploads_at_once_through_small_windows(self, face, raw):
        """All wait for the same 65,535 bytes, again and again; each ends, whole."""

        def script(peer: Peer) -> None:
            got = peer.heads(12)
            while any(not one.answered for one in got):
                peer.until(lambda: any(one.ended and not one.answered for one in got))
                for one in got:
                    if one.ended and not one.answered:
                        peer.respond(one, hashlib.sha256(one.body).hexdigest().encode())
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:

                async def send(number: int) -> bool:
                    content = hashlib.shake_128(b"%d" % number).digest(LARGE)
                    body = content if number % 2 else face.body([content[:7], content[7:100_000], content[100_000:]])
                    answered = await client.post(server.url(), content=body)
                    return answered.text == hashlib.sha256(content).hexdigest()

                assert await face.gather(*map(send, range(12))) == [True] * 12

    async def test_streams_that_nobody_reads_block_nobody(self, face, echo):
        size = 3_000_000
        async with opened(face, limits=ONE) as client, contextlib.AsyncExitStack() as stack:
            unread = [await stack.enter_async_context(client.stream("GET", echo.url(f"/big/{size}"))) for _ in range(3)]
            for number in range(20):
                assert (await client.get(echo.url(f"/echo?{number}"))).json()["target"] == f"/echo?{number}"
            for answered in unread:
                assert len(await answered.aread()) == size
        assert len(echo.connections) == 1

    async def test_many_large_downloads_at_once(self, face, echo):
        async with opened(face, limits=ONE) as client:

            async def load(number: int) -> int:
                return len((await client.get(echo.url(f"/big/{number}"))).content)

            sizes = [400_000 + number for number in range(12)]
            assert await face.gather(*map(load, sizes)) == sizes

    async def test_a_server_that_reads_nothing_meets_the_write_timeout(self, face, raw):
        """Neither windows nor the operating system's buffers are endless."""

        def script(peer: Peer) -> None:
            peer.head()
            peer.connection.wait(done)

        done = threading.Event()
        with raw(http2(script, {WINDOW: 2**30}, window=2**30), http2(serves)) as server:
            async with opened(face, timeout=hither.Timeout(5, write=0.3)) as client:
                with pytest.raises(hither.WriteTimeout):
                    await client.post(server.url(), content=bytes(64_000_000))
                await is_sound(client, server.url())
                done.set()

    async def test_a_closed_window_meets_the_write_timeout(self, face, raw):
        def script(peer: Peer) -> None:
            peer.credits = False
            got = peer.head()
            assert peer.until_reset(got) == CANCEL
            assert got.size == 65535
            peer.serve()

        with raw(http2(script), http2(serves)) as server:
            async with opened(face, timeout=hither.Timeout(5, write=0.2)) as client:
                with pytest.raises(hither.WriteTimeout):
                    await client.post(server.url(), content=bytes(LARGE))
                await is_sound(client, server.url())


# -- giving up


def piecewise(peer: Peer) -> None:
    """Answer with the target, each frame sent alone; `/?cancelled` on the way by a redirect when it asks for one."""
    while True:
        got = peer.request()
        if got.reset is not None:
            continue
        if b"redirect" in got.target:
            peer.begin(got, ("location", "/?there"), status=302)
        else:
            peer.begin(got)
        peer.until_known()
        peer.data(got, got.target[:3])
        peer.until_known()
        peer.data(got, got.target[3:], end=True)


class TestGivingUp:
    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", ["waiting", "answered"])
    @pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
    @pytest.mark.parametrize("kind", ["get", "upload", "large upload", "stream", "redirect"])
    async def test_cancelled_at_every_suspension(self, face, raw, kind, warm, when):
        """Its stream is reset and nothing else: a connection that was there lives on."""
        with raw(http2(piecewise)) as server:
            for at in range(1, 200):
                before = len(server.connections)
                async with opened(face, limits=ONE) as client:
                    if warm:
                        await client.get(server.url("/?warm"))
                    hit = await cancel_at(face, one(face, client, kind, server.url(f"/?{kind.split()[0]}")), at, when)
                    await is_sound(client, server.url())
                if warm:
                    assert len(server.connections) == before + 1
                if not hit:
                    break
            assert not hit, "the request never ends"
            assert at > 2, "a request has suspensions"

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", ["waiting", "answered"])
    async def test_cancelled_under_tls(self, face, raw, when, http2_tls, authority_file):
        with raw(http2(piecewise), tls=http2_tls) as server:
            for at in range(1, 200):
                async with opened(face, limits=ONE, verify=authority_file) as client:
                    hit = await cancel_at(face, one(face, client, "get", server.url("/?get")), at, when)
                    await is_sound(client, server.url())
                if not hit:
                    break
            assert not hit

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", ["waiting", "answered"])
    @pytest.mark.parametrize("who", [0, 1, 2])
    async def test_the_others_on_the_connection_never_notice(self, face, raw, when, who):
        """Three at once; whoever is cancelled, reader or not, the other two are served."""
        with raw(http2(piecewise)) as server:
            async with opened(face, limits=ONE) as client:
                await client.get(server.url("/?warm"))
                for at in range(1, 200):
                    hits: list[bool] = []

                    async def cancelled(at: int = at, hits: list[bool] = hits) -> None:
                        hits.append(await cancel_at(face, client.get(server.url("/?cancelled")), at, when))

                    async def ask(name: str) -> None:
                        assert (await client.get(server.url(f"/?{name}"))).text == f"/?{name}"

                    jobs = [ask("first"), ask("second")]
                    jobs.insert(who, cancelled())
                    await face.gather(*jobs)
                    if not hits[0]:
                        break
                assert not hits[0]
            assert len(server.connections) == 1

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", ["waiting", "answered"])
    async def test_cancelled_while_it_opens_the_connection_for_all(self, face, raw, when, http2_tls, authority_file):
        """Whether the connection will be shared is not known yet: the others wait, and must not wait for ever."""
        with raw(http2(piecewise), tls=http2_tls) as server:
            for at in range(1, 200):
                async with opened(face, http1=True, verify=authority_file) as client:
                    hits: list[bool] = []

                    async def cancelled(client: Any = client, at: int = at, hits: list[bool] = hits) -> None:
                        hits.append(await cancel_at(face, client.get(server.url("/?cancelled")), at, when))

                    async def ask(name: str, client: Any = client) -> None:
                        assert (await client.get(server.url(f"/?{name}"))).text == f"/?{name}"

                    await face.gather(cancelled(), ask("second"), ask("third"))
                if not hits[0]:
                    break
            assert not hits[0]

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_cancelled_while_it_waits_in_line(self, face, raw):
        """One stream is allowed; whoever leaves the line leaves its place to the next."""
        limits = hither.Limits(max_connections=1, max_streams_per_connection=1)
        with raw(http2(piecewise)) as server:
            async with opened(face, limits=limits) as client:
                for at in range(1, 200):
                    hits: list[bool] = []

                    async def cancelled(at: int = at, hits: list[bool] = hits) -> None:
                        hits.append(await cancel_at(face, client.get(server.url("/?cancelled")), at, "answered"))

                    async def ask(name: str) -> None:
                        assert (await client.get(server.url(f"/?{name}"))).text == f"/?{name}"

                    await face.gather(ask("first"), cancelled(), ask("third"), ask("fourth"))
                    if not hits[0]:
                        break
                assert not hits[0]

    async def test_a_read_timeout_resets_its_own_stream(self, face, raw):
        """The server is there, only this answer is not: the connection goes on."""
        codes: list[int] = []

        def script(peer: Peer) -> None:
            never = peer.head()
            peer.until_known()
            codes.append(peer.until_reset(never))
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                with pytest.raises(hither.ReadTimeout):
                    await client.get(server.url("/?never"), timeout=hither.Timeout(5, read=0.2))
                await is_sound(client, server.url())
        assert codes == [CANCEL]
        assert len(server.connections) == 1

    async def test_a_timed_out_reader_hands_the_reading_on(self, face, raw):
        """The one that reads for all gives up; another reads on and gets its answer."""

        def script(peer: Peer) -> None:
            first, second = peer.heads(2)
            never, other = (first, second) if first.target == b"/?never" else (second, first)
            peer.until_reset(never)
            peer.respond(other, other.target)
            peer.until_closed()

        with raw(http2(script), http2(serves)) as server:
            async with opened(face) as client:

                async def impatient() -> None:
                    with pytest.raises(hither.ReadTimeout):
                        await client.get(server.url("/?never"), timeout=hither.Timeout(5, read=0.3))

                async def patient() -> None:
                    assert (await client.get(server.url("/?patient"))).text == "/?patient"

                await face.gather(impatient(), patient())

    async def test_a_connection_that_went_silent_is_not_used_again(self, face, raw):
        """A black hole: the call times out, and the next one goes elsewhere."""
        done = threading.Event()

        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"here")
            peer.connection.wait(done)

        with raw(http2(script), http2(serves)) as server:
            async with opened(face) as client:
                assert (await client.get(server.url())).text == "here"
                with pytest.raises(hither.ReadTimeout):
                    await client.get(server.url("/?lost"), timeout=hither.Timeout(5, read=0.2))
                await is_sound(client, server.url())
                done.set()
        assert len(server.connections) == 2

    @pytest.mark.parametrize("how", ["unread", "half-read", "raised", "closed"])
    async def test_a_response_left_early_resets_its_stream(self, face, raw, how):
        codes: list[int] = []

        def script(peer: Peer) -> None:
            got = peer.request()
            peer.begin(got)
            peer.data(got, bytes(100))
            codes.append(peer.until_reset(got))
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                with contextlib.suppress(RuntimeError):
                    async with client.stream("GET", server.url()) as answered:
                        if how == "half-read":
                            async for _ in answered.aiter_bytes():
                                break
                        elif how == "raised":
                            raise RuntimeError("the caller gave up")
                        elif how == "closed":
                            await answered.aclose()
                await is_sound(client, server.url())
        assert codes == [CANCEL]
        assert len(server.connections) == 1

    async def test_a_read_timeout_in_the_content(self, face, raw):
        codes: list[int] = []

        def script(peer: Peer) -> None:
            got = peer.request()
            peer.begin(got)
            peer.data(got, b"some")
            peer.until_known()
            peer.until_known()
            codes.append(peer.until_reset(got))
            peer.serve()

        with raw(http2(script), http2(serves)) as server:
            async with opened(face, limits=ONE) as client:
                with pytest.raises(hither.ReadTimeout):
                    await client.get(server.url(), timeout=hither.Timeout(5, read=0.2))
                await is_sound(client, server.url())
        assert codes == [CANCEL]

    async def test_what_was_given_up_costs_the_connection_no_window(self, face, raw):
        """Bytes that arrive for a stream that was reset count for the connection: they are given back."""

        def script(peer: Peer) -> None:
            while True:
                got = peer.request()
                if got.target == b"/?big":
                    peer.begin(got)
                    with contextlib.suppress(Exception):
                        peer.data(got, bytes(200_000))
                    peer.until(lambda got=got: got.reset is not None)
                else:
                    peer.respond(got, got.target)

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                for _ in range(100):  # 20 MB, more than any window
                    async with client.stream("GET", server.url("/?big")):
                        pass
                await is_sound(client, server.url())
        assert len(server.connections) == 1

    async def test_a_body_that_fails_resets_its_stream(self, face, raw):
        codes: list[int] = []

        def script(peer: Peer) -> None:
            codes.append(peer.until_reset(peer.head()))
            peer.serve()

        def broken() -> Any:
            yield b"some"
            raise OSError("the disk is gone")

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                with pytest.raises(OSError, match="the disk is gone"):
                    await client.post(server.url(), content=face.body(broken()))
                await is_sound(client, server.url())
        assert codes == [CANCEL]


async def one(face: Any, client: Any, kind: str, url: str) -> None:
    if kind == "upload":
        await client.post(url, content=face.body([b"x" * 100] * 3))
    elif kind == "large upload":  # through windows that close
        await client.post(url, content=face.body([bytes(50_000)] * 4))
    elif kind == "stream":
        async with client.stream("GET", url) as answered:
            async for _ in answered.aiter_bytes():
                pass
    else:
        await client.get(url)


# -- sent again


class TestSentAgain:
    async def test_goaway_in_the_middle_of_twenty(self, face, raw):
        """Those that the server has taken are finished; the others, POSTs as well, move to another connection."""

        def script(peer: Peer) -> None:
            got = peer.heads(20)
            peer.until(lambda: all(one.ended for one in got))
            peer.raw(goaway(got[9].id))
            for one in got[:10]:
                peer.respond(one, one.body)
            peer.until_closed()

        def echoes(peer: Peer) -> None:
            peer.serve(lambda got: bytes(got.body))

        with raw(http2(script), http2(echoes)) as server:
            async with opened(face) as client:

                async def send(number: int) -> str:
                    return (await client.post(server.url(), content=b"%d" % number)).text

                assert await face.gather(*map(send, range(20))) == [str(number) for number in range(20)]
        assert len(server.connections) == 2
        first = list(peer_of(server).exchanges.values())
        again = {bytes(got.body) for got in peer_of(server, 1).exchanges.values()}
        assert again == {bytes(got.body) for got in first[10:]}

    async def test_goaway_with_nothing_in_flight(self, face, raw):
        """The next request sees it, and goes elsewhere at once."""

        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"first")
            peer.raw(goaway(1))
            said.set()
            peer.until_closed()

        said = threading.Event()
        with raw(http2(script), http2(serves)) as server:
            async with opened(face, limits=ONE) as client:
                assert (await client.get(server.url())).text == "first"
                await face.call(said.wait, 5)
                assert (await client.post(server.url("/?next"), content=b"x")).text == "/?next"
        assert len(server.connections) == 2

    async def test_a_graceful_shutdown_in_two_steps(self, face, raw):
        """§6.8: first GOAWAY with the largest identifier, then with the real one."""

        def script(peer: Peer) -> None:
            got = peer.request()
            peer.raw(goaway(2**31 - 1))
            peer.until_known()
            peer.raw(goaway(got.id))
            peer.respond(got, b"the last")

        with raw(http2(script), http2(serves)) as server:
            async with opened(face, limits=ONE) as client:
                assert (await client.get(server.url())).text == "the last"
                await is_sound(client, server.url())
        assert len(server.connections) == 2

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_refused_once(self, face, raw, method):
        def script(peer: Peer) -> None:
            if peer.connection.index == 0:
                peer.reset(peer.request(), REFUSED_STREAM)
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                content = b"x" if method == "POST" else None
                assert (await client.request(method, server.url("/?again"), content=content)).text == "/?again"
        sent = [got for connection in server.connections for got in connection.peer.exchanges.values()]
        assert len(sent) == 2

    async def test_refused_for_ever(self, face, raw):
        """There is an end to it, and the error says what the server said."""

        def script(peer: Peer) -> None:
            while True:
                peer.reset(peer.request(), REFUSED_STREAM)

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError, match="REFUSED_STREAM"):
                    await client.get(server.url())
        sent = [got for connection in server.connections for got in connection.peer.exchanges.values()]
        assert 2 <= len(sent) <= 10

    async def test_goaway_for_ever(self, face, raw):
        def script(peer: Peer) -> None:
            peer.request()
            peer.raw(goaway(0))

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())
        assert 2 <= len(server.connections) <= 10

    async def test_a_used_up_body_is_not_sent_again_empty(self, face, raw):
        def script(peer: Peer) -> None:
            got = peer.head()
            peer.until(lambda: got.size)
            peer.reset(got, REFUSED_STREAM)
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.HTTPError):
                    await client.post(server.url(), content=face.body([b"x" * 1000] * 3))
        sent = [got for connection in server.connections for got in connection.peer.exchanges.values()]
        assert len(sent) == 1

    async def test_a_list_of_pieces_is_sent_again_whole(self, face, raw):
        def script(peer: Peer) -> None:
            if peer.connection.index == 0:
                got = peer.head()
                peer.until(lambda: got.size >= 1000)
                peer.reset(got, REFUSED_STREAM)
            peer.serve(lambda got: str(got.size).encode())

        with raw(http2(script)) as server:
            async with opened(face) as client:
                assert (await client.post(server.url(), content=[b"x" * 1000] * 3)).text == "3000"

    async def test_a_reused_connection_that_dies_in_silence(self, face, raw):
        """What is idempotent is sent once more; the rest fails."""

        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"first")
            peer.heads(6)
            peer.connection.reset()

        with raw(http2(script), http2(serves)) as server:
            async with opened(face) as client:
                assert (await client.get(server.url())).text == "first"

                async def ask(number: int) -> str:
                    if number == 3:
                        return (await client.post(server.url("/3"), content=b"x")).text
                    return (await client.get(server.url(f"/{number}"))).text

                outcomes = await face.gather(*map(ask, range(6)), return_exceptions=True)
                failed = outcomes.pop(3)
                assert outcomes == ["/0", "/1", "/2", "/4", "/5"]
                assert isinstance(failed, hither.ReadError | hither.RemoteProtocolError | hither.WriteError)
        assert len(server.connections) == 2
        assert b"/3" not in [got.target for got in peer_of(server, 1).exchanges.values()]

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_closed_while_idle(self, face, raw, how):
        """The end is seen before the next request is sent: no method is too dangerous then."""

        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"first")
            peer.connection.wait(seen)
            getattr(peer.connection, how)()

        seen = threading.Event()
        with raw(http2(script), http2(serves)) as server:
            async with opened(face, limits=ONE) as client:
                assert (await client.get(server.url())).text == "first"
                seen.set()
                await face.call(server.connections[0].ended.wait, 5)
                assert (await client.post(server.url("/?next"), content=b"x")).text == "/?next"
        assert len(server.connections) == 2

    async def test_goaway_in_the_middle_of_a_download(self, face, raw):
        """What is under way is finished; the connection is closed by who needs it last."""

        def script(peer: Peer) -> None:
            got = peer.request()
            peer.begin(got)
            peer.data(got, bytes(50_000))
            peer.raw(goaway(got.id))
            peer.connection.wait(elsewhere)
            peer.data(got, bytes(50_000), end=True)
            peer.until_closed()

        elsewhere = threading.Event()
        with raw(http2(script), http2(serves)) as server:
            async with opened(face) as client:
                async with client.stream("GET", server.url()) as answered:
                    chunks = answered.aiter_bytes()
                    size = 0
                    while size < 50_000:
                        size += len(await chunks.__anext__())
                    await is_sound(client, server.url())
                    elsewhere.set()
                    async for chunk in chunks:
                        size += len(chunk)
                assert size == 100_000
                await face.call(server.connections[0].ended.wait, 5)
        assert len(server.connections) == 2

    @pytest.mark.parametrize("how", ["close", "reset"])
    async def test_a_new_connection_that_dies_in_silence(self, face, raw, how):
        def script(peer: Peer) -> None:
            peer.heads(3)
            getattr(peer.connection, how)()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                outcomes = await face.gather(*(client.get(server.url()) for _ in range(3)), return_exceptions=True)
                assert all(isinstance(outcome, hither.TransportError) for outcome in outcomes), outcomes
                assert len({id(outcome) for outcome in outcomes}) == 3, "each has an error of its own"

    async def test_what_has_begun_to_arrive_is_not_asked_for_again(self, face, raw):
        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"first")
            got = peer.request()
            peer.begin(got, ("content-length", "100"))
            peer.data(got, bytes(50))
            peer.until_known()

        with raw(http2(script), http2(serves)) as server:
            async with opened(face) as client:
                await client.get(server.url())
                with pytest.raises((hither.RemoteProtocolError, hither.ReadError)):
                    await client.get(server.url())
        assert len(server.connections) == 1


# -- what a server may do to a connection


class TestTheConnection:
    async def test_a_ping_while_idle_is_answered_with_the_next_request(self, face, raw):
        def script(peer: Peer) -> None:
            got = peer.request()
            peer.state.ping(b"12345678")
            peer.respond(got, got.target)
            peer.until(lambda: peer.pongs == 1)
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                for _ in range(3):
                    await is_sound(client, server.url())
        assert len(server.connections) == 1
        assert peer_of(server).pongs == 1

    async def test_asked_by_ping_before_it_is_used_again(self, face, raw):
        limits = hither.Limits(max_connections=1, ping_after=0)
        with raw(http2(serves)) as server:
            async with opened(face, limits=limits) as client:
                await is_sound(client, server.url())
        assert len(server.connections) == 1
        assert peer_of(server).pings in (1, 2)

    async def test_a_ping_without_an_answer_is_the_connections_end(self, face, raw, monkeypatch):
        import hither.connection.http2

        monkeypatch.setattr(hither.connection.http2, "_PONG_WAIT", 0.1)
        done = threading.Event()

        def script(peer: Peer) -> None:
            peer.respond(peer.request(), b"first")
            peer.connection.wait(done)

        with raw(http2(script), http2(serves)) as server:
            async with opened(face, limits=hither.Limits(max_connections=1, ping_after=0)) as client:
                assert (await client.get(server.url())).text == "first"
                assert (await client.post(server.url("/?elsewhere"), content=b"x")).text == "/?elsewhere"
                done.set()
        assert len(server.connections) == 2

    @pytest.mark.parametrize(
        "garbage",
        [
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            bytes(range(256)),
            b"\xff" * 100,
            goaway(0).serialize(),
            frames.PingFrame(0, b"12345678").serialize(),
        ],
        ids=["http1", "bytes", "ones", "goaway", "ping"],
    )
    async def test_garbage_in_the_place_of_settings(self, face, raw, garbage):
        def script(connection: Connection) -> None:
            connection.more()
            connection.send(garbage)
            connection.until_closed()

        with raw(script) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())
        assert len(server.connections) <= 10

    async def test_http2_negotiated_and_http1_spoken(self, face, raw, http2_tls, authority_file):
        def script(connection: Connection) -> None:
            connection.more()
            connection.send(b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Length: 0\r\n\r\n")
            connection.until_closed()

        with raw(script, tls=http2_tls) as server:
            async with opened(face, http1=True, verify=authority_file) as client:
                with pytest.raises(hither.RemoteProtocolError, match="HTTP/2"):
                    await client.get(server.url())

    @pytest.mark.parametrize("last", [0, 1], ids=["unprocessed", "processed"])
    async def test_goaway_says_why(self, face, raw, last):
        """The code's name and the debug text are in the error's message."""

        def script(peer: Peer) -> None:
            peer.request()
            peer.raw(goaway(last, ENHANCE_YOUR_CALM, b"too_many_pings"))

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError) as caught:
                    await client.get(server.url())
        assert "ENHANCE_YOUR_CALM" in str(caught.value)
        assert "too_many_pings" in str(caught.value)

    async def test_push_is_refused(self, face, raw):
        """The client says so in its SETTINGS; a server that pushes all the same has broken the protocol."""

        def script(peer: Peer) -> None:
            got = peer.request()
            assert peer.state.remote_settings.enable_push == 0
            block = peer.state.encoder.encode([(":method", "GET"), (":path", "/pushed")])
            peer.raw(frames.PushPromiseFrame(got.id, promised_stream_id=2, data=block, flags=["END_HEADERS"]))
            peer.until(lambda: peer.goaway)
            assert peer.goaway.error_code == PROTOCOL_ERROR

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError, match="PUSH_PROMISE"):
                    await client.get(server.url())

    async def test_closed_in_order_with_goaway(self, face, raw):
        with raw(http2(serves)) as server:
            async with opened(face) as client:
                await is_sound(client, server.url())
            await face.call(server.connections[0].ended.wait, 5)
        assert peer_of(server).goaway.error_code == NO_ERROR

    async def test_frames_in_pieces(self, face, raw):
        """A server whose frames never come whole."""

        def script(connection: Connection) -> None:
            send = connection.send_pieces
            peer = connection.peer = Peer(connection)
            peer.send = lambda data: send(data[at : at + 3] for at in range(0, len(data), 3))
            peer.start()
            peer.serve()

        with raw(script) as server:
            async with opened(face, timeout=15) as client:
                await is_sound(client, server.url())

    async def test_a_head_larger_than_a_frame(self, face, raw):
        """It goes out as HEADERS and CONTINUATION."""
        value = hashlib.shake_128(b"head").hexdigest(20_000)
        with raw(http2(lambda peer: peer.serve(lambda got: got.get("x-large") or b""))) as server:
            async with opened(face) as client:
                assert (await client.get(server.url(), headers={"X-Large": value})).text == value

    async def test_settings_that_change(self, face, raw):
        """A compression table of no size, then of another; larger frames are allowed."""
        settings = [{TABLE: 100}, {TABLE: 0}, {TABLE: 4096}]

        def script(peer: Peer) -> None:
            for values in settings:
                for _ in range(2):
                    got = peer.request()
                    peer.respond(got, got.target + (got.get("x-field") or b""))
                peer.state.update_settings(values)
                peer.flush()
            peer.serve(lambda got: got.target + (got.get("x-field") or b""))

        with raw(http2(script, {TABLE: 0, FRAME: 2**20})) as server:
            async with opened(face, limits=ONE, headers={"X-Field": "value"}) as client:
                for number in range(10):
                    answered = await client.post(server.url(f"/{number}"), content=bytes(30_000))
                    assert answered.text == f"/{number}value"
        assert len(server.connections) == 1

    async def test_padding_priority_and_unknown_frames_change_nothing(self, face, raw):
        def script(peer: Peer) -> None:
            got = peer.request()
            peer.raw(
                unknown(0, b"grease"),
                frames.PriorityFrame(got.id, depends_on=0, stream_weight=15),
            )
            block = peer.state.encoder.encode([(":status", "200"), ("content-length", "6")])
            headers = frames.HeadersFrame(got.id, block, flags=["END_HEADERS", "PADDED", "PRIORITY"])
            headers.pad_length, headers.stream_weight = 30, 15
            data = frames.DataFrame(got.id, b"padded", flags=["END_STREAM", "PADDED"])
            data.pad_length = 200
            peer.raw(headers, unknown(got.id, b"grease"), data)
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                assert (await client.get(server.url())).text == "padded"

    async def test_a_flood_of_pings_is_stopped(self, face, raw):
        ping = frames.PingFrame(0, b"12345678").serialize() * 100

        def script(peer: Peer) -> None:
            peer.request()
            peer.connection.endless(ping)

        with raw(http2(script)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError, match="ENHANCE_YOUR_CALM"):
                    await client.get(server.url())


# -- what a server may do to a response


def answering(answer: Any) -> Any:
    """The first request is answered so, the rest in order."""

    def script(peer: Peer) -> None:
        answer(peer, peer.request())
        peer.serve()

    return http2(script)


OK = (b":status", b"200")

MALFORMED: dict[str, Any] = {
    "a name in capitals": lambda peer, got: peer.raw_fields(got, OK, (b"X-Name", b"x"), flags=["END_STREAM"]),
    "connection": lambda peer, got: peer.raw_fields(got, OK, (b"connection", b"close"), flags=["END_STREAM"]),
    "keep-alive": lambda peer, got: peer.raw_fields(got, OK, (b"keep-alive", b"5"), flags=["END_STREAM"]),
    "transfer-encoding": lambda peer, got: peer.raw_fields(
        got, OK, (b"transfer-encoding", b"chunked"), flags=["END_STREAM"]
    ),
    "upgrade": lambda peer, got: peer.raw_fields(got, OK, (b"upgrade", b"h2c"), flags=["END_STREAM"]),
    "status 101": lambda peer, got: peer.raw_fields(got, (b":status", b"101")),
    "no status": lambda peer, got: peer.raw_fields(got, (b"server", b"x"), flags=["END_STREAM"]),
    "two statuses": lambda peer, got: peer.raw_fields(got, OK, OK, flags=["END_STREAM"]),
    "a status of four digits": lambda peer, got: peer.raw_fields(got, (b":status", b"2000"), flags=["END_STREAM"]),
    "a status after a field": lambda peer, got: peer.raw_fields(got, (b"server", b"x"), OK, flags=["END_STREAM"]),
    "a pseudo-field of requests": lambda peer, got: peer.raw_fields(got, OK, (b":path", b"/"), flags=["END_STREAM"]),
    "a value with CR LF": lambda peer, got: peer.raw_fields(got, OK, (b"x", b"a\r\nb: c"), flags=["END_STREAM"]),
    "a name with a colon": lambda peer, got: peer.raw_fields(got, OK, (b"x:y", b"z"), flags=["END_STREAM"]),
    "the end of an informational response": lambda peer, got: peer.raw_fields(
        got, (b":status", b"103"), flags=["END_STREAM"]
    ),
    "content too short": lambda peer, got: (
        peer.raw_fields(got, OK, (b"content-length", b"5")),
        peer.raw(frames.DataFrame(got.id, b"four", flags=["END_STREAM"])),
    ),
    "content too long": lambda peer, got: (
        peer.raw_fields(got, OK, (b"content-length", b"3")),
        peer.raw(frames.DataFrame(got.id, b"four", flags=["END_STREAM"])),
    ),
    "no content": lambda peer, got: peer.raw_fields(got, OK, (b"content-length", b"3"), flags=["END_STREAM"]),
    "two lengths": lambda peer, got: (
        peer.raw_fields(got, OK, (b"content-length", b"4"), (b"content-length", b"5")),
        peer.raw(frames.DataFrame(got.id, b"four", flags=["END_STREAM"])),
    ),
    "content before the head": lambda peer, got: peer.raw(frames.DataFrame(got.id, b"four", flags=["END_STREAM"])),
    "a pseudo-field in the trailers": lambda peer, got: (
        peer.raw_fields(got, OK),
        peer.raw_fields(got, OK, flags=["END_STREAM"]),
    ),
    "trailers that are not the end": lambda peer, got: (
        peer.raw_fields(got, OK),
        peer.raw_fields(got, (b"x", b"y")),
    ),
    "a reset before the head": lambda peer, got: peer.raw(frames.RstStreamFrame(got.id, INTERNAL_ERROR)),
    "a reset in the content": lambda peer, got: (
        peer.raw_fields(got, OK),
        peer.raw(frames.DataFrame(got.id, b"some"), frames.RstStreamFrame(got.id, INTERNAL_ERROR)),
    ),
}


class TestTheResponse:
    @pytest.mark.parametrize("case", MALFORMED)
    async def test_malformed(self, face, raw, case):
        """§8.1.1: an error of that stream; the connection lives on."""
        with raw(answering(MALFORMED[case])) as server:
            async with opened(face, limits=ONE) as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())
                await is_sound(client, server.url())
        assert len(server.connections) == 1

    @pytest.mark.parametrize("case", ["content too short", "a reset in the content"])
    async def test_malformed_while_it_is_streamed(self, face, raw, case):
        with raw(answering(MALFORMED[case])) as server:
            async with opened(face, limits=ONE) as client:
                got = b""
                with pytest.raises(hither.RemoteProtocolError):
                    async with client.stream("GET", server.url()) as answered:
                        async for chunk in answered.aiter_bytes():
                            got += chunk
                assert got in (b"four", b"some", b"")
                await is_sound(client, server.url())
        assert len(server.connections) == 1

    async def test_fields_as_they_came(self, face, raw):
        fields = [("x-two", "1"), ("set-cookie", "a=1"), ("x-two", "2"), ("set-cookie", "b=2"), ("x-empty", "")]

        def answer(peer: Peer, got: Exchange) -> None:
            peer.respond(got, b"", *fields)

        with raw(answering(answer)) as server:
            async with opened(face) as client:
                answered = await client.get(server.url())
        assert answered.http_version == "HTTP/2"
        assert answered.reason_phrase == "OK"
        assert answered.headers.get_list("x-two") == ["1", "2"]
        assert answered.headers["X-Empty"] == ""
        assert dict(answered.cookies) == {"a": "1", "b": "2"}

    async def test_pseudo_fields_and_names_of_the_request(self, face, raw):
        with raw(http2(serves)) as server:
            async with opened(face, cookies={"a": "1", "b": "2"}) as client:
                await client.post(
                    server.url("/a%20b?q=1"),
                    content=b"four",
                    headers={"X-Mixed": "Case", "Connection": "keep-alive", "TE": "trailers"},
                )
        got = peer_of(server).exchanges[1]
        assert [name for name, _ in got.fields if name.startswith(b":")] == [name for name, _ in got.fields[:4]]
        assert dict(got.fields[:4]) == {
            b":method": b"POST",
            b":scheme": b"http",
            b":authority": f"127.0.0.1:{server.port}".encode(),
            b":path": b"/a%20b?q=1",
        }
        assert got.get("x-mixed") == b"Case"
        assert got.get("content-length") == b"4"
        assert got.get("te") == b"trailers"
        assert got.get("connection") is got.get("host") is got.get("keep-alive") is got.get("transfer-encoding") is None
        cookies = b"; ".join(value for name, value in got.fields if name == b"cookie")
        assert cookies == b"a=1; b=2"

    async def test_early_hints_and_trailers(self, face, raw):
        def answer(peer: Peer, got: Exchange) -> None:
            peer.interim(got, 103, ("link", "</a.css>; rel=preload"))
            peer.interim(got, 103, ("link", "</b.css>; rel=preload"))
            peer.interim(got, 102)
            peer.begin(got)
            peer.data(got, b"content")
            peer.trailers(got, ("x-digest", "abc"))

        with raw(answering(answer)) as server:
            async with opened(face) as client:
                answered = await client.get(server.url())
        assert answered.text == "content"
        assert [hints["Link"] for hints in answered.early_hints] == ["</a.css>; rel=preload", "</b.css>; rel=preload"]
        assert answered.trailers["X-Digest"] == "abc"

    async def test_too_many_informational_responses(self, face, raw):
        def answer(peer: Peer, got: Exchange) -> None:
            for _ in range(200):
                peer.raw_fields(got, (b":status", b"102"))

        with raw(answering(answer)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError, match="informational"):
                    await client.get(server.url())

    async def test_fields_without_end(self, face, raw):
        def answer(peer: Peer, got: Exchange) -> None:
            block = peer.state.encoder.encode([OK, *((b"x-%d" % n, b"y" * 1000) for n in range(1000))])
            peer.raw(frames.HeadersFrame(got.id, block[:16384]))
            for at in range(16384, len(block), 16384):
                peer.raw(frames.ContinuationFrame(got.id, block[at : at + 16384]))
            peer.until_closed()

        with raw(answering(answer)) as server:
            async with opened(face) as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())

    @pytest.mark.parametrize("method", ["HEAD", "GET"])
    async def test_a_length_without_content(self, face, raw, method):
        """The answer to HEAD, and 304, say how long the content would be."""

        def answer(peer: Peer, got: Exchange) -> None:
            peer.begin(got, ("content-length", "100"), status=200 if method == "HEAD" else 304, end=True)

        with raw(answering(answer)) as server:
            async with opened(face, limits=ONE) as client:
                answered = await client.request(method, server.url())
                assert (answered.content, answered.headers["Content-Length"]) == (b"", "100")
                await is_sound(client, server.url())

    @pytest.mark.parametrize("end", ["data", "fields", "trailers"])
    async def test_the_end_comes_alone(self, face, raw, end):
        def answer(peer: Peer, got: Exchange) -> None:
            if end == "fields":
                return peer.begin(got, status=204, end=True)
            peer.begin(got)
            peer.data(got, b"content")
            peer.until_known()
            if end == "data":
                return peer.data(got, b"", end=True)
            return peer.trailers(got, ("x", "y"))

        with raw(answering(answer)) as server:
            async with opened(face) as client:
                assert (await client.get(server.url())).content == (b"" if end == "fields" else b"content")
                async with client.stream("GET", server.url("/?streamed")) as answered:
                    assert await answered.aread() == b"/?streamed"


class TestUploads:
    @pytest.mark.parametrize("kind", ["bytes", "pieces"])
    @pytest.mark.parametrize("how", ["reset", "left"])
    async def test_answered_before_the_upload_was_whole(self, face, raw, kind, how):
        """A complete 413 ends the upload, whether RST_STREAM(NO_ERROR) says so or not; the connection lives on."""

        def script(peer: Peer) -> None:
            peer.credits = False
            got = peer.head()
            peer.until(lambda: got.size)
            peer.respond(got, b"too large", status=413)
            if how == "reset":
                peer.reset(got, NO_ERROR)
            else:
                peer.until_reset(got)
            peer.state.increment_flow_control_window(LARGE)
            peer.credits = True
            peer.serve()

        content = bytes(LARGE) if kind == "bytes" else face.body([bytes(1000)] * 300)
        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                answered = await client.post(server.url(), content=content)
                assert (answered.status_code, answered.text) == (413, "too large")
                await is_sound(client, server.url())
        assert len(server.connections) == 1

    async def test_expect_continue(self, face, raw):
        """Nothing of the body is sent before the server asks for it."""

        def script(peer: Peer) -> None:
            got = peer.head()
            assert got.get("expect") == b"100-continue"
            peer.until_known()
            assert got.size == 0
            peer.interim(got, 100)
            peer.until(lambda: got.ended)
            peer.respond(got, bytes(got.body))
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                answered = await client.post(server.url(), content=b"body", headers={"Expect": "100-continue"})
                assert answered.text == "body"

    async def test_expect_declined(self, face, raw):
        def script(peer: Peer) -> None:
            got = peer.head()
            peer.respond(got, b"no", status=417)
            peer.until(lambda: got.ended or got.reset is not None)
            assert got.size == 0
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                answered = await client.post(server.url(), content=b"body", headers={"Expect": "100-continue"})
                assert answered.status_code == 417
                await is_sound(client, server.url())
        assert len(server.connections) == 1

    async def test_an_empty_body_ends_with_the_head(self, face, raw):
        with raw(http2(lambda peer: peer.serve(lambda got: str(got.size).encode()))) as server:
            async with opened(face) as client:
                assert (await client.post(server.url(), content=b"")).text == "0"
                assert (await client.post(server.url(), content=face.body([]))).text == "0"
                assert (await client.post(server.url(), content=face.body([b"", b"ab", b""]))).text == "2"

    @pytest.mark.parametrize("length", ["5", "3"])
    async def test_a_body_of_another_length_than_it_said(self, face, raw, length):
        def script(peer: Peer) -> None:
            got = peer.head()
            peer.until_reset(got)
            peer.serve()

        with raw(http2(script)) as server:
            async with opened(face, limits=ONE) as client:
                with pytest.raises(hither.LocalProtocolError):
                    await client.post(server.url(), content=face.body([b"four"]), headers={"Content-Length": length})
                await is_sound(client, server.url())

    async def test_the_answer_comes_while_the_body_is_written(self, face, raw):
        """Both directions at the caller's pace: each piece is answered before the next is given."""

        def script(peer: Peer) -> None:
            got = peer.head()
            peer.begin(got)
            done = 0
            while not got.ended or got.size > done:
                peer.until(lambda: got.size > done or got.ended)
                if got.size > done:
                    peer.data(got, bytes(got.body[done:]).upper())
                    done = got.size
            peer.data(got, b"", end=True)
            peer.until_closed()

        with raw(http2(script)) as server:
            async with opened(face) as client:
                body = face.body([b"one ", b"two ", b"three"])
                async with client.stream("POST", server.url(), content=body) as answered:
                    assert await answered.aread() == b"ONE TWO THREE"


# -- many threads on one connection


class TestThreads:
    """The sync client: whoever waits reads for all, and hands over when its own answer is there."""

    @pytest.mark.parametrize(
        "count",
        [2_000, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.time_limit(120)])],
    )
    @pytest.mark.faces("sync")
    async def test_bursts_with_timeouts_mixed_in(self, face, nginx, count):
        """No wake-up is lost: whoever is not timed out is answered, and soon."""
        numbers = iter(range(count))
        lock = threading.Lock()
        failures: list[Exception] = []
        answered: list[int] = []
        hurried: list[int] = []
        seen: set[str] = set()
        # Only a total of its own ends a hurried call; for the rest 10 s without an answer is a lost wake-up.
        firm = hither.Timeout(10)

        with hither.Client(http1=False, limits=ONE, timeout=firm) as client:

            def work() -> None:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    try:
                        if number % 7 == 0:
                            total = 0.0002 * (number % 20 + 1)
                            client.get(nginx.url("/json"), timeout=hither.Timeout(10, total=total))
                        else:
                            got = client.get(nginx.url("/json"))
                            assert got.json() == {"message": "hello"}
                            seen.add(got.headers["X-Connection"])
                        answered.append(number)
                    except hither.TotalTimeout:
                        hurried.append(number)
                    except Exception as error:
                        failures.append(error)

            threads = [threading.Thread(target=work) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failures == []
            assert len(answered) + len(hurried) == count
            assert all(number % 7 == 0 for number in hurried)
            assert len(seen) <= 5, "a call's own impatience is no sign that the connection is dead"
            assert connections(client)[0] == 0
            assert client.get(nginx.url("/json")).status_code == 200

    @pytest.mark.faces("sync")
    async def test_one_downloads_slowly_and_the_others_do_not_wait(self, face, nginx):
        """Between its chunks the slow one does not read; then somebody else does."""
        others_done = threading.Event()
        with hither.Client(http1=False, limits=ONE, timeout=10) as client:

            def slow() -> int:
                size = 0
                with client.stream("GET", nginx.url("/big.bin")) as answered:
                    for number, chunk in enumerate(answered.iter_bytes(100_000)):
                        size += len(chunk)
                        if number == 3:
                            assert others_done.wait(10), "nobody read for the others"
                return size

            def quick(_: int) -> int:
                return sum(client.get(nginx.url("/json")).status_code == 200 for _ in range(50))

            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(9) as threads:
                size = threads.submit(slow)
                try:
                    assert list(threads.map(quick, range(8))) == [50] * 8
                finally:
                    others_done.set()
                assert size.result() == len(nginx.files["big.bin"])
            assert connections(client)[0] == 0

    async def test_the_client_is_closed_under_an_open_response(self, face, echo):
        async with face.client(limits=ONE, timeout=5) as client:
            async with client.stream("GET", echo.url("/big/3000000")) as answered:
                await client.aclose()
                assert len(await answered.aread()) == 3_000_000
            assert connections(client) == (0, 0)

    @pytest.mark.faces("sync")
    async def test_the_client_is_closed_under_those_who_use_it(self, face, echo):
        from concurrent.futures import ThreadPoolExecutor

        client = hither.Client(http1=False, limits=ONE, timeout=5)
        with ThreadPoolExecutor(6) as threads:
            asking = [threads.submit(client.get, echo.url("/slow?ms=200")) for _ in range(6)]
            echo.wait_for(lambda server: len(server.requests) == 6)
            client.close()
            outcomes = [future.exception() or future.result().status_code for future in asking]
        assert outcomes == [200] * 6
        assert connections(client)[0] == 0


@pytest.mark.faces("asyncio", "uvloop", "trio")
async def test_a_thousand_at_once_with_cancellations(face, nginx):
    """Whoever is left gets an answer."""
    async with opened(face, limits=hither.Limits(max_connections=2), timeout=10) as client:

        async def hurried(number: int) -> None:
            with contextlib.suppress(hither.TimeoutException):
                await client.get(nginx.url("/json"), timeout=hither.Timeout(10, total=0.0005 * (number % 100 + 1)))

        async def patient(number: int) -> int:
            return (await client.get(nginx.url("/json"))).status_code

        outcomes = await face.gather(*((patient if n % 4 == 0 else hurried)(n) for n in range(1000)))
        assert outcomes[::4] == [200] * 250


async def test_both_protocols_are_offered_and_http2_is_taken(face, raw, http2_tls, authority_file):
    with raw(http2(serves), tls=http2_tls) as server:
        async with opened(face, http1=True, verify=authority_file) as client:
            assert (await client.get(server.url())).http_version == "HTTP/2"


async def test_a_server_without_http2_is_refused_when_nothing_else_is_wanted(face, raw, server_tls, authority_file):
    with raw(until_closed, tls=server_tls) as server:
        async with opened(face, verify=authority_file) as client:
            with pytest.raises(hither.TransportError):
                await client.get(server.url())


# -- one connection for several origins (RFC 9113 §9.1.1)


class TestCoalescing:
    @staticmethod
    def urls(server: Any) -> tuple[str, str]:
        """The same server by two names; the certificate is for both."""
        address = server.url("/")
        return address, address.replace("127.0.0.1", "localhost")

    @pytest.mark.parametrize("coalesce", [True, False])
    async def test_a_connection_serves_all_that_its_certificate_names(
        self, face, raw, http2_tls, authority_file, coalesce
    ):
        with raw(http2(serves), tls=http2_tls) as server:
            first, second = self.urls(server)
            limits = hither.Limits(coalesce=coalesce)
            async with opened(face, verify=authority_file, limits=limits) as client:
                for url in (first, second, first, second):
                    assert (await client.get(url)).text == "/"
            assert len(server.connections) == (1 if coalesce else 2)
            authorities = {one.get(":authority") for peer in server.connections for one in peer.peer.exchanges.values()}
            assert len(authorities) == 2

    async def test_not_where_the_certificate_is_not_verified(self, face, raw, http2_tls):
        with raw(http2(serves), tls=http2_tls) as server:
            async with opened(face, verify=False, limits=hither.Limits(coalesce=True)) as client:
                for url in self.urls(server):
                    assert (await client.get(url)).text == "/"
            assert len(server.connections) == 2

    async def test_not_where_the_address_differs(self, face, raw, http2_tls, authority_file):
        def resolver(host: str, port: int) -> list[str]:
            return ["127.0.0.2" if host == "localhost" else "127.0.0.1"]

        with raw(http2(serves), tls=http2_tls) as server:
            first, second = self.urls(server)
            options = {"verify": authority_file, "limits": hither.Limits(coalesce=True), "resolver": resolver}
            async with opened(face, **options) as client:
                assert (await client.get(first)).text == "/"
                with pytest.raises(hither.ConnectError):
                    await client.get(second)

    async def test_misdirected_it_is_sent_again_on_a_connection_of_its_own(self, face, raw, http2_tls, authority_file):
        """421 (RFC 9110 §15.5.20) is for those who took another origin's connection, and is believed."""

        def script(peer: Peer) -> None:
            own = None
            while True:
                got = peer.request()
                own = own or got.get(":authority")
                right = got.get(":authority") == own
                peer.respond(got, bytes(got.body) or got.target, status=200 if right else 421)

        with raw(http2(script), tls=http2_tls) as server:
            first, second = self.urls(server)
            async with opened(face, verify=authority_file, limits=hither.Limits(coalesce=True)) as client:
                assert (await client.get(first)).status_code == 200
                assert (await client.post(second, content=b"once more")).text == "once more"
                assert (await client.get(second)).status_code == 200
                assert (await client.get(first)).status_code == 200
            assert len(server.connections) == 2
            assert len(peer_of(server).exchanges) == 3


def test_what_nobody_takes_is_not_kept_without_end(monkeypatch):
    """A server that makes us answer and reads nothing costs so much memory, and then the connection."""
    import hither.connection.http2
    from hither.net.blocking import BlockingRuntime

    class Full:
        socket = None

        def share(self, lock: Any) -> None:
            """Nothing is read here."""

        def send(self, data: bytes) -> bool:
            return False

    monkeypatch.setattr(hither.connection.http2, "_MOST_KEPT", 1000)
    connection = hither.connection.http2.HTTP2Connection(Full(), None, BlockingRuntime(), hither.Limits())  # type: ignore[arg-type]
    sent = 0
    while connection.usable and sent < 100:
        connection._codec.ping()
        connection._send()
        sent += 1
    assert 40 < sent < 100
    assert "does not read" in str(connection._failure)
