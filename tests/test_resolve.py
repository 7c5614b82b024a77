"""Names: what is remembered, who asks, in which order addresses are tried, and how long it may take."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from time import monotonic
from typing import Any

import pytest

import hither
from hither._resolve import interleave, literal_address
from servers.raw import keep_answering, response

V4, V6 = socket.AF_INET, socket.AF_INET6
NEVER = hither.Limits(max_keepalive_connections=0)  # so that each request asks for the name


class Counting(hither.Resolver):
    """Every name is this machine; counts the look-ups, and holds them while `gate` is not set."""

    def __init__(self, dns_ttl: float = 60, error: Exception | None = None) -> None:
        super().__init__(dns_ttl)
        self.asked: list[tuple[str, int]] = []
        self.error = error
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def lookup(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        self.begun.set()
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return ["127.0.0.1"]


@pytest.fixture
def server(raw):
    with raw(keep_answering(response(b"here"))) as server:
        yield server


def at(server: Any, host: str) -> str:
    return f"http://{host}:{server.port}/"


class TestRemembering:
    async def test_a_name_is_looked_up_once(self, face, server):
        resolver = Counting()
        async with face.client(resolver=resolver, limits=NEVER) as client:
            for _ in range(3):
                assert (await client.get(at(server, "a.test"))).content == b"here"
            await client.get(at(server, "b.test"))
        assert resolver.asked == [("a.test", server.port), ("b.test", server.port)]

    async def test_no_longer_than_dns_ttl(self, face, server, monkeypatch):
        import hither._resolve

        now = 1000.0
        monkeypatch.setattr(hither._resolve, "monotonic", lambda: now)
        resolver = Counting(dns_ttl=10)
        async with face.client(resolver=resolver, limits=NEVER) as client:
            for now, lookups in [(1000.0, 1), (1009.0, 1), (1011.0, 2), (1020.0, 2), (1022.0, 3)]:
                await client.get(at(server, "a.test"))
                assert len(resolver.asked) == lookups

    async def test_not_at_all_with_a_dns_ttl_of_0(self, face, server):
        resolver = Counting(dns_ttl=0)
        async with face.client(resolver=resolver, limits=NEVER) as client:
            for _ in range(3):
                await client.get(at(server, "a.test"))
        assert len(resolver.asked) == 3

    async def test_failures_are_not_remembered(self, face, server):
        resolver = Counting(error=socket.gaierror(-3, "try again"))
        async with face.client(resolver=resolver, limits=NEVER) as client:
            for number in (1, 2):
                with pytest.raises(hither.NameResolutionError, match=r"'a\.test' has no address.*try again"):
                    await client.get(at(server, "a.test"))
                assert len(resolver.asked) == number
            resolver.error = None
            assert (await client.get(at(server, "a.test"))).content == b"here"

    async def test_what_is_remembered_is_bounded(self, face, server, monkeypatch):
        import hither._resolve

        monkeypatch.setattr(hither._resolve, "_MAX_NAMES", 3)
        resolver = Counting()
        async with face.client(resolver=resolver, limits=NEVER) as client:
            for host in ["a.test", "b.test", "c.test", "d.test", "d.test", "a.test"]:
                await client.get(at(server, host))
        assert [host[0] for host, _ in resolver.asked] == ["a", "b", "c", "d", "a"]

    async def test_addresses_are_not_looked_up(self, face, server):
        resolver = Counting()
        async with face.client(resolver=resolver) as client:
            assert (await client.get(server.url())).content == b"here"
        assert resolver.asked == []


def asking(face: Any, client: Any, url: str, times: int) -> Any:
    return face.gather(*(client.get(url) for _ in range(times)), return_exceptions=True)


class TestManyAtOnce:
    """One look-up serves all who ask while it is under way."""

    @pytest.mark.parametrize("ttl", [60, 0], ids=["remembered", "not-remembered"])
    async def test_one_look_up(self, face, server, ttl):
        resolver = Counting(dns_ttl=ttl)
        resolver.gate.clear()
        async with face.client(resolver=resolver) as client:
            opener = threading.Thread(target=_open_when_all_wait, args=(client, resolver, 8, face))
            opener.start()
            answers = await asking(face, client, at(server, "a.test"), 8)
            opener.join()
        assert [answer.content for answer in answers] == [b"here"] * 8
        assert len(resolver.asked) == 1

    @pytest.mark.parametrize(
        "error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")], ids=["oserror", "unicode"]
    )
    async def test_one_failure(self, face, server, error):
        resolver = Counting(error=error)
        resolver.gate.clear()
        async with face.client(resolver=resolver) as client:
            opener = threading.Thread(target=_open_when_all_wait, args=(client, resolver, 4, face))
            opener.start()
            urls = [at(server, "a.test") + str(number) for number in range(4)]
            answers = await face.gather(*(client.get(url) for url in urls), return_exceptions=True)
            opener.join()
        assert [type(answer) for answer in answers] == [hither.NameResolutionError] * 4
        assert len({id(answer) for answer in answers}) == 4, "each has an error of its own"
        for url, answer in zip(urls, answers, strict=True):
            assert answer.request.url == url
            assert str(answer).count("[GET") == 1
            assert url in str(answer)
            assert answer.__cause__ is error
        assert len(resolver.asked) == 1

    async def test_who_gives_up_leaves_the_others_asking(self, face, server):
        """The first one's time is up while the look-up hangs: the next one asks itself."""
        resolver = Counting()
        resolver.gate.clear()
        async with face.client(resolver=resolver) as client:

            async def hurried() -> Any:
                try:
                    return await client.get(at(server, "a.test"), timeout=hither.Timeout(connect=0.05))
                finally:
                    resolver.gate.set()

            async def patient() -> Any:
                await face.call(resolver.begun.wait, 5)
                return await client.get(at(server, "a.test"))

            first, second = await face.gather(hurried(), patient(), return_exceptions=True)
        assert isinstance(first, hither.ConnectTimeout)
        assert second.content == b"here"

    async def test_who_waits_for_anothers_look_up_has_a_limit_too(self, face, server):
        """However many look-ups are waited for in turn, `timeout.connect` is all the time there is."""
        resolver = Counting()
        resolver.gate.clear()
        try:
            async with face.client(resolver=resolver) as client:
                started = monotonic()

                async def ask(number: int) -> None:
                    limit = hither.Timeout(connect=0.2 + 0.02 * number)
                    with pytest.raises(hither.ConnectTimeout, match="resolving the name"):
                        await client.get(at(server, "a.test"), timeout=limit)

                await face.gather(*(ask(number) for number in range(6)))
                assert monotonic() - started < 0.7
        finally:
            resolver.gate.set()


def _open_when_all_wait(client: Any, resolver: Counting, number: int, face: Any) -> None:
    resolver.begun.wait(5)
    networks = client._networks
    pool_size = lambda: sum(network.pool.size[0] for network in _networks(networks))  # noqa: E731
    end = monotonic() + 5
    while pool_size() < number and monotonic() < end:
        threading.Event().wait(0.005)
    names = [network._connector._names for network in _networks(networks)][0]
    while sum(len(flight.parkers) for flight in names._flights.values()) < number - 1 and monotonic() < end:
        threading.Event().wait(0.005)
    resolver.gate.set()


def _networks(networks: Any) -> list[Any]:
    if hasattr(networks, "_network"):
        return [networks._network]
    return [network for network, _ in networks._networks.values()]


class TestKindsOfResolver:
    async def test_a_function(self, face, server):
        async with face.client(resolver=lambda host, port: ["127.0.0.1"]) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"

    async def test_a_subclass_that_asks_the_system_for_the_rest(self, face, server):
        class Pinned(hither.Resolver):
            def lookup(self, host: str, port: int) -> Any:
                return ["127.0.0.1"] if host == "a.test" else super().lookup(host, port)

        async with face.client(resolver=Pinned()) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"
            assert (await client.get(at(server, "localhost"))).content == b"here"

    @pytest.mark.parametrize("name", ["lookup", "resolve"])
    async def test_any_object_with_such_a_method(self, face, server, name):
        kind = type("Mine", (), {name: lambda self, host, port: ["127.0.0.1"]})
        async with face.client(resolver=kind()) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"

    async def test_addresses_as_getaddrinfo_gives_them_and_pairs(self, face, server):
        answers: list[Any] = [
            [(V4, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))],
            [(V4, ("127.0.0.1", server.port))],
            iter(["127.0.0.1"]),
        ]
        async with face.client(resolver=lambda host, port: answers.pop(), limits=NEVER) as client:
            for host in ("a.test", "b.test", "c.test"):
                assert (await client.get(at(server, host))).content == b"here"

    async def test_async_function(self, face, server):
        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        async with face.client(resolver=resolve) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_async_method_that_waits(self, face, server):
        class Mine:
            async def lookup(self, host: str, port: int) -> list[str]:
                await face.call(threading.Event().wait, 0.001)
                return ["127.0.0.1"]

        async with face.client(resolver=Mine()) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"

    @pytest.mark.parametrize("kind", ["callable", "partial"])
    async def test_what_turns_out_to_be_async(self, face, server, kind):
        from functools import partial

        class Mine:
            async def __call__(self, host: str, port: int) -> list[str]:
                return ["127.0.0.1"]

        async with face.client(resolver=Mine() if kind == "callable" else partial(Mine())) as client:
            assert (await client.get(at(server, "a.test"))).content == b"here"

    @pytest.mark.faces("sync")
    async def test_the_sync_client_does_not_wait_for_async_ones(self, face, server):
        import asyncio

        async def resolve(host: str, port: int) -> list[str]:
            await asyncio.sleep(0)
            return ["127.0.0.1"]

        async with face.client(resolver=resolve) as client:
            with pytest.raises(RuntimeError, match="AsyncClient"):
                await client.get(at(server, "a.test"))

    @pytest.mark.parametrize("answer", [[], ["not-an-address"]], ids=["nothing", "a-name"])
    async def test_a_useless_answer_is_said_to_be_one(self, face, server, answer):
        async with face.client(resolver=lambda host, port: answer) as client:
            with pytest.raises(hither.NameResolutionError, match=r"'a\.test' has no address.*\[GET http://a\.test"):
                await client.get(at(server, "a.test"))

    async def test_what_a_resolver_raises_on_its_own_account_comes_through(self, face, server):
        def broken(host: str, port: int) -> list[str]:
            raise ZeroDivisionError

        async with face.client(resolver=broken) as client:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    await client.get(at(server, "a.test"))

    @pytest.mark.time_limit(5)
    async def test_even_a_stop_iteration(self, face, server):
        async with face.client(resolver=lambda host, port: next(iter([])), timeout=None) as client:
            with pytest.raises(RuntimeError):
                await client.get(at(server, "a.test"))

    async def test_a_resolvers_own_timeout_is_not_ours(self, face, server):
        async with face.client(resolver=Counting(error=TimeoutError("no answer of 192.0.2.1"))) as client:
            with pytest.raises(hither.NameResolutionError, match=r"no answer of 192\.0\.2\.1"):
                await client.get(at(server, "a.test"))

    def test_anything_else_is_refused_when_the_client_is_made(self):
        with pytest.raises(TypeError, match="resolver takes"):
            hither.Client(resolver=53)


class TestHanging:
    """A look-up that never ends is covered by `timeout.connect` and by `timeout.total`, in every face."""

    @pytest.mark.parametrize(
        ("timeout", "error", "said"),
        [
            (hither.Timeout(connect=0.1), hither.ConnectTimeout, r"timeout\.connect = 0\.1 s while resolving the name"),
            (hither.Timeout(total=0.1), hither.TotalTimeout, r"timeout\.total = 0\.1 s, while resolving the name"),
            (hither.Timeout(None, total=0.1), hither.TotalTimeout, r"timeout\.total"),
        ],
        ids=["connect", "total", "only-total"],
    )
    async def test_a_blocking_look_up(self, face, server, timeout, error, said):
        resolver = Counting()
        resolver.gate.clear()
        try:
            async with face.client(resolver=resolver, timeout=timeout, limits=hither.Limits(1)) as client:
                started = monotonic()
                with pytest.raises(error, match=said) as caught:
                    await client.get(at(server, "a.test"))
                assert monotonic() - started < 2
                assert caught.value.request.method == "GET"
                assert "a.test" in str(caught.value)
                assert (await client.get(server.url())).content == b"here", "the slot came back"
        finally:
            resolver.gate.set()

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize(
        ("timeout", "error"),
        [
            (hither.Timeout(connect=0.1), hither.ConnectTimeout),
            (hither.Timeout(None, total=0.1), hither.TotalTimeout),
        ],
        ids=["connect", "total"],
    )
    @pytest.mark.time_limit(5)
    async def test_an_async_look_up(self, face, server, timeout, error):
        ended = []

        async def resolve(host: str, port: int) -> list[str]:
            try:
                await _forever(face)
            finally:
                ended.append(host)
            return []

        async with face.client(resolver=resolve, timeout=timeout) as client:
            with pytest.raises(error, match="resolving the name"):
                await client.get(at(server, "a.test"))
            assert ended == ["a.test"], "it is cancelled, not left behind"

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_hanging_look_ups_hold_up_no_other(self, face, server):
        """Not even as many as a thread pool has threads."""
        gate = threading.Event()

        def resolve(host: str, port: int) -> list[str]:
            if host.startswith("hang"):
                gate.wait(10)
            return ["127.0.0.1"]

        async with face.client(resolver=resolve, limits=hither.Limits(None)) as client:

            async def good() -> None:
                try:
                    assert (await client.get(at(server, "good.test"))).content == b"here"
                finally:
                    gate.set()

            hanging = [client.get(at(server, f"hang{number}.test")) for number in range(50)]
            await face.gather(*hanging, good())


async def _forever(face: Any) -> None:
    if face.name == "trio":
        import trio

        await trio.sleep_forever()
    else:
        import asyncio

        await asyncio.get_running_loop().create_future()


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_a_look_up_under_way_at_a_fork_does_not_hang_the_child(server):
    """The thread that looks up is not in the child; nobody there waits for it."""
    program = """
import os, sys, threading
import hither

begun, gate = threading.Event(), threading.Event()
parent = os.getpid()

def resolve(host, port):
    if os.getpid() == parent:
        begun.set()
        gate.wait(10)
    return ["127.0.0.1"]

client = hither.Client(resolver=resolve, timeout=3)
asking = threading.Thread(target=client.get, args=(sys.argv[1],))
asking.start()
begun.wait(10)
child = os.fork()
if child == 0:
    os._exit(0 if client.get(sys.argv[1]).content == b"here" else 3)
_, status = os.waitpid(child, 0)
gate.set()
asking.join()
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, at(server, "a.test")], capture_output=True, text=True, timeout=15
    )
    assert ran.returncode == 0, ran.stderr


class TestOrder:
    """RFC 8305 §4: families alternate, and the first one stays first."""

    @pytest.mark.parametrize(
        ("given", "tried"),
        [
            ("", ""),
            ("6a", "6a"),
            ("6a 6b 6c 4a 4b", "6a 4a 6b 4b 6c"),
            ("4a 4b 6a", "4a 6a 4b"),
            ("4a 6a 6b", "4a 6a 6b"),
            ("6a 6a 4a 4a", "6a 4a"),
            ("4a 4b 4c", "4a 4b 4c"),
        ],
    )
    def test_interleaved(self, given, tried):
        addresses = [(V6 if name[0] == "6" else V4, name) for name in given.split()]
        assert [name for _, name in interleave(addresses)] == tried.split()

    def test_literals(self):
        assert literal_address("127.0.0.1", 80) == (V4, ("127.0.0.1", 80))
        assert literal_address("::1", 80) == (V6, ("::1", 80, 0, 0))
        assert literal_address("fe80::1%3", 80) == (V6, ("fe80::1", 80, 0, 3))
        for name in ("localhost", "1.2.3", "example.org", "1.2.3.4.5", "host9", "256.1.1.1"):
            assert literal_address(name, 80) is None

    @pytest.mark.skipif(not hasattr(socket, "if_nameindex"), reason="no names of interfaces")
    def test_a_zone_by_name(self):
        index, name = socket.if_nameindex()[0]
        assert literal_address(f"fe80::1%{name}", 80) == (V6, ("fe80::1", 80, 0, index))

    async def test_an_unknown_zone_is_an_error_of_the_name(self, face):
        async with face.client() as client:
            with pytest.raises(hither.NameResolutionError, match="no-such-zone"):
                await client.get("http://[fe80::1%25no-such-zone]/")
