from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import wreq
import wreq.blocking
import wreq.redirect


def _options(authority: str | None, connections: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cookie_store": True,
        "redirect": wreq.redirect.Policy.limited(10),
        "pool_max_idle_per_host": connections,
    }
    return {**options, "tls_verify": Path(authority)} if authority else options


def _form(path: str) -> wreq.Multipart:
    return wreq.Multipart(wreq.Part(name="file", value=Path(path), filename="upload"))


class Sync:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = wreq.blocking.Client(http2_only=self.http2, **_options(authority, connections))
        self.close = self._client.close

    def get(self, url: str) -> bytes:
        return bytes(self._client.get(url).bytes())

    def download(self, url: str) -> int:
        with self._client.get(url).stream() as pieces:
            return sum(len(piece) for piece in pieces)

    def upload(self, url: str, path: str) -> bytes:
        return bytes(self._client.post(url, body=_pieces(path)).bytes())

    def multipart(self, url: str, path: str) -> bytes:
        return bytes(self._client.post(url, multipart=_form(path)).bytes())


class Async:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = wreq.Client(http2_only=self.http2, **_options(authority, connections))

    async def close(self) -> None:
        self._client.close()

    async def get(self, url: str) -> bytes:
        return bytes(await (await self._client.get(url)).bytes())

    async def download(self, url: str) -> int:
        size = 0
        async with (await self._client.get(url)).stream() as pieces:
            async for piece in pieces:
                size += len(piece)
        return size

    async def upload(self, url: str, path: str) -> bytes:
        return bytes(await (await self._client.post(url, body=_async_pieces(path))).bytes())

    async def multipart(self, url: str, path: str) -> bytes:
        return bytes(await (await self._client.post(url, multipart=_form(path))).bytes())


class SyncHTTP2(Sync):
    http2 = True


class AsyncHTTP2(Async):
    http2 = True


def _pieces(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(65536):
            yield piece


async def _async_pieces(path: str) -> AsyncIterator[bytes]:
    for piece in _pieces(path):
        yield piece
