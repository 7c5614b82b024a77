"""The client as a driver for runs against real origin servers: `Driver(version, ca_file)`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hither


class Driver:
    """Speaks the one version that it was made for."""

    versions = ("1.1",)

    def __init__(self, version: str, ca_file: str) -> None:
        self.client = hither.Client(verify=ca_file, trust_env=False, timeout=20)

    def request(self, method: str, url: str, headers: dict[str, str], body: Any) -> tuple[int, str, Any, bytes]:
        response = self.client.request(method, url, headers=headers, content=body)
        return response.status_code, response.http_version, response.headers, response.content

    def many(self, urls: list[str]) -> list[tuple[int, str, Any, bytes]]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(lambda url: self.request("GET", url, {}, None), urls))

    def close(self) -> None:
        self.client.close()
