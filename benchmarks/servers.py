"""The servers that are measured against: nginx where it is installed, and one of our own for what nginx cannot do.

Run in a process of its own; prints one line of JSON with the addresses and serves until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

HELLO = b'{"message": "hello"}'
BIG = 256 * 1024 * 1024  # bytes of the large download and upload
PIECE = bytes(256 * 1024)
DELAY = 1.0  # seconds that a slow page takes
FIELDS = [(f"X-Field-{number}", f"value-{number}-{'x' * 20}") for number in range(25)]  # nginx sends 5 more
DOCUMENT = json.dumps([{"id": n, "name": f"item {n}", "price": n * 7 % 1000 / 10} for n in range(2100)]).encode()[
    : 100 * 1024
]

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  default_type application/json;
  types {{ }}
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  uwsgi_temp_path {folder}/temp; scgi_temp_path {folder}/temp;
  ssl_session_cache shared:all:10m;
  http2_max_concurrent_streams 256;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    listen 127.0.0.1:{http2_port} ssl http2 backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    root {folder}/files;
    location = /json {{ return 200 '{hello}'; }}
    location = /h2json {{
      return 200 '{{"message": "hello", "protocol": "$server_protocol", "requests": $connection_requests}}';
    }}
    location = /closing {{ keepalive_timeout 0; return 200 '{{"resumed": "$ssl_session_reused"}}'; }}
    location = /moved {{ return 301 /json; }}
    location = /cookies {{
      add_header Set-Cookie "session=0123456789abcdef; Path=/; HttpOnly";
      add_header Set-Cookie "theme=dark; Path=/";
      return 200 '{{"cookie": "$http_cookie"}}';
    }}
    location = /fields {{ {fields} return 200 '{hello}'; }}
    location = /document.gzip {{ add_header Content-Encoding gzip; }}
    location = /document.br {{ add_header Content-Encoding br; }}
    location = /document.zstd {{ add_header Content-Encoding zstd; }}
  }}
}}
"""


def compressed() -> dict[str, bytes]:
    """Give the document in each content coding."""
    import brotli

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    gzip = zlib.compressobj(6, wbits=31)
    return {
        "gzip": gzip.compress(DOCUMENT) + gzip.flush(),
        "br": brotli.compress(DOCUMENT, quality=5),
        "zstd": zstd.compress(DOCUMENT),
    }


def response(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Put a whole response together, with the fields that nginx sends."""
    lines = [
        f"HTTP/1.1 {status}",
        "Server: own",
        "Date: Thu, 01 Jan 2026 00:00:00 GMT",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(fields or ["Connection: keep-alive"]),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pages(codings: dict[str, bytes]) -> dict[bytes, bytes]:
    """Give our own server's answers by request target."""
    found = {
        b"/json": response(HELLO),
        b"/10k": response(bytes(10_000)),
        b"/1m": response(bytes(1_000_000)),
        b"/moved": response(b"", "Location: /json", status="301 Moved Permanently"),
        b"/fields": response(HELLO, *(f"{name}: {value}" for name, value in FIELDS)),
    }
    for coding, content in codings.items():
        found[f"/document.{coding}".encode()] = response(content, f"Content-Encoding: {coding}")
    return found


class Upload:
    """Counts the bytes of a request's body; `feed` tells whether it is complete."""

    def __init__(self, head: bytes) -> None:
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        self.expects_continue = b"expect" in fields
        self.size = 0
        self._length = int(fields[b"content-length"]) if b"content-length" in fields else None
        self._left = 0  # of this chunk, with its CR LF
        self._line = b""

    def feed(self, data: bytes) -> bool:
        if self._length is not None:
            self.size += len(data)
            return self.size >= self._length
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
                continue
            line, end, data = (self._line + data).partition(b"\r\n")
            self._line = b"" if end else line
            if end and not line.strip(b"0"):
                return True
            if end:
                size = int(line, 16)
                self.size += size
                self._left = size + 2
        return False


class Connection(asyncio.Protocol):
    """One connection to our own server. Clients here never send a request before the last one's answer."""

    answers: dict[bytes, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._head = b""
        self._upload: Upload | None = None
        self._left = 0  # bytes of a large download

    def data_received(self, data: bytes) -> None:
        if self._upload is None:
            head, end, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = b"" if end else head
            if not end:
                return
            head = head.lstrip(b"\r\n")  # what is left of a chunked body
            if not head.startswith(b"POST"):
                return self._answer(head)
            self._upload = Upload(head)
            if self._upload.expects_continue:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._upload.feed(data):
            self._transport.write(response(b'{"received": %d}' % self._upload.size))
            self._upload = None
        return None

    def _answer(self, head: bytes) -> None:
        target = head.split(b" ", 2)[1]
        if target in self.answers:
            self._transport.write(self.answers[target])
        elif target == b"/delay":
            asyncio.get_running_loop().call_later(DELAY, self._transport.write, self.answers[b"/json"])
        elif target == b"/256m":
            head, _, _ = response(b"").replace(b"Content-Length: 0", b"Content-Length: %d" % BIG).partition(b"\r\n\r\n")
            self._transport.write(head + b"\r\n\r\n")
            self._left = BIG
            self.resume_writing()
        elif target == b"/cookies":
            sent = next((line[8:] for line in head.split(b"\r\n") if line.lower().startswith(b"cookie: ")), b"")
            fields = (
                "Set-Cookie: session=0123456789abcdef; Path=/; HttpOnly",
                "Set-Cookie: theme=dark; Path=/",
            )
            self._transport.write(response(b'{"cookie": "%s"}' % sent, *fields))
        elif target == b"/closing":
            tls = self._transport.get_extra_info("ssl_object")
            mark = b"r" if tls is not None and tls.session_reused else b"."
            self._transport.write(response(b'{"resumed": "%s"}' % mark, "Connection: close"))
            self._transport.close()
        else:
            self._transport.write(response(b"", status="404 Not Found"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._left and not self._paused:
            self._transport.write(PIECE)
            self._left -= len(PIECE)


def find_nginx() -> str | None:
    """Debian installs it in /usr/sbin, which is not on every PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def nginx_version(program: str) -> str:
    """Tell what stands after "nginx version:"."""
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    return said.strip().rpartition(": ")[2].replace("/", " ")


def start_nginx(
    program: str, folder: Path, certificate: Path, codings: dict[str, bytes]
) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start nginx on sockets that are bound here, so that no port is guessed. Returns its addresses, too."""
    (folder / "files").mkdir()
    for name, size in (("10k", 10_000), ("1m", 1_000_000), ("256m", BIG)):
        with (folder / "files" / name).open("wb") as file:
            file.truncate(size)
    for coding, content in codings.items():
        (folder / "files" / f"document.{coding}").write_bytes(content)
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in range(3)]
    port, tls_port, http2_port = (sock.getsockname()[1] for sock in sockets)
    files = raise_file_limit()
    configuration = NGINX.format(
        folder=folder,
        files=files,
        connections=min(files, 16384),
        user="user root;" if os.geteuid() == 0 else "",
        port=port,
        tls_port=tls_port,
        http2_port=http2_port,
        certificate=certificate,
        hello=HELLO.decode(),
        fields=" ".join(f'add_header {name} "{value}";' for name, value in FIELDS),
    )
    (folder / "nginx.conf").write_text(configuration)
    # nginx takes over the listening sockets named in NGINX, as it does when its binary is replaced.
    process = subprocess.Popen(
        [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")],
        env={**os.environ, "NGINX": "".join(f"{sock.fileno()};" for sock in sockets)},
        pass_fds=[sock.fileno() for sock in sockets],
        stdin=subprocess.DEVNULL,
    )
    return process, {
        "plain": f"http://127.0.0.1:{port}",
        "tls": f"https://127.0.0.1:{tls_port}",
        "http2": f"https://127.0.0.1:{http2_port}",
    }


def raise_file_limit() -> int:
    """Allow this process as many sockets as it may have; returns how many."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 65536


def make_certificate(folder: Path) -> Path:
    """Make an authority (authority.pem) and a certificate for 127.0.0.1; returns the certificate with its key."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = folder / "certificate.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    return certificate


async def serve(folder: Path, *, own: bool) -> None:
    """Start everything, say where, and serve until the input ends."""
    certificate = make_certificate(folder)
    codings = compressed()
    Connection.answers = pages(codings)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    addresses = {}
    for name, tls in (("plain", None), ("tls", context)):
        server = await loop.create_server(Connection, "127.0.0.1", 0, ssl=tls, backlog=16384)
        scheme = "https" if tls else "http"
        addresses[name] = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    nginx, program = None, None if own else find_nginx()
    site = addresses
    if program is not None:
        nginx, site = start_nginx(program, folder, certificate, codings)
    upload = folder / "upload"
    with upload.open("wb") as file:
        file.truncate(BIG)
    answer = {
        "own": addresses,
        "site": site,
        "server": nginx_version(program) if program else "own",
        "authority": str(folder / "authority.pem"),
        "upload": str(upload),
    }
    print(json.dumps(answer), flush=True)
    try:
        await loop.run_in_executor(None, sys.stdin.read)
    finally:
        if nginx is not None:
            nginx.terminate()
            nginx.wait(10)


class Servers:
    """The servers' process as seen by the one that measures: a context manager with their addresses."""

    def __init__(self, python: str, variables: dict[str, str], *, own: bool = False) -> None:
        command = [python, "-m", "benchmarks.servers", *(["--own"] if own else [])]
        self._process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers did not start")
        answer = json.loads(line)
        self._addresses: dict[str, dict[str, str]] = {"own": answer["own"], "site": answer["site"]}
        self.kind: str = answer["server"]
        self.authority: str = answer["authority"]
        self.upload: str = answer["upload"]

    @property
    def has_http2(self) -> bool:
        """Tell whether the "site" speaks HTTP/2: nginx does, our own server does not."""
        return "http2" in self._addresses["site"]

    def url(self, server: str, path: str, *, tls: bool = False, http2: bool = False) -> str:
        """Tell the URL of a page of "site" (nginx where there is one) or of our "own" server.

        HTTP/2 has a port of its own, so that the others' clients cannot choose it by ALPN.
        """
        return self._addresses[server]["http2" if http2 else "tls" if tls else "plain"] + path

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate(timeout=20)


def main() -> None:
    """Run the servers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--own", action="store_true", help="no nginx")
    own = parser.parse_args().own
    raise_file_limit()
    try:
        import uvloop

        run = uvloop.run
    except ImportError:
        run = asyncio.run
    with tempfile.TemporaryDirectory() as folder:
        run(serve(Path(folder), own=own))


if __name__ == "__main__":
    main()
