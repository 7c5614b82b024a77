from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyreqwest
import pyreqwest.client
import pyreqwest.multipart


def _build(builder: Any, authority: str | None, connections: int, *, http2: bool) -> Any:
    builder = builder.max_connections(connections).pool_max_idle_per_host(connections).default_cookie_store(True)
    builder = builder.gzip(True).brotli(True).zstd(True)
    if http2:
        # What it has is 64 kB, with the advice to choose one's own.
        builder = builder.http2(True).http2_initial_stream_window_size(2**20)
        builder = builder.http2_initial_connection_window_size(2**24)
    if authority:
        builder = builder.add_root_certificate_pem(Path(authority).read_bytes())
    return builder.build()


class Sync:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = _build(pyreqwest.client.SyncClientBuilder(), authority, connections, http2=self.http2)
        self.close = self._client.close

    def get(self, url: str) -> bytes:
        return self._client.get(url).build().send().bytes()

    def download(self, url: str) -> int:
        size = 0
        with self._client.get(url).build_streamed() as response:
            while piece := response.body_reader.read_chunk():
                size += len(piece)
        return size

    def upload(self, url: str, path: str) -> bytes:
        return self._client.post(url).body_stream(_pieces(path)).build().send().bytes()

    def multipart(self, url: str, path: str) -> bytes:
        form = pyreqwest.multipart.FormBuilder().sync_file("file", Path(path))
        return self._client.post(url).multipart(form).build().send().bytes()


class Async:
    http2 = False

    def __init__(self, authority: str | None, connections: int) -> None:
        self._client = _build(pyreqwest.client.ClientBuilder(), authority, connections, http2=self.http2)
        self.close = self._client.close

    async def get(self, url: str) -> bytes:
        response = await self._client.get(url).build().send()
        return await response.bytes()

    async def download(self, url: str) -> int:
        size = 0
        async with self._client.get(url).build_streamed() as response:
            while piece := await response.body_reader.read_chunk():
                size += len(piece)
        return size

    async def upload(self, url: str, path: str) -> bytes:
        response = await self._client.post(url).body_stream(_async_pieces(path)).build().send()
        return await response.bytes()

    async def multipart(self, url: str, path: str) -> bytes:
        form = await pyreqwest.multipart.FormBuilder().file("file", Path(path))
        response = await self._client.post(url).multipart(form).build().send()
        return await response.bytes()


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
