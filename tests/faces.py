"""The four ways to run one test body: the blocking client, and the async client under asyncio, uvloop and trio.

Each also runs `over` a protocol: what its clients do not say themselves about `http1` and `http2` is then said so.

A test is written once, `async def test_x(face, ...)`, against the names of `AsyncClient`. The sync face gives it
`Client` behind the same awaitable names and drives the coroutine with one `send(None)`: whatever suspends fails.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import hither

T = TypeVar("T")
NAMES = ["sync", "asyncio", "uvloop", "trio"]


class Protocol:
    """A version of HTTP, and the client's options that leave no other choice."""

    def __init__(self, name: str, version: str, **options: bool) -> None:
        self.name = name
        self.version = version
        self.options = options


PROTOCOLS = {
    "http1": Protocol("http1", "HTTP/1.1"),
    "http2": Protocol("http2", "HTTP/2", http1=False),  # over http:// too, by prior knowledge
}


class Face:
    """What a test body may ask of the world it runs in."""

    name: str
    is_async = True
    seconds = 15.0  # that one run may take; the sync face leaves it to the alarm clock in conftest.py
    options: dict[str, bool] = {}  # of its clients, unless they have others

    def over(self, protocol: Protocol) -> Face:
        """The same face, whose clients speak one protocol only."""
        face = copy.copy(self)
        face.options = protocol.options
        return face

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Run the coroutine function to its end and give its result."""
        raise NotImplementedError

    def client(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Any]:
        """An open client of this face, with the method names of `AsyncClient`."""
        return hither.AsyncClient(**{**self.options, **options})

    async def gather(self, *coroutines: Coroutine[Any, Any, T], return_exceptions: bool = False) -> list[T]:
        """Run all at the same time; results in order. The first failure is raised after all have ended."""
        raise NotImplementedError

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking function without holding up the loop."""
        raise NotImplementedError

    def body(self, chunks: Any) -> Any:
        """A one-shot request body of this face's kind: a generator or an async generator."""

        async def generate() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        return generate()

    def hook(self, function: Callable[[Any], None]) -> Callable[[Any], Any]:
        """An event hook of this face's kind."""

        async def hook(value: Any) -> None:
            function(value)

        return hook

    def __repr__(self) -> str:
        return f"<face {self.name}>"


async def _outcome(coroutine: Awaitable[T]) -> T | Exception:
    try:
        return await coroutine
    except Exception as error:
        return error


def _raise_first(outcomes: list[Any], return_exceptions: bool) -> list[Any]:
    if not return_exceptions:
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
    return outcomes


class AsyncioFace(Face):
    name = "asyncio"

    def _loop_factory(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        async def main() -> T:
            async with asyncio.timeout(self.seconds):
                return await function(*args, **kwargs)

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(main())

    async def gather(self, *coroutines: Coroutine[Any, Any, T], return_exceptions: bool = False) -> list[T]:
        outcomes = await asyncio.gather(*(_outcome(coroutine) for coroutine in coroutines))
        return _raise_first(list(outcomes), return_exceptions)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(function, *args)


class UvloopFace(AsyncioFace):
    name = "uvloop"

    def _loop_factory(self) -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()


class TrioFace(Face):
    name = "trio"

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        import trio

        async def main() -> T:
            with trio.fail_after(self.seconds):
                return await function(*args, **kwargs)

        return trio.run(main)

    async def gather(self, *coroutines: Coroutine[Any, Any, T], return_exceptions: bool = False) -> list[T]:
        import trio

        outcomes: list[Any] = [None] * len(coroutines)

        async def put(index: int, coroutine: Coroutine[Any, Any, T]) -> None:
            outcomes[index] = await _outcome(coroutine)

        async with trio.open_nursery() as nursery:
            for index, coroutine in enumerate(coroutines):
                nursery.start_soon(put, index, coroutine)
        return _raise_first(outcomes, return_exceptions)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        import trio

        return await trio.to_thread.run_sync(function, *args)


class SyncFace(Face):
    name = "sync"
    is_async = False

    def run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        return drive(function(*args, **kwargs))

    @contextlib.asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[SyncClientAsAsync]:  # type: ignore[override]
        with hither.Client(**{**self.options, **options}) as client:
            yield SyncClientAsAsync(client)

    async def gather(self, *coroutines: Coroutine[Any, Any, T], return_exceptions: bool = False) -> list[T]:
        with concurrent.futures.ThreadPoolExecutor(max(1, len(coroutines))) as threads:
            futures = [threads.submit(drive, _outcome(coroutine)) for coroutine in coroutines]
        return _raise_first([future.result() for future in futures], return_exceptions)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    def body(self, chunks: Any) -> Iterator[bytes]:
        return (chunk for chunk in chunks)

    def hook(self, function: Callable[[Any], None]) -> Callable[[Any], Any]:
        return function


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        suspended = coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError(f"something suspended under the sync face: {suspended!r}")


def connections(client: Any) -> tuple[int, int]:
    """How many connections of a client are leased out, and how many are idle."""
    networks = client._networks
    several = getattr(networks, "_networks", None)  # one for each event loop
    found = [networks._network] if several is None else [network for network, _ in several.values()]
    leased, idle = zip((0, 0), *(network.pool.size for network in found), strict=True)
    return sum(leased), sum(idle)


class SyncClientAsAsync:
    """`Client` with the awaitable names of `AsyncClient`; all other attributes are the client's own."""

    def __init__(self, client: hither.Client) -> None:
        self.__dict__["wrapped"] = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.wrapped, name, value)

    async def send(self, request: hither.Request, *, stream: bool = False, **options: Any) -> Any:
        response = self.wrapped.send(request, stream=stream, **options)
        return SyncResponseAsAsync(response) if stream else response

    @contextlib.asynccontextmanager
    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[SyncResponseAsAsync]:
        with self.wrapped.stream(*args, **options) as response:
            yield SyncResponseAsAsync(response)

    async def aclose(self) -> None:
        self.wrapped.close()


def _awaitable(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def method(self: SyncClientAsAsync, *args: Any, **options: Any) -> Any:
        return getattr(self.wrapped, name)(*args, **options)

    return method


for _verb in ["request", "get", "post", "put", "patch", "delete", "head", "options", "query"]:
    setattr(SyncClientAsAsync, _verb, _awaitable(_verb))


class SyncResponseAsAsync:
    """A streamed `Response` of the sync client with `aread`, `aclose` and `aiter_*`."""

    def __init__(self, response: hither.Response) -> None:
        self.wrapped = response

    def __getattr__(self, name: str) -> Any:
        if name.startswith("aiter_"):
            return lambda *args, **options: _as_async(getattr(self.wrapped, name[1:])(*args, **options))
        return getattr(self.wrapped, name)

    async def aread(self) -> bytes:
        return self.wrapped.read()

    async def aclose(self) -> None:
        self.wrapped.close()


class _as_async:
    """An iterator as an async iterator that never suspends."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iter(iterator)

    def __aiter__(self) -> _as_async:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


FACES: dict[str, Face] = {face.name: face for face in (SyncFace(), AsyncioFace(), UvloopFace(), TrioFace())}
