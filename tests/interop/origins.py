"""The client as a driver for runs against real origin servers: `Driver(version, ca_file)`, sync and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import hither

T = TypeVar("T")
Answer = tuple[int, str, Any, bytes]


def _options(version: str, ca_file: str) -> dict[str, Any]:
    return {
        "verify": ca_file,
        "trust_env": False,
        "timeout": 20,
        "http1": version == "1.1",
        "http2": version == "2",
    }


def _answer(response: hither.Response) -> Answer:
    return response.status_code, response.http_version, response.headers, response.content


class Driver:
    """Speaks the one version that it was made for."""

    versions = ("1.1", "2")

    def __init__(self, version: str, ca_file: str) -> None:
        self.client = hither.Client(**_options(version, ca_file))

    def request(self, method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        return _answer(self.client.request(method, url, headers=headers, content=body))

    def many(self, urls: list[str]) -> list[Answer]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(lambda url: self.request("GET", url, {}, None), urls))

    def close(self) -> None:
        self.client.close()


class AsyncDriver:
    """The same over the async client, whose event loop runs in a thread."""

    versions = Driver.versions

    def __init__(self, version: str, ca_file: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.client = hither.AsyncClient(**_options(version, ca_file))

    def request(self, method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        return self._run(self._one(method, url, headers, body))

    def many(self, urls: list[str]) -> list[Answer]:
        async def all_at_once() -> list[Answer]:
            return await asyncio.gather(*(self._one("GET", url, {}, None) for url in urls))

        return self._run(all_at_once())

    def close(self) -> None:
        self._run(self.client.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _one(self, method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        if isinstance(body, Iterator):
            body = _async_pieces(body)
        return _answer(await self.client.request(method, url, headers=headers, content=body))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


async def _async_pieces(pieces: Iterator[bytes]) -> Any:
    for piece in pieces:
        yield piece
