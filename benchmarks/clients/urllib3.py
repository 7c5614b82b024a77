from __future__ import annotations

from pathlib import Path

import urllib3


class Sync:
    def __init__(self, authority: str | None, connections: int) -> None:
        fields = urllib3.make_headers(accept_encoding=True)
        self._pool = urllib3.PoolManager(maxsize=connections, ca_certs=authority, headers=fields)
        self.close = self._pool.clear

    def get(self, url: str) -> bytes:
        return self._pool.request("GET", url).data

    def download(self, url: str) -> int:
        response = self._pool.request("GET", url, preload_content=False)
        size = sum(len(piece) for piece in response.stream(65536))
        response.release_conn()
        return size

    def upload(self, url: str, path: str) -> bytes:
        fields = {"Content-Length": str(Path(path).stat().st_size)}
        with Path(path).open("rb") as file:
            return self._pool.request("POST", url, body=file, headers=fields).data

    def multipart(self, url: str, path: str) -> bytes:
        return self._pool.request("POST", url, fields={"file": ("upload", Path(path).read_bytes())}).data
