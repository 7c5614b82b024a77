"""What the tour shows: each step is a function, a title and the code that it runs, in one list."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import hither

from .demo_server import POEM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .demo_server import DemoServer

STEPS: list[Step] = []
CONCURRENT = 200
PIECE = bytes(range(256)) * 256  # 64 KiB
PIECES = 64


class Step:
    """One stop: `run(tour)` does what `code` says and returns a line about the result, or raises."""

    def __init__(self, title: str, code: str, run: Callable[[Tour], Any]) -> None:
        self.title = title
        self.code = code
        self.run = run


class Tour:
    """What the steps share: the server, a sync client of it, and a place to show progress."""

    def __init__(self, server: DemoServer, client: hither.Client, show: Callable[[float], None]) -> None:
        self.server = server
        self.client = client
        self.show = show

    def async_client(self, **options: Any) -> hither.AsyncClient:
        """Return a new async client of the server."""
        return hither.AsyncClient(base_url=self.server.url, timeout=20, trust_env=False, **options)


class WrongResult(Exception):  # a finding about the step, shown by this name
    """A step ran, and the result is not what it must be."""


def step(title: str, code: str) -> Callable[[Callable[[Tour], Any]], Callable[[Tour], Any]]:
    """Add a function to the tour, at its end. It may be a coroutine function."""

    def add(run: Callable[[Tour], Any]) -> Callable[[Tour], Any]:
        STEPS.append(Step(title, code, run))
        return run

    return add


def expect(found: object, wanted: object) -> None:
    """Raise `WrongResult` when the two differ."""
    if found != wanted:
        raise WrongResult(f"got {found!r:.200}, not {wanted!r:.200}")


@step("a request", 'r = client.get("/hello", params={"name": "world"})')
def _request(tour: Tour) -> str:
    client = tour.client
    r = client.get("/hello", params={"name": "world"})
    expect((r.status_code, r.json()), (200, {"hello": "world"}))
    return f"{r.status_code} {r.reason}, {r.text}"


@step("JSON, there and back", 'r = client.post("/items", json={"name": "lamp", "price": 9.5})')
def _json(tour: Tour) -> str:
    client = tour.client
    r = client.post("/items", json={"name": "lamp", "price": 9.5})
    expect((r.status_code, r.json()), (201, {"created": {"name": "lamp", "price": 9.5}}))
    return f"{r.status_code} {r.reason}, {r.text}"


@step("a streamed response", 'with client.stream("GET", "/poem") as r: lines = list(r.iter_lines())')
def _stream(tour: Tour) -> str:
    client = tour.client
    with client.stream("GET", "/poem") as r:
        lines = list(r.iter_lines())
    expect(lines, POEM.splitlines())
    return f"{len(lines)} lines, each one a chunk of its own"


@step("compressed content", 'r = client.get("/squeezed")')
def _compressed(tour: Tour) -> str:
    client = tour.client
    r = client.get("/squeezed")
    expect(r.text, POEM)
    return f"{r.headers['content-encoding']}: {r.num_bytes_downloaded:,} bytes became {len(r.content):,}"


@step("a redirect", 'r = client.get("/old")')
def _redirect(tour: Tour) -> str:
    client = tour.client
    r = client.get("/old")
    expect((r.url.path, [hop.status_code for hop in r.history]), ("/hello", [301]))
    return f"{r.history[0].status_code} at {r.history[0].url.path}, then {r.status_code} at {r.url.path}"


@step("a cookie", 'client.get("/login"); r = client.get("/visitor")')
def _cookie(tour: Tour) -> str:
    client = tour.client
    client.get("/login")
    r = client.get("/visitor")
    expect(r.json(), {"cookie": "visitor=ada"})
    return f"set by the first response, sent with the second request: {r.json()['cookie']}"


@step("a streamed upload with progress", 'r = client.put("/upload", content=pieces())')
def _upload(tour: Tour) -> str:
    client = tour.client

    def pieces() -> Iterator[bytes]:
        for number in range(1, PIECES + 1):
            yield PIECE
            tour.show(number / PIECES)

    r = client.put("/upload", content=pieces())
    expect((r.json()["length"], r.json()["sha256"]), (len(PIECE) * PIECES, _digest(PIECE * PIECES)))
    return f"{r.json()['length']:,} bytes in {PIECES} pieces; the server has the same SHA-256"


@step("a form with a file", 'r = client.post("/upload", data={"to": "ada"}, files={"file": ("a.txt", b"hi")})')
def _form(tour: Tour) -> str:
    client = tour.client
    r = client.post("/upload", data={"to": "ada"}, files={"file": ("a.txt", b"hi")})
    expect(r.json()["type"].partition(";")[0], "multipart/form-data")
    return f"{r.json()['length']} bytes of {r.json()['type'].partition(';')[0]}"


@step("a time-out", 'client.get("/slow", params={"seconds": 30}, timeout=0.2)')
def _timeout(tour: Tour) -> str:
    client = tour.client
    try:
        client.get("/slow", params={"seconds": 30}, timeout=0.2)
    except hither.ReadTimeout as error:
        return f"{type(error).__name__}: {error.args[0].partition(' [')[0]}"
    raise WrongResult("no ReadTimeout was raised")


@step("an error that says where", 'client.get("/nowhere").raise_for_status()')
def _status(tour: Tour) -> str:
    client = tour.client
    try:
        client.get("/nowhere").raise_for_status()
    except hither.HTTPStatusError as error:
        expect(error.response.status_code, 404)
        return f"{type(error).__name__}: {error}"
    raise WrongResult("no HTTPStatusError was raised")


@step("async", 'async with AsyncClient() as client: r = await client.get("/hello")')
async def _async(tour: Tour) -> str:
    async with tour.async_client() as client:
        r = await client.get("/hello")
    expect((r.status_code, r.json()), (200, {"hello": "you"}))
    return f"{r.status_code} {r.reason}, {r.text}"


@step("an async stream", 'async with client.stream("GET", "/poem") as r: async for line in r.aiter_lines(): ...')
async def _async_stream(tour: Tour) -> str:
    lines = []
    async with tour.async_client() as client, client.stream("GET", "/poem") as r:
        async for line in r.aiter_lines():
            lines.append(line)  # noqa: PERF401 # as a user writes it
    expect(lines, POEM.splitlines())
    return f"{len(lines)} lines"


@step(
    f"{CONCURRENT} concurrent requests",
    f'await asyncio.gather(*(client.get(f"/item?n={{n}}") for n in range({CONCURRENT})))',
)
async def _concurrent(tour: Tour) -> str:
    before = tour.server.connections
    async with tour.async_client() as client:
        responses = await asyncio.gather(*(client.get(f"/item?n={n}") for n in range(CONCURRENT)))
    expect([r.json() for r in responses], [{"item": n} for n in range(CONCURRENT)])
    return f"{len(responses)} right answers over {tour.server.connections - before} connections"


@step(
    f"HTTP/2: {CONCURRENT} requests over one connection",
    "async with AsyncClient(http1=False, limits=Limits(max_connections=1)) as client: "
    f'await asyncio.gather(*(client.get(f"/item?n={{n}}") for n in range({CONCURRENT})))',
)
async def _http2(tour: Tour) -> str:
    before = tour.server.connections
    async with tour.async_client(http1=False, limits=hither.Limits(max_connections=1)) as client:
        responses = await asyncio.gather(*(client.get(f"/item?n={n}") for n in range(CONCURRENT)))
    expect([r.json() for r in responses], [{"item": n} for n in range(CONCURRENT)])
    expect({r.http_version for r in responses}, {"HTTP/2"})
    return f"{len(responses)} right answers in HTTP/2 over {tour.server.connections - before} connection"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
