"""httpbin, which nobody here wrote, under gunicorn, which nobody here wrote either: a real subprocess."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path


class Httpbin:
    """A running httpbin; `url("/get")`. It listens before it has started, so nobody waits for it to be up."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._socket.getsockname()[1]
        self.log = folder / "gunicorn.log"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"fd://{self._socket.fileno()}", "--workers", "1"]
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
            pass_fds=[self._socket.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._socket.close()
