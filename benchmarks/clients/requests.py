from __future__ import annotations

from pathlib import Path

import requests


class Sync:
    def __init__(self, authority: str | None, connections: int) -> None:
        self._session = requests.Session()
        self._session.verify = authority or True
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
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
