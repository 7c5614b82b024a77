"""An ASGI application that runs beside its reader, under asyncio, uvloop and trio."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json

import pytest

import hither

ASYNC = pytest.mark.faces("asyncio", "uvloop", "trio")
URL = "http://app.example/"


def sleep(face, seconds):
    if face.name == "trio":
        import trio

        return trio.sleep(seconds)
    return asyncio.sleep(seconds)


def event(face):
    if face.name == "trio":
        import trio

        return trio.Event()
    return asyncio.Event()


async def first(pieces):
    """Take one piece and leave the rest."""
    piece = await anext(pieces)
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
    return piece


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})


async def body(send, piece=b"", more=False):
    await send({"type": "http.response.body", "body": piece, "more_body": more})


async def read(receive):
    """Return the request's body, and its pieces."""
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces), [piece for piece in pieces if piece]


async def echo(scope, receive, send):
    content, _ = await read(receive)
    seen = {key: value for key, value in scope.items() if isinstance(value, str)}
    seen |= {
        "raw_path": scope["raw_path"].decode(),
        "query_string": scope["query_string"].decode(),
        "headers": [(name.decode(), value.decode()) for name, value in scope["headers"]],
        "client": list(scope["client"]),
        "server": list(scope["server"]),
        "body": content.decode(),
    }
    await start(send, headers=[(b"content-type", b"application/json"), (b"set-cookie", b"a=1")])
    await body(send, json.dumps(seen).encode())


@ASYNC
async def test_a_request_and_its_response(face):
    async with face.client(transport=hither.ASGITransport(echo, root_path="/root", client=("9.9.9.9", 9))) as client:
        answered = await client.post(
            "https://app.example:8443/gr%C3%BC%C3%9Fe%2F?q=%20x", headers={"X-Case": "Value"}, content=b"hi"
        )
        assert client.cookies["a"] == "1"
    seen = answered.json()
    assert answered.status_code == 200
    assert answered.reason_phrase == "OK"
    assert answered.url == "https://app.example:8443/gr%C3%BC%C3%9Fe%2F?q=%20x"
    assert answered.http_version == "HTTP/1.1"
    assert answered.is_closed
    assert answered.elapsed.total_seconds() > 0
    assert seen["type"] == "http"
    assert seen["method"] == "POST"
    assert seen["scheme"] == "https"
    assert seen["path"] == "/grüße/"
    assert seen["raw_path"] == "/gr%C3%BC%C3%9Fe%2F"
    assert seen["query_string"] == "q=%20x"
    assert seen["root_path"] == "/root"
    assert seen["client"] == ["9.9.9.9", 9]
    assert seen["server"] == ["app.example", 8443]
    assert ["host", "app.example:8443"] in seen["headers"]
    assert ["x-case", "Value"] in seen["headers"]
    assert ["content-length", "2"] in seen["headers"]
    assert seen["body"] == "hi"


@ASYNC
async def test_the_body_is_streamed_as_the_app_sends_it(face):
    """Each piece is there before the next one is made."""
    go_on = [event(face) for _ in range(3)]

    async def app(scope, receive, send):
        await start(send)
        for number, may in enumerate(go_on):
            await may.wait()
            await body(send, b"%d" % number, more=True)
        await body(send)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            for number, may in enumerate(go_on):
                may.set()
                assert await anext(pieces) == b"%d" % number
            with pytest.raises(StopAsyncIteration):
                await anext(pieces)


@ASYNC
async def test_the_request_is_streamed_as_the_app_asks_for_it(face):
    made = []

    async def pieces():
        for number in range(3):
            made.append(number)
            yield b"%d" % number

    async def app(scope, receive, send):
        seen = []
        while (message := await receive())["more_body"]:
            seen.append((message["body"], len(made)))
        await start(send)
        await body(send, repr(seen).encode())

    async with face.client(transport=hither.ASGITransport(app)) as client:
        answered = await client.post(URL, content=pieces())
    assert answered.text == repr([(b"0", 1), (b"1", 2), (b"2", 3)])


@ASYNC
async def test_request_and_response_at_the_same_time(face):
    async def app(scope, receive, send):
        await start(send)
        while (message := await receive())["more_body"]:
            await body(send, message["body"].upper(), more=True)
        await body(send)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        answered = await client.post(URL, content=face.body([b"one ", b"two ", b"three"]))
    assert answered.text == "ONE TWO THREE"


@ASYNC
async def test_the_app_does_not_run_far_ahead_of_the_reader(face):
    sent = 0

    async def app(scope, receive, send):
        nonlocal sent
        await start(send)
        for _ in range(100):
            await body(send, b"x" * 10_000, more=True)
            sent += 1
        await body(send)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL) as response:
            await sleep(face, 0.05)
            assert sent < 10
            assert len(await response.aread()) == 1_000_000
    assert sent == 100


@ASYNC
async def test_many_at_once(face):
    transport = hither.ASGITransport(echo)
    async with face.client(transport=transport) as client:
        answers = await face.gather(*(client.post(URL, content=str(n)) for n in range(50)))
    assert [each.json()["body"] for each in answers] == [str(n) for n in range(50)]


# What the application does wrong


class Broken(Exception):
    pass


async def raises_at_once(scope, receive, send):
    raise Broken("at once")


async def raises_after_the_head(scope, receive, send):
    await start(send)
    raise Broken("after the head")


async def raises_half_way(scope, receive, send):
    await start(send)
    await body(send, b"half", more=True)
    raise Broken("half way")


async def raises_at_the_end(scope, receive, send):
    await start(send)
    await body(send, b"whole")
    raise Broken("at the end")


@ASYNC
@pytest.mark.parametrize("app", [raises_at_once, raises_after_the_head, raises_half_way, raises_at_the_end])
async def test_what_the_app_raises_reaches_the_caller(face, app):
    async with face.client(transport=hither.ASGITransport(app)) as client:
        with pytest.raises(Broken):
            await client.get(URL)
        with pytest.raises(Broken):
            async with client.stream("GET", URL) as response:
                await response.aread()


@ASYNC
async def test_what_came_before_the_exception_is_read_first(face):
    async with face.client(transport=hither.ASGITransport(raises_half_way)) as client:
        async with client.stream("GET", URL) as response:
            pieces = response.aiter_raw()
            assert await anext(pieces) == b"half"
            with pytest.raises(Broken):
                await anext(pieces)


@ASYNC
async def test_app_exceptions_can_be_kept_inside(face):
    async with face.client(transport=hither.ASGITransport(raises_at_once, raise_app_exceptions=False)) as client:
        answered = await client.get(URL)
        assert (answered.status_code, answered.content) == (500, b"")
    for app in (raises_after_the_head, raises_half_way):
        async with face.client(transport=hither.ASGITransport(app, raise_app_exceptions=False)) as client:
            with pytest.raises(hither.RemoteProtocolError, match="before its response was complete") as caught:
                await client.get(URL)
            assert isinstance(caught.value.__cause__, Broken)
    async with face.client(transport=hither.ASGITransport(raises_at_the_end, raise_app_exceptions=False)) as client:
        assert (await client.get(URL)).content == b"whole"


async def says_nothing(scope, receive, send):
    pass


async def stops_half_way(scope, receive, send):
    await start(send)
    await body(send, b"half", more=True)


async def sends_too_little(scope, receive, send):
    await start(send, headers=[(b"content-length", b"10")])
    await body(send, b"half")


@ASYNC
@pytest.mark.parametrize("app", [says_nothing, stops_half_way, sends_too_little])
@pytest.mark.parametrize("raises", [True, False])
async def test_half_a_response_is_never_returned_as_whole(face, app, raises):
    async with face.client(transport=hither.ASGITransport(app, raise_app_exceptions=raises)) as client:
        with pytest.raises(hither.RemoteProtocolError):
            await client.get(URL)


WRONG = {
    "body first": [{"type": "http.response.body", "body": b""}],
    "two heads": [{"type": "http.response.start", "status": 200}] * 2,
    "unknown": [{"type": "http.response.start", "status": 200}, {"type": "websocket.send"}],
    "no status": [{"type": "http.response.start", "status": "200"}],
    "text": [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
    "injection": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}],
    "after the end": [{"type": "http.response.start", "status": 200}] + [{"type": "http.response.body"}] * 2,
    "too much": [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]},
        {"type": "http.response.body", "body": b"two"},
    ],
}


@ASYNC
@pytest.mark.parametrize("messages", WRONG.values(), ids=WRONG)
async def test_messages_out_of_place_are_the_apps_error(face, messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        with pytest.raises(RuntimeError):
            await client.get(URL)


@ASYNC
async def test_trailers_are_passed_over(face):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await body(send, b"content")
        await send({"type": "http.response.trailers", "headers": [(b"a", b"b")]})

    async with face.client(transport=hither.ASGITransport(app)) as client:
        answered = await client.get(URL)
    assert answered.text == "content"
    assert not answered.trailers


@ASYNC
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_no_content_where_there_can_be_none(face, status):
    async def app(scope, receive, send):
        await start(send, status, headers=[(b"content-length", b"5")])
        await body(send, b"hello")

    async with face.client(transport=hither.ASGITransport(app)) as client:
        answered = await (client.head(URL) if status == 200 else client.get(URL))
    assert answered.content == b""
    assert answered.headers["content-length"] == "5"


# Closing


class Watched:
    """An endless application that notes how it ends."""

    def __init__(self, face, listens=False, stubborn=False):
        self.face = face
        self.listens = listens
        self.stubborn = stubborn
        self.notes = []

    async def __call__(self, scope, receive, send):
        await receive()
        try:
            await start(send)
            await body(send, b"first", more=True)
            if self.listens:
                self.notes.append((await receive())["type"])
                with contextlib.suppress(OSError):
                    await body(send, b"late", more=True)
                    self.notes.append("sent")
                if not self.stubborn:
                    return
            await sleep(self.face, 30)
            self.notes.append("slept")
        except BaseException as error:
            self.notes.append(type(error).__name__)
            raise
        finally:
            self.notes.append("ended")


def cancelled(face):
    return "Cancelled" if face.name == "trio" else "CancelledError"


@ASYNC
async def test_the_app_is_cancelled_when_the_response_is_closed(face):
    app = Watched(face)
    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL) as response:
            assert await first(response.aiter_raw()) == b"first"
        assert app.notes == [cancelled(face), "ended"]


@ASYNC
async def test_the_app_hears_of_the_disconnect(face):
    app = Watched(face, listens=True)
    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL):
            await sleep(face, 0.02)
        assert app.notes == ["http.disconnect", "ended"]


@ASYNC
async def test_an_app_that_goes_on_after_the_disconnect_is_cancelled(face, monkeypatch):
    monkeypatch.setattr("hither.transports.asgi._GRACE", 0.05)
    app = Watched(face, listens=True, stubborn=True)
    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL):
            await sleep(face, 0.02)
        assert app.notes == ["http.disconnect", cancelled(face), "ended"]


@ASYNC
async def test_an_app_that_waits_in_send_gets_an_oserror(face):
    notes = []

    async def app(scope, receive, send):
        await start(send)
        try:
            while True:
                await body(send, b"x" * 65536, more=True)
        except OSError as error:
            notes.append(str(error))

    async with face.client(transport=hither.ASGITransport(app)) as client:
        async with client.stream("GET", URL):
            await sleep(face, 0.02)
    assert notes == ["the client has closed the response"]


@ASYNC
async def test_a_sync_close_cancels_the_app(face):
    app = Watched(face)
    async with face.client(transport=hither.ASGITransport(app)) as client:
        response = await client.send(client.build_request("GET", URL), stream=True)
        response.close()
        await sleep(face, 0.02)
        assert app.notes[-1] == "ended"
        with pytest.raises(hither.StreamClosed):
            await response.aread()


@ASYNC
async def test_closing_the_client_ends_what_runs(face):
    apps = [Watched(face), Watched(face, listens=True)]
    transports = [hither.ASGITransport(app) for app in apps]
    for transport in transports:
        client = hither.AsyncClient(transport=transport)
        for _ in range(2):
            await client.send(client.build_request("GET", URL), stream=True)
        await sleep(face, 0.02)
        await client.aclose()
    assert [app.notes.count("ended") for app in apps] == [2, 2]


@ASYNC
async def test_a_cancelled_caller_takes_the_app_along(face):
    """The app has ended when the cancellation leaves the call."""
    notes = []

    async def app(scope, receive, send):
        try:
            await sleep(face, 30)
        finally:
            notes.append("ended")

    async with face.client(transport=hither.ASGITransport(app)) as client:
        if face.name == "trio":
            import trio

            with trio.move_on_after(0.02):
                await client.get(URL)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client.get(URL)
        assert notes == ["ended"]


@ASYNC
@pytest.mark.parametrize("when", ["waiting", "answered"])
async def test_cancelled_at_every_await(face, when):
    from cancelling import cancel_at

    running = 0

    async def app(scope, receive, send):
        nonlocal running
        running += 1
        try:
            await read(receive)
            await start(send)
            for _ in range(3):
                await body(send, b"x" * 40_000, more=True)
            await body(send)
        finally:
            running -= 1

    async def call(client):
        async with contextlib.aclosing(face.body([b"a", b"b"])) as content:
            return await client.post(URL, content=content)

    at = 1
    async with face.client(transport=hither.ASGITransport(app)) as client:
        while await cancel_at(face, call(client), at, when):
            await sleep(face, 0)
            assert running == 0
            at += 1
    assert at > 3


@ASYNC
async def test_after_its_response_the_app_is_waited_for(face):
    done = []

    async def app(scope, receive, send):
        await start(send)
        await body(send, b"content")
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await sleep(face, 0.05)
        done.append(True)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        assert (await client.get(URL)).text == "content"
        assert done == [True]


@ASYNC
async def test_an_abandoned_app_ends_with_the_loop(face):
    """Nothing hangs and nothing is said when a response is never closed."""
    client = hither.AsyncClient(transport=hither.ASGITransport(Watched(face)))
    await client.send(client.build_request("GET", URL), stream=True)


# Time


@ASYNC
@pytest.mark.parametrize("wait_at", ["head", "body", "end"])
async def test_read_timeout(face, wait_at):
    ended = []

    async def app(scope, receive, send):
        try:
            if wait_at == "head":
                await sleep(face, 30)
            await start(send)
            await body(send, b"piece", more=wait_at == "body")
            await sleep(face, 30)
        finally:
            ended.append(True)

    async with face.client(transport=hither.ASGITransport(app), timeout=hither.Timeout(read=0.05)) as client:
        with pytest.raises(hither.ReadTimeout, match="0.05"):
            await client.get(URL)
    assert ended == [True]


@ASYNC
async def test_each_message_starts_the_read_timeout_anew(face):
    async def app(scope, receive, send):
        await start(send)
        for _ in range(5):
            await sleep(face, 0.05)
            await body(send, b"x", more=True)
        await body(send)

    async with face.client(transport=hither.ASGITransport(app), timeout=hither.Timeout(read=0.2)) as client:
        assert (await client.get(URL)).text == "xxxxx"


@ASYNC
async def test_the_users_own_slow_body_is_not_the_apps_delay(face):
    async def slow():
        await sleep(face, 0.3)
        yield b"late"

    async with face.client(transport=hither.ASGITransport(echo), timeout=hither.Timeout(read=0.1)) as client:
        assert (await client.post(URL, content=slow())).json()["body"] == "late"


@ASYNC
async def test_total_timeout(face):
    async def app(scope, receive, send):
        await start(send)
        while True:
            await body(send, b"x", more=True)
            await sleep(face, 0.01)

    async with face.client(transport=hither.ASGITransport(app), timeout=hither.Timeout(total=0.1)) as client:
        with pytest.raises(hither.TotalTimeout):
            await client.get(URL)


# The request's side


@ASYNC
async def test_what_the_users_body_raises_reaches_the_user(face):
    async def fails():
        yield b"one"
        raise Broken("the body")

    async def app(scope, receive, send):
        seen.append((await receive())["body"])
        seen.append((await receive())["type"])
        await start(send, 500)
        await body(send, b"lost a client")

    seen = []
    async with face.client(transport=hither.ASGITransport(app, raise_app_exceptions=False)) as client:
        with pytest.raises(Broken, match="the body"):
            await client.post(URL, content=fails())
    assert seen == [b"one", "http.disconnect"]


@ASYNC
async def test_header_injection_is_refused(face):
    async with face.client(transport=hither.ASGITransport(echo)) as client:
        with pytest.raises(hither.LocalProtocolError):
            await client.get(URL, headers={"X": "a\r\nb: c"})


@ASYNC
async def test_redirects_are_followed_inside_the_app(face):
    async def app(scope, receive, send):
        if scope["path"] == "/":
            await start(send, 307, headers=[(b"location", b"/there")])
            await body(send, b"go there")
        else:
            await echo(scope, receive, send)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        answered = await client.post(URL, content=b"hi")
    assert answered.json()["body"] == "hi"
    assert answered.url == "http://app.example/there"


@ASYNC
async def test_an_app_may_call_an_app(face):
    async def outer(scope, receive, send):
        inner = await client.get("http://inner.example/")
        await start(send)
        await body(send, inner.content)

    mounts = {"http://inner.example": hither.ASGITransport(echo)}
    async with face.client(transport=hither.ASGITransport(outer), mounts=mounts) as client:
        assert (await client.get(URL)).json()["server"] == ["inner.example", 80]


@ASYNC
async def test_the_app_sees_the_callers_context(face):
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    async def app(scope, receive, send):
        await start(send)
        await body(send, variable.get().encode())

    async with face.client(transport=hither.ASGITransport(app)) as client:
        assert (await client.get(URL)).text == "set"


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_one_transport_in_several_loops(name):
    from faces import FACES

    client = hither.AsyncClient(transport=hither.ASGITransport(Lifespan(), lifespan=True))

    async def ask():
        return (await client.get(URL)).json()

    assert [FACES[name].run(ask) for _ in range(3)] == [{"n": 1}] * 3
    if name == "trio":
        assert FACES["asyncio"].run(ask) == {"n": 1}


def test_it_is_not_for_the_sync_client():
    with pytest.raises(TypeError, match="handle_request"):
        hither.Client(transport=hither.ASGITransport(echo))


def test_an_app_is_a_function():
    with pytest.raises(TypeError, match="ASGI"):
        hither.ASGITransport("module:app")


# Lifespan


class Lifespan:
    """An application with a lifespan, which can go wrong in the ways there are."""

    def __init__(self, wrong=""):
        self.wrong = wrong
        self.notes = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            scope["state"]["n"] += 1
            await start(send)
            await body(send, json.dumps(scope["state"]).encode())
            return
        if self.wrong == "returns":
            scope["state"]["n"] = 0
            return
        assert (await receive())["type"] == "lifespan.startup"
        self.notes.append("startup")
        await self._say(send, "startup")
        scope["state"]["n"] = 0
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.notes.append("shutdown")
        await self._say(send, "shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        self.notes.append("returned")

    async def _say(self, send, phase):
        if self.wrong == f"{phase} raises":
            raise Broken(phase)
        if self.wrong == f"{phase} fails":
            await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
            raise SystemExit(1)
        if self.wrong == f"{phase} hangs":
            await send({"type": "lifespan.unknown"})


@ASYNC
async def test_lifespan(face):
    app = Lifespan()
    async with face.client(transport=hither.ASGITransport(app, lifespan=True)) as client:
        assert app.notes == []
        answers = await face.gather(*(client.get(URL) for _ in range(5)))
        assert app.notes == ["startup"]
        assert [each.json() for each in answers] == [{"n": 1}] * 5, "each request has a copy of the state"
    assert app.notes == ["startup", "shutdown", "returned"]


@ASYNC
async def test_no_lifespan_unless_asked_for(face):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        assert "state" not in scope
        await echo(scope, receive, send)

    async with face.client(transport=hither.ASGITransport(app)) as client:
        await client.get(URL)


@ASYNC
async def test_an_app_without_a_lifespan(face):
    async with face.client(transport=hither.ASGITransport(Lifespan("returns"), lifespan=True)) as client:
        assert (await client.get(URL)).json() == {"n": 1}
        assert (await client.get(URL)).json() == {"n": 1}


@ASYNC
async def test_a_startup_that_fails(face):
    for raises in (True, False):
        app = Lifespan("startup fails")
        transport = hither.ASGITransport(app, raise_app_exceptions=raises, lifespan=True)
        async with face.client(transport=transport) as client:
            for _ in range(2):
                with pytest.raises(hither.ConnectError, match="did not start: no database"):
                    await client.get(URL)
        assert app.notes == ["startup", "startup"], "it is tried again"
    async with face.client(transport=hither.ASGITransport(Lifespan("startup raises"), lifespan=True)) as client:
        with pytest.raises(Broken, match="startup"):
            await client.get(URL)
    transport = hither.ASGITransport(Lifespan("startup raises"), raise_app_exceptions=False, lifespan=True)
    async with face.client(transport=transport) as client:
        with pytest.raises(hither.ConnectError, match="did not start"):
            await client.get(URL)


@ASYNC
async def test_a_shutdown_that_fails(face):
    async def run(wrong, raises=True):
        transport = hither.ASGITransport(Lifespan(wrong), raise_app_exceptions=raises, lifespan=True)
        async with face.client(transport=transport) as client:
            await client.get(URL)

    with pytest.raises(hither.CloseError, match="no database"):
        await run("shutdown fails")
    with pytest.raises(Broken, match="shutdown"):
        await run("shutdown raises")
    with pytest.raises(hither.CloseError):
        await run("shutdown raises", raises=False)


@ASYNC
async def test_a_startup_that_takes_too_long(face):
    ended = []

    async def app(scope, receive, send):
        try:
            await sleep(face, 30)
        finally:
            ended.append(True)

    transport = hither.ASGITransport(app, lifespan=True)
    async with face.client(transport=transport, timeout=hither.Timeout(read=0.05)) as client:
        with pytest.raises(hither.ReadTimeout, match="start"):
            await client.get(URL)
        assert ended == []
    assert ended == [True]


# An application framework that nobody here wrote


def starlette_app(face, notes):
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    async def upload(request):
        size = 0
        async for piece in request.stream():
            size += len(piece)
        task = BackgroundTask(notes.append, "background")
        return JSONResponse({"size": size, "state": request.state.name}, background=task)

    async def stream(request):
        async def lines():
            try:
                for number in range(int(request.query_params["n"])):
                    yield f"line {number}\n" * 100
                    await sleep(face, 0)
                if request.query_params.get("hang"):
                    await sleep(face, 30)
            finally:
                notes.append("stream ended")

        return StreamingResponse(lines(), media_type="text/plain")

    async def fail(request):
        raise Broken("in a route")

    async def middleware(request, call_next):
        response = await call_next(request)
        response.headers["x-middleware"] = "1"
        return response

    @contextlib.asynccontextmanager
    async def lifespan(app):
        notes.append("startup")
        yield {"name": "shared"}
        notes.append("shutdown")

    return Starlette(
        routes=[Route("/upload", upload, methods=["POST"]), Route("/stream", stream), Route("/fail", fail)],
        middleware=[Middleware(GZipMiddleware), Middleware(BaseHTTPMiddleware, dispatch=middleware)],
        lifespan=lifespan,
    )


# Starlette's own: trio finds that its middleware leaves a generator behind when it is cancelled.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator object BaseHTTPMiddleware")
@ASYNC
async def test_starlette(face):
    notes = []
    app = starlette_app(face, notes)
    async with face.client(transport=hither.ASGITransport(app, lifespan=True), base_url="http://app.example") as client:
        answered = await client.post("/upload", content=face.body([b"x" * 100_000] * 3))
        assert answered.json() == {"size": 300_000, "state": "shared"}
        assert notes == ["startup", "background"]
        answered = await client.get("/stream", params={"n": 50})
        assert answered.headers["content-encoding"] == "gzip"
        assert answered.headers["x-middleware"] == "1"
        assert len(answered.text.splitlines()) == 5000
        assert (await client.get("/missing")).status_code == 404
        with pytest.raises(Broken):
            await client.get("/fail")
        notes.clear()
        endless = client.stream("GET", "/stream", params={"n": 1, "hang": "1"}, headers={"Accept-Encoding": "identity"})
        async with endless as response:
            assert (await first(response.aiter_raw())).startswith(b"line 0\n")
        assert notes == ["stream ended"]
    assert notes == ["stream ended", "shutdown"]
