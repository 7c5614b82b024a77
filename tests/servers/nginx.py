"""Debian's nginx as a real subprocess on sockets that are bound here, so no port is guessed and nothing waits."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  types {{ text/html html; text/plain txt; application/json json; }}
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
  client_max_body_size 1m;
  server {{  # as it comes: after 1,000 requests a connection is ended
    listen 127.0.0.1:{short_lived_port} http2 backlog=1024;
    listen 127.0.0.1:{short_lived_tls_port} ssl http2 backlog=1024;
    keepalive_requests 1000;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    location = /json {{
      default_type application/json;
      add_header X-Connection $connection;
      return 200 '{{"message": "hello"}}';
    }}
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    listen 127.0.0.1:{tls_port} ssl backlog=1024;
    listen 127.0.0.1:{http2_port} http2 backlog=1024;
    listen 127.0.0.1:{http2_tls_port} ssl http2 backlog=1024;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    root {folder}/files;
    add_header X-Connection $connection;
    location = /json {{ default_type application/json; return 200 '{{"message": "hello"}}'; }}
    location = /moved {{ return 301 /json; }}
    location = /away {{ return 302 $arg_to; }}
    location = /nothing {{ return 204; }}
    location = /slammed {{ return 444; }}
    location /squeezed/ {{ alias {folder}/files/; gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0; }}
    location /limited/ {{ limit_rate 20k; alias {folder}/files/; }}
    location = /closing {{ keepalive_timeout 0; return 200 "closing"; }}
    location /large/ {{ alias {folder}/uploads/; dav_methods PUT DELETE; client_max_body_size 100m; }}
    location /upload/ {{ alias {folder}/uploads/; dav_methods PUT DELETE; create_full_put_path on; }}
  }}
}}
"""


PORTS = ("port", "tls_port", "http2_port", "http2_tls_port", "short_lived_port", "short_lived_tls_port")


def find_nginx() -> str | None:
    """Debian installs it in /usr/sbin, which is not on every PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class Nginx:
    """A running nginx; `url("/json")`, `tls_url("/json")`; `files` is a dict of names and bytes it serves."""

    _prefix = ""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self.files = {
            "page.html": b"<p>hello</p>\n" * 200,
            "range.txt": bytes(range(48, 58)) * 100,
            "big.bin": bytes(3_000_000),
            "1mb.bin": hashlib.shake_128(b"peer").digest(1_000_000),
            "20mb.bin": hashlib.shake_128(b"peer").digest(20_000_000),
        }
        (folder / "files").mkdir()
        (folder / "uploads").mkdir()
        for name, content in self.files.items():
            (folder / "files" / name).write_bytes(content)
        self._sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(len(PORTS))]
        ports = {name: sock.getsockname()[1] for name, sock in zip(PORTS, self._sockets, strict=True)}
        self._ports = ports
        user = "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, user=user, certificate=certificate, **ports))
        self.folder = folder
        # nginx takes over the listening sockets it is told of in NGINX, as it does when its binary is replaced.
        self._process = subprocess.Popen(
            [
                find_nginx() or "nginx",
                "-c",
                str(configuration),
                "-p",
                str(folder),
                "-e",
                str(folder / "error.log"),
            ],
            env={**os.environ, "NGINX": "".join(f"{sock.fileno()};" for sock in self._sockets)},
            pass_fds=[sock.fileno() for sock in self._sockets],
            stdin=subprocess.DEVNULL,
        )

    def over(self, protocol: str) -> Nginx:
        """The same server, whose URLs are those where `http1` or `http2` is spoken."""
        other = copy.copy(self)
        other._prefix = "" if protocol == "http1" else "http2_"
        return other

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._ports[self._prefix + 'port']}{path}"

    def tls_url(self, path: str) -> str:
        return f"https://127.0.0.1:{self._ports[self._prefix + 'tls_port']}{path}"

    def short_lived_url(self, path: str, *, tls: bool = False) -> str:
        """Where a connection is ended by GOAWAY after 1,000 requests; HTTP/2 only."""
        name = "short_lived_tls_port" if tls else "short_lived_port"
        return f"http{'s' if tls else ''}://127.0.0.1:{self._ports[name]}{path}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        for sock in self._sockets:
            sock.close()
