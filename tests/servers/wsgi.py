"""httpbin, which nobody here wrote, under servers that nobody here wrote either: real subprocesses.

gunicorn serves it over HTTP/1.1, hypercorn over HTTP/2.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Httpbin:
    """A running httpbin; `url("/get")`. It listens before it has started, so nobody waits for it to be up."""

    def __init__(self, folder: Path) -> None:
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = sock.getsockname()[1]
        self.log = folder / "gunicorn.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"fd://{sock.fileno()}", "--workers", "1"]
            + [
                "--worker-class",
                "gthread",
                "--threads",
                "16",
                "--keep-alive",
                "60",
                "--log-file",
                str(self.log),
            ]
            + ["--worker-tmp-dir", str(folder), "--graceful-timeout", "1", "httpbin:app"],
            env={key: value for key, value in os.environ.items() if key not in ("PORT", "GUNICORN_CMD_ARGS")},
            cwd=folder,
            pass_fds=[sock.fileno()],
            stdin=subprocess.DEVNULL,
        )
        sock.close()  # it is the server's now

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def httpbin(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """httpbin with an empty chunk first: hypercorn begins a WSGI application's answer with its first chunk."""
    from httpbin import app

    chunks = app(environ, start_response)
    try:
        yield b""
        yield from chunks
    finally:
        chunks.close()


class Hypercorn:
    """An application under hypercorn, which speaks HTTP/2 by prior knowledge on `url`, and by ALPN on `tls_url`."""

    def __init__(self, folder: Path, certificate: str, application: str = "servers.wsgi:httpbin") -> None:
        sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
        self.port, self.tls_port = (sock.getsockname()[1] for sock in sockets)
        plain, tls = (f"fd://{sock.fileno()}" for sock in sockets)
        with open(folder / "hypercorn.log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hypercorn", "--insecure-bind", plain, "--bind", tls, "--keep-alive", "60"]
                + ["--certfile", certificate, "--keyfile", certificate, "--graceful-timeout", "0"]
                + [application],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
                cwd=folder,
                pass_fds=[sock.fileno() for sock in sockets],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        for sock in sockets:  # they are the server's now
            sock.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def tls_url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.tls_port}{path}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
