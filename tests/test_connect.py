"""From addresses to a connection, with real sockets on loopback: who wins the race, what is said when nobody does,
and that nothing is left open."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from cancelling import cancel_at

import hither
from hither._connect import SocketSettings, _Until, race
from hither.net.base import run_sync
from hither.net.blocking import BlockingRuntime
from servers.raw import RawServer, keep_answering, response, until_closed

linux = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.0/8 and full backlogs behave so on Linux")
pytestmark = linux

HERE = keep_answering(response(b"here"))


def open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


async def soon(face: Any, ready: Callable[[], bool]) -> bool:
    """Whether it becomes true while the loop turns and other threads run."""
    end = monotonic() + 3
    while not ready() and monotonic() < end:
        await face.call(threading.Event().wait, 0.002)
    return ready()


@contextlib.contextmanager
def nobody_accepts(host: str, port: int) -> Iterator[None]:
    """A listening socket whose queue is full: a connection there is neither made nor refused."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(10):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
            if not select.select([], [filler], [], 0.02)[1]:
                break
        else:
            pytest.skip("the queue of a listening socket does not fill up here")
        yield


@pytest.fixture
def server() -> Iterator[RawServer]:
    """Listens on 127.0.0.1 only."""
    with RawServer(HERE) as server:
        yield server


@pytest.fixture
def hanging(server: RawServer) -> Iterator[str]:
    """An address where a connection to the server's port hangs; one to 127.0.0.3 is refused."""
    with nobody_accepts("127.0.0.2", server.port):
        yield "127.0.0.2"


REFUSED, GOOD = "127.0.0.3", "127.0.0.1"


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    import hither._connect

    monkeypatch.setattr(hither._connect, "_ATTEMPT_DELAY", 0.01)


def at(server: RawServer, scheme: str = "http") -> str:
    return f"{scheme}://name.test:{server.port}/"


def names(*addresses: str) -> dict[str, Any]:
    return {"resolver": lambda host, port: list(addresses)}


class TestRace:
    async def test_the_first_refuses(self, face, server):
        async with face.client(**names(REFUSED, GOOD)) as client:
            started = monotonic()
            answered = await client.get(at(server))
            assert answered.content == b"here"
            assert answered.peer == (GOOD, server.port)
            assert monotonic() - started < 0.2, "a refusal is not waited upon"

    async def test_the_first_hangs(self, face, server, hanging):
        async with face.client(**names(hanging, GOOD)) as client:
            started = monotonic()
            answered = await client.get(at(server))
            assert answered.peer == (GOOD, server.port)
            assert 0.2 < monotonic() - started < 1, "the next is tried after 250 ms"
            assert answered.timings.connect >= 0.2

    async def test_a_refusal_after_one_that_hangs_tries_the_next_at_once(self, face, server, hanging):
        async with face.client(**names(hanging, REFUSED, GOOD)) as client:
            started = monotonic()
            assert (await client.get(at(server))).content == b"here"
            assert monotonic() - started < 0.45

    async def test_the_first_that_answers_is_the_only_one_asked(self, face, server, hanging, hurry):
        async with face.client(**names(GOOD, hanging, REFUSED)) as client:
            before = open_sockets()
            assert (await client.get(at(server))).content == b"here"
            assert await soon(face, lambda: open_sockets() == before + 2), "one of the client's, one of the server's"

    async def test_losers_are_closed(self, face, server, hanging, hurry):
        async with face.client(**names(hanging, GOOD)) as client:
            before = open_sockets()
            assert (await client.get(at(server))).content == b"here"
            assert await soon(face, lambda: open_sockets() == before + 2)

    async def test_ipv6_refuses_then_ipv4(self, face, server):
        async with face.client(**names("::1", GOOD)) as client:
            assert (await client.get(at(server))).peer == (GOOD, server.port)

    async def test_ipv6_first_when_both_answer(self, face, server):
        try:
            six = RawServer(HERE, host="::1")
        except OSError:
            pytest.skip("this machine has no IPv6")
        with six:
            addresses = [
                (socket.AF_INET6, ("::1", six.port, 0, 0)),
                (socket.AF_INET, ("127.0.0.1", server.port)),
            ]
            async with face.client(resolver=lambda host, port: addresses) as client:
                assert (await client.get(at(server))).peer == ("::1", six.port)
            assert server.connections == []

    async def test_when_all_refuse_the_error_tells_of_each(self, face, server):
        async with face.client(**names(REFUSED, "127.0.0.4"), limits=hither.Limits(1)) as client:
            for _ in range(2):
                with pytest.raises(hither.ConnectError) as caught:
                    await client.get(f"http://user:secret@name.test:{server.port}/x")
                said = str(caught.value)
                for address in (REFUSED, "127.0.0.4"):
                    assert f"{address}:{server.port}: Connection refused" in said
                assert said.endswith(f"[GET http://user:***@name.test:{server.port}/x]")
                assert isinstance(caught.value.__cause__, ConnectionRefusedError)
                assert caught.value.request.url.host == "name.test"

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    async def test_when_all_hang_the_time_runs_out_once_for_all(self, face, server, hanging, hurry, tls):
        limit = hither.Timeout(connect=0.15)
        async with face.client(**names(hanging, hanging, REFUSED), timeout=limit) as client:
            before, started = open_sockets(), monotonic()
            with pytest.raises(
                hither.ConnectTimeout, match=r"timeout\.connect = 0\.15 s while connecting .*\[GET http"
            ):
                await client.get(at(server, "https" if tls else "http"))
            assert monotonic() - started < 1
            assert open_sockets() == before

    async def test_total_covers_connecting(self, face, server, hanging):
        async with face.client(**names(hanging), timeout=hither.Timeout(None, total=0.1)) as client:
            with pytest.raises(hither.TotalTimeout, match="while connecting"):
                await client.get(at(server))

    async def test_an_address_that_no_socket_takes_is_passed_over(self, face, server):
        addresses = [(socket.AF_INET6, ("127.0.0.3", server.port)), (socket.AF_INET, (GOOD, server.port))]
        async with face.client(resolver=lambda host, port: addresses) as client:
            assert (await client.get(at(server))).content == b"here"

    def test_of_two_that_answer_at_once_one_is_closed(self, server):
        class Both(BlockingRuntime):
            """Tells of the sockets only when all are decided."""

            async def race(self, sockets: Any, timeout: float | None) -> list[socket.socket]:
                if len(sockets) < 2:
                    return []
                seen.extend(sockets)
                for sock in sockets:
                    select.select([], [sock], [])
                return list(sockets)

        seen: list[socket.socket] = []
        addresses = [(socket.AF_INET, (GOOD, server.port)), (socket.AF_INET, ("127.0.0.1", server.port))]
        won = run_sync(race(Both(), addresses, SocketSettings(), _Until(5)))
        assert sorted(sock.fileno() == -1 for sock in seen) == [False, True]
        assert won.fileno() != -1
        won.close()

    async def test_a_peer_that_resets_at_once_is_an_error_of_connecting_and_leaks_nothing(self, face, monkeypatch):
        """The reset is there before anybody looks at the new socket."""
        import hither._connect

        real = hither._connect.race

        async def slow(*args: Any) -> socket.socket:
            sock = await real(*args)
            poll = select.poll()
            poll.register(sock, 0)
            assert poll.poll(5000), "the reset came"
            return sock

        monkeypatch.setattr(hither._connect, "race", slow)
        with RawServer(lambda connection: connection.reset()) as server:
            async with face.client() as client:
                before = open_sockets()
                with pytest.raises((hither.ConnectError, hither.ReadError, hither.WriteError)) as caught:
                    await client.get(server.url())
                assert caught.value.request.method == "GET"
                assert await soon(face, lambda: open_sockets() <= before)


class TestCancelled:
    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", ["waiting", "answered"])
    async def test_at_every_await_no_socket_is_left(self, face, server, hanging, hurry, when):
        async def resolve(host: str, port: int) -> list[str]:
            return [REFUSED, hanging, GOOD]

        before = open_sockets()
        for at_ in range(1, 50):
            async with face.client(resolver=resolve, limits=hither.Limits(1)) as client:
                hit = await cancel_at(face, client.get(at(server)), at_, when)
                # A cancellation that comes after the last byte leaves a connection that may be used again.
                leased, idle = client._networks.current().pool.size
                assert leased == 0
                assert await soon(face, lambda idle=idle: open_sockets() <= before + 2 * idle), f"at await {at_}"
                assert (await client.get(at(server))).content == b"here"
            assert await soon(face, lambda: open_sockets() <= before)
            if not hit:
                break
        assert not hit
        assert at_ > 3

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_during_the_handshake(self, face, hurry):
        with RawServer(until_closed) as server:
            for at_ in range(1, 20):
                before = open_sockets()
                async with face.client(timeout=hither.Timeout(connect=0.3)) as client:
                    try:
                        assert await cancel_at(face, client.get(server.url().replace("http:", "https:")), at_)
                    except hither.ConnectTimeout:
                        break  # that many awaits there are not
                assert await soon(face, lambda before=before: open_sockets() <= before)
            assert 1 < at_ < 19
            assert any(connection.received for connection in server.connections)


class TestLocalAddress:
    async def test_it_is_where_connections_come_from(self, face, server):
        async with face.client(local_address="127.0.0.9") as client:
            await client.get(server.url())
        async with face.client(local_address=("127.0.0.9", 0)) as client:
            await client.get(server.url())
        assert len(server.connections) == 2

    async def test_addresses_of_the_other_family_are_not_tried(self, face, server):
        async with face.client(local_address="127.0.0.9", **names("::1", GOOD)) as client:
            assert (await client.get(at(server))).content == b"here"

    async def test_no_address_of_its_family(self, face, server):
        async with face.client(local_address="::1") as client:
            with pytest.raises(hither.ConnectError, match=r"of the family of local_address.*\[GET"):
                await client.get(server.url())

    @pytest.mark.parametrize("address", ["192.0.2.1", "not an address"])
    async def test_one_that_is_not_ours(self, face, server, address):
        async with face.client(local_address=address) as client:
            before = open_sockets()
            with pytest.raises(hither.ConnectError, match=r"local_address.*\[GET"):
                await client.get(server.url())
            assert open_sockets() == before


def client_socket(client: Any) -> socket.socket:
    """The socket of the one idle connection."""
    networks = client._networks
    network = networks._network if hasattr(networks, "_network") else next(iter(networks._networks.values()))[0]
    (lease,) = network.pool._idle
    return lease.connection._stream.socket


class TestSocketOptions:
    async def test_they_are_set(self, face, server):
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_IP, socket.IP_TTL, 9)]
        async with face.client(socket_options=iter(options)) as client:
            await client.get(server.url())
            sock = client_socket(client)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 9

    async def test_small_writes_go_out_at_once_and_the_user_may_say_otherwise(self, face, server):
        for options, nodelay in [(None, 1), ([(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)], 0)]:
            async with face.client(socket_options=options) as client:
                await client.get(server.url())
                set_to = client_socket(client).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                if face.name in ("sync", "trio") or nodelay:  # the loops of asyncio set it themselves
                    assert bool(set_to) == bool(nodelay)

    async def test_one_that_the_system_refuses(self, face, server):
        async with face.client(socket_options=[(socket.SOL_SOCKET, 9999, 1)]) as client:
            before = open_sockets()
            with pytest.raises(hither.ConnectError, match="not available"):
                await client.get(server.url())
            assert open_sockets() == before


class TestUnixSocket:
    async def test_the_url_says_what_is_asked_and_the_path_where(self, face, echo_uds):
        async with face.client(uds=echo_uds.path) as client:
            answered = await client.get("http://anywhere.test/json")
            assert answered.status_code == 200
            assert answered.peer == echo_uds.path

    @pytest.mark.parametrize("kind", ["missing", "file", "too-long"])
    async def test_what_is_no_socket(self, face, tmp_path, kind):
        path = tmp_path / ("x" * 200 if kind == "too-long" else "path")
        if kind == "file":
            path.write_bytes(b"")
        async with face.client(uds=str(path)) as client:
            before = open_sockets()
            with pytest.raises(hither.ConnectError, match=r"no connection .*\[GET http://a\.test/\]"):
                await client.get("http://a.test/")
            assert open_sockets() == before

    async def test_a_full_queue_is_waited_for(self, face, tmp_path):
        """Linux does not queue a connection there but refuses it for the time being (EAGAIN)."""
        path = str(tmp_path / "s")
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen(0)
            fillers = _fill(stack, path)
            async with face.client(uds=path, timeout=hither.Timeout(connect=5)) as client:
                serving = threading.Thread(target=_serve_late, args=(listener, fillers + 1))
                serving.start()
                try:
                    assert (await client.get("http://a.test/")).content == b"late"
                finally:
                    serving.join()

    async def test_a_queue_that_stays_full_meets_the_timeout(self, face, tmp_path):
        path = str(tmp_path / "s")
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
            listener.listen(0)
            _fill(stack, path)
            async with face.client(uds=path, timeout=hither.Timeout(connect=0.1)) as client:
                before = open_sockets()
                with pytest.raises(hither.ConnectTimeout, match="while connecting"):
                    await client.get("http://a.test/")
                assert open_sockets() == before


def _fill(stack: contextlib.ExitStack, path: str) -> int:
    """Fill the queue of a Unix socket; return how many it took."""
    for count in range(100):
        filler = stack.enter_context(socket.socket(socket.AF_UNIX))
        filler.setblocking(False)
        if filler.connect_ex(path):
            return count
    raise AssertionError("the queue has no end")


def _serve_late(listener: socket.socket, connections: int) -> None:
    threading.Event().wait(0.05)
    listener.settimeout(5)
    for _ in range(connections):
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                if sock.recv(65536):
                    sock.sendall(response(b"late", "Connection: close"))
                    return


class TestTimes:
    @pytest.mark.parametrize("seconds", [1e7, 1e12, sys.float_info.max])
    async def test_a_very_long_time_is_as_good_as_none(self, face, server, seconds):
        async with face.client(timeout=seconds, **names(GOOD)) as client:
            assert (await client.get(at(server))).content == b"here"
            assert (await client.post(at(server), content=face.body([b"x"]))).content == b"here"

    async def test_no_time_at_all(self, face, server):
        async with face.client(timeout=hither.Timeout(connect=0), **names(GOOD)) as client:
            with pytest.raises(hither.ConnectTimeout):
                await client.get(at(server))


def test_linger_is_not_touched():
    """A closed socket says goodbye in order (FIN)."""
    with SocketSettings().make(socket.AF_INET) as sock:
        assert struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0] == 0


def test_tls_sessions_are_bounded_and_kept_by_many_threads_at_once(monkeypatch):
    from types import SimpleNamespace

    from hither import _connect

    monkeypatch.setattr(_connect, "_MAX_SESSIONS", 3)
    connector: Any = _connect.Connector(BlockingRuntime(), *[None] * 5)  # type: ignore[arg-type]
    failures: list[BaseException] = []
    threads = 4

    def remember(number: int) -> None:
        try:
            for turn in range(20_000):
                connector.remember((number, turn), SimpleNamespace(session=object()))
        except RuntimeError as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        started = [threading.Thread(target=remember, args=(number,)) for number in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    assert 0 < len(connector._sessions) <= 3 + threads
