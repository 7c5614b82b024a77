"""The command as a subprocess: in pipes, and on a terminal of its own (pty)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

COMMAND = [sys.executable, "-W", "error", "-m", "hither"]
PATIENCE = 15.0  # seconds for a process to end


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what changes colours and buffers; `PYTHONPATH` comes before what is set."""
    unwanted = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    if "PYTHONPATH" in changes and "PYTHONPATH" in kept:
        changes["PYTHONPATH"] += os.pathsep + kept["PYTHONPATH"]
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "COLORTERM": "", **changes}


def piped(*arguments: Any, input: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=input,
        capture_output=True,
        timeout=PATIENCE,
        env=environment(**changes),
    )


class Terminal:
    """A process on a pty; `with Terminal(url) as t: t.until(b"..."); t.finish()` gives its exit code."""

    def __init__(self, *arguments: Any, command: list[str] | None = None, **changes: str) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.shown = b""
        self.process = subprocess.Popen(
            [*(command or COMMAND), *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(**changes),
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        os.close(self._master)

    def _more(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            return False
        self.shown += data
        return bool(data)

    def until(self, text: bytes) -> None:
        while text not in self.shown:
            assert self._more(), self.shown

    def finish(self) -> int:
        while self._more():
            pass
        return self.process.wait(PATIENCE)


def on_terminal(*arguments: Any, **changes: str) -> tuple[int, str]:
    """The exit code, and what a terminal was sent, with plain line ends."""
    with Terminal(*arguments, **changes) as terminal:
        code = terminal.finish()
        return code, terminal.shown.decode().replace("\r\n", "\n")
