"""No `upload`: it takes content as bytes only."""

from __future__ import annotations

import primp


class Sync:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = primp.Client(ca_cert_file=authority, http2_only=self.http2)

    def close(self) -> None:
        pass

    def get(self, url: str) -> bytes:
        return self._client.get(url).content

    def download(self, url: str) -> int:
        with self._client.get(url, stream=True) as response:
            return sum(len(piece) for piece in response.iter_bytes())

    def multipart(self, url: str, path: str) -> bytes:
        return self._client.post(url, files={"file": path}).content


class Async:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = primp.AsyncClient(ca_cert_file=authority, http2_only=self.http2)

    async def close(self) -> None:
        pass

    async def get(self, url: str) -> bytes:
        return (await self._client.get(url)).content

    async def download(self, url: str) -> int:
        size = 0
        async with await self._client.get(url, stream=True) as response:
            async for piece in response.aiter_bytes():
                size += len(piece)
        return size

    async def multipart(self, url: str, path: str) -> bytes:
        return (await self._client.post(url, files={"file": path})).content


class SyncHTTP2(Sync):
    http2 = True


class AsyncHTTP2(Async):
    http2 = True
