"""The eight promises of the design, one class of tests each, named so that a failure says which one is broken."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import subprocess
import sys
import threading
from itertools import product
from typing import Any

import pytest

import hither
from cancelling import cancel_at
from servers.raw import (
    Connection,
    answer,
    close,
    endless,
    head,
    keep_answering,
    request,
    response,
    until_closed,
    wait,
)

pytestmark = pytest.mark.protocols("http1", "http2")

ONE = hither.Limits(max_connections=1)
FIRM = hither.Timeout(connect=5, read=5, write=5, pool=2)
WHENS = ["waiting", "answered"]


def answers(connection: Connection) -> None:
    """Answer each request with its own target, in three pieces, so that every await happens."""
    while True:
        got = connection.head()
        connection.body()
        data = response(got.target)
        connection.send_pieces([data[:10], data[10:-2], data[-2:]])


async def is_sound(client: Any, url: str) -> None:
    """With one connection allowed: no slot is lost, and answers go to who asked."""
    for number in range(2):
        answered = await client.get(f"{url}?sound={number}")
        assert answered.text == f"/?sound={number}"


class TestInvariant1NoSlotLostNoWaiterAsleepNoLateBytes:
    """A cancelled, timed-out or failed request never costs a pool slot, never leaves a waiter asleep, and never
    lets its late bytes reach another request: only a fully read connection is reused."""

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", WHENS)
    @pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
    @pytest.mark.parametrize("kind", ["get", "upload", "stream", "redirect"])
    async def test_cancelled_at_every_await(self, face, raw, kind, warm, when):
        with raw(_redirecting if kind == "redirect" else answers) as server:
            for at in range(1, 200):
                async with face.client(limits=ONE, timeout=FIRM) as client:
                    if warm:
                        await client.get(server.url("/?warm"))
                    hit = await cancel_at(face, _one(face, client, kind, server.url("/?cancelled")), at, when)
                    await is_sound(client, server.url())
                if not hit:
                    break
            assert not hit, "the request never ends"
            assert at > 2, "a request has awaits"

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", WHENS)
    async def test_cancelled_at_every_await_under_tls(self, face, raw, when, server_tls, authority_file):
        with raw(answers, tls=server_tls) as server:
            for at in range(1, 200):
                async with face.client(limits=ONE, timeout=FIRM, verify=authority_file) as client:
                    hit = await cancel_at(face, _one(face, client, "get", server.url("/?cancelled")), at, when)
                    await is_sound(client, server.url())
                if not hit:
                    break
            assert not hit

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    @pytest.mark.parametrize("when", WHENS)
    async def test_cancelled_waiters_pass_their_turn_on(self, face, raw, when):
        """Three want one connection. The one in the middle is cancelled at each of its awaits in turn."""
        with raw(answers) as server:
            for at in range(1, 200):
                async with face.client(limits=ONE, timeout=FIRM) as client:
                    hits: list[bool] = []

                    async def cancelled(client: Any = client, at: int = at, hits: list[bool] = hits) -> None:
                        hits.append(await cancel_at(face, client.get(server.url("/?cancelled")), at, when))

                    async def ask(name: str, client: Any = client) -> None:
                        assert (await client.get(server.url(f"/?{name}"))).text == f"/?{name}"

                    await face.gather(ask("first"), cancelled(), ask("third"), ask("fourth"))
                    await is_sound(client, server.url())
                if not hits[0]:
                    break
            assert not hits[0]

    @pytest.mark.faces("asyncio", "uvloop", "trio")
    async def test_one_client_outlives_all_cancellations(self, face, raw):
        """The same client, the same pool, cancelled over and over."""
        with raw(answers) as server:
            async with face.client(limits=hither.Limits(max_connections=2), timeout=FIRM) as client:
                for at in range(1, 40):
                    await face.gather(
                        *(
                            cancel_at(face, client.get(server.url(f"/?{at}-{n}")), (at * n) % 9 + 1, WHENS[n % 2])
                            for n in range(6)
                        )
                    )
                    await is_sound(client, server.url())

    async def test_timed_out(self, face, raw):
        late = threading.Event()
        with raw([request(), wait(late), response(b"late"), until_closed], answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                with pytest.raises(hither.ReadTimeout):
                    await client.get(server.url("/?slow"), timeout=hither.Timeout(read=0.1))
                late.set()
                await is_sound(client, server.url())

    async def test_total_timeout_while_waiting_in_line(self, face, raw):
        """A waiter whose time is up leaves the line; those behind it are still served."""
        release = threading.Event()

        def script(connection: Connection) -> None:
            connection.head()
            connection.wait(release)
            connection.send(response(b"/?holder"))
            answers(connection)

        with raw(script) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:

                async def holder() -> None:
                    assert (await client.get(server.url("/?holder"))).text == "/?holder"

                async def impatient() -> None:
                    await face.call(server.wait_for, lambda server: server.requests)
                    with pytest.raises(hither.TotalTimeout):
                        await client.get(server.url("/?impatient"), timeout=hither.Timeout(total=0.2))
                    release.set()

                async def patient() -> None:
                    await face.call(server.wait_for, lambda server: server.requests)
                    assert (await client.get(server.url("/?patient"))).text == "/?patient"

                await face.gather(holder(), impatient(), patient())
                await is_sound(client, server.url())
        assert b"/?impatient" not in [got.target for got in server.requests]

    async def test_pool_timeout_only_when_nothing_comes_free(self, face, raw):
        with raw([request(), response(b"held", length=8), until_closed], answers) as server:
            async with face.client(limits=ONE, timeout=hither.Timeout(pool=0.2)) as client:
                async with client.stream("GET", server.url("/?held")):
                    with pytest.raises(hither.PoolTimeout):
                        await client.get(server.url("/?waits"))
                await is_sound(client, server.url())

    @pytest.mark.parametrize("bad", [b"", b"nonsense\r\n\r\n", response(b"x", length=9), b"HTTP/1.1 200 OK\r\n"])
    async def test_failed(self, face, raw, bad):
        with raw([request(), bad, close], answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url("/?fails"))
                await is_sound(client, server.url())

    async def test_answered_before_the_upload_was_whole(self, face, raw):
        """The rest of the body was never sent, so the next request would be taken for it."""

        def script(connection: Connection) -> None:
            connection.head()
            connection.send(response(b"enough", status="401 Unauthorized"))
            connection.until_closed()

        with raw(script, answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                answered = await client.post(server.url(), content=[bytes(65536)] * 400)
                assert answered.text == "enough"
                await is_sound(client, server.url())

    async def test_failed_to_connect(self, face, raw):
        with raw(until_closed) as gone:
            pass
        with raw(answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                for _ in range(3):
                    with pytest.raises(hither.ConnectError):
                        await client.get(gone.url())
                await is_sound(client, server.url())

    @pytest.mark.parametrize("how", ["unread", "half-read", "raised", "closed"])
    async def test_a_stream_left_early_gives_its_slot_back(self, face, raw, how):
        big = [request(), response(b"x" * 10, length=10_000_000), until_closed]
        with raw(big, answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                try:
                    async with client.stream("GET", server.url()) as answered:
                        if how == "half-read":
                            async for _ in answered.aiter_bytes():
                                break
                        elif how == "raised":
                            raise RuntimeError("the caller gave up")
                        elif how == "closed":
                            await answered.aclose()
                except RuntimeError:
                    assert how == "raised"
                await is_sound(client, server.url())

    @pytest.mark.faces("asyncio", "uvloop")  # threads, and trio's tasks, start in no order
    async def test_a_full_line_is_served_in_order(self, face, raw):
        with raw(answers) as server:
            async with face.client(limits=ONE, timeout=FIRM) as client:
                await face.gather(*(client.get(server.url(f"/?{number}")) for number in range(30)))
        assert [got.target for got in server.requests] == [b"/?%d" % number for number in range(30)]


def _redirecting(connection: Connection) -> None:
    while True:
        got = connection.head()
        if got.target == b"/?cancelled":
            data = response(b"", "Location: /?there", status="302 Found")
        else:
            data = response(got.target)
        connection.send_pieces([data[:10], data[10:-2], data[-2:]])


async def _one(face: Any, client: Any, kind: str, url: str) -> None:
    if kind == "upload":
        await client.post(url, content=face.body([b"x" * 100] * 3))
    elif kind == "stream":
        async with client.stream("GET", url) as answered:
            async for _ in answered.aiter_bytes():
                pass
    else:
        await client.get(url)


class TestInvariant2OneClientEverywhere:
    """One `AsyncClient` works through several event loops, one after another or at once in threads; one `Client`
    works from many threads and after `fork`."""

    def test_async_client_through_loops_one_after_another(self, echo, protocol):
        from faces import FACES

        client = hither.AsyncClient(limits=ONE, timeout=FIRM, **protocol.options)

        async def ask() -> int:
            await client.get(echo.url("/json"))
            return (await client.get(echo.url("/json"))).status_code

        async def ask_and_close() -> int:
            status = await ask()
            await client.aclose()
            return status

        for name in ["asyncio", "trio", "uvloop", "asyncio"]:
            assert FACES[name].run(ask) == 200
        assert FACES["asyncio"].run(ask_and_close) == 200

    def test_async_client_through_loops_at_once_in_threads(self, echo, protocol):
        from concurrent.futures import ThreadPoolExecutor

        from faces import FACES

        client = hither.AsyncClient(timeout=FIRM, **protocol.options)

        async def ask(face: Any) -> list[str]:
            async def one(number: int) -> str:
                target = f"/echo?{face.name}{number}"
                return (await client.get(echo.url(target))).json()["target"] == target

            return await face.gather(*(one(number) for number in range(25)))

        names = ["asyncio", "trio", "uvloop", "asyncio"]
        with ThreadPoolExecutor(len(names)) as threads:
            results = list(threads.map(lambda name: FACES[name].run(ask, FACES[name]), names))
        assert results == [[True] * 25] * 4

        async def close_it() -> None:
            await client.aclose()

        FACES["asyncio"].run(close_it)

    def test_client_from_many_threads(self, echo, protocol):
        from concurrent.futures import ThreadPoolExecutor

        limits = hither.Limits(max_connections=4)
        with hither.Client(limits=limits, timeout=FIRM, **protocol.options) as client:

            def ask(number: int) -> bool:
                return client.get(echo.url(f"/echo?{number}")).json()["target"] == f"/echo?{number}"

            with ThreadPoolExecutor(16) as threads:
                assert all(threads.map(ask, range(300)))
        assert len(echo.connections) <= 4

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_client_after_fork(self, echo, protocol):
        """Parent and child each get their own answers, and the child leaves the parent's connection alone."""
        program = """
import os, sys
import hither

url = sys.argv[1]
http1 = sys.argv[2] == "http1"
client = hither.Client(http1=http1)

def ask(name, times):
    for number in range(times):
        target = f"/echo?{name}{number}"
        got = client.get(url + target).json()
        assert got["target"] == target, got
    return got["connection"]

before = ask("before", 2)
child = os.fork()
if child == 0:
    mine = ask("child", 50)
    if http1:  # which the default client takes for http://
        hither.get(url + "/json").raise_for_status()
    client.close()
    os._exit(0 if mine != before else 3)
after = ask("parent", 50)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert ask("last", 2) == before, "the child's close left the parent's connection open"
client.close()
"""
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, echo.origin, protocol.name],
            capture_output=True,
            text=True,
            timeout=15,
        )
        assert ran.returncode == 0, ran.stderr


class TestInvariant3NothingIsReplayedThatMayHaveActed:
    """Nothing is replayed that the server may have acted on, unless the user's `retry` says so. A reused
    connection that closes before one byte of the answer is replayed once, when the method is idempotent."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
    async def test_idempotent_is_replayed_once(self, face, raw, method):
        with raw([*answer(), request(), close], [request(), close]) as server:
            async with face.client() as client:
                await client.get(server.url("/first"))
                with pytest.raises(hither.TransportError):
                    await client.request(method, server.url("/again"))
        assert [got.target for got in server.requests] == [b"/first", b"/again", b"/again"]

    @pytest.mark.parametrize("method", ["POST", "PATCH", "QUIRK"])
    async def test_what_is_not_idempotent_is_never_replayed(self, face, raw, method):
        with raw([*answer(), request(), close], keep_answering(response())) as server:
            async with face.client() as client:
                await client.get(server.url("/first"))
                with pytest.raises(hither.TransportError):
                    await client.request(method, server.url("/act"), content=b"pay")
        assert [got.target for got in server.requests] == [b"/first", b"/act"]

    @pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 ", b"HTTP/1.1 100 Continue\r\n\r\n", response(b"x", length=2)])
    async def test_nothing_is_replayed_after_one_byte_of_the_answer(self, face, raw, begun):
        with raw([*answer(), request(), begun, close], keep_answering(response())) as server:
            async with face.client() as client:
                await client.get(server.url("/first"))
                with pytest.raises(hither.TransportError):
                    await client.get(server.url("/begun"))
        assert [got.target for got in server.requests] == [b"/first", b"/begun"]

    async def test_nothing_is_replayed_that_failed_on_a_fresh_connection(self, face, raw):
        with raw([request(), close], keep_answering(response())) as server:
            async with face.client() as client:
                with pytest.raises(hither.TransportError):
                    await client.get(server.url("/fresh"))
        assert len(server.requests) == 1

    async def test_nothing_is_replayed_that_timed_out(self, face, raw):
        with raw([*answer(), until_closed], keep_answering(response())) as server:
            async with face.client(timeout=hither.Timeout(read=0.2)) as client:
                await client.get(server.url("/first"))
                with pytest.raises(hither.ReadTimeout):
                    await client.get(server.url("/slow"))
        assert len(server.connections) == 1

    async def test_a_replayed_body_is_whole(self, face, raw):
        file = io.BytesIO(b"skipped:the file")
        file.read(8)
        with raw([*answer(), request(), close], keep_answering(response())) as server:
            async with face.client() as client:
                await client.get(server.url("/first"))
                await client.put(server.url("/file"), content=file)
        assert server.connections[1].bodies == [b"the file"]


CREDENTIALS = {
    "authorization-header": ({"headers": {"Authorization": "Bearer secret-1"}}, "authorization"),
    "cookie-header": ({"headers": {"Cookie": "c=secret-2"}}, "cookie"),
    "proxy-authorization-header": (
        {"headers": {"Proxy-Authorization": "Basic secret-3"}},
        "proxy-authorization",
    ),
    "auth": ({"auth": ("user", "secret-4")}, "authorization"),
    "bearer": ({"auth": hither.BearerAuth("secret-5")}, "authorization"),
    "cookies": ({"cookies": {"c": "secret-6"}}, "cookie"),
}


def names_of(seen: Any) -> set[str]:
    return {name.lower() for name, _ in seen["headers"]}


class TestInvariant4CredentialsNeverCrossAnOrigin:
    """Credentials (`Authorization`, `Cookie`, `Proxy-Authorization`, client certificate, `auth=`, `cookies=`) never
    cross an origin on a redirect, and proxy credentials never reach an origin."""

    @pytest.mark.parametrize(
        ("kind", "given_to"),
        # A client's `cookies=` belong to every origin that it asks.
        [pair for pair in product(CREDENTIALS, ["request", "client"]) if pair != ("cookies", "client")],
    )
    @pytest.mark.parametrize("status", [302, 307])
    async def test_to_another_origin(self, face, echo, other_echo, kind, given_to, status):
        given, field = CREDENTIALS[kind]
        for_client, for_request = (given, {}) if given_to == "client" else ({}, given)
        async with face.client(**for_client) as client:
            at_home = await client.get(echo.url("/echo"), **for_request)
            away = await client.get(
                echo.url("/redirect-to"),
                params={"url": other_echo.url("/echo"), "status": status},
                **for_request,
            )
        assert field == "proxy-authorization" or field in names_of(at_home.json())
        assert away.url == other_echo.url("/echo")
        assert field not in names_of(away.json())

    @pytest.mark.parametrize("kind", [kind for kind in CREDENTIALS if kind != "proxy-authorization-header"])
    async def test_within_the_origin_they_stay(self, face, echo, kind):
        given, field = CREDENTIALS[kind]
        async with face.client() as client:
            answered = await client.get(echo.url("/redirect/2"), **given)
        assert field in names_of(answered.json())

    @pytest.mark.parametrize("kind", [kind for kind in CREDENTIALS if kind != "cookies"])
    async def test_there_and_back_again(self, face, echo, other_echo, kind):
        """Once another origin has answered, it decides where the chain goes: nothing comes back.

        (Cookies do: they belong to the origin, RFC 6265 §5.4, whoever sends the user there.)
        """
        given, field = CREDENTIALS[kind]
        back = str(hither.URL(other_echo.url("/redirect-to"), params={"url": echo.url("/echo")}))
        async with face.client() as client:
            answered = await client.get(echo.url("/redirect-to"), params={"url": back}, **given)
        assert len(answered.history) == 2
        assert field not in names_of(answered.json())

    async def test_another_host_on_the_same_port_is_another_origin(self, face, echo):
        async with face.client(auth=("user", "secret")) as client:
            elsewhere = echo.url("/echo").replace("127.0.0.1", "localhost")
            answered = await client.get(echo.url("/redirect-to"), params={"url": elsewhere})
        assert "authorization" not in names_of(answered.json())

    async def test_from_https_to_http_is_another_origin(self, face, echo, echo_tls, authority_file):
        async with face.client(verify=authority_file) as client:
            answered = await client.get(
                echo_tls.url("/redirect-to"),
                params={"url": echo.url("/echo")},
                headers={"Authorization": "Bearer s"},
            )
        assert "authorization" not in names_of(answered.json())

    async def test_the_urls_own_credentials_stay_at_home(self, face, echo, other_echo):
        async with face.client() as client:
            url = echo.url("/redirect-to").replace("http://", "http://user:secret@")
            answered = await client.get(url, params={"url": other_echo.url("/echo")})
        seen = answered.json()
        assert "authorization" not in names_of(seen)
        assert "secret" not in str(seen)

    async def test_stored_cookies_stay_at_home(self, face, echo):
        async with face.client() as client:
            await client.get(echo.url("/set-cookie"), params={"c": "a=secret"})
            elsewhere = echo.url("/cookies").replace("127.0.0.1", "localhost")
            away = await client.get(echo.url("/redirect-to"), params={"url": elsewhere})
            home = await client.get(echo.url("/cookies"))
        assert (away.json(), home.json()) == ([], [["a", "secret"]])

    @pytest.mark.protocols("http1")
    async def test_client_certificate(self, face, echo_tls, server_tls, authority_file, client_certificate_file):
        from servers.echo import EchoServer

        with EchoServer(tls=server_tls) as other:
            async with face.client(verify=authority_file, cert=client_certificate_file) as client:
                at_home = await client.get(echo_tls.url("/echo"))
                away = await client.get(echo_tls.url("/redirect-to"), params={"url": other.url("/echo")})
                asked = await client.get(other.url("/echo"))
        assert at_home.json()["certificate"] == "tester"
        assert away.json()["certificate"] is None
        assert asked.json()["certificate"] == "tester", "the connection of the redirect is not used for this"

    async def test_digest_is_not_answered_for_another_origin(self, face, echo, other_echo):
        async with face.client(auth=hither.DigestAuth("user", "secret")) as client:
            answered = await client.get(echo.url("/redirect-to"), params={"url": other_echo.url("/auth/digest")})
        assert answered.status_code == 401


class TestInvariant5NoInjection:
    """CR, LF and NUL never reach the wire from a method, target, header, or multipart name."""

    @pytest.mark.parametrize("evil", ["\r\n", "\n", "\r", "\x00"], ids=["crlf", "lf", "cr", "nul"])
    @pytest.mark.parametrize("where", ["method", "target", "host", "header-name", "header-value", "cookie", "auth"])
    async def test_refused_before_anything_is_sent(self, face, raw, where, evil):
        text = f"a{evil}X-Evil: 1"
        with raw(keep_answering(response())) as server:
            calls: dict[str, tuple[str, str, dict[str, Any]]] = {
                "method": (text, server.url(), {}),
                "target": ("GET", server.url("/") + text, {}),
                "host": ("GET", server.url("/").replace("127", text), {}),
                "header-name": ("GET", server.url(), {"headers": {text: "1"}}),
                "header-value": ("GET", server.url(), {"headers": {"X": text}}),
                "cookie": ("GET", server.url(), {"cookies": {"c": text}}),
                "auth": ("GET", server.url(), {"auth": lambda asked: _bearer(asked, text)}),
            }
            method, url, options = calls[where]
            async with face.client() as client:
                with pytest.raises((hither.LocalProtocolError, hither.InvalidURL, ValueError)):
                    await client.request(method, url, **options)
        assert server.requests == []

    @pytest.mark.parametrize("evil", ["\r\n", "\n", "\r", '"'], ids=["crlf", "lf", "cr", "quote"])
    @pytest.mark.parametrize("where", ["field", "file", "filename"])
    async def test_multipart_names_are_escaped(self, face, raw, where, evil):
        name = f"a{evil}X-Evil: 1"
        parts: dict[str, dict[str, Any]] = {
            "field": {"data": {name: "v"}, "files": {"f": b"x"}},
            "file": {"files": {name: b"x"}},
            "filename": {"files": {"f": (name, b"x")}},
        }
        with raw(keep_answering(response())) as server:
            async with face.client() as client:
                await client.post(server.url(), **parts[where])
        (body,) = server.connections[0].bodies
        lines = body.replace(b"\r", b"\n").split(b"\n")
        assert not [line for line in lines if line.startswith(b"X-Evil")]
        assert b"X-Evil: 1" in body, "the name is there, escaped"
        assert evil == '"' or evil.encode() + b"X-Evil" not in body

    @pytest.mark.parametrize("where", ["type", "part-header"])
    async def test_multipart_headers_are_refused(self, face, raw, where):
        evil = "text/plain\r\nX-Evil: 1"
        file = ("n", b"x", evil) if where == "type" else ("n", b"x", "text/plain", {"X-A": evil})
        with raw(keep_answering(response())) as server:
            async with face.client() as client:
                with pytest.raises((hither.LocalProtocolError, ValueError)):
                    await client.post(server.url(), files={"f": file})
        assert b"X-Evil" not in b"".join(bytes(connection.received) for connection in server.connections)

    async def test_nul_in_a_multipart_name(self, face, raw):
        with raw(keep_answering(response())) as server:
            async with face.client() as client:
                with pytest.raises((hither.LocalProtocolError, ValueError)):
                    await client.post(server.url(), files={"a\x00b": b"x"})
        assert server.requests == []


def _bearer(asked: hither.Request, token: str) -> hither.Request:
    asked.headers["Authorization"] = f"Bearer {token}"
    return asked


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestInvariant6EverythingIsBounded:
    """Everything a peer sends is bounded: header bytes and count, 1xx count, trailers, chunk extensions, decoded
    size, chained encodings, redirects, frames that change nothing. Over a bound: a clear error, connection closed."""

    @pytest.mark.parametrize(
        ("first", "block"),
        [
            pytest.param(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n", id="header-bytes"),
            pytest.param(b"HTTP/1.1 200 OK\r\n", b"A:\r\n", id="header-count"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 100, id="one-header"),
            pytest.param(b"HTTP/1.1 200 ", b"a" * 100, id="reason"),
            pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", id="1xx-count"),
            pytest.param(CHUNKED + b"0\r\n", b"A:\r\n", id="trailers"),
            pytest.param(CHUNKED, b"1;" + b"e" * 100_000, id="chunk-extension"),
            pytest.param(CHUNKED, b"1;eeeeeeeeeeeeeeee\r\nx\r\n", id="many-chunk-extensions"),
        ],
    )
    async def test_over_the_bound_is_an_error_and_the_connection_closes(self, face, raw, first, block):
        blocks = block * (10_000 // len(block) + 1)
        limited = {} if b";e" not in block else {"max_response_bytes": 1_000_000}
        with raw([request(), endless(blocks, first)]) as server:
            async with face.client(**limited) as client:
                with pytest.raises((hither.RemoteProtocolError, hither.ResponseTooLarge)):
                    await client.get(server.url())
                await face.call(server.wait_for, lambda server: server.connections[0].ended.is_set())

    @pytest.mark.parametrize(
        "answered",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A:\r\n" * 3000 + b"\r\n", id="header-count"),
            pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + response(b"x"), id="1xx-count"),
            pytest.param(CHUNKED + (b"1;" + b"e" * 100 + b"\r\nx\r\n") * 1000 + b"0\r\n\r\n", id="chunk-extensions"),
            pytest.param(CHUNKED + b"0\r\n" + b"A:\r\n" * 3000 + b"\r\n", id="trailer-count"),
            pytest.param(CHUNKED + b"1;" + b"e" * 10_000 + b"\r\nx\r\n0\r\n\r\n", id="chunk-line"),
        ],
    )
    async def test_a_count_over_the_bound_is_refused_though_it_ends(self, face, raw, answered):
        """Each bound by itself: the sums here are small, and the message is whole."""
        with raw([request(), answered, until_closed]) as server:
            async with face.client() as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())
                await face.call(server.wait_for, lambda server: server.connections[0].ended.is_set())

    @pytest.mark.parametrize("kind", ["length", "chunked", "until-close", "gzip"])
    async def test_decoded_size(self, face, raw, kind):
        """A body of 10 MB, as 10 kB of gzip or as it is, stops early."""
        big = bytes(10_000_000)
        script: dict[str, list[Any]] = {
            "length": [response(b"", length=10**12), endless(bytes(65536))],
            "chunked": [CHUNKED, endless(b"8000\r\n" + bytes(0x8000) + b"\r\n")],
            "until-close": [b"HTTP/1.1 200 OK\r\n\r\n", endless(bytes(65536))],
            "gzip": [response(gzip.compress(big), "Content-Encoding: gzip"), until_closed],
        }
        with raw([request(), *script[kind]]) as server:
            async with face.client(max_response_bytes=1_000_000) as client:
                with pytest.raises(hither.ResponseTooLarge):
                    await client.get(server.url())
                if kind != "gzip":  # there the whole message was read, only not inflated
                    await face.call(server.wait_for, lambda server: server.connections[0].ended.is_set())

    async def test_decoded_size_while_streaming(self, face, raw):
        size = 0
        with raw([request(), response(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip"), until_closed]) as s:
            async with face.client(max_response_bytes=1_000_000) as client:
                with pytest.raises(hither.ResponseTooLarge):
                    async with client.stream("GET", s.url()) as answered:
                        async for chunk in answered.aiter_bytes():
                            size += len(chunk)
                            assert len(chunk) <= 1_000_000, "a bomb is inflated in steps"
        assert size <= 1_000_000

    async def test_chained_encodings(self, face, raw):
        body, codings = b"x", ["gzip"] * 20
        for _ in codings:
            body = gzip.compress(body)
        with raw(answer(body, f"Content-Encoding: {', '.join(codings)}")) as server:
            async with face.client() as client:
                with pytest.raises(hither.DecodingError):
                    await client.get(server.url())

    async def test_redirects(self, face, echo):
        async with face.client() as client:
            assert len((await client.get(echo.url("/redirect/20"))).history) == 20
            with pytest.raises(hither.TooManyRedirects):
                await client.get(echo.url("/redirect/21"))

    async def test_an_unread_redirect_body_is_not_swallowed_for_ever(self, face, raw):
        endless_redirect = [
            request(),
            b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\n",
            endless(b"8000\r\n" + bytes(0x8000) + b"\r\n"),
        ]
        with raw(endless_redirect, keep_answering(response(b"there"))) as server:
            async with face.client(max_response_bytes=1_000_000) as client:
                try:
                    answered = await client.get(server.url())
                except hither.ResponseTooLarge:
                    return
        assert answered.content == b"there"


class TestInvariant7AShortBodyRaises:
    """A body shorter than its declared length raises; it is never returned as if whole."""

    CUT = {
        "length": response(b"half", length=8),
        "length-nothing-came": response(b"", length=8),
        "chunk": CHUNKED + b"8\r\nhalf",
        "last-chunk-missing": CHUNKED + b"4\r\nhalf\r\n",
        "last-crlf-missing": CHUNKED + b"4\r\nhalf\r\n0\r\n",
    }

    @pytest.mark.parametrize("kind", CUT)
    @pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
    async def test_read_whole(self, face, raw, kind, reused):
        before = answer(b"before") if reused else []
        with raw([*before, request(), self.CUT[kind], close]) as server:
            async with face.client() as client:
                if reused:
                    await client.get(server.url())
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url("/short"))

    @pytest.mark.parametrize("kind", CUT)
    @pytest.mark.parametrize("way", ["aiter_bytes", "aiter_raw", "aiter_text", "aiter_lines", "aread"])
    async def test_streamed(self, face, raw, kind, way):
        with raw([request(), self.CUT[kind], close]) as server:
            async with face.client() as client:
                with pytest.raises(hither.RemoteProtocolError):
                    async with client.stream("GET", server.url()) as answered:
                        if way == "aread":
                            await answered.aread()
                        else:
                            async for _ in getattr(answered, way)():
                                pass

    async def test_shorter_than_declared_under_gzip(self, face, raw):
        body = gzip.compress(b"hello" * 100)
        with raw([request(), response(body[:-4], "Content-Encoding: gzip", length=len(body)), close]) as server:
            async with face.client() as client:
                with pytest.raises(hither.RemoteProtocolError):
                    await client.get(server.url())

    async def test_gzip_that_ends_early_in_a_whole_message(self, face, raw):
        with raw(answer(gzip.compress(b"hello" * 100)[:-4], "Content-Encoding: gzip")) as server:
            async with face.client() as client:
                with pytest.raises(hither.DecodingError):
                    await client.get(server.url())

    async def test_head_is_not_short(self, face, raw):
        with raw([head(), response(b"", length=8), until_closed]) as server:
            async with face.client() as client:
                assert (await client.head(server.url())).headers["content-length"] == "8"


class TestInvariant8AConsumedBodyIsNeverSentEmpty:
    """A consumed one-shot body is never resent empty: the redirect or retry raises instead."""

    @pytest.mark.parametrize("status", [307, 308])
    async def test_redirect(self, face, echo, status):
        async with face.client() as client:
            with pytest.raises(hither.StreamConsumed):
                await client.post(
                    echo.url("/redirect-to"),
                    params={"url": "/echo", "status": status},
                    content=face.body([b"once", b"only"]),
                )
            answered = await client.post(
                echo.url("/redirect-to"), params={"url": "/echo", "status": 303}, content=face.body([b"once"])
            )
        assert answered.json()["method"] == "GET", "303 asks without the body, so nothing is in the way"

    @pytest.mark.parametrize("kind", ["bytes", "file", "list", "multipart"])
    async def test_redirect_with_a_body_that_can_be_sent_again(self, face, echo, kind):
        options: dict[str, dict[str, Any]] = {
            "bytes": {"content": b"again"},
            "file": {"content": io.BytesIO(b"again")},
            "list": {"content": [b"ag", b"ain"]},
            "multipart": {"files": {"f": io.BytesIO(b"again")}},
        }
        async with face.client() as client:
            url = echo.url("/redirect-to?url=/echo&status=307")
            answered = await client.post(url, **options[kind])
        assert "again" in answered.json()["body"]

    async def test_replay_on_a_closed_connection(self, face, raw):
        with raw([*answer(), request(), close], keep_answering(response(b"empty!"))) as server:
            async with face.client() as client:
                await client.get(server.url())
                with pytest.raises((hither.StreamConsumed, hither.TransportError)):
                    await client.put(server.url("/put"), content=face.body([b"once"]))
        assert [got.target for got in server.requests] == [b"/", b"/put"]

    async def test_auth_challenge(self, face, echo):
        async with face.client(auth=hither.DigestAuth("user", "secret")) as client:
            with pytest.raises(hither.StreamConsumed):
                await client.post(echo.url("/auth/digest"), content=face.body([b"once"]))

    async def test_the_same_request_sent_twice(self, face, echo):
        async with face.client() as client:
            built = client.build_request("POST", echo.url("/echo"), content=face.body([b"once"]))
            assert (await client.send(built)).json()["body"] == "once"
            with pytest.raises(hither.StreamConsumed):
                await client.send(built)


def test_the_sync_face_never_suspends():
    """What the sync face promises: a coroutine that waits for anything is an error there."""
    from faces import FACES

    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="suspended"):
        FACES["sync"].run(waits)
