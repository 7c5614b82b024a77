"""HTTPX and HTTPX2 have the same API."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any


def classes(library: ModuleType) -> tuple[type, type, type, type]:
    """Make the four classes for one of the two."""

    def options(authority: str | None, connections: int) -> dict[str, Any]:
        return {
            "verify": ssl.create_default_context(cafile=authority) if authority else True,
            "limits": library.Limits(max_connections=connections, max_keepalive_connections=connections),
            "follow_redirects": True,
            "timeout": 60,
        }

    class Sync:
        http2 = False

        def __init__(self, authority: str | None, connections: int) -> None:
            self._client = library.Client(http2=self.http2, **options(authority, connections))
            self.close = self._client.close

        def get(self, url: str) -> bytes:
            return self._client.get(url).content

        def download(self, url: str) -> int:
            with self._client.stream("GET", url) as response:
                return sum(len(piece) for piece in response.iter_bytes())

        def upload(self, url: str, path: str) -> bytes:
            with Path(path).open("rb") as file:
                return self._client.post(url, content=file).content

        def multipart(self, url: str, path: str) -> bytes:
            with Path(path).open("rb") as file:
                return self._client.post(url, files={"file": file}).content

    class Async:
        http2 = False

        def __init__(self, authority: str | None, connections: int) -> None:
            self._client = library.AsyncClient(http2=self.http2, **options(authority, connections))
            self.close = self._client.aclose

        async def get(self, url: str) -> bytes:
            return (await self._client.get(url)).content

        async def download(self, url: str) -> int:
            size = 0
            async with self._client.stream("GET", url) as response:
                async for piece in response.aiter_bytes():
                    size += len(piece)
            return size

        async def upload(self, url: str, path: str) -> bytes:
            # An async client of theirs takes no file as content.
            return (await self._client.post(url, content=_pieces(path))).content

        async def multipart(self, url: str, path: str) -> bytes:
            with Path(path).open("rb") as file:
                return (await self._client.post(url, files={"file": file})).content

    class SyncHTTP2(Sync):
        http2 = True

    class AsyncHTTP2(Async):
        http2 = True

    return Sync, Async, SyncHTTP2, AsyncHTTP2


async def _pieces(path: str) -> AsyncIterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(65536):
            yield piece
