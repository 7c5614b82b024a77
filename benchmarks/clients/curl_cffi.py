"""No `upload`: it takes content as bytes only."""

from __future__ import annotations

import curl_cffi


def _form(path: str) -> curl_cffi.CurlMime:
    form = curl_cffi.CurlMime()
    form.addpart(name="file", filename="upload", local_path=path)
    return form


class Sync:
    version = None

    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = curl_cffi.Session(verify=authority or True, http_version=self.version)
        self.close = self._session.close

    def get(self, url: str) -> bytes:
        return self._session.get(url).content

    def download(self, url: str) -> int:
        response = self._session.get(url, stream=True)
        size = sum(len(piece) for piece in response.iter_content())
        response.close()
        return size

    def multipart(self, url: str, path: str) -> bytes:
        form = _form(path)
        content = self._session.post(url, multipart=form).content
        form.close()
        return content


class Async:
    version = None

    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = curl_cffi.AsyncSession(
            verify=authority or True, http_version=self.version, max_clients=connections
        )
        self.close = self._session.close

    async def get(self, url: str) -> bytes:
        return (await self._session.get(url)).content

    async def download(self, url: str) -> int:
        size = 0
        response = await self._session.get(url, stream=True)
        async for piece in response.aiter_content():
            size += len(piece)
        await response.aclose()
        return size

    async def multipart(self, url: str, path: str) -> bytes:
        form = _form(path)
        content = (await self._session.post(url, multipart=form)).content
        form.close()
        return content


class SyncHTTP2(Sync):
    version = "v2tls"


class AsyncHTTP2(Async):
    version = "v2tls"
