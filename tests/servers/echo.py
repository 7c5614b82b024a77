"""A well-behaved HTTP/1.1 keep-alive server, one thread per connection, on TCP, TLS or a Unix socket.

`HTTP2EchoServer` in http2.py gives the same answers over HTTP/2.

| path | answer |
|---|---|
| `/json` | a small JSON object |
| `/echo` | JSON: method, target, `headers` as pairs in order and case, body's `length`, `sha256` and first 200 bytes (Latin-1), `connection` and `exchange` numbers, `certificate` (the client's common name) |
| `/headers` | JSON: the header pairs |
| `/status/N` | that status; with a short body where one is allowed |
| `/redirect/N` | N relative redirects (302), then `/echo` |
| `/redirect-to?url=&status=302` | a redirect to `url` |
| `/set-cookie?c=a%3D1;Path=/&c=…&to=/x` | one Set-Cookie field for each `c`, and a redirect if there is `to` |
| `/cookies` | JSON: the cookies sent, in order, as pairs |
| `/gzip /deflate /raw-deflate /br /zstd` | JSON, encoded so |
| `/stream/N` | N lines, each a chunk, with trailers `X-Lines` and `X-Sha256` |
| `/drip/N` | N bytes with Content-Length, each sent alone |
| `/big/N` | N bytes |
| `/slow?ms=N` | answers after N ms, or as soon as `server.release` is set (without `ms`: only then) |
| `/auth/basic`, `/auth/bearer` | 401 unless `user:secret`, token `secret` |
| `/auth/digest?algorithm=MD5&qop=auth` | 401 unless RFC 7616 is satisfied for `user`, `secret`; `qop=` empty: RFC 2069 |
| `/text?charset=…&body=…` | text in that charset |
| `/early-hints` | 103 with two Link fields, then 200 |
| `/links` | a Link field with `next` and `last` |
| `/close` | answers, then closes the connection |
| `/reset` | resets the connection in place of an answer |
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .raw import Connection, Head, PeerGone, RawServer

LINE = "line {}\n"
USER, PASSWORD, REALM, NONCE = "user", "secret", "people@here", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"


class EchoServer(RawServer):
    """See the table above. `release` lets `/slow` answer; `answered` counts requests."""

    records = False

    def __init__(self, **options: Any) -> None:
        super().__init__(self._script, **options)
        self.release = threading.Event()
        self.answered = 0

    def _script(self, connection: Connection) -> None:
        exchange = 0
        while True:
            head = connection.head()
            if (head.get("expect") or b"").lower() == b"100-continue":
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            call = Call(self, connection, head, connection.body(), exchange)
            self.answered += 1
            call.answer()
            exchange += 1
            if call.ends or (head.get("connection") or b"").lower() == b"close":
                return


class Call:
    """One request and how it is answered."""

    def __init__(self, server: EchoServer, connection: Connection, head: Head, body: bytes, exchange: int) -> None:
        self.server, self.connection, self.head, self.body = server, connection, head, body
        self.exchange = exchange
        self.ends = False
        parts = urlsplit(head.target.decode("latin-1"))
        self.path, self.pairs = parts.path or "/", parse_qsl(parts.query, keep_blank_values=True)
        self.query = dict(self.pairs)

    def answer(self) -> None:
        name, _, self.argument = self.path.lstrip("/").partition("/")
        if name == "auth":
            name = "auth_" + self.argument
        getattr(self, "do_" + re.sub(r"\W", "_", name), self.do_missing)()

    def send(
        self, body: bytes = b"", *fields: tuple[str, str], status: int = 200, content_type: str = "text/plain"
    ) -> None:
        plain = [("Content-Type", content_type)]
        if status not in (204, 304) and status >= 200:
            plain.append(("Content-Length", str(len(body))))
        silent = self.head.method == b"HEAD" or status in (204, 304)
        self.write(status, [*plain, *fields], b"" if silent else body)

    def send_json(self, value: Any, *fields: tuple[str, str], status: int = 200) -> None:
        self.send(json.dumps(value).encode(), *fields, status=status, content_type="application/json")

    # -- how it is written: over HTTP/1.1 here

    def write(self, status: int, fields: list[tuple[str, str]], body: bytes = b"") -> None:
        """A head, and all of the body."""
        self.connection.send(_head(status, fields) + body)

    def write_interim(self, status: int, fields: list[tuple[str, str]]) -> None:
        self.connection.send(_head(status, fields))

    def write_chunks(self, fields: list[tuple[str, str]], chunks: Iterable[bytes]) -> None:
        """A head and a body of unknown length, each chunk by itself; `write_trailers` ends it."""
        self.connection.send(_head(200, [*fields, ("Transfer-Encoding", "chunked")]))
        for chunk in chunks:
            self.connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    def write_trailers(self, fields: list[tuple[str, str]]) -> None:
        self.connection.send(b"0\r\n" + _fields(fields) + b"\r\n")

    def write_slowly(self, fields: list[tuple[str, str]], body: bytes) -> None:
        """A head, then byte after byte."""
        self.connection.send(_head(200, fields))
        self.connection.send_bytewise(body)

    # -- what is asked for

    def do_missing(self) -> None:
        self.send(b"no such path", status=404)

    def do_(self) -> None:
        self.send(b"hello")

    def do_json(self) -> None:
        self.send_json({"hello": "world", "numbers": [1, 2, 3]})

    def _header_pairs(self) -> list[list[str]]:
        return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.head.fields]

    def do_echo(self) -> None:
        certificate = getattr(self.connection.sock, "getpeercert", dict)() or {}
        subject = {key: value for (key, value), *_ in certificate.get("subject", ())}
        self.send_json(
            {
                "method": self.head.method.decode(),
                "target": self.head.target.decode("latin-1"),
                "headers": self._header_pairs(),
                "length": len(self.body),
                "sha256": hashlib.sha256(self.body).hexdigest(),
                "body": self.body[:200].decode("latin-1"),
                "connection": self.connection.index,
                "exchange": self.exchange,
                "certificate": subject.get("commonName") or subject.get("organizationalUnitName"),
            }
        )

    def do_headers(self) -> None:
        self.send_json(self._header_pairs())

    def do_status(self) -> None:
        self.send(b"status", status=int(self.argument))

    def do_redirect(self) -> None:
        left = int(self.argument) - 1
        self.send(b"elsewhere", ("Location", f"/redirect/{left}" if left else "/echo"), status=302)

    def do_redirect_to(self) -> None:
        self.send(b"elsewhere", ("Location", self.query["url"]), status=int(self.query.get("status", "302")))

    def do_set_cookie(self) -> None:
        fields = [("Set-Cookie", value) for key, value in self.pairs if key == "c"]
        if to := self.query.get("to"):
            self.send(b"elsewhere", *fields, ("Location", to), status=302)
        else:
            self.send(b"set", *fields)

    def do_cookies(self) -> None:
        pairs = [item.strip().partition("=") for v in self.head.get_all("cookie") for item in v.decode().split(";")]
        self.send_json([[name, value] for name, _, value in pairs])

    def _encoded(self, coding: str, body: bytes) -> None:
        self.send(body, ("Content-Encoding", coding), content_type="application/json")

    def do_gzip(self) -> None:
        self._encoded("gzip", gzip.compress(b'{"coding": "gzip"}'))

    def do_deflate(self) -> None:
        self._encoded("deflate", zlib.compress(b'{"coding": "deflate"}'))

    def do_raw_deflate(self) -> None:
        squeeze = zlib.compressobj(wbits=-15)
        self._encoded("deflate", squeeze.compress(b'{"coding": "raw-deflate"}') + squeeze.flush())

    def do_br(self) -> None:
        import brotli

        self._encoded("br", brotli.compress(b'{"coding": "br"}'))

    def do_zstd(self) -> None:
        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        self._encoded("zstd", zstd.compress(b'{"coding": "zstd"}'))

    def do_stream(self) -> None:
        digest = hashlib.sha256()

        def lines() -> Iterator[bytes]:
            for number in range(int(self.argument)):
                line = LINE.format(number).encode()
                digest.update(line)
                yield line

        self.write_chunks([("Content-Type", "text/plain"), ("Trailer", "X-Lines, X-Sha256")], lines())
        self.write_trailers([("X-Lines", self.argument), ("X-Sha256", digest.hexdigest())])

    def do_drip(self) -> None:
        self.write_slowly([("Content-Length", self.argument)], b"." * int(self.argument))

    def do_big(self) -> None:
        self.send(bytes(int(self.argument)), content_type="application/octet-stream")

    def do_slow(self) -> None:
        milliseconds = self.query.get("ms")
        if milliseconds is None:
            self.connection.wait(self.server.release)
        else:
            self.server.waited.append(self.server.release)
            self.server.release.wait(int(milliseconds) / 1000)
            if self.server.stopping:
                raise PeerGone
        self.send(b"at last")

    def do_auth_basic(self) -> None:
        if self.head.get("authorization") == b"Basic dXNlcjpzZWNyZXQ=":
            self.do_echo()
        else:
            self.send(b"who?", ("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"'), status=401)

    def do_auth_bearer(self) -> None:
        if self.head.get("authorization") == b"Bearer secret":
            self.do_echo()
        else:
            self.send(b"who?", ("WWW-Authenticate", "Bearer"), status=401)

    def do_auth_digest(self) -> None:
        algorithm, qop = self.query.get("algorithm", "MD5"), self.query.get("qop", "auth")
        given = (self.head.get("authorization") or b"").decode()
        if given.startswith("Digest ") and self._digest_is_right(given[7:], algorithm, qop):
            self.do_echo()
            return
        fields = [
            f'Digest realm="{REALM}"',
            f'nonce="{NONCE}"',
            f"algorithm={algorithm}",
            'opaque="HRPCssKJSGjCrkzDg8"',
        ]
        if qop:
            fields.append(f'qop="{qop}"')
        self.send(b"who?", ("WWW-Authenticate", ", ".join(fields)), status=401)

    def _digest_is_right(self, given: str, algorithm: str, qop: str) -> bool:
        """RFC 7616 §3.4.1, computed from what the client says it used."""
        got = {
            key.lower(): quoted or token for key, quoted, token in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', given)
        }

        def digest(text: bytes) -> str:
            return hashlib.new({"SHA-256": "sha256", "MD5": "md5"}[algorithm.removesuffix("-sess")], text).hexdigest()

        secret = digest(f"{USER}:{REALM}:{PASSWORD}".encode())
        if algorithm.endswith("-sess"):
            secret = digest(f"{secret}:{NONCE}:{got['cnonce']}".encode())
        uri = f"{self.head.method.decode()}:{self.head.target.decode()}"
        if got.get("qop") == "auth-int":
            uri += ":" + digest(self.body)
        middle = f"{NONCE}:{got.get('nc')}:{got.get('cnonce')}:{got['qop']}" if "qop" in got else NONCE
        right = digest(f"{secret}:{middle}:{digest(uri.encode())}".encode())
        asked = [value.strip() for value in qop.split(",")] if qop else [None]
        return (
            got.get("response") == right
            and got.get("uri") == self.head.target.decode()
            and got.get("username") == USER
            and got.get("qop") in asked
            and (not qop or bool(re.fullmatch("[0-9a-f]{8}", got.get("nc", ""))))
        )

    def do_text(self) -> None:
        charset = self.query["charset"]
        self.send(self.query["body"].encode(charset), content_type=f"text/plain; charset={charset}")

    def do_early_hints(self) -> None:
        links = ("</style.css>; rel=preload; as=style", "</script.js>; rel=preload; as=script")
        self.write_interim(103, [("Link", link) for link in links])
        self.send(b"after the hints")

    def do_links(self) -> None:
        self.send(b"linked", ("Link", '</page/2>; rel="next", </page/9>; rel="last"; title="the end"'))

    def do_close(self) -> None:
        self.ends = True
        self.send(b"goodbye", ("Connection", "close"))

    def do_reset(self) -> None:
        self.ends = True
        self.connection.reset()


def _head(status: int, fields: list[tuple[str, str]]) -> bytes:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode() + _fields(fields) + b"\r\n"


def _fields(fields: list[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1")
