"""Servers of HTTP/2 that nobody here wrote, as real subprocesses, behind one interface."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from time import monotonic

from . import nginx, wsgi

CADDYFILE = """
{{
  admin off
  auto_https off
  storage file_system {folder}
  servers {{
    protocols h1 h2 h2c
  }}
  log {{
    output file {folder}/caddy.log
  }}
}}
(site) {{
  root * {folder}/files
  encode gzip
  header /json Content-Type application/json
  redir /moved /json 301
  respond /nothing 204
  respond /echo {{http.request.body}}
  file_server
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  import site
}}
https://127.0.0.1:{tls_port} {{
  bind 127.0.0.1
  tls {certificate} {certificate}
  import site
}}
"""

STARTING = 10.0  # seconds


class Peer:
    """A running server; `url(path, tls=...)`."""

    # `upload`: how its answers tell that an upload came whole: the body comes back from `/echo`, or its hash from `/digest`.
    command: str | None = None  # that must be there
    upload = "/echo"
    port = tls_port = 0

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def url(self, path: str, *, tls: bool) -> str:
        return f"https://127.0.0.1:{self.tls_port}{path}" if tls else f"http://127.0.0.1:{self.port}{path}"

    def _start(self, *command: str, fds: tuple[int, ...] = ()) -> None:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=fds,
        )
        self._processes.append(process)

    def _await(self, *ports: int) -> None:
        """Wait until the server takes connections."""
        end = monotonic() + STARTING
        for port in ports:
            while True:
                assert all(process.poll() is None for process in self._processes), "the server did not start"
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionError:
                    assert monotonic() < end, "the server does not listen"
                    threading.Event().wait(0.02)

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class Nghttpd(Peer):
    """nghttp2's own server, which serves files and sends uploads back."""

    command = "nghttpd"

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__()
        _write_files(folder)
        self.port, self.tls_port = _free_ports(2)
        common = [find(self.command) or "", "-a", "127.0.0.1", "-d", str(folder / "files"), "--echo-upload"]
        common += ["--trailer", "x-trailer: yes"]
        self._start(*common, "--no-tls", str(self.port))
        self._start(*common, str(self.tls_port), certificate, certificate)
        self._await(self.port, self.tls_port)


class Caddy(Peer):
    """caddy, whose HTTP/2 is Go's."""

    command = "caddy"

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__()
        _write_files(folder)
        self.port, self.tls_port = _free_ports(2)
        file = folder / "Caddyfile"
        file.write_text(
            CADDYFILE.format(folder=folder, port=self.port, tls_port=self.tls_port, certificate=certificate)
        )
        self._start(find(self.command) or "", "run", "--config", str(file), "--adapter", "caddyfile")
        self._await(self.port, self.tls_port)


class Hypercorn(Peer):
    """hypercorn, whose HTTP/2 is the library `h2`."""

    upload = "/digest"

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__()
        self._server = wsgi.Hypercorn(folder, certificate, "servers.peer_app:app")
        self.port, self.tls_port = self._server.port, self._server.tls_port

    def close(self) -> None:
        self._server.close()


class Nginx(Peer):
    """Debian's nginx."""

    command = "nginx"
    upload = "PUT"

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__()
        self._server = nginx.Nginx(folder, Path(certificate)).over("http2")

    def url(self, path: str, *, tls: bool) -> str:
        path = {"/squeezed": "/squeezed/page.html"}.get(path, path)
        return self._server.tls_url(path) if tls else self._server.url(path)

    def close(self) -> None:
        self._server.close()


class Node(Peer):
    """The HTTP/2 of Node.js."""

    command = "node"
    upload = "/digest"

    def __init__(self, folder: Path, certificate: str) -> None:
        super().__init__()
        sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
        self.port, self.tls_port = (sock.getsockname()[1] for sock in sockets)
        fds = tuple(sock.fileno() for sock in sockets)
        script = Path(__file__).with_name("peer.mjs")
        self._start(find(self.command) or "", str(script), certificate, *map(str, fds), fds=fds)
        for sock in sockets:  # they are the server's now
            sock.close()


def find(command: str) -> str | None:
    """Debian installs servers in /usr/sbin, which is not on every PATH."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/usr/local/sbin")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, for servers that take no open socket."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _write_files(folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files" / "json").write_text('{"message": "hello"}')
    (folder / "files" / "squeezed").write_text("squeezed " * 1000)
    for name, size in (("1mb.bin", 1_000_000), ("20mb.bin", 20_000_000)):
        (folder / "files" / name).write_bytes(hashlib.shake_128(b"peer").digest(size))


PEERS: dict[str, type[Peer]] = {
    "nghttpd": Nghttpd,
    "nginx": Nginx,
    "caddy": Caddy,
    "hypercorn": Hypercorn,
    "node": Node,
}
