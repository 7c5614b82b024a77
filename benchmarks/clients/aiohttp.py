from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp


class Async:
    def __init__(self, authority: str | None, connections: int) -> None:
        context = ssl.create_default_context(cafile=authority) if authority else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=context),
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # the server is an IP address
        )
        self.close = self._session.close

    async def get(self, url: str) -> bytes:
        async with self._session.get(url) as response:
            return await response.read()

    async def download(self, url: str) -> int:
        size = 0
        async with self._session.get(url) as response:
            async for piece in response.content.iter_any():
                size += len(piece)
        return size

    async def upload(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            async with self._session.post(url, data=file) as response:
                return await response.read()

    async def multipart(self, url: str, path: str) -> bytes:
        with Path(path).open("rb") as file:
            async with self._session.post(url, data={"file": file}) as response:
                return await response.read()
