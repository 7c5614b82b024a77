from __future__ import annotations

from pathlib import Path

import niquests


class Sync:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = niquests.Session(pool_maxsize=connections)
        self._session.verify = authority or True
        self.close = self._session.close

    def get(self, url: str) -> bytes:
        return self._session.get(url).content

    def download(self, url: str) -> int:
        with self._session.get(url, stream=True) as response:
            return sum(len(piece) for piece in response.iter_content(65536))

    def upload(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return self._session.post(url, data=file).content

    def multipart(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return self._session.post(url, files={"file": file}).content


class Async:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = niquests.AsyncSession(pool_maxsize=connections)
        self._session.verify = authority or True
        self.close = self._session.close

    async def get(self, url: str) -> bytes:
        return (await self._session.get(url)).content

    async def download(self, url: str) -> int:
        size = 0
        response = await self._session.get(url, stream=True)
        async for piece in await response.iter_content(65536):
            size += len(piece)
        return size

    async def upload(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return (await self._session.post(url, data=file)).content

    async def multipart(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            return (await self._session.post(url, files={"file": file})).content


class SyncHTTP2(Sync):
    """Nothing to choose: it is what the server offers."""


class AsyncHTTP2(Async):
    """Several at a time go over one connection as `multiplexed` only, and are gathered."""

    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = niquests.AsyncSession(multiplexed=True, pool_maxsize=1)
        self._session.verify = authority or True
        self.close = self._session.close

    async def get(self, url: str) -> bytes:
        response = await self._session.get(url)
        await self._session.gather(response)
        return response.content

    async def download(self, url: str) -> int:
        size = 0
        response = await self._session.get(url, stream=True)
        await self._session.gather(response)
        async for piece in await response.iter_content(65536):
            size += len(piece)
        return size
