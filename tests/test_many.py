"""One client and many users: threads, processes, event loops, a thousand requests at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest

import hither
from servers.echo import EchoServer
from servers.raw import RawServer, head, keep_answering, request, response, until_closed, wait

pytestmark = pytest.mark.protocols("http1", "http2")

SINGLE = hither.Limits(max_connections=1, max_streams_per_connection=1)  # one request at a time

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@contextlib.contextmanager
def nothing_left_to_warn_of() -> Iterator[None]:
    """No ResourceWarning, now or when the garbage is collected."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


class TestThreads:
    def test_fifty_threads_that_start_together(self, echo, protocol):
        start = threading.Barrier(50)
        looked_up: list[str] = []

        def resolve(host: str, port: int) -> list[str]:
            looked_up.append(host)
            return ["127.0.0.1"]

        limits = hither.Limits(max_connections=8)
        with nothing_left_to_warn_of(), hither.Client(limits=limits, resolver=resolve, **protocol.options) as client:

            def ask(thread: int) -> list[bool]:
                start.wait(5)
                return [one(f"{thread}-{number}") for number in range(10)]

            def one(name: str) -> bool:
                url = f"http://a.test:{echo.port}/echo?{name}"
                seen = client.post(url, content=name * 100).json()
                return seen["target"] == f"/echo?{name}" and seen["length"] == len(name) * 100

            with ThreadPoolExecutor(50) as threads:
                assert list(threads.map(ask, range(50))) == [[True] * 10] * 50
            assert client._networks._network.pool.size == (0, len(echo.connections))
        assert len(echo.connections) == 8 if protocol.name == "http1" else len(echo.connections) <= 8
        assert 1 <= len(looked_up) <= 8

    def test_threads_that_fail_take_no_slot_with_them(self, raw):
        """Broken answers, time-outs and good ones, all through two connections."""
        scripts: list[Any] = [[request(), b"nonsense\r\n\r\n"], [request()], keep_answering(response(b"fine"))]

        def script(connection: Any) -> None:
            connection.run(scripts[connection.index % 3])

        limits = hither.Limits(max_connections=2)
        with raw(script) as server, hither.Client(limits=limits) as client:

            def ask(number: int) -> str:
                try:
                    return client.post(server.url(), content=b"x").text
                except hither.HTTPError as error:
                    return type(error).__name__

            with ThreadPoolExecutor(16) as threads:
                outcomes = list(threads.map(ask, range(200)))
            assert set(outcomes) <= {"fine", "RemoteProtocolError", "ReadError", "WriteError"}
            assert client._networks._network.pool.size[0] == 0

    def test_many_origins_share_few_connections(self):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(EchoServer()) for _ in range(5)]
            limits = hither.Limits(max_connections=2, max_connections_per_host=1)
            with hither.Client(limits=limits) as client:

                def ask(number: int) -> bool:
                    server = servers[number % 5]
                    return client.get(server.url(f"/echo?{number}")).json()["target"] == f"/echo?{number}"

                with ThreadPoolExecutor(20) as threads:
                    assert all(threads.map(ask, range(200)))

    @pytest.mark.protocols("http1")  # over HTTP/2 in test_http2.py
    def test_the_client_is_closed_under_those_who_use_it(self, echo):
        """What is under way ends in order; what comes later is refused; nothing stays open."""
        client = hither.Client(limits=hither.Limits(max_connections=2))
        begun = threading.Barrier(7)

        def ask(number: int) -> int:
            begun.wait(5)
            return client.get(echo.url("/slow?ms=100")).status_code

        with nothing_left_to_warn_of():
            with ThreadPoolExecutor(6) as threads:
                asking = [threads.submit(ask, number) for number in range(6)]
                begun.wait(5)
                while sum(client._networks._network.pool.size) < 2:
                    threading.Event().wait(0.001)
                client.close()
                outcomes = [future.exception() or future.result() for future in asking]
            assert all(outcome == 200 or isinstance(outcome, RuntimeError) for outcome in outcomes)
            assert 200 in outcomes
            assert client._networks._network.pool.size == (0, 0)


def run_program(program: str, *arguments: str, strict: bool = True) -> None:
    options = ["-X", "dev", "-W", "error"] if strict else []
    ran = subprocess.run(
        [sys.executable, *options, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=18,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr, ran.stderr


@needs_fork
class TestFork:
    def test_while_other_threads_are_busy(self, echo, protocol):
        """Locks held, connections leased and waited for in the parent are no business of the child's."""
        run_program(
            """
import os, sys, threading, warnings
import hither

warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
url = sys.argv[1]
http1 = sys.argv[2] == "http1"
client = hither.Client(limits=hither.Limits(max_connections=2), timeout=5, http1=http1)
shared = hither if http1 else client  # what the default client takes for http:// is HTTP/1.1
stop = threading.Event()
shared.get(url + "/json").json()  # what is imported at first use is imported: Python forks the import locks as they are

def busy(name):
    while not stop.is_set():
        assert client.get(f"{url}/echo?{name}").json()["target"] == f"/echo?{name}"

threads = [threading.Thread(target=busy, args=(f"thread{number}",)) for number in range(6)]
for thread in threads:
    thread.start()
for round in range(10):
    child = os.fork()
    if child == 0:
        try:
            for number in range(5):
                target = f"/echo?child{round}-{number}"
                assert client.get(url + target).json()["target"] == target
            assert shared.get(url + "/json").status_code == 200
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, round
stop.set()
for thread in threads:
    thread.join()
client.close()
""",
            echo.origin,
            protocol.name,
            strict=False,  # Python itself drops, in the child, the sockets that other threads were using
        )

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    def test_an_open_response_is_the_parents(self, raw, server_tls, authority_file, tls):
        """The child lets go of its copy; the server hears nothing of it, not even a goodbye of TLS."""
        go = threading.Event()
        script = [head(), response(b"first", length=10), wait(go), b"later"]
        with raw(script, keep_answering(response(b"here")), tls=server_tls if tls else None) as server:
            timer = threading.Timer(0.5, go.set)
            timer.start()
            run_program(
                """
import os, sys
import hither

client = hither.Client(verify=sys.argv[2] or True)
with client.stream("GET", sys.argv[1]) as response:
    chunks = response.iter_raw()
    assert next(chunks) == b"first"
    child = os.fork()
    if child == 0:
        response.close()
        assert client.get(sys.argv[1]).content == b"here"
        client.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"".join(chunks) == b"later"
client.close()
""",
                server.url(),
                authority_file if tls else "",
            )
            timer.join()


class TestLoops:
    def test_asyncio_run_again_and_again(self, echo, protocol):
        """Without closing the client: each loop closes what was opened in it."""
        client = hither.AsyncClient(**protocol.options)

        async def ask() -> list[int]:
            answers = await asyncio.gather(*(client.get(echo.url("/json")) for _ in range(5)))
            return [answer.status_code for answer in answers]

        with nothing_left_to_warn_of():
            for _ in range(4):
                assert asyncio.run(ask()) == [200] * 5
            asyncio.run(client.aclose())
        assert client._networks._networks == {}

    def test_trio_run_twice(self, echo, protocol):
        trio = pytest.importorskip("trio")
        client = hither.AsyncClient(**protocol.options)

        async def ask() -> int:
            return (await client.get(echo.url("/json"))).status_code

        with nothing_left_to_warn_of():
            assert [trio.run(ask), trio.run(ask)] == [200, 200]
            trio.run(client.aclose)

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    def test_a_loop_that_is_run_by_hand_and_closed_at_once(self, echo, echo_tls, authority_file, tls, protocol):
        """When the `async with` is left, nothing is open any more: not even the loop's next turn is needed."""
        server = echo_tls if tls else echo

        async def ask() -> int:
            async with hither.AsyncClient(verify=authority_file, **protocol.options) as client:
                return (await client.get(server.url("/json"))).status_code

        with nothing_left_to_warn_of():
            for _ in range(3):
                loop = asyncio.new_event_loop()
                assert loop.run_until_complete(ask()) == 200
                loop.close()

    def test_a_client_that_outlives_a_loop_that_ended_without_a_word(self, echo, protocol):
        """`loop.close()` alone tells nobody; the connections are dropped when the next loop is met."""
        client = hither.AsyncClient(**protocol.options)

        async def ask() -> int:
            return (await client.get(echo.url("/json"))).status_code

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for _ in range(3):
                loop = asyncio.new_event_loop()
                assert loop.run_until_complete(ask()) == 200
                loop.close()
                assert len(client._networks._networks) == 1
            asyncio.run(client.aclose())
            del loop
            gc.collect()

    def test_loops_in_many_threads_at_once(self, echo, protocol):
        client = hither.AsyncClient(limits=hither.Limits(max_connections=3), **protocol.options)

        async def ask(thread: int) -> list[bool]:
            async def one(number: int) -> bool:
                target = f"/echo?{thread}-{number}"
                return (await client.get(echo.url(target))).json()["target"] == target

            return await asyncio.gather(*(one(number) for number in range(10)))

        with nothing_left_to_warn_of():
            with ThreadPoolExecutor(8) as threads:
                results = list(threads.map(lambda thread: asyncio.run(ask(thread)), range(24)))
            assert results == [[True] * 10] * 24
            asyncio.run(client.aclose())
        assert client._networks._networks == {}


class TestAThousandAtOnce:
    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_each_gets_its_own_answer(self, face, echo):
        async with face.client(limits=hither.Limits(max_connections=50)) as client:

            async def one(number: int) -> bool:
                target = f"/echo?{number}"
                return (await client.get(echo.url(target))).json()["target"] == target

            assert await face.gather(*(one(number) for number in range(1000))) == [True] * 1000
        assert len(echo.connections) <= 50

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_cancelled_in_all_places_at_once(self, face, echo):
        """Waiting, connecting, reading: whoever is left gets an answer."""
        async with face.client(limits=hither.Limits(max_connections=5), timeout=10) as client:

            async def hurried(number: int) -> None:
                with contextlib.suppress(hither.TimeoutException):
                    await client.get(echo.url("/json"), timeout=hither.Timeout(10, total=0.0005 * (number % 100 + 1)))

            async def patient(number: int) -> int:
                return (await client.get(echo.url("/json"))).status_code

            jobs = [(patient if number % 4 == 0 else hurried)(number) for number in range(400)]
            outcomes = await face.gather(*jobs)
            assert outcomes[::4] == [200] * 100


class TestPoolTimeout:
    """`timeout.pool` counts only while no connection comes free for anyone."""

    async def test_a_long_fair_line_is_no_error(self, face, echo):
        timeout = hither.Timeout(10, pool=0.15)
        async with face.client(limits=SINGLE, timeout=timeout) as client:
            started = monotonic()
            answers = await face.gather(*(client.get(echo.url("/slow?ms=30")) for _ in range(12)))
            assert [answer.status_code for answer in answers] == [200] * 12
            assert monotonic() - started > 2 * 0.15

    async def test_a_leak_is_one(self, face, raw):
        with raw([request(), response(b"x", length=10), until_closed]) as server:
            timeout = hither.Timeout(10, pool=0.1)
            async with face.client(limits=hither.Limits(max_connections=1), timeout=timeout) as client:
                leaked = await client.send(client.build_request("GET", server.url()), stream=True)
                started = monotonic()
                outcomes = await face.gather(*(client.get(server.url()) for _ in range(5)), return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {hither.PoolTimeout}
                assert 0.09 < monotonic() - started < 1
                assert "timeout.pool = 0.1 s" in str(outcomes[0])
                assert str(outcomes[0]).endswith(f"[GET {server.url()}]")
                await leaked.aclose()

    async def test_total_ends_the_wait_of_a_fair_line_too(self, face, echo):
        async with face.client(limits=SINGLE) as client:

            async def slow() -> Any:
                return await client.get(echo.url("/slow?ms=300"))

            async def hurried() -> Any:
                await face.call(echo.wait_for, lambda server: server.requests)
                return await client.get(echo.url("/json"), timeout=hither.Timeout(None, total=0.05))

            answered, failed = await face.gather(slow(), hurried(), return_exceptions=True)
            assert answered.status_code == 200
            assert isinstance(failed, hither.TotalTimeout)
            assert "waiting for a connection" in str(failed)


def test_a_server_of_one_connection_serves_all_in_order():
    """First come, first served, seen from the server."""
    go = threading.Event()

    def script(connection: Any) -> None:
        connection.head()
        connection.wait(go)
        connection.send(response())
        keep_answering(response())(connection)

    with RawServer(script) as server, hither.Client(limits=hither.Limits(max_connections=1)) as client:
        pool = client._networks._network.pool
        threads = []
        for number in range(10):
            threads.append(threading.Thread(target=client.get, args=(server.url(f"/{number}"),)))
            threads[-1].start()
            while pool._tickets < number:
                threading.Event().wait(0.001)
        go.set()
        for thread in threads:
            thread.join()
        assert [got.target for got in server.requests] == [b"/%d" % number for number in range(10)]
