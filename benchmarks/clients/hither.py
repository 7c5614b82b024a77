from __future__ import annotations

from pathlib import Path
from typing import Any

import hither


def _options(authority: str | None, connections: int) -> dict[str, Any]:
    return {
        "verify": authority or True,
        "limits": hither.Limits(max_connections=connections),
        "follow_redirects": True,
        "timeout": 60,
    }


class Sync:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = hither.Client(http2=self.http2, **_options(authority, connections))
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
        self._client = hither.AsyncClient(http2=self.http2, **_options(authority, connections))
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
        with Path(path).open("rb") as file:
            return (await self._client.post(url, content=file)).content

    async def multipart(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return (await self._client.post(url, files={"file": file})).content


class SyncHTTP2(Sync):
    http2 = True


class AsyncHTTP2(Async):
    http2 = True
