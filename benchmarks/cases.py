"""What is measured: each case is a line of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Case:
    """One thing to do many times.

    `kind` is a method of the clients, or "import" or "client"; `runner` is sync, threads, asyncio or uvloop.
    `expect` is a body's size, or a part of it. `megabytes` is how large one body is, where that is the point.
    `waves` marks a case that waits for the server: so many requests are made in all, at most. `http2` ones go over
    one TLS connection.
    """

    name: str
    group: str
    column: str
    kind: str = "get"
    runner: str = "sync"
    path: str = "/json"
    server: str = "site"
    concurrency: int = 1
    tls: bool = False
    http2: bool = False
    expect: int | str = "hello"
    megabytes: float = 0
    waves: int = 0
    quick: bool = False

    @property
    def large(self) -> bool:
        """Whether one turn of it is long enough to be measured alone."""
        return self.megabytes >= 100

    @property
    def client(self) -> str:
        """Which of a library's classes does it."""
        return ("Sync" if self.runner in ("sync", "threads") else "Async") + ("HTTP2" if self.http2 else "")

    def is_offered(self, methods: dict[str, list[str]]) -> bool:
        """Tell whether a library that has these classes, with these methods, can do it."""
        return self.kind == "import" or (
            self.client in methods and (self.kind == "client" or self.kind in methods[self.client])
        )

    @property
    def least(self) -> float:
        """Seconds that a round of it takes at least, about: each library has a part of the time in proportion."""
        if self.waves:
            return 2.6 if self.concurrency < 1000 else 4 if self.concurrency < 10_000 else 6
        if self.large:
            return 2.6
        return 0.9 if self.concurrency < 500 else 2.5

    def work(self, library: str, count: int, servers: Any, short: int = 0) -> dict[str, Any]:
        """Describe to the worker what to do; `short` is a run before, for the slope between the two."""
        return {
            "library": library,
            "kind": self.kind,
            "runner": self.runner,
            "concurrency": self.concurrency,
            "count": count,
            "short": short,
            "warm_up": 0 if self.large or self.waves else self.concurrency + 10,
            "client": self.client,
            "http2": self.http2,
            "url": servers.url(self.server, self.path, tls=self.tls, http2=self.http2),
            "warm_url": servers.url(self.server, "/h2json" if self.http2 else "/json", tls=self.tls, http2=self.http2),
            "authority": servers.authority if self.tls else None,
            "file": servers.upload,
            "expect": self.expect,
        }


def _small() -> Iterator[Case]:
    sync = "Small JSON over keep-alive, sync"
    yield Case("json-sync", sync, "plain", quick=True)
    yield Case("json-tls-sync", sync, "TLS", tls=True, quick=True)
    for threads in (1, 8, 50):
        name = f"{threads} thread{'s' if threads > 1 else ''}"
        yield Case(f"json-threads-{threads}", sync, name, runner="threads", concurrency=threads)
    for runner in ("asyncio", "uvloop"):
        for tls in (False, True):
            prefix = f"json-{'tls-' if tls else ''}{runner}"
            group = f"Small JSON over keep-alive, {runner}{' over TLS' if tls else ''}, by concurrency"
            for concurrency in (1, 50, 100, 200, 500, 1000):
                yield Case(
                    f"{prefix}-{concurrency}",
                    group,
                    f"{concurrency:,}",
                    runner=runner,
                    concurrency=concurrency,
                    tls=tls,
                    quick=concurrency == 50 and not tls,
                )


def _connections() -> Iterator[Case]:
    group = "A new connection for each request"
    for runner, concurrency in (("sync", 1), ("asyncio", 50)):
        for tls in (False, True):
            yield Case(
                f"connect-{'tls-' if tls else ''}{runner}",
                group,
                f"{runner}, {'TLS' if tls else 'plain'}",
                runner=runner,
                concurrency=concurrency,
                path="/closing",
                tls=tls,
                expect="resumed",
            )


def _bodies() -> Iterator[Case]:
    for runner, concurrency in (("sync", 1), ("asyncio", 10)):
        group = f"Bodies read whole, {runner}"
        at = {"runner": runner, "concurrency": concurrency}
        yield Case(
            f"body-10k-{runner}",
            group,
            "10 kB",
            path="/10k",
            expect=10_000,
            megabytes=10_000 / MEGABYTE,
            **at,
        )
        yield Case(f"body-1m-{runner}", group, "1 MB", path="/1m", expect=1_000_000, megabytes=1e6 / MEGABYTE, **at)
        for coding in ("gzip", "br", "zstd"):
            name, path = f"body-{coding}-{runner}", f"/document.{coding}"
            yield Case(name, group, f"100 kB JSON, {coding}", path=path, expect=100 * 1024, megabytes=0.1, **at)
    for runner in ("sync", "asyncio"):
        group = f"256 MB streamed, {runner}"
        at = {"runner": runner, "megabytes": 256}
        yield Case(f"download-{runner}", group, "down", "download", path="/256m", expect=256 * MEGABYTE, **at)
        up = {"path": "/sink", "server": "own", **at}
        yield Case(f"upload-{runner}", group, "up", "upload", expect=str(256 * MEGABYTE), **up)
        yield Case(f"multipart-{runner}", group, "up, multipart", "multipart", expect="received", **up)


def _http2() -> Iterator[Case]:
    protocol: dict[str, Any] = {"tls": True, "http2": True}
    group = "HTTP/2: small JSON over one connection"
    small = {**protocol, "path": "/h2json", "expect": '"HTTP/2'}
    yield Case("http2-json-sync", group, "sync", **small)
    for runner in ("asyncio", "uvloop"):
        for concurrency in (50, 200):
            name, column = f"http2-json-{runner}-{concurrency}", f"{runner}, {concurrency} in flight"
            yield Case(name, group, column, runner=runner, concurrency=concurrency, **small)
    group = "HTTP/2: bodies read whole"
    for runner, concurrency, column in (("sync", 1, "sync"), ("asyncio", 10, "asyncio, 10 in flight")):
        at = {"runner": runner, "concurrency": concurrency, **protocol}
        for name, title, size in (("10k", "10 kB", 10_000), ("1m", "1 MB", 1_000_000)):
            body = {"path": f"/{name}", "expect": size, "megabytes": size / MEGABYTE, **at}
            yield Case(f"http2-body-{name}-{runner}", group, f"{title}, {column}", **body)
    for runner in ("sync", "asyncio"):
        body = {"path": "/256m", "expect": 256 * MEGABYTE, "megabytes": 256, "runner": runner, **protocol}
        yield Case(f"http2-download-{runner}", "HTTP/2: 256 MB streamed down", runner, "download", **body)


def _features() -> Iterator[Case]:
    for runner, concurrency in (("sync", 1), ("asyncio", 50)):
        group = f"What features cost, {runner}"
        at = {"runner": runner, "concurrency": concurrency}
        yield Case(f"redirect-{runner}", group, "a redirect", path="/moved", **at)
        yield Case(f"cookies-{runner}", group, "2 cookies", path="/cookies", expect="theme=dark", **at)
        yield Case(f"fields-{runner}", group, "30 response headers", path="/fields", **at)


def _waiting() -> Iterator[Case]:
    for runner in ("asyncio", "uvloop"):
        group = f"A server that answers after 1 s, {runner}, by requests in flight"
        for concurrency in (100, 1000, 10_000):
            yield Case(
                f"latency-{runner}-{concurrency}",
                group,
                f"{concurrency:,}",
                runner=runner,
                server="own",
                path="/delay",
                concurrency=concurrency,
                waves=10_000,
            )


def _start() -> Iterator[Case]:
    group = "Start"
    yield Case("import", group, "import", "import", quick=True)
    yield Case("client-sync", group, "making a sync client", "client")
    yield Case("client-async", group, "making an async client", "client", runner="asyncio")


CASES = {
    case.name: case
    for family in (_small, _connections, _bodies, _http2, _features, _waiting, _start)
    for case in family()
}


def choose(names: list[str], *, quick: bool) -> list[Case]:
    """Give the cases of these names, or whose names begin so; all, or the quick ones, when there is no name."""
    if not names:
        return [case for case in CASES.values() if case.quick or not quick]
    chosen: set[str] = set()
    for name in names:
        found = {name} if name in CASES else {case for case in CASES if case.startswith(name)}
        if not found:
            raise ValueError(f"no case named {name}; there are {', '.join(CASES)}")
        chosen |= found
    return [case for case in CASES.values() if case.name in chosen]
